package api

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// systemctl log-level, log-target, service-watchdogs and the exit code: they hold, are
// checked, and are root's to change.
func TestOwnProperties(t *testing.T) {
	b := start(t, someUnits)
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o := c.Object("", "/org/freedesktop/systemd1")
	is := func(name string, want any) {
		t.Helper()
		if v, err := o.GetProperty(prefix + "Manager." + name); err != nil || v.Value() != want {
			t.Errorf("%s is %v (%v), want %v", name, v, err, want)
		}
	}
	set := func(name string, v any) error {
		return o.Call("org.freedesktop.DBus.Properties.Set", 0, prefix+"Manager", name, dbus.MakeVariant(v)).Err
	}
	is("LogLevel", "info")
	is("LogTarget", "console") // nobody is above this one
	is("ServiceWatchdogs", true)
	is("ExitCode", byte(0))
	for _, p := range []struct {
		name        string
		value, then any
	}{{"LogLevel", "debug", "debug"}, {"LogLevel", "4", "warning"}, {"LogLevel", "", "info"}, {"LogTarget", "null", "null"}, {"LogTarget", "", "console"},
		{"ServiceWatchdogs", false, false}, {"ServiceWatchdogs", true, true}} {
		if err := set(p.name, p.value); err != nil {
			t.Errorf("%s=%v: %v", p.name, p.value, err)
		}
		is(p.name, p.then)
	}
	if err := o.Call(prefix+"Manager.SetExitCode", 0, byte(7)).Err; err != nil {
		t.Error(err)
	}
	is("ExitCode", byte(7))
	for name, text := range map[string]string{"LogLevel": "Invalid log level 'x'", "LogTarget": "Invalid log target 'x'"} {
		err := set(name, "x")
		if e := (dbus.Error{}); !asDBus(err, &e) || e.Name != "org.freedesktop.DBus.Error.InvalidArgs" || !strings.Contains(e.Error(), text) {
			t.Errorf("%s=x: %v", name, err)
		}
	}
	n := b.asNobody(t).Object("", "/org/freedesktop/systemd1")
	err = n.Call("org.freedesktop.DBus.Properties.Set", 0, prefix+"Manager", "LogLevel", dbus.MakeVariant("debug")).Err
	if e := (dbus.Error{}); !asDBus(err, &e) || e.Name != "org.freedesktop.DBus.Error.AccessDenied" {
		t.Errorf("nobody sets the log level: %v", err)
	}
	is("LogLevel", "info")
}
