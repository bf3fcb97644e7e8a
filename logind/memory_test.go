package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
	"dynamod/logind/internal/api"
)

// most is what a logind may have in memory that makes one session after the other, in kB.
const most = 10 << 10

// TestMemory: what the real program, as it is installed, has in memory during logins, with
// what khugepaged would make of it where every program gets huge pages.
func TestMemory(t *testing.T) {
	const logins = 300
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", at("logind"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, text := range map[string]string{"dev/tty0": "", "etc/passwd": "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
		"etc/systemd/logind.conf": "[Login]\nRemoveIPC=no\nUserStopDelaySec=1us\n"} {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	daemon := testbus.NewDaemon(t, testbus.Open).Start()
	manage(t, at("control"))
	c := daemon.Client()
	heard := make(chan *dbus.Signal, 64)
	c.Signal(heard)
	for _, member := range []string{"NameOwnerChanged", "SessionRemoved"} {
		if err := c.AddMatchSignal(dbus.WithMatchMember(member)); err != nil {
			t.Fatal(err)
		}
	}
	until := func(member string, first any) {
		for {
			if s := testkit.Receive(t, heard, fmt.Sprint(member, " of ", first)); strings.HasSuffix(s.Name, member) && s.Body[0] == first {
				return
			}
		}
	}
	var said testkit.Buffer
	logind := exec.Command(at("logind"), "-control", at("control"), "-bus", daemon.Socket, "-root", root)
	logind.Env, logind.Stderr = append(os.Environ(), "GODEBUG=disablethp=1"), &said
	if err := logind.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logind.Process.Kill(); logind.Wait() })
	until("NameOwnerChanged", api.Name)
	for range logins {
		until("SessionRemoved", login(t, c))
	}
	memory := field(t, logind.Process.Pid, "VmRSS")
	if collapsed(t, logind.Process.Pid); t.Failed() {
		t.Logf("logind says: %s", &said)
	}
	huge := field(t, logind.Process.Pid, "VmRSS")
	t.Logf("after %d logins logind has %d kB, and %d kB with all huge pages that the kernel would make", logins, memory, huge)
	if max(memory, huge) > most {
		t.Errorf("more than %d kB", most)
	}
}

// manage is a manager for which every job is done at once.
func manage(t *testing.T, socket string) {
	l, err := ipc.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var server *ipc.Server
	server = ipc.NewServer(ipc.HandlerFunc(func(_ context.Context, _ ipc.Peer, q ipc.Request) (ipc.Response, error) {
		ended := ""
		switch a := q.Args.(type) {
		case *ipc.PingArgs:
			return ipc.Response{Result: &ipc.PingResult{Program: "test", PID: 1, Mode: "test", State: "running"}}, nil
		case *ipc.SubscribeArgs:
			return ipc.Response{}, nil
		case *ipc.JobArgs:
			if q.Verb == ipc.VerbStop {
				ended = a.Unit
			}
		case *ipc.UnitArgs:
			ended = a.Unit
		}
		if ended != "" {
			server.Publish(ipc.Event{Kind: ipc.EventUnitGone, Unit: ended})
		}
		return ipc.Response{Result: &ipc.JobResult{Job: 1, Result: "done"}}, nil
	}), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-served })
}

// login makes a session and ends its leader.
func login(t *testing.T, c *dbus.Conn) (id string) {
	fd := -1
	leader := exec.Command("sleep", "1000")
	leader.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { leader.Process.Kill(); leader.Wait(); unix.Close(fd) }()
	var (
		runtime, seat string
		path          dbus.ObjectPath
		fifo          dbus.UnixFD
		owner, vt     uint32
		existing      bool
	)
	type property struct {
		Name  string
		Value dbus.Variant
	}
	if err := c.Object(api.Name, "/org/freedesktop/login1").Call("org.freedesktop.login1.Manager.CreateSessionWithPIDFD", 0,
		uint32(1000), dbus.UnixFD(fd), "test", "unspecified", "background", "", "", uint32(0), "", "", false, "", "", uint64(0), []property{}).
		Store(&id, &path, &runtime, &fifo, &owner, &seat, &vt, &existing); err != nil {
		t.Fatal(err)
	}
	unix.Close(int(fifo))
	return id
}

// field is a number of /proc/PID/status (proc_pid_status(5)).
func field(t *testing.T, pid int, name string) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s:\n%s", name, data)
	return 0
}

// collapsed makes the huge pages of a process that the kernel would make: madvise(2),
// MADV_COLLAPSE, which says EINVAL where there may be none. Only what has a page of memory
// already counts, as it does for khugepaged.
func collapsed(t *testing.T, pid int) {
	const size = 2 << 20
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p)
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var from, to uint64
		f := strings.Fields(line)
		if len(f) != 5 || f[1] != "rw-p" { // memory of no file, and not the stack
			continue
		}
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		for at := (from + size - 1) &^ (size - 1); at+size <= to; at += size {
			v := unix.RemoteIovec{Base: uintptr(at), Len: size}
			switch _, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(p), uintptr(unsafe.Pointer(&v)), 1, unix.MADV_COLLAPSE, 0, 0); {
			case errno == 0:
				t.Logf("a huge page at %x of %s", at, f[0])
			case errors.Is(errno, unix.EINVAL), errors.Is(errno, unix.EAGAIN), errors.Is(errno, unix.EBUSY), errors.Is(errno, unix.ENOMEM):
			default:
				t.Errorf("ask for a huge page at %x: %v", at, errno)
			}
		}
	}
}
