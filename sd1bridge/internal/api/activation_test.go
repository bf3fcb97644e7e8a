package api

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

// ownName is what the test binary does as a service: it takes a name on a bus and stays.
func ownName(address, name string) {
	c, err := dbus.Connect(address)
	if err == nil {
		_, err = c.RequestName(name, dbus.NameFlagDoNotQueue)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

// A real dbus-daemon that leaves the start of services to systemd: what can be started
// is, and becomes ready with its name; what cannot is told to its callers at once.
func TestActivation(t *testing.T) {
	services := t.TempDir()
	for name, unit := range map[string]string{"Good": "good.service", "Missing": "missing.service", "Bad": "bad.service"} {
		text := "[D-BUS Service]\nName=org.example." + name + "\nExec=/bin/false\nSystemdService=" + unit + "\n"
		if err := os.WriteFile(filepath.Join(services, "org.example."+name+".service"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	daemon := testbus.NewDaemon(t, testbus.Open+"<servicedir>"+services+"</servicedir>", "--systemd-activation").Start()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, map[string]string{
		"default.target": "[Unit]\nDescription=All\n",
		"bad.service":    "[Service]\nType=oneshot\nExecStart=/bin/false\n",
		"good.service": "[Service]\nType=dbus\nBusName=org.example.Good\nExecStart=" + self + "\n" +
			"Environment=OWN_NAME=org.example.Good OWN_BUS=unix:path=" + daemon.Socket + "\n"})
	joined := make(chan struct{}, 1)
	go b.server.Service().Join(bus.Bus{Address: daemon.Socket, Names: []string{Name}, Heard: b.server.Heard,
		Joined: func(k *bus.Client) { b.server.Joined(k); joined <- struct{}{} }, Left: b.server.Left}) // ends with the service
	testkit.Receive(t, joined, "the bridge is on the bus")
	c := daemon.Client()
	begin := func(name string) error {
		return c.BusObject().Call(busName+".StartServiceByName", 0, name, uint32(0)).Err
	}
	if err := begin("org.example.Good"); err != nil {
		t.Errorf("a service that can be started: %v", err)
	}
	if err := begin("org.example.Missing"); err == nil || err.(dbus.Error).Name != prefix+"NoSuchUnit" {
		t.Errorf("a unit that does not exist: %v", err)
	}
	if err := begin("org.example.Bad"); err == nil || err.(dbus.Error).Name != "org.freedesktop.DBus.Error.Spawn.ChildExited" {
		t.Errorf("a unit that fails: %v", err)
	}
	testkit.Eventually(t, "good.service is ready", func() bool {
		v, err := c.Object(Name, "/org/freedesktop/systemd1/unit/good_2eservice").GetProperty(prefix + "Unit.ActiveState")
		return err == nil && v.Value() == "active"
	}) // The environment for what the bus starts is the manager's (dbus-daemon(1)).
	if err := c.BusObject().Call(busName+".UpdateActivationEnvironment", 0, map[string]string{"SD1_TEST": "a b"}).Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the manager has the variable", func() bool {
		v, err := c.Object(Name, "/org/freedesktop/systemd1").GetProperty(prefix + "Manager.Environment")
		list, _ := v.Value().([]string)
		return err == nil && slices.Contains(list, "SD1_TEST=a b")
	})
}
