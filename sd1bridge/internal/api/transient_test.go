package api

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

// A client's units: made with properties, started, shown, and forgotten.
func TestTransientUnits(t *testing.T) {
	b := start(t, someUnits)
	c, err := sd.NewConnection(b.dial)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	done := make(chan string, 1)
	run := func(name string, want string, p ...sd.Property) {
		t.Helper()
		if _, err := c.StartTransientUnitContext(ctx, name, "fail", p, done); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := testkit.Receive(t, done, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	set := func(name string, v any) sd.Property { return sd.Property{Name: name, Value: dbus.MakeVariant(v)} }
	run("made.service", "done", sd.PropDescription("100% made"), sd.PropExecStart([]string{"/bin/sleep", "1000"}, false), set("Nice", int32(3)), set("AddRef", true))
	p, err := c.GetAllPropertiesContext(ctx, "made.service")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"ActiveState": "active", "Description": "100% made", "Nice": int32(3), "Transient": true, "UnitFileState": "transient"} {
		if p[name] != want {
			t.Errorf("%s is %v, want %v", name, p[name], want)
		}
	}
	_, err = c.StartTransientUnitContext(ctx, "made.service", "fail", []sd.Property{sd.PropExecStart([]string{"/bin/true"}, false)}, nil)
	if e := (dbus.Error{}); err == nil || !asDBus(err, &e) || e.Name != prefix+"UnitExists" {
		t.Errorf("made twice: %v", err)
	}
	if _, err := c.StopUnitContext(ctx, "made.service", "replace", done); err != nil {
		t.Fatal(err)
	}
	testkit.Receive(t, done, "stop")
	testkit.Eventually(t, "the unit is forgotten", func() bool {
		list, err := c.ListUnitsContext(ctx)
		return err == nil && !slices.ContainsFunc(list, func(u sd.UnitStatus) bool { return u.Name == "made.service" })
	})

	// Descriptors of the client are the service's streams, and are let go of at its end.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	run("says.service", "done", sd.PropExecStart([]string{"/bin/echo", "hello"}, false), set("StandardOutputFileDescriptor", dbus.UnixFD(w.Fd())), sd.PropType("oneshot"))
	w.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "hello\n" {
		t.Errorf("it said %q, %v", text, err)
	}
	// Sockets too, which have no name to open them by; and a file is written to where
	// the client has left it.
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	if _, err := ours.WriteString("over a socket\n"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Shutdown(pair[0], unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("before\nlonger than what follows"); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(int64(len("before\n")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	run("cats.service", "done", sd.PropExecStart([]string{"/bin/sh", "-c", "cat; echo said >&2"}, false), set("StandardInputFileDescriptor", dbus.UnixFD(theirs.Fd())),
		set("StandardOutputFileDescriptor", dbus.UnixFD(theirs.Fd())), set("StandardErrorFileDescriptor", dbus.UnixFD(file.Fd())), sd.PropType("oneshot"))
	theirs.Close()
	if text, err := io.ReadAll(ours); err != nil || string(text) != "over a socket\n" {
		t.Errorf("over the socket: %q, %v", text, err)
	}
	if text, err := os.ReadFile(file.Name()); err != nil || string(text) != "before\nsaid\nr than what follows" {
		t.Errorf("the file has %q, %v", text, err)
	}

	for _, bad := range []struct {
		name string
		p    []sd.Property
		want string
	}{
		{"bad", nil, "not valid"},
		{"bad.target", nil, "does not support transient units"},
		{"bad.scope", nil, "no PIDs"},
		{"web.service", []sd.Property{sd.PropExecStart([]string{"/bin/true"}, false)}, "already loaded"},
		{"bad.service", []sd.Property{set("Nonsense", 1)}, "unknown property"},
		{"bad.service", []sd.Property{set("PIDs", []uint32{1})}, "wrong type or is not for this unit"},
		{"bad.scope", []sd.Property{set("PIDs", []string{"1"})}, "wrong type"},
	} {
		name := bad.name
		if name == "bad.service" {
			name = "bad2.service"
		}
		if _, err := c.StartTransientUnitContext(ctx, name, "fail", bad.p, nil); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s %v: %v, want an error with %q", name, bad.p, err, bad.want)
		}
	}
}
