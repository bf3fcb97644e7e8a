package api

import (
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
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
