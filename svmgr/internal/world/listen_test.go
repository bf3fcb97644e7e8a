package world

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func socketUnit(t testing.TB, name string, lines ...string) *unit.Unit {
	return service(t, name, append([]string{"[Socket]"}, lines...)...)
}

// listens performs a Listen and returns its errno.
func (r *rig) listens(u *unit.Unit) unix.Errno {
	r.t.Helper()
	r.next++
	r.Perform(core.Listen{Run: r.next, Unit: u})
	e := until[core.Listening](r)
	if e.Run != r.next {
		r.t.Fatalf("an answer for %d", e.Run)
	}
	return unix.Errno(e.Errno)
}

func (r *rig) socket(name string) *openSocket {
	r.senses.sockets.mu.Lock()
	defer r.senses.sockets.mu.Unlock()
	return r.senses.sockets.units[name]
}

func (r *rig) quiet(t *testing.T) {
	t.Helper()
	select {
	case e := <-r.events:
		t.Errorf("unasked: %+v", e)
	default:
	}
}

func (r *rig) port(t *testing.T, name string) string {
	t.Helper()
	sa, err := unix.Getsockname(r.socket(name).listeners[0].fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(addrOf(sa).Port())
}

// freePort is one that nobody uses at the moment.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestListenKinds(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	abstract := fmt.Sprintf("@dynamod-test-%d", os.Getpid())
	u := socketUnit(t, "a.socket", "ListenStream="+dir+"/new/s", "ListenDatagram="+dir+"/d", "ListenSequentialPacket="+dir+"/q",
		"ListenFIFO="+dir+"/f", "ListenStream="+abstract, "ListenStream=127.0.0.1:"+freePort(t), "ListenDatagram=[::1]:"+freePort(t),
		"ListenSpecial=/dev/null", "ListenNetlink=kobject-uevent 1", "SocketMode=0640", "DirectoryMode=0710", "FreeBind=yes", "KeepAlive=yes", "NoDelay=yes",
		"PassCredentials=yes", "ReusePort=yes", "BindIPv6Only=ipv6-only", "ReceiveBuffer=64K", "PipeSize=8K", "Backlog=5", "IPTOS=low-delay", "Timestamping=ns")
	if err := r.listens(u); err != 0 {
		t.Fatal(err)
	}
	s := r.socket("a.socket")
	var kinds []string
	for _, l := range s.listeners {
		k := "file"
		if n, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			k = fmt.Sprint(n)
		}
		kinds = append(kinds, k)
		if fl, err := unix.FcntlInt(uintptr(l.fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Error("a socket would leak", l.spec, err)
		}
	}
	if got := strings.Join(kinds, " "); got != "1 2 5 file 1 1 2 file 3" {
		t.Error("socket types:", got)
	}
	for path, mode := range map[string]os.FileMode{"/new/s": 0o640, "/d": 0o640, "/q": 0o640, "/f": 0o640, "/new": 0o710} {
		if st, err := os.Stat(dir + path); err != nil || st.Mode().Perm() != mode {
			t.Error(path, st, err)
		}
	}
	if n, err := unix.GetsockoptInt(s.listeners[5].fd, unix.SOL_SOCKET, unix.SO_REUSEPORT); n != 1 || err != nil {
		t.Error("ReusePort", n, err)
	}
	if n, err := unix.GetsockoptInt(s.listeners[6].fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); n != 1 || err != nil {
		t.Error("BindIPv6Only", n, err)
	}
	if n, err := unix.FcntlInt(uintptr(s.listeners[3].fd), unix.F_GETPIPE_SZ, 0); n != 8192 || err != nil {
		t.Error("PipeSize", n, err)
	}
	c, err := net.Dial("unix", abstract)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.Perform(core.Unlisten{Unit: "a.socket"})
	testkit.Eventually(t, "the abstract socket to go", func() bool {
		c, err := net.Dial("unix", abstract)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, unix.ECONNREFUSED)
	})
	if _, err := os.Stat(dir + "/f"); err != nil {
		t.Error("files stay without RemoveOnStop=:", err)
	}
	// What a former socket left behind is no obstacle.
	if err := r.listens(u); err != 0 {
		t.Error(err)
	}
}

func TestListenFailures(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := openFDs(t)
	for name, c := range map[string]struct {
		want  unix.Errno
		lines []string
	}{
		"taken":    {unix.EADDRINUSE, []string{"ListenStream=" + dir + "/gone", "ListenStream=" + taken.Addr().String()}},
		"file":     {unix.EADDRINUSE, []string{"ListenStream=" + dir + "/file"}},
		"fifo":     {unix.EEXIST, []string{"ListenFIFO=" + dir + "/file"}},
		"dir":      {unix.ENOTDIR, []string{"ListenStream=" + dir + "/file/s"}},
		"special":  {unix.ENOENT, []string{"ListenSpecial=/dev/nonexistent"}},
		"nobody":   {unix.ESRCH, []string{"ListenStream=" + dir + "/n", "SocketUser=no-such-user"}},
		"usb":      {unix.EOPNOTSUPP, []string{"ListenUSBFunction=/dev/x"}},
		"foreign":  {unix.EADDRNOTAVAIL, []string{"ListenStream=192.0.2.1:1"}},
		"congest":  {unix.ENOENT, []string{"ListenStream=127.0.0.1:" + freePort(t), "TCPCongestion=nonsense"}},
		"no-iface": {unix.ENODEV, []string{"ListenStream=[fe80::1]:1%%nosuchif"}},
	} {
		if err := r.listens(socketUnit(t, name+".socket", c.lines...)); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := os.Stat(dir + "/gone"); err == nil {
		t.Error("half of the sockets stayed")
	}
	if now := openFDs(t); now != before {
		t.Errorf("%d descriptors, want %d", now, before)
	}
}

func TestSymlinksAndRemoval(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	u := socketUnit(t, "a.socket", "ListenStream="+dir+"/s", "Symlinks="+dir+"/l1 "+dir+"/sub/l2", "RemoveOnStop=yes")
	if err := os.Symlink("elsewhere", dir+"/l1"); err != nil {
		t.Fatal(err)
	}
	if err := r.listens(u); err != 0 {
		t.Fatal(err)
	}
	for _, l := range []string{"/l1", "/sub/l2"} {
		if to, err := os.Readlink(dir + l); to != dir+"/s" || err != nil {
			t.Error(l, to, err)
		}
	}
	r.Perform(core.Unlisten{Unit: "a.socket", Remove: true})
	testkit.Eventually(t, "all to be removed", func() bool {
		_, a := os.Lstat(dir + "/s")
		_, b := os.Lstat(dir + "/l1")
		_, c := os.Lstat(dir + "/sub/l2")
		return os.IsNotExist(a) && os.IsNotExist(b) && os.IsNotExist(c)
	})
}

func TestSocketOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to give files away")
	}
	r := newRig(t)
	dir := t.TempDir()
	if err := r.listens(socketUnit(t, "a.socket", "ListenStream="+dir+"/s", "ListenFIFO="+dir+"/f", "SocketUser=65534", "SocketGroup=65533", "SocketMode=0600")); err != 0 {
		t.Fatal(err)
	}
	for _, f := range []string{"/s", "/f"} {
		var st unix.Stat_t
		if err := unix.Stat(dir+f, &st); err != nil || st.Uid != 65534 || st.Gid != 65533 || st.Mode&0o777 != 0o600 {
			t.Errorf("%s: %d %d %o %v", f, st.Uid, st.Gid, st.Mode, err)
		}
	}
}

func TestMessageQueue(t *testing.T) {
	r := newRig(t)
	name := fmt.Sprintf("/dynamod-test-%d", os.Getpid())
	u := socketUnit(t, "a.socket", "ListenMessageQueue="+name, "MessageQueueMaxMessages=3", "MessageQueueMessageSize=16", "RemoveOnStop=yes", "SocketMode=0622")
	switch err := r.listens(u); err {
	case 0:
	case unix.ENOSYS:
		t.Skip("a kernel without message queues")
	default:
		t.Fatal(err)
	}
	l := r.socket("a.socket").listeners[0]
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil || st.Mode&0o777 != 0o622 {
		t.Errorf("%o %v", st.Mode, err)
	}
	r.Perform(core.Unlisten{Unit: "a.socket", Remove: true})
	testkit.Eventually(t, "the queue to go", func() bool { return mqUnlink(name[1:]) == unix.ENOENT })
}

// Traffic is told once, and again at the next Watch as long as it is there.
func TestTrafficIsToldOnce(t *testing.T) {
	r := newRig(t)
	u := socketUnit(t, "a.socket", "ListenStream=127.0.0.1:"+freePort(t), "ListenDatagram="+t.TempDir()+"/d")
	if err := r.listens(u); err != 0 {
		t.Fatal(err)
	}
	watch := core.Watch{Unit: u, What: core.WatchSocket}
	r.Perform(watch)
	r.quiet(t)
	c, err := net.Dial("tcp", "127.0.0.1:"+r.port(t, "a.socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if e := until[core.Readable](r); e.Unit != "a.socket" {
		t.Error(e)
	}
	r.quiet(t)
	r.Perform(watch)
	until[core.Readable](r)
	r.Perform(watch)
	until[core.Readable](r)
	r.Perform(core.Unwatch{Unit: "a.socket", What: core.WatchSocket})
	r.quiet(t)
}

func TestFlushPending(t *testing.T) {
	r := newRig(t)
	u := socketUnit(t, "a.socket", "ListenStream=127.0.0.1:"+freePort(t), "FlushPending=yes")
	if err := r.listens(u); err != 0 {
		t.Fatal(err)
	}
	watch := core.Watch{Unit: u, What: core.WatchSocket}
	r.Perform(watch)
	c, err := net.Dial("tcp", "127.0.0.1:"+r.port(t, "a.socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	until[core.Readable](r)
	r.Perform(watch)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("the waiting connection was not closed", n, err)
	}
	r.quiet(t)
}

func shower(t *testing.T, name string, more ...string) *unit.Unit {
	return service(t, name, append([]string{"ExecStart=" + strings.Join(testkit.Command(t, "listen-fds"), " ")}, more...)...)
}

// A service gets the sockets of all its socket units, whoever started it.
func TestSocketsArePassed(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	for _, u := range []*unit.Unit{
		socketUnit(t, "web.socket", "ListenStream="+dir+"/1", "ListenStream="+dir+"/2", "FileDescriptorName=http"),
		socketUnit(t, "admin.socket", "ListenStream="+dir+"/3", "Service=web.service"),
		socketUnit(t, "other.socket", "ListenStream="+dir+"/4"),
	} {
		if err := r.listens(u); err != 0 {
			t.Fatal(err)
		}
	}
	r.spawn(shower(t, "web.service"), func(a *core.Spawn) { a.PassFDs = true })
	testkit.Eventually(t, "the list", func() bool {
		return strings.Join(r.output(), ",") == "1:3 admin.socket ,1:4 http ,1:5 http ,1:end"
	})
}

// Accept=yes: each connection gets an instance, which gets the connection.
func TestAcceptedConnections(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Instance = func(socket *unit.Unit, instance string) (*unit.Unit, error) {
			if socket.Name != "echo.socket" {
				return nil, fmt.Errorf("no template for %s", socket.Name)
			}
			return service(t, "echo@"+instance+".service", "ExecStart=/bin/sh -c 'printf \"hello from %%s\" $$REMOTE_ADDR >&3'"), nil
		}
	})
	u := socketUnit(t, "echo.socket", "ListenStream=127.0.0.1:"+freePort(t), "Accept=yes")
	if err := r.listens(u); err != 0 {
		t.Fatal(err)
	}
	r.Perform(core.Watch{Unit: u, What: core.WatchSocket})
	for i := range 3 {
		c, err := net.Dial("tcp", "127.0.0.1:"+r.port(t, "echo.socket"))
		if err != nil {
			t.Fatal(err)
		}
		a := until[core.Accepted](r)
		want := fmt.Sprintf("echo@%d-127.0.0.1:%s-%s.service", i, r.port(t, "echo.socket"), c.LocalAddr())
		if a.Socket != "echo.socket" || a.Source != "127.0.0.1" || a.Instance.Name != want {
			t.Errorf("%+v, want instance %s", a, want)
		}
		if i == 2 {
			r.Perform(core.Withdraw{Unit: a.Instance.Name}) // too many connections
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a refused connection stays open")
			}
			break
		}
		r.spawn(a.Instance, func(s *core.Spawn) { s.PassFDs, s.Trigger = true, "echo.socket" })
		text, err := bufio.NewReader(c).ReadString(0) // to the end: nobody else holds it
		if text != "hello from 127.0.0.1" {
			t.Errorf("%q %v", text, err)
		}
		c.Close()
	}
	if s := &r.senses.sockets; len(s.conns) != 0 {
		t.Error("connections are left:", s.conns)
	}
}

func TestConnectionWithoutATemplate(t *testing.T) {
	r := newRig(t)
	u := socketUnit(t, "x.socket", "ListenStream="+filepath.Join(t.TempDir(), "s"), "Accept=yes")
	if err := r.listens(u); err != 0 {
		t.Fatal(err)
	}
	r.Perform(core.Watch{Unit: u, What: core.WatchSocket})
	c, err := net.Dial("unix", unit.Listens.Of(u)[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it stays open")
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"/run/x": "unix /run/x", "@x": "unix @x", "80": "ip [::]:80", "127.0.0.1:80": "ip 127.0.0.1:80", "[::1]:80": "ip [::1]:80", "[fe80::1]:80%1": "ip [fe80::1]:80%1",
		"vsock:2:5": "vsock 2:5", "vsock::5": "vsock 4294967295:5",
		"": "bad", "@": "bad", "0": "bad", "65536": "bad", "1.2.3:5": "bad", "[::1]": "bad", "host:80": "bad", "vsock:x:5": "bad", "vsock:1": "bad", ":80": "bad",
	} {
		sa, _, err := parseAddress(in)
		got := "bad"
		switch a := sa.(type) {
		case *unix.SockaddrUnix:
			got = "unix " + a.Name
		case *unix.SockaddrInet4:
			got = "ip " + addrOf(a).String()
		case *unix.SockaddrInet6:
			got = "ip " + addrOf(a).String()
			if a.ZoneId != 0 {
				got += fmt.Sprintf("%%%d", a.ZoneId)
			}
		case *unix.SockaddrVM:
			got = fmt.Sprintf("vsock %d:%d", a.CID, a.Port)
		}
		if got != want || (err == nil) != (want != "bad") {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"/run/x", "@x", "80", "[fe80::1]:80%lo", "[fe80::1%lo]:80", "vsock::5", "1.2.3.4:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if sa, family, err := parseAddress(s); err == nil && (sa == nil || family == 0) {
			t.Errorf("%q is nothing", s)
		}
	})
}

// A socket whose file was exchanged for a link by the owner of its directory has nobody
// else's mode or owner changed.
func TestExchangedSocketFile(t *testing.T) {
	dir := t.TempDir()
	do(t, os.WriteFile(dir+"/victim", nil, 0o600))
	do(t, os.Symlink("victim", dir+"/sock"))
	u := socketUnit(t, "a.socket", "ListenStream="+dir+"/sock", "SocketMode=0666")
	for _, p := range []string{dir + "/sock", dir + "/victim"} {
		if err := ownNode(u, p); err == nil {
			t.Errorf("%s is taken for a socket", p)
		}
	}
	if st, err := os.Stat(dir + "/victim"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
}

// A manager that takes over numbers connections behind all that it finds: two of one
// client would else have the same instance, and one of them would never be answered.
func TestConnectionNumbersGoOn(t *testing.T) {
	fds := make([]int, 2)
	if err := unix.Pipe2(fds, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	r := newRig(t, func(c *Config) {
		c.Kept = []Kept{{Unit: "each@7-1-0.service", Name: keptConn + "each.socket", FDs: []int{fds[0]}}}
	})
	if n := r.firstConnection("each.socket"); n != 8 {
		t.Errorf("behind a kept connection: %d; want 8", n)
	}
	if n := r.firstConnection("other.socket"); n != 0 {
		t.Errorf("of another socket: %d; want 0", n)
	}
	r.instances = []string{"each@11-1-0.service", "each@12x.service", "each.service"}
	if n := r.firstConnection("each.socket"); n != 12 {
		t.Errorf("behind an instance that the core has: %d; want 12", n)
	}
}
