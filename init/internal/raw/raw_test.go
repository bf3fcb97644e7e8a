package raw

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// zombie starts a process that ends with the code, and waits until it has.
func zombie(t testing.TB, script string) int {
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the child ends", func() bool {
		b, _ := os.ReadFile("/proc/" + string(append([]byte{}, itoa(pid)...)) + "/stat")
		return strings.Contains(string(b), ") Z ")
	})
	return pid
}

func itoa(n int) []byte { return procPath(nil, int32(n), "")[6 : len(procPath(nil, int32(n), ""))-2] }

func TestReap(t *testing.T) {
	for script, want := range map[string]Status{
		"exit 0": {}, "exit 255": {Code: 255}, "kill -9 $$": {Signal: 9}, "ulimit -c 0; kill -11 $$": {Signal: 11},
	} {
		pid := zombie(t, script)
		if got, e := Peek(); e != 0 || int(got) != pid {
			t.Fatalf("Peek() = %d, %v; want %d", got, e, pid)
		}
		if StartOf(int32(pid)) == 0 {
			t.Error("the start of a zombie is not known")
		}
		want.PID = int32(pid)
		if got, e := Reap(int32(pid)); e != 0 || got != want {
			t.Errorf("%s: Reap = %+v, %v; want %+v", script, got, e, want)
		}
	}
	if _, e := Peek(); e != unix.ECHILD {
		t.Errorf("Peek without children: %v; want ECHILD", e)
	}
	if StartOf(1<<30) != 0 {
		t.Error("a process that is not there has a start")
	}
}

func TestStartField(t *testing.T) {
	for in, want := range map[string]uint64{
		"1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 2200 23":     2200,
		"1 (a) 3) ( b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 7 x": 7,
		"1 (a) S 4 5": 0, "": 0, "no": 0,
		"1 (a) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 -3 4": 0,
	} {
		if got := startField([]byte(in)); got != want {
			t.Errorf("startField(%q) = %d; want %d", in, got, want)
		}
	}
}

func pair(t testing.TB) [2]int {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p
}

func TestDescriptorsTravel(t *testing.T) {
	p := pair(t)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	give := make([]int32, MaxFDs)
	for i := range give {
		give[i] = int32(pipe[1])
	}
	if n, e := Send(p[0], []byte("hello"), give); n != 5 || e != 0 {
		t.Fatalf("Send = %d, %v", n, e)
	}
	unix.Close(pipe[1])
	var got [MaxFDs]int32
	buf := make([]byte, 100)
	n, nfds, e := Recv(p[1], buf, &got)
	if n != 5 || nfds != MaxFDs || e != 0 {
		t.Fatalf("Recv = %d, %d, %v", n, nfds, e)
	}
	for _, fd := range got[:nfds] {
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Fatal("a received descriptor is not close-on-exec")
		}
		unix.Close(int(fd))
	}
	if _, _, e := Recv(p[1], buf, &got); e != unix.EAGAIN {
		t.Errorf("Recv of nothing: %v; want EAGAIN", e)
	}
	unix.Close(p[0])
	if n, _, e := Recv(p[1], buf, &got); n != 0 || e != 0 {
		t.Errorf("Recv of a closed socket = %d, %v", n, e)
	}
	if _, e := Send(p[1], buf, nil); e != unix.EPIPE {
		t.Errorf("Send to a closed socket: %v; want EPIPE, and no signal", e)
	}
}

// TestNothingAllocates: the reap path and the channel.
func TestNothingAllocates(t *testing.T) {
	const runs = 5
	for range runs + 1 {
		zombie(t, "exit 3")
	}
	name := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(runs, func() {
		pid, e := Peek()
		if e != 0 {
			t.Fatal(e)
		}
		if StartOf(pid) == 0 || len(NameOf(name[:0], pid)) == 0 {
			t.Fatal("nothing is known of the child")
		}
		if s, e := Reap(pid); e != 0 || s.Code != 3 {
			t.Fatal(s, e)
		}
	}); n != 0 {
		t.Errorf("reaping: %v allocations", n)
	}
	p := pair(t)
	msg := []byte("some message")
	buf := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		var fds [MaxFDs]int32
		give := [1]int32{int32(p[0])}
		if _, e := Send(p[0], msg, give[:]); e != 0 {
			t.Fatal(e)
		}
		n, nfds, e := Recv(p[1], buf, &fds)
		if n != len(msg) || nfds != 1 || e != 0 {
			t.Fatal(n, nfds, e)
		}
		Close(int(fds[0]))
	}); n != 0 {
		t.Errorf("the channel: %v allocations", n)
	}
}
