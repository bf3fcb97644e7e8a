package api

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

// As at boot: the private socket answers while there is no bus, the bus is joined when
// it comes and again after it went, the private socket answers meanwhile, and what
// happened without a bus is seen on it afterwards.
func TestBusComesAndGoes(t *testing.T) {
	daemon := testbus.NewDaemon(t, testbus.Open)
	b := start(t, someUnits)
	joined, left := make(chan struct{}, 8), make(chan error, 8)
	go b.server.Service().Join(bus.Bus{Address: daemon.Socket, Names: []string{Name}, Heard: b.server.Heard,
		Joined: func(k *bus.Client) { b.server.Joined(k); joined <- struct{}{} },
		Left:   func(err error) { b.server.Left(err); left <- err }, Wake: b.server.Wake()}) // ends with the service
	private, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer private.Close()
	signals := make(chan *dbus.Signal, 1024)
	private.Signal(signals)
	// run gives an order on the private socket and waits until its end is told there.
	run := func(method, want string) {
		t.Helper()
		var job dbus.ObjectPath
		if err := private.Object("", "/org/freedesktop/systemd1").Call(prefix+"Manager."+method, 0, "web.service", "replace").Store(&job); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		for {
			s := testkit.Receive(t, signals, "JobRemoved of "+string(job))
			if s.Name == prefix+"Manager.JobRemoved" && s.Body[1] == job {
				if s.Body[3] != "done" {
					t.Errorf("%s: %v", method, s.Body[3])
				}
				break
			}
		}
		v, err := private.Object("", "/org/freedesktop/systemd1/unit/web_2eservice").GetProperty(prefix + "Unit.ActiveState")
		if err != nil || v.Value() != want {
			t.Errorf("after %s web.service is %v (%v), want %s", method, v, err, want)
		}
	}
	onBus := func(want string) {
		t.Helper()
		c := daemon.Client()
		v, err := c.Object(Name, "/org/freedesktop/systemd1/unit/web_2eservice").GetProperty(prefix + "Unit.ActiveState")
		if err != nil || v.Value() != want {
			t.Errorf("on the bus web.service is %v (%v), want %s", v, err, want)
		}
	}
	run("StartUnit", "active") // without a bus
	daemon.Start()
	b.server.wake() // what the manager's event about dbus.service does
	testkit.Receive(t, joined, "the bridge is on the bus")
	onBus("active")
	daemon.Stop()
	testkit.Receive(t, left, "the bridge knows that the bus is gone")
	run("StopUnit", "inactive") // after it
	daemon.Start()
	b.server.wake()
	testkit.Receive(t, joined, "the bridge is on the new bus")
	onBus("inactive")
	run("StartUnit", "active")
	onBus("active")
}
