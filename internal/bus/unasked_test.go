package bus

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

// A bus that nobody has asked for signals gets what is announced and nothing else; private
// peers get all. What changes while nobody listens is not noted.
func TestUnasked(t *testing.T) {
	d := testbus.NewDaemon(t, testbus.Open).Start()
	s, _ := newService(t)
	joined := make(chan struct{}, 1)
	go s.Join(Bus{Address: d.Socket, Names: []string{"org.example.Main"}, Joined: func(*Client) { joined <- struct{}{} }}) // ends with the service
	testkit.Receive(t, joined, "it is on the bus")
	client := d.Client()
	if err := client.AddMatchSignal(dbus.WithMatchObjectPath(mainPath)); err != nil {
		t.Fatal(err)
	}
	onBus := make(chan *dbus.Signal, 16)
	client.Signal(onBus)
	if !s.Listening() {
		t.Error("a bus listens unless it is said not to")
	}
	s.Unasked(true)
	if s.Listening() {
		t.Error("nobody asked")
	}
	s.Changed(mainPath, mainIface)
	s.mu.Lock()
	if len(s.changed) != 0 {
		t.Errorf("noted for nobody: %v", s.changed)
	}
	s.mu.Unlock()
	path := private(t, s, everybody)
	p := peer(t, path)
	toPeer := make(chan *dbus.Signal, 16)
	p.Signal(toPeer)
	if err := p.Object("", mainPath).Call(ifacePeer+".Ping", 0).Err; err != nil { // it is there
		t.Fatal(err)
	}
	if !s.Listening() {
		t.Error("a private peer listens")
	}
	s.Emit(mainPath, mainIface, "First")
	s.Announce(mainPath, mainIface, "Second")
	s.Unasked(false)
	s.Emit(mainPath, mainIface, "Third")
	for ch, want := range map[chan *dbus.Signal][]string{toPeer: {"First", "Second", "Third"}, onBus: {"Second", "Third"}} {
		for _, w := range want {
			sig := testkit.Receive(t, ch, w)
			for sig.Sender == busName {
				sig = testkit.Receive(t, ch, w)
			}
			if sig.Name != mainIface+"."+w {
				t.Errorf("%s, want %s", sig.Name, w)
			}
		}
	}
}
