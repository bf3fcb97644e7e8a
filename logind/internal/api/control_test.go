package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

// One connection controls a session; what it says of it holds until it leaves the bus.
func TestControl(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	one := r.bus.Client()
	of := func(member string, args ...any) error {
		return one.Object(Name, c.Path).Call(ifacePrefix+"Session."+member, 0, args...).Err
	}
	other := func(member string, args ...any) error {
		return r.conn.Object(Name, c.Path).Call(ifacePrefix+"Session."+member, 0, args...).Err
	}
	if name := errorName(of("SetType", "wayland")); name != "org.freedesktop.login1.NotInControl" {
		t.Errorf("SetType without control: %q", name)
	}
	if err := of("TakeControl", false); err != nil {
		t.Fatal(err)
	}
	if name := errorName(other("TakeControl", false)); name != session.ErrBusy {
		t.Errorf("a second controller: %q", name)
	}
	if name := errorName(other("ReleaseControl")); name != "org.freedesktop.login1.NotInControl" {
		t.Errorf("somebody else releases control: %q", name)
	}
	if name := errorName(of("SetType", "tv")); name != "org.freedesktop.DBus.Error.InvalidArgs" {
		t.Errorf("an unknown type: %q", name)
	}
	if err := of("SetType", "wayland"); err != nil {
		t.Fatal(err)
	}
	if err := of("SetDisplay", ":3"); err != nil {
		t.Fatal(err)
	}
	if text := r.read("sessions", c.ID); !strings.Contains(text, "TYPE=wayland\nORIGINAL_TYPE=tty\n") || !strings.Contains(text, "DISPLAY=:3\n") {
		t.Errorf("the session's file:\n%s", text)
	}
	one.Close()
	testkit.Eventually(t, "control ends with the connection", func() bool {
		text := r.read("sessions", c.ID)
		return strings.Contains(text, "\nTYPE=tty\n") && !strings.Contains(text, "CONTROLLER=")
	})
}

// Brightness is for the session in front, and for devices of two classes.
func TestBrightness(t *testing.T) {
	r := begin(t)
	c, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(r.root, "sys/class/backlight/panel")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"max_brightness": "100\n", "brightness": "10\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set := func(subsystem, name string, v uint32) string {
		return errorName(r.conn.Object(Name, c.Path).Call(ifacePrefix+"Session.SetBrightness", 0, subsystem, name, v).Err)
	}
	if got := set("backlight", "panel", 20); got != "org.freedesktop.login1.NotYourDevice" {
		t.Errorf("from the background: %q", got)
	}
	r.server.handle(session.VTShown{VT: 1})
	const invalid = "org.freedesktop.DBus.Error.InvalidArgs"
	for _, x := range []struct {
		subsystem, name string
		value           uint32
		want            string
	}{
		{"backlight", "panel", 42, ""}, {"backlight", "panel", 101, invalid}, {"backlight", "../../../etc", 1, invalid}, {"block", "sda", 1, invalid},
		{"leds", "panel", 1, "org.freedesktop.DBus.Error.Failed"},
	} {
		if got := set(x.subsystem, x.name, x.value); got != x.want {
			t.Errorf("%v: %q", x, got)
		}
	}
	// gsd-backlight gives logind up unless it hears exactly this.
	if got := errorName(r.conn.Object(Name, c.Path).Call(ifacePrefix+"Session.SetBrightness", 0).Err); got != invalid {
		t.Errorf("without arguments: %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "brightness")); err != nil || strings.TrimSpace(string(data)) != "42" {
		t.Errorf("the brightness is %q, %v", data, err)
	}
}
