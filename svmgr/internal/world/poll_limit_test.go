package world

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func TestPollLimitCounts(t *testing.T) {
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		lines string
		burst int
	}{{"", 15}, {"Accept=yes", 150}, {"Accept=yes\nPollLimitBurst=3", 3}, {"PollLimitBurst=2\nPollLimitIntervalSec=10s", 2}} {
		u := service(t, "a.socket", "[Socket]", "ListenStream=/run/a", c.lines)
		var p pollLimit
		for range c.burst {
			if d := p.allow(u, at); d != 0 {
				t.Fatalf("%q: a pause of %v within the burst", c.lines, d)
			}
		}
		window := unit.PollLimitIntervalSec.Of(u)
		if d := p.allow(u, at.Add(window/2)); d != window/2 {
			t.Errorf("%q: a pause of %v, want %v", c.lines, d, window/2)
		}
		if d := p.allow(u, at.Add(window)); d != 0 {
			t.Errorf("%q: a pause of %v in the next window", c.lines, d)
		}
	}
	for _, off := range []string{"PollLimitBurst=0", "PollLimitIntervalSec=0"} {
		u := service(t, "a.socket", "[Socket]", "ListenStream=/run/a", off)
		var p pollLimit
		for range 1000 {
			if d := p.allow(u, at); d != 0 {
				t.Fatalf("%s: a pause of %v", off, d)
			}
		}
	}
}

// A socket that is always ready is looked at so often in each window, and then again.
func TestPollLimitPauses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	r := newRig(t)
	u := service(t, "a.socket", "[Socket]", "ListenStream="+path, "PollLimitBurst=2", "PollLimitIntervalSec=300ms")
	r.Perform(core.Listen{Run: 1, Unit: u})
	if e := until[core.Listening](r); e.Errno != 0 {
		t.Fatal(unix.Errno(e.Errno))
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begin := time.Now()
	for range 5 { // two, two, one: two windows must pass
		r.Perform(core.Watch{Unit: u, What: core.WatchSocket})
		until[core.Readable](r)
	}
	if d := time.Since(begin); d < 500*time.Millisecond { // never too soon: no judgement of speed
		t.Errorf("five events came within %v", d)
	}
}

// The commands of a socket unit see its sockets.
func TestSocketCommandsGetSockets(t *testing.T) {
	r := newRig(t)
	u := service(t, "a.socket", "[Socket]", "ListenDatagram="+filepath.Join(t.TempDir(), "s"), "FileDescriptorName=mine", "PassFileDescriptorsToExec=yes",
		`ExecStartPost=/bin/sh -c 'echo $LISTEN_FDS $LISTEN_FDNAMES; test "$LISTEN_PID" = $$$$ && readlink /proc/self/fd/3'`)
	r.Perform(core.Listen{Run: 1, Unit: u})
	if e := until[core.Listening](r); e.Errno != 0 {
		t.Fatal(unix.Errno(e.Errno))
	}
	r.next = 1
	run := r.spawn(u, func(a *core.Spawn) {
		a.Stage, a.Role, a.PassFDs, a.Exec = core.StageStartPost, core.RoleControl, true, unit.ExecStartPost.Of(u)[0]
	})
	if failed, exit := r.lifeOf(run); failed != nil || exit == nil || exit.Code != 0 {
		t.Fatalf("%+v, %+v", failed, exit)
	}
	if out := strings.Join(r.output(), " "); !strings.Contains(out, "1 mine") || !strings.Contains(out, "socket:") {
		t.Errorf("%q", out)
	}
}

// USB FunctionFS is refused, and says so.
func TestUSBFunctionRefused(t *testing.T) {
	r := newRig(t)
	u := service(t, "a.socket", "[Socket]", "ListenUSBFunction=/run/ffs")
	r.Perform(core.Listen{Run: 1, Unit: u})
	if e := until[core.Listening](r); e.Errno != int32(unix.EOPNOTSUPP) {
		t.Errorf("%+v", e)
	}
}
