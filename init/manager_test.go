package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/raw"
	ipc "dynamod/internal/ipc/pid1"
	"dynamod/internal/sys/timerslack"
	"dynamod/internal/testkit"
)

// PID 1 of the tests: this binary in a new pid namespace, with a /proc of its own,
// started as rudely as a runtime can: a signal ignored, another blocked, a
// descriptor left open.
var _ = testkit.Register("init", func(args []string) {
	runtime.LockOSThread()
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		fmt.Fprintln(os.Stderr, "mount /proc:", err)
		os.Exit(124)
	}
	signal.Ignore(unix.SIGTSTP)
	usr1 := unix.Sigset_t{}
	usr1.Val[0] = 1 << (unix.SIGUSR1 - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &usr1, nil)
	unix.Dup2(1, 77)
	os.Exit(start(args))
})

// A manager of the tests. Its first argument says how it behaves, the second is a
// directory where it leaves notes; how many came before it is told by them.
var _ = testkit.Register("manager", func(args []string) {
	m := &fakeManager{dir: args[1]}
	old, _ := os.ReadFile(m.dir + "/generations")
	m.generation = len(old)
	os.WriteFile(m.dir+"/generations", append(old, '.'), 0o644)
	fakeManagers[args[0]](m)
})

// A service of the tests: it notes SIGTERM and ends.
var _ = testkit.Register("service", func(args []string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGTERM)
	note(args[0], "service runs")
	<-c
	note(args[0], "service got SIGTERM")
})

type fakeManager struct {
	dir        string
	generation int
	buf        []byte
	fds        []int32
}

func note(dir, format string, args ...any) {
	f, err := os.OpenFile(dir+"/notes", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(f, format+"\n", args...)
	f.Close()
}

func (m *fakeManager) note(format string, args ...any) { note(m.dir, format, args...) }

func (m *fakeManager) send(msg ipc.Message, fds ...int32) {
	b, err := ipc.Append(make([]byte, 0, ipc.MaxFrame), &msg)
	if err != nil {
		panic(err)
	}
	m.write(b, fds...)
}

func (m *fakeManager) write(b []byte, fds ...int32) {
	for len(b) > 0 {
		n, errno := raw.Send(managerFD, b, fds)
		if errno == unix.EAGAIN {
			<-time.After(time.Millisecond)
			continue
		}
		if errno != 0 {
			panic(errno)
		}
		b, fds = b[n:], nil
	}
}

// next waits for the next message; a beat keeps PID 1 content meanwhile.
func (m *fakeManager) next() ipc.Message {
	for {
		payload, n, err := ipc.Next(m.buf)
		if err != nil {
			panic(err)
		}
		if payload != nil {
			var msg ipc.Message
			if err := ipc.Decode(bytes.Clone(payload), &msg); err != nil {
				panic(err)
			}
			m.buf = m.buf[n:]
			return msg
		}
		p := []unix.PollFd{{Fd: managerFD, Events: unix.POLLIN}}
		if n, _ := unix.Poll(p, 100); n == 0 {
			m.send(ipc.Message{Kind: ipc.Heartbeat, ID: 99})
		}
		var fds [raw.MaxFDs]int32
		b := make([]byte, 4096)
		got, nfds, errno := raw.Recv(managerFD, b, &fds)
		if errno == unix.EAGAIN {
			continue
		}
		if errno != 0 || got == 0 {
			os.Exit(3)
		}
		m.buf = append(m.buf, b[:got]...)
		m.fds = append(m.fds, fds[:nfds]...)
	}
}

// await waits for a message of this kind.
func (m *fakeManager) await(k ipc.Kind) ipc.Message {
	for {
		if msg := m.next(); msg.Kind == k {
			return msg
		}
	}
}

func (m *fakeManager) hello() { m.send(ipc.Message{Kind: ipc.Hello, ID: 1, Count: ipc.Version}) }

func (m *fakeManager) end(k ipc.Shutdown, arg string) {
	m.send(ipc.Message{Kind: ipc.RequestShutdown, ID: 5, Shutdown: k, Text: []byte(arg)})
	os.Exit(0) // at once: the request and the end come in one batch
}

// run starts a helper in a session of its own.
func (m *fakeManager) run(name string, args ...string) int {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	pid, err := syscall.ForkExec(self, append([]string{self, "testkit-helper", name}, args...),
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		panic(err)
	}
	return pid
}

// Two stages of an orphan: the first leaves the second behind.
var _ = testkit.Register("orphan", func(args []string) {
	if args[0] == "parent" {
		(&fakeManager{}).run("orphan", "child")
		return
	}
	unix.Exit(7)
})

var fakeManagers = map[string]func(*fakeManager){
	// status writes down how it was started.
	"status": func(m *fakeManager) {
		b, _ := os.ReadFile("/proc/self/status")
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "SigBlk") || strings.HasPrefix(line, "SigIgn") {
				m.note("%s", strings.Join(strings.Fields(line), " "))
			}
		}
		// The test binary is Go, which catches and resets signals: what a program
		// that does nothing of that kind sees is shown by cat.
		out, _ := os.Create(m.dir + "/cat")
		pid, err := syscall.ForkExec("/bin/cat", []string{"cat", "/proc/self/status"},
			&syscall.ProcAttr{Files: []uintptr{0, out.Fd(), 2}})
		if err != nil {
			panic(err)
		}
		syscall.Wait4(pid, nil, 0, nil)
		m.note("environ %s", strings.Join(os.Environ(), " "))
		m.note("timer slack %d", timerslack.Own())
		// Go's own: epoll, /proc and the cgroup's limit of processors.
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			to, err := os.Readlink("/proc/self/fd/" + e.Name())
			if err == nil && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") && to != out.Name() {
				m.note("fd %s", e.Name())
			}
		}
		sid, _ := unix.Getsid(0)
		m.note("session leader %v", sid == os.Getpid())
		m.end(ipc.Poweroff, "")
	},
	// watchdog changes what can be changed without hardware, and asks what holds.
	"watchdog": func(m *fakeManager) {
		m.hello()
		m.await(ipc.HelloDone)
		for _, w := range []ipc.Message{{Setting: ipc.RebootWatchdog, Usec: 5_000_000}, {Setting: ipc.KexecWatchdog, Usec: 6_000_000},
			{Setting: ipc.PreTimeout, Usec: 7_000_000}, {Setting: ipc.Governor, Text: []byte("panic")}, {}} {
			w.Kind, w.ID = ipc.Watchdog, 100+uint64(w.Setting)
			m.send(w)
			a := m.await(ipc.WatchdogIs)
			m.note("%d: %+v %q %q errno %d", a.InReplyTo-100, a.Dog, a.Name, a.Text, a.Count)
		}
		m.end(ipc.Poweroff, "")
	},
	// questions asks more at once than PID 1 remembers answers.
	"questions": func(m *fakeManager) {
		m.hello()
		m.await(ipc.HelloDone)
		var all []byte
		const n = 300
		for id := range uint64(n) {
			b, err := ipc.Append(make([]byte, 0, ipc.MaxFrame), &ipc.Message{Kind: ipc.Watchdog, ID: 1000 + id})
			if err != nil {
				panic(err)
			}
			all = append(all, b...)
		}
		m.write(all)
		for id := range uint64(n) {
			if a := m.await(ipc.WatchdogIs); a.InReplyTo != 1000+id {
				m.note("answer %d is to question %d", id, a.InReplyTo-1000)
				break
			}
		}
		m.note("answered")
		m.end(ipc.Poweroff, "")
	},
	// orphans lets a grandchild end and waits for PID 1 to tell of it.
	"orphans": func(m *fakeManager) {
		m.hello()
		m.await(ipc.HelloDone)
		parent := m.run("orphan", "parent")
		var ws syscall.WaitStatus
		syscall.Wait4(parent, &ws, 0, nil)
		e := m.await(ipc.Exited).Exit
		m.note("exited code %d signal %d start known %v", e.Code, e.Signal, e.Start > 0 && e.At > 0)
		m.end(ipc.Poweroff, "")
	},
	// absent: the orphan ends while there is no manager.
	"absent": func(m *fakeManager) {
		if m.generation == 0 {
			self, _ := os.Executable()
			syscall.ForkExec(self, []string{self, "testkit-helper", "orphan", "child"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
			unix.Kill(os.Getpid(), unix.SIGKILL)
		}
		m.hello()
		e := m.await(ipc.Exited).Exit
		m.note("exited code %d", e.Code)
		m.note("lost %d", m.await(ipc.HelloDone).Lost)
		m.end(ipc.Poweroff, "")
	},
	// deposit leaves a pipe with PID 1 and dies of SIGKILL; the next one reads it.
	"deposit": func(m *fakeManager) {
		m.hello()
		if m.generation == 0 {
			m.await(ipc.HelloDone)
			var p [2]int
			unix.Pipe2(p[:], unix.O_CLOEXEC)
			unix.Write(p[1], []byte("still here"))
			m.send(ipc.Message{Kind: ipc.Deposit, ID: 8, Unit: []byte("a.service"), Name: []byte("log"), Count: 1}, int32(p[0]))
			r := m.await(ipc.Deposited)
			m.note("deposited %s %d for %d", r.Result, r.Count, r.InReplyTo)
			m.send(ipc.Message{Kind: ipc.Deposit, ID: 9, Unit: []byte("a.service"), Name: []byte("log"), Count: 3}, int32(p[0]))
			m.note("announced too many: %s", m.await(ipc.Deposited).Result)
			unix.Kill(os.Getpid(), unix.SIGKILL)
		}
		k := m.await(ipc.Kept)
		b := make([]byte, 64)
		n, err := unix.Read(int(m.fds[0]), b)
		m.note("kept %s %s %d: %q %v", k.Unit, k.Name, k.Count, b[:max(n, 0)], err)
		m.await(ipc.HelloDone)
		m.send(ipc.Message{Kind: ipc.Withdraw, Unit: []byte("a.service")})
		m.hello()
		if k := m.next().Kind; k != ipc.HelloDone {
			m.note("after Withdraw comes %s", k)
		}
		m.end(ipc.Poweroff, "")
	},
	// stopped hangs after its first beat.
	"stopped": func(m *fakeManager) {
		m.send(ipc.Message{Kind: ipc.Heartbeat})
		m.await(ipc.HeartbeatAck)
		if m.generation == 0 {
			// This thread, so that it stops here: another one may be the first to heed
			// what is for all of them.
			runtime.LockOSThread()
			unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP)
		}
		m.note("generation %d beats", m.generation)
		m.end(ipc.Reboot, "")
	},
	// garbage sends what no manager should, then lives on.
	"garbage": func(m *fakeManager) {
		before, _ := os.ReadDir("/proc/1/fd") // some may be inherited from whoever runs the test
		deep := append([]byte("DM\xff\x07\x00\x00"), bytes.Repeat([]byte{0x91}, 0x7ff)...)
		huge := []byte("DM\xff\xff\xff\xffxxxx")
		for i := range 50 {
			m.write(deep)
			m.write(huge, 0, 1, 2)
			m.write(bytes.Repeat([]byte{byte(i), 'D', 'M'}, 3000), 0)
			m.write([]byte("DM\x00\x00\x00\x00"))
		}
		m.send(ipc.Message{Kind: ipc.Kept, Unit: []byte("x"), Name: []byte("y"), Count: 1}, 0)
		m.send(ipc.Message{Kind: ipc.Heartbeat, ID: 3})
		m.await(ipc.HeartbeatAck)
		n, _ := os.ReadDir("/proc/1/fd")
		m.note("descriptors of PID 1 beyond its own: %v", len(n) > len(before))
		m.end(ipc.Poweroff, "42")
	},
	// closes gives up its channel and lives.
	"closes": func(m *fakeManager) {
		m.replaced()
		unix.Close(managerFD)
		m.hang()
	},
	// closes-full asks more than it reads, so that PID 1 stops reading, and closes then.
	"closes-full": func(m *fakeManager) {
		m.replaced()
		unix.SetNonblock(managerFD, true)
		for m.question() == nil {
		}
		unix.Close(managerFD)
		m.hang()
	},
	// closes-reading reads no answer ever again, and asks.
	"closes-reading": func(m *fakeManager) {
		m.replaced()
		unix.Shutdown(managerFD, unix.SHUT_RD)
		m.question()
		m.hang()
	},
	// ordered stops its service before it asks for the end.
	"ordered": func(m *fakeManager) {
		m.hello()
		m.run("service", m.dir)
		for s := m.await(ipc.ShutdownSignal); ; s = m.await(ipc.ShutdownSignal) {
			m.note("told %s", s.Text)
			if string(s.Text) == "SIGTERM" {
				m.note("request")
				m.end(ipc.Poweroff, "")
			}
		}
	},
	// stubborn-stop is told to stop and does not.
	"stubborn-stop": func(m *fakeManager) {
		m.hello()
		m.await(ipc.HelloDone)
		m.note("up")
		for {
			m.note("told %s", m.await(ipc.ShutdownSignal).Text)
		}
	},
	// stubborn has a service that does not end.
	"stubborn": func(m *fakeManager) {
		m.hello()
		var p [2]int
		unix.Pipe2(p[:], unix.O_CLOEXEC)
		syscall.ForkExec("/bin/sh", []string{"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"},
			&syscall.ProcAttr{Files: []uintptr{0, uintptr(p[1]), 2}})
		n, _ := unix.Read(p[0], make([]byte, 8))
		m.note("service runs %v", n > 0)
		m.end(ipc.Poweroff, "")
	},
}

// hang does nothing until it is killed. An empty select would do that too, but Go ends a
// program in which nothing can happen any more.
func (m *fakeManager) hang() {
	for {
		unix.Pause()
	}
}

// replaced is for the second manager: it tells whether PID 1 has worked all the time.
func (m *fakeManager) replaced() {
	if m.generation > 0 {
		m.note("replaced; PID 1 was busy: %v", cpuTicks(1) > 50)
		m.end(ipc.Poweroff, "")
	}
}

// question asks about the watchdog and does not wait.
func (m *fakeManager) question() error {
	b, err := ipc.Append(make([]byte, 0, ipc.MaxFrame), &ipc.Message{Kind: ipc.Watchdog, ID: 1})
	if err == nil {
		_, err = unix.Write(managerFD, b)
	}
	return err
}

// cpuTicks is how much processor time a process has used (proc(5)).
func cpuTicks(pid int) int {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	sys, _ := strconv.Atoi(f[12])
	return user + sys
}
