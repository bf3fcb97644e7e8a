package api

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
	"dynamod/sd1bridge/internal/translate"
	"dynamod/sd1bridge/internal/upstream"
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

// org.freedesktop.LogControl1(5) is the same by another name.
func TestLogControl(t *testing.T) {
	b := start(t, someUnits)
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const iface = "org.freedesktop.LogControl1"
	o, manager := c.Object("", logControlPath), c.Object("", "/org/freedesktop/systemd1")
	set := func(o dbus.BusObject, name, value string) error {
		return o.Call("org.freedesktop.DBus.Properties.Set", 0, iface, name, dbus.MakeVariant(value)).Err
	}
	for _, p := range [][3]string{{"LogLevel", "debug", "debug"}, {"LogTarget", "null", "null"}, {"LogLevel", "", "info"}, {"LogTarget", "", "console"}} {
		if err := set(o, p[0], p[1]); err != nil {
			t.Errorf("%s=%s: %v", p[0], p[1], err)
		}
		for o, i := range map[dbus.BusObject]string{o: iface, manager: prefix + "Manager"} {
			if v, err := o.GetProperty(i + "." + p[0]); err != nil || v.Value() != p[2] {
				t.Errorf("%s.%s is %v (%v), want %s", i, p[0], v, err, p[2])
			}
		}
	}
	if v, err := o.GetProperty(iface + ".SyslogIdentifier"); err != nil || v.Value() != "dynamod-svmgr" {
		t.Errorf("SyslogIdentifier is %v, %v", v, err)
	}
	for name, err := range map[string]error{"a word that is none": set(o, "LogLevel", "x"), "what is only read": set(o, "SyslogIdentifier", "x"),
		"nobody": set(b.asNobody(t).Object("", logControlPath), "LogLevel", "debug")} {
		if err == nil {
			t.Errorf("%s: it is set", name)
		}
	}
}

// Values of a unit that runs: when its program began, its memory, the watchdog that it has
// pinged, and its store.
func TestValuesOfARun(t *testing.T) {
	b := start(t, map[string]string{"default.target": "[Unit]\nDescription=All\n",
		"web.service": "[Service]\nExecStart=/bin/sleep 1000\nWatchdogSec=1h\nFileDescriptorStoreMax=3\n"})
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	manager := c.Object("", "/org/freedesktop/systemd1")
	o := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice")
	get := func(name string) uint64 {
		t.Helper()
		v, err := o.GetProperty(prefix + "Service." + name)
		if err != nil {
			t.Fatal(err)
		}
		return v.Value().(uint64)
	}
	moments := []string{"ExecMainHandoffTimestamp", "ExecMainHandoffTimestampMonotonic", "WatchdogTimestamp", "WatchdogTimestampMonotonic"}
	for _, name := range moments {
		if got := get(name); got != 0 {
			t.Errorf("%s is %d before it runs", name, got)
		}
	}
	if got := get("MemoryAvailable"); got != never {
		t.Errorf("MemoryAvailable is %d before it runs", got)
	}
	if err := manager.Call(prefix+"Manager.StartUnit", 0, "web.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "it is up", func() bool { return get("WatchdogTimestamp") != 0 && get("ExecMainHandoffTimestamp") != 0 })
	if begin, handoff := get("ExecMainStartTimestampMonotonic"), get("ExecMainHandoffTimestampMonotonic"); handoff+20_000 < begin {
		t.Errorf("the program began at %d, before its process at %d", handoff, begin)
	}
	if got := get("MemoryAvailable"); got == 0 || got == never {
		t.Errorf("MemoryAvailable is %d", got)
	}
	if got := get("IPIngressBytes"); got != never {
		t.Errorf("without IPAccounting= it has received %d bytes", got)
	}
	var stored []storedRow
	if err := manager.Call(prefix+"Manager.DumpUnitFileDescriptorStore", 0, "web.service").Store(&stored); err != nil || len(stored) != 0 {
		t.Errorf("its store has %v (%v)", stored, err)
	}
	for _, x := range []struct {
		method string
		arg    any
		want   string
	}{
		{"DumpUnitFileDescriptorStore", "default.target", "org.freedesktop.DBus.Error.NotSupported"},
		{"DumpUnitFileDescriptorStore", "nowhere.service", prefix + "NoSuchUnit"},
		{"LookupDynamicUserByName", "foo", prefix + "NoSuchDynamicUser"},
		{"LookupDynamicUserByUID", uint32(61184), prefix + "NoSuchDynamicUser"},
	} {
		err := manager.Call(prefix+"Manager."+x.method, 0, x.arg).Err
		if e := (dbus.Error{}); !asDBus(err, &e) || e.Name != x.want {
			t.Errorf("%s %v: %v, want %s", x.method, x.arg, err, x.want)
		}
	}
}

func TestTrafficAndMounts(t *testing.T) {
	u := translate.NewUnit(ipc.Facts{Status: ipc.Status{Unit: ipc.Unit{Name: "a.mount", Type: "mount", Active: "active", Load: "loaded"}},
		Traffic:  &ipc.Traffic{InBytes: 1, InPackets: 2, OutBytes: 3, OutPackets: 4},
		Commands: []ipc.CommandRun{{Key: "ExecMount", Argv: []string{"/bin/mount", "tmpfs", "/a"}, Start: ipc.Stamp{Wall: 5, Mono: 6}, Exit: ipc.Exit{PID: 7, Code: 32, At: ipc.Stamp{Wall: 8, Mono: 9}}}}}, nil, nil)
	s := New(upstream.New("/nowhere", slog.New(slog.DiscardHandler)), Options{Root: "/"}, slog.New(slog.DiscardHandler))
	for name, want := range map[string]any{"*.IPIngressBytes": uint64(1), "*.IPIngressPackets": uint64(2), "*.IPEgressBytes": uint64(3), "*.IPEgressPackets": uint64(4),
		"Mount.ExecMount": []translate.Command{{Path: "/bin/mount", Argv: []string{"/bin/mount", "tmpfs", "/a"}, Start: 5, StartMono: 6, Exit: 8, ExitMono: 9,
			PID: 7, Code: 1, Status: 32}}, "Mount.ExecUnmount": []translate.Command{}} {
		if got := unitProperties[name](u, s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// storeMany is a service that puts more into its store than one answer of the manager
// has room for.
func storeMany() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	to := &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}
	for n := range 300 {
		f, err := os.CreateTemp("", "stored")
		if err != nil {
			panic(err)
		}
		text := fmt.Sprintf("FDSTORE=1\nFDPOLL=0\nFDNAME=%03d%s", n, strings.Repeat("x", 250))
		if err := unix.Sendmsg(fd, []byte(text), unix.UnixRights(int(f.Fd())), to, 0); err != nil {
			panic(err)
		}
		os.Remove(f.Name())
		f.Close()
	}
	if err := unix.Sendmsg(fd, []byte("READY=1"), nil, to, 0); err != nil {
		panic(err)
	}
	select {} // until it is stopped
}

func TestLongStoreIsDumped(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := newRare(t, map[string]string{"default.target": "[Unit]\nDescription=All\n",
		"store.service": "[Service]\nType=notify\nEnvironment=STORES=1\nFileDescriptorStoreMax=400\nExecStart=" + self + "\n"})
	r.must("StartUnit", "store.service", "replace")
	testkit.Eventually(t, "everything is stored", func() bool { return r.property("store_2eservice", "Service.NFileDescriptorStore") == uint32(300) })
	var stored []storedRow
	if err := r.call("DumpUnitFileDescriptorStore", "store.service").Store(&stored); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range stored {
		names[s.Name] = true
	}
	if len(stored) != 300 || len(names) != 300 {
		t.Errorf("%d descriptors with %d names, want 300", len(stored), len(names))
	}
}
