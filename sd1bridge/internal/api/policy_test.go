package api

import (
	"encoding/xml"
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

// guardedBus refuses what the system bus of Debian refuses unless a policy allows it.
const guardedBus = `<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/></policy>
<include>%s</include>`

// With the policy that is installed everybody may call the bridge, which decides who
// may do what, and only root may be it.
func TestBusPolicy(t *testing.T) {
	policy, err := filepath.Abs("../../../config/dbus/dynamod-systemd1.conf")
	if err != nil {
		t.Fatal(err)
	}
	daemon := testbus.NewDaemon(t, fmt.Sprintf(guardedBus, policy)).Start()
	nobody := asNobody(t, daemon.Socket)
	if err := nobody.Hello(); err != nil {
		t.Fatal(err)
	}
	if r, err := nobody.RequestName(Name, dbus.NameFlagDoNotQueue); err == nil {
		t.Errorf("nobody asks for %s: %v", Name, r)
	}
	b := start(t, someUnits)
	joined := make(chan struct{}, 1)
	go b.server.Service().Join(bus.Bus{Address: daemon.Socket, Names: []string{Name}, Heard: b.server.Heard,
		Joined: func(k *bus.Client) { b.server.Joined(k); joined <- struct{}{} }, Left: b.server.Left}) // ends with the service
	testkit.Receive(t, joined, "the bridge is on the bus")
	m := nobody.Object(Name, "/org/freedesktop/systemd1")
	var units [][]any
	if err := m.Call(prefix+"Manager.ListUnits", 0).Store(&units); err != nil || len(units) == 0 {
		t.Errorf("nobody lists %d units: %v", len(units), err)
	}
	before := b.server.refused.Load()
	err = m.Call(prefix+"Manager.StopUnit", 0, "web.service", "replace").Err
	if e := (dbus.Error{}); err == nil || !asDBus(err, &e) || e.Name != bus.ErrAccessDenied {
		t.Errorf("nobody stops a unit: %v", err)
	}
	if n := b.server.refused.Load(); n != before+1 {
		t.Errorf("the bridge refused %d calls, want 1: the bus decided", n-before)
	}
}

// Each action that the bridge asks polkit about is declared, and is an administrator's.
func TestPolkitActions(t *testing.T) {
	text, err := os.ReadFile("../../../config/polkit/dynamod-systemd1.policy")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Actions []struct {
			ID       string `xml:"id,attr"`
			Message  string `xml:"message"`
			Any      string `xml:"defaults>allow_any"`
			Inactive string `xml:"defaults>allow_inactive"`
			Active   string `xml:"defaults>allow_active"`
		} `xml:"action"`
	}
	if err := xml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, a := range file.Actions {
		declared = append(declared, a.ID)
		if a.Message == "" || a.Any != "auth_admin" || a.Inactive != "auth_admin" || a.Active != "auth_admin_keep" {
			t.Errorf("%s: %+v", a.ID, a)
		}
	}
	var asked []string
	for method, action := range rights {
		if action == onlyRoot || slices.Contains(asked, action) {
			continue
		}
		asked = append(asked, action)
		if !slices.Contains(declared, action) {
			t.Errorf("%s asks for %s, which is not declared", method, action)
		}
	}
	for _, a := range declared {
		if !slices.Contains(asked, a) {
			t.Errorf("%s is declared and never asked for", a)
		}
	}
}
