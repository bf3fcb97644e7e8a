package api

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/sd1bridge/internal/upstream"
)

// What nothing needs is not loaded, for the eyes of clients, and they are told when that
// changes. A name with an escape is no pattern.
func TestUnneededUnitsAreNotShown(t *testing.T) {
	files := map[string]string{`a\x2db.service`: "[Unit]\nAfter=web.service\n[Service]\nExecStart=/bin/sleep 1000\n"}
	for name, text := range someUnits {
		files[name] = text
	}
	b := start(t, files)
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	signals := make(chan *dbus.Signal, 256)
	c.Signal(signals)
	m := c.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	call := func(method string, args ...any) {
		t.Helper()
		if err := m.Call(prefix+"Manager."+method, 0, args...).Err; err != nil {
			t.Fatalf("%s %v: %v", method, args, err)
		}
	}
	listed := func(name string) bool {
		t.Helper()
		var rows [][]any
		if err := m.Call(prefix+"Manager.ListUnits", 0).Store(&rows); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(rows, func(r []any) bool { return r[0] == name })
	}
	got := func(name string) bool {
		var p dbus.ObjectPath
		return m.Call(prefix+"Manager.GetUnit", 0, name).Store(&p) == nil
	}
	told := func(signal, name string) {
		t.Helper()
		for {
			s := testkit.Receive(t, signals, signal+" "+name)
			if s.Name == prefix+"Manager."+signal && s.Body[0] == name {
				return
			}
		}
	}
	const unit = `a\x2db.service`
	if listed(unit) || got(unit) || listed("web.service") {
		t.Errorf("at rest: listed %v, got %v, web listed %v", listed(unit), got(unit), listed("web.service"))
	}
	for k := range 2 {
		call("StartUnit", unit, "replace")
		if k > 0 {
			told("UnitNew", unit)
		}
		testkit.Eventually(t, "it is shown, and what it asks for", func() bool {
			return listed(unit) && got(unit) && listed("web.service")
		})
		call("StopUnit", unit, "replace")
		told("UnitRemoved", unit)
		if listed(unit) || got(unit) || listed("web.service") {
			t.Errorf("stopped: listed %v, got %v, web listed %v", listed(unit), got(unit), listed("web.service"))
		}
	}
}

// beforeNobody is a bridge with a manager that the test plays.
func beforeNobody(t *testing.T) (*Server, net.Listener) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := New(upstream.New(socket, log), Options{Root: "/", Version: "test"}, log)
	t.Cleanup(func() { l.Close(); s.Service().Close(); s.up.Close() })
	return s, l
}

// A manager that takes long to say what is in use does not hold up what is heard of it
// meanwhile, and a unit that starts in that time is not told to be gone.
func TestAtRestWaitsForNobody(t *testing.T) {
	s, l := beforeNobody(t)
	s.shown.moved(s, "restarts.service", "inactive")
	s.shown.moved(s, "again.service", "inactive")
	s.shown.moved(s, "rests.service", "inactive")
	done := make(chan bool)
	go func() { s.atRest(); close(done) }()
	manager, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	in := bufio.NewReader(manager)
	// question is the next one of the bridge; answer answers it.
	var asked struct {
		ID     json.RawMessage
		Method string
	}
	question := func(method string) {
		t.Helper()
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(line), &asked); err != nil || asked.Method != method {
			t.Fatalf("asked %s, %v; want %s", line, err, method)
		}
	}
	answer := func(result string) {
		t.Helper()
		if _, err := fmt.Fprintf(manager, `{"jsonrpc":"2.0","id":%s,"result":%s}`+"\n", asked.ID, result); err != nil {
			t.Fatal(err)
		}
	}
	question("ping")
	answer(`{"protocol":1}`)
	question("list")
	heard := make(chan bool)
	go func() {
		s.shown.moved(s, "restarts.service", "activating")
		s.shown.moved(s, "again.service", "activating")
		s.shown.moved(s, "again.service", "inactive")
		close(heard)
	}()
	testkit.Receive(t, heard, "events are heard while the manager is asked")
	answer(`{"units":[],"total":0}`)
	testkit.Receive(t, done, "the answer is taken")
	for unit, want := range map[string][2]bool{"rests.service": {false, true}, "restarts.service": {}, "again.service": {true, false}} {
		_, rested := s.shown.rested[unit]
		if got := [2]bool{rested, s.shown.gone[unit]}; got != want {
			t.Errorf("%s: still to be asked for, told to be gone: %v, want %v", unit, got, want)
		}
	}
}

// A manager that may be a new one is told what clients hold on to.
func TestHoldsAgain(t *testing.T) {
	s, l := beforeNobody(t)
	refs := make(chan string, 16)
	go func() { // ends with the bridge
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			for in := json.NewDecoder(c); ; {
				var q struct {
					ID     json.RawMessage
					Method string
					Params struct{ Unit string }
				}
				if in.Decode(&q) != nil {
					break
				}
				if q.Method == "ref" {
					refs <- q.Params.Unit
				}
				fmt.Fprintf(c, `{"jsonrpc":"2.0","id":%s,"result":{"protocol":1}}`+"\n", q.ID)
			}
			c.Close()
		}
	}()
	s.caughtUp() // the first time there is nothing to hold
	s.refs.held["run-1.service"] = map[string]int{":1.5": 1}
	s.caughtUp()
	if unit := testkit.Receive(t, refs, "the unit is held on to again"); unit != "run-1.service" || len(refs) != 0 {
		t.Errorf("held on to %s, and %d more", unit, len(refs))
	}
}
