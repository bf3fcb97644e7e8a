package sdnotify

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen makes a socket that Notify uses in this test.
func listen(t *testing.T) *Socket {
	path := filepath.Join(t.TempDir(), "notify")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return s
}

func receive(t *testing.T, s *Socket) *Received {
	t.Helper()
	if err := s.file.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func openFDs(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestNotifySendsCredentials(t *testing.T) {
	s := listen(t)
	sent, err := Notify("READY=1\nSTATUS=hello")
	if err != nil || !sent {
		t.Fatal(sent, err)
	}
	r := receive(t, s)
	if string(r.Data) != "READY=1\nSTATUS=hello" || r.PID != os.Getpid() || r.UID != uint32(os.Getuid()) || r.GID != uint32(os.Getgid()) || len(r.FDs) != 0 || r.Truncated {
		t.Errorf("got %+v", r)
	}
	if r.PIDFD >= 0 {
		if err := unix.PidfdSendSignal(r.PIDFD, 0, nil, 0); err != nil {
			t.Error("the pidfd is not ours:", err)
		}
	} else if release() >= "6.5" {
		t.Error("no pidfd on a kernel that has them")
	}
}

func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:])
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if sent, err := Notify("READY=1"); sent || err != nil {
		t.Error("without a socket:", sent, err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	if sent, err := Notify("READY=1"); sent || !errors.Is(err, unix.ENOENT) {
		t.Error("a socket that is gone:", sent, err)
	}
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1234")
	if _, err := Notify("READY=1"); !errors.Is(err, ErrSocketKind) {
		t.Error("a socket of another kind:", err)
	}
}

func TestDescriptorsAreHandedOver(t *testing.T) {
	s := listen(t)
	a, b, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	before := openFDs(t)
	if _, err := NotifyWithFDs("FDSTORE=1\nFDNAME=pipe", int(a.Fd()), int(b.Fd())); err != nil {
		t.Fatal(err)
	}
	b.Close()
	r := receive(t, s)
	if len(r.FDs) != 2 {
		t.Fatalf("%d descriptors, want 2", len(r.FDs))
	}
	for _, fd := range r.FDs {
		if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Error("a descriptor is not close-on-exec", fl, err)
		}
	}
	if _, err := unix.Write(r.FDs[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	if _, err := unix.Read(r.FDs[0], got); err != nil || got[0] != 'x' {
		t.Error("the descriptors are not the pipe", got, err)
	}
	r.Close()
	r.Close()
	if now := openFDs(t); now != before-1 {
		t.Errorf("%d descriptors open, want %d", now, before-1)
	}
}

// The kernel carries 253 descriptors at most; all of them arrive or go.
func TestManyDescriptors(t *testing.T) {
	s := listen(t)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	before := openFDs(t)
	if _, err := NotifyWithFDs("FDSTORE=1", slices.Repeat([]int{int(null.Fd())}, MaxFDs)...); err != nil {
		t.Fatal(err)
	}
	r := receive(t, s)
	if len(r.FDs) != MaxFDs || r.Lost {
		t.Errorf("%d descriptors, lost %v", len(r.FDs), r.Lost)
	}
	r.Close()
	if now := openFDs(t); now != before {
		t.Errorf("%d descriptors open, want %d", now, before)
	}
	if _, err := NotifyWithFDs("FDSTORE=1", slices.Repeat([]int{int(null.Fd())}, MaxFDs+1)...); !errors.Is(err, unix.EINVAL) {
		t.Error("254 descriptors:", err)
	}
}

// A manager that has no descriptors left still reads the message.
func TestReceiveWithoutFreeDescriptors(t *testing.T) {
	s := listen(t)
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := NotifyWithFDs("FDSTORE=1", int(null.Fd()), int(null.Fd())); err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	tight := unix.Rlimit{Cur: 0, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	r, err := s.Receive()
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); e != nil {
		t.Fatal(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if string(r.Data) != "FDSTORE=1" || len(r.FDs) != 0 || !r.Lost || r.PID != os.Getpid() {
		t.Errorf("got %+v", r)
	}
}

func TestLongMessageIsMarked(t *testing.T) {
	s := listen(t)
	for n, want := range map[int]bool{MaxMessage - 7: false, MaxMessage - 6: true, 60000: true} {
		if _, err := Notify("STATUS=" + strings.Repeat("x", n)); err != nil {
			t.Fatal(err)
		}
		if r := receive(t, s); r.Truncated != want || len(r.Data) != min(n+7, MaxMessage) {
			t.Errorf("%d bytes: truncated %v, %d kept", n+7, r.Truncated, len(r.Data))
		}
	}
}

func TestBarrier(t *testing.T) {
	s := listen(t)
	if err := Barrier(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a manager that does not answer:", err)
	}
	receive(t, s).Close()
	done := make(chan error, 1)
	go func() { done <- Barrier(-1) }()
	r := receive(t, s)
	m, err := Parse(r.Data)
	if err != nil || !m.Barrier || len(r.FDs) != 1 {
		t.Fatal(m, err, r.FDs)
	}
	r.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsReceive(t *testing.T) {
	s := listen(t)
	done := make(chan error, 1)
	go func() { _, err := s.Receive(); done <- err }()
	s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestListenReplacesOnlySockets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "notify")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err = Listen(path); err != nil {
		t.Fatal("an old socket is in the way:", err)
	}
	s.Close()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
		t.Error("everybody must be able to send:", st.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil {
		t.Error("a file was replaced")
	}
}

// Users other than root can report (the original's W38), and cannot lie about
// who they are.
func TestOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip(err)
	}
	s := listen(t)
	for d := filepath.Dir(os.Getenv("NOTIFY_SOCKET")); d != "/"; d = filepath.Dir(d) {
		if d != "/tmp" {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	self := filepath.Join(t.TempDir(), "client")
	copyFile(t, os.Args[0], self)
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", self, "-test.run=^TestHelperNotify$")
	cmd.Env = append(os.Environ(), "SDNOTIFY_HELPER=lie")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := receive(t, s)
	if r.UID != 65534 || r.PID == 1 {
		t.Errorf("got %+v", r)
	}
	if !bytes.Contains(out, []byte("lie refused")) {
		t.Errorf("the kernel let a user speak for pid 1: %s", out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := filepath.Dir(to); d != "/" && d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHelperNotify is the child of other tests; by itself it does nothing.
func TestHelperNotify(t *testing.T) {
	switch os.Getenv("SDNOTIFY_HELPER") {
	case "lie":
		if _, err := Notify("READY=1"); err != nil {
			t.Fatal(err)
		}
		if err := (Datagram{Socket: os.Getenv("NOTIFY_SOCKET"), State: "READY=1", PID: 1}).Send(); !errors.Is(err, unix.EPERM) {
			t.Fatal("lied:", err)
		}
		os.Stdout.WriteString("lie refused\n")
	case "listen":
		files, err := ListenFDs()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
			if err != nil || fl&unix.FD_CLOEXEC == 0 {
				t.Error("not close-on-exec", fl, err)
			}
			os.Stdout.WriteString("fd " + strconv.Itoa(int(f.Fd())) + " " + f.Name() + "\n")
		}
		if again, err := ListenFDs(); len(again) != 0 || err != nil || os.Getenv("LISTEN_FDNAMES") != "" {
			t.Error("a second call", again, err)
		}
	}
}

func TestListenFDs(t *testing.T) {
	a, b, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	// exec keeps the pid, so that the shell can name it.
	run := func(env ...string) string {
		cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestHelperNotify$'`, os.Args[0])
		cmd.Env = append(append(os.Environ(), "SDNOTIFY_HELPER=listen"), env...)
		cmd.ExtraFiles = []*os.File{a, b}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var fds []string
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "fd ") {
				fds = append(fds, strings.TrimSpace(line))
			}
		}
		return strings.Join(fds, ", ")
	}
	if got := run("LISTEN_FDS=2", "LISTEN_FDNAMES=http:admin"); got != "fd 3 http, fd 4 admin" {
		t.Error(got)
	}
	if got := run("LISTEN_FDS=2", "LISTEN_FDNAMES=http"); got != "fd 3 http, fd 4 unknown" {
		t.Error(got)
	}
	if got := run("LISTEN_FDS=1"); got != "fd 3 unknown" {
		t.Error(got)
	}
	for _, c := range []struct{ pid, n string }{{"1", "2"}, {"x", "2"}, {strconv.Itoa(os.Getpid()), "-1"}, {strconv.Itoa(os.Getpid()), "9999999"}} {
		t.Setenv("LISTEN_PID", c.pid)
		t.Setenv("LISTEN_FDS", c.n)
		if files, err := ListenFDs(); len(files) != 0 || (err == nil) != (c.pid == "1") {
			t.Errorf("LISTEN_PID=%s LISTEN_FDS=%s: %v %v", c.pid, c.n, files, err)
		}
	}
}

func TestWatchdogEnabled(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		bad       bool
	}{
		{"", "", 0, false},
		{"20000000", "", 20 * time.Second, false},
		{"20000000", me, 20 * time.Second, false},
		{"20000000", "1", 0, false},
		{"20000000", "x", 0, true},
		{"0", "", 0, true},
		{"-1", "", 0, true},
		{"18446744073709551615", "", 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got, err := WatchdogEnabled(); got != c.want || (err != nil) != c.bad {
			t.Errorf("WATCHDOG_USEC=%s WATCHDOG_PID=%s: %v %v", c.usec, c.pid, got, err)
		}
	}
}

func TestReloadingHasTheTime(t *testing.T) {
	m, err := Parse([]byte(Reloading()))
	if err != nil || !m.Reloading || m.Monotonic <= 0 {
		t.Error(m, err)
	}
}

// systemd's own client speaks to our socket.
func TestSystemdNotify(t *testing.T) {
	tool, err := exec.LookPath("systemd-notify")
	if err != nil {
		t.Skip(err)
	}
	s := listen(t)
	done := make(chan error, 1)
	go func() {
		out, err := exec.Command(tool, "--ready", "--status=all is well", "--pid="+strconv.Itoa(os.Getpid())).CombinedOutput()
		if err != nil {
			err = errors.New(err.Error() + ": " + string(out))
		}
		done <- err
	}()
	m, err := Parse(receive(t, s).Data)
	if err != nil || !m.Ready || m.Status == nil || *m.Status != "all is well" || m.MainPID != os.Getpid() {
		t.Errorf("%+v %v", m, err)
	}
	r := receive(t, s) // it waits for its barrier
	if m, err := Parse(r.Data); err != nil || !m.Barrier || len(r.FDs) != 1 {
		t.Errorf("%+v %v", m, err)
	}
	r.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
