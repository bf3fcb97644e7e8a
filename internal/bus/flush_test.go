package bus

import (
	"log/slog"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Flush finds an object once for changes of its interfaces that follow each other, and
// passes over one that is gone.
func TestFlushFindsOnce(t *testing.T) {
	var found []string
	get := func(object any) (any, error) { return object.(string), nil }
	list := []*Interface{{Name: "org.example.A", Properties: []Property{{Name: "P", Type: "s", Emits: EmitsTrue, Get: get}}},
		{Name: "org.example.B", Properties: []Property{{Name: "Q", Type: "s", Emits: EmitsTrue, Get: get}}}}
	s := NewService(NewTree(&Node{Path: "/things/*", Find: func(_ *Call, name string) (any, []*Interface, error) {
		found = append(found, name)
		if name == "gone" {
			return nil, nil, Errorf(ErrUnknownObject, "it is gone")
		}
		return name, list, nil
	}}), slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	c := peer(t, private(t, s, everybody))
	ch := make(chan *dbus.Signal, 10)
	c.Signal(ch)
	if err := c.Object("", "/things/one").Call(ifacePeer+".Ping", 0).Err; err != nil { // it is there now
		t.Fatal(err)
	}
	found = nil
	for _, p := range []string{"/things/one", "/things/gone", "/things/two"} {
		s.Changed(p, "org.example.A")
		s.Changed(p, "org.example.B")
	}
	s.Flush()
	for _, want := range []struct{ iface, property, value string }{{"A", "P", "one"}, {"B", "Q", "one"}, {"A", "P", "two"}, {"B", "Q", "two"}} {
		m := <-ch
		if m.Body[0] != "org.example."+want.iface || m.Body[1].(map[string]dbus.Variant)[want.property].Value() != want.value {
			t.Errorf("heard %+v; want %v", m, want)
		}
	}
	if len(found) != 3 {
		t.Errorf("found %v; want each once", found)
	}
}
