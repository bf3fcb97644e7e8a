package main

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/ipc"
	"dynamod/internal/ipc/pid1"
	"dynamod/svmgr/internal/keeper"
)

// What a client has set of the log holds, also for the next program of the manager.
func TestOwnOutlivesTheProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manager.json")
	var out bytes.Buffer
	handler, text := newKernelLog(&out)
	log := slog.New(handler)
	o, err := openOwn(path, text, nil, ownKept{})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{own: o}
	log.Debug("too much")
	if err := m.SetOwn(ipc.ManagerArgs{LogLevel: new("debug"), LogTarget: new("console-prefixed"), ExitCode: new(uint8(3))}); err != nil {
		t.Fatal(err)
	}
	log.Debug("enough", "unit", "a.service")
	if got, want := out.String(), "<7>enough unit=a.service\n"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
	if err := m.SetOwn(ipc.ManagerArgs{LogLevel: new("err"), LogTarget: new("nowhere")}); err == nil {
		t.Error("a target that is none is taken")
	}
	if got, _ := m.Own(); got.LogLevel != "debug" || m.exit != 3 {
		t.Errorf("a refused change counts: %+v, exit code %d", got, m.exit)
	}

	out.Reset()
	_, text = newKernelLog(&out)
	if o, err = openOwn(path, text, nil, ownKept{}); err != nil {
		t.Fatal(err)
	}
	if got, _ := (&manager{own: o}).Own(); got != (ipc.ManagerResult{LogLevel: "debug", LogTarget: "console-prefixed", ExitCode: 3}) {
		t.Errorf("the next program has %+v", got)
	}
	if err := m.SetOwn(ipc.ManagerArgs{RuntimeWatchdog: new(uint64(1))}); err == nil || !strings.Contains(err.Error(), "hardware watchdog") {
		t.Errorf("a watchdog that is not there: %v", err)
	}
	// Of two that PID 1 has, or one that it has and one of ours, only one might hold.
	for _, a := range []ipc.ManagerArgs{{RuntimeWatchdog: new(uint64(1)), RebootWatchdog: new(uint64(1))}, {KexecWatchdog: new(uint64(1)), LogLevel: new("err")}} {
		if err := m.SetOwn(a); ipc.KindOf(err) != "InvalidArgs" {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, bad := range []string{"{", `{"LogLevel":"x"}`} {
		if err := replaceFile(path, []byte(bad)); err != nil {
			t.Fatal(err)
		}
		if _, err := openOwn(path, text, nil, ownKept{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// An init that says nothing of the watchdog leaves the rest to be told.
func TestOwnWithoutAnAnswerOfInit(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	done, err := pid1.Append(make([]byte, 0, pid1.MaxFrame), &pid1.Message{Kind: pid1.HelloDone})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[0], done); err != nil {
		t.Fatal(err)
	}
	in, left, err := keeper.Dial(p[1])
	if err != nil {
		t.Fatal(err)
	}
	left.Close()
	unix.Close(p[0])
	in.Run(keeper.Told{})
	defer in.Close()
	var out bytes.Buffer
	handler, text := newKernelLog(&out)
	o, err := openOwn(filepath.Join(t.TempDir(), "manager.json"), text, nil, ownKept{LogLevel: "err"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{own: o, link: &link{init: in, log: slog.New(handler)}}
	if got, err := m.Own(); err != nil || got.LogLevel == "" || got.Watchdog != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if !strings.Contains(out.String(), "watchdog") {
		t.Errorf("the log has %q", out.String())
	}
}

func TestLogLevelsAndTargets(t *testing.T) {
	var out bytes.Buffer
	handler, text := newKernelLog(&out)
	log := slog.New(handler)
	text.level.Store(4)
	log.Info("a")
	log.Warn("b")
	null := "null"
	text.target.Store(&null)
	log.Error("c")
	if got := out.String(); strings.Contains(got, "msg=a") || !strings.Contains(got, "msg=b") || strings.Contains(got, "msg=c") {
		t.Errorf("logged %q", got)
	}
}

// A daemon that listens gets the line; where none does, nothing is lost.
func TestLogToSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if toSocket(path, "x") {
		t.Error("nobody took it")
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !toSocket(path, syslogLine(4, "warned")) {
		t.Fatal("it was not sent")
	}
	buf := make([]byte, 200)
	n, err := l.Read(buf)
	if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, "<28>dynamod-svmgr[") || !strings.HasSuffix(got, "]: warned") {
		t.Errorf("%q, %v", got, err)
	}
	for range 100_000 { // the queue of a daemon that hangs is full after a while
		if !toSocket(path, "more") {
			return
		}
	}
	t.Error("a full queue takes everything")
}
