package bus

import (
	"io"
	"log/slog"
	"reflect"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
)

// What is encoded once is the same as what is encoded for each answer; a descriptor cannot
// be sent twice.
func TestEncoded(t *testing.T) {
	values := []any{"a", []string{"b", "cc"}, map[string]dbus.Variant{"x": dbus.MakeVariant(uint64(7))}, byte(1), uint64(2)}
	sig := dbus.SignatureOf(values...).String()
	out, _ := Named(sig, nil)
	plain := &Interface{Name: "x.Y"}
	e, err := Encode(values...)
	if err != nil {
		t.Fatal(err)
	}
	plain.Methods = []Method{{Name: "Plain", Out: out, Do: func(c *Call) error { return c.Reply(values...) }},
		{Name: "Encoded", Out: out, Do: func(c *Call) error { return c.ReplyEncoded(e) }}}
	s := NewService(NewTree(&Node{Path: "/x", Find: One(nil, plain)}), slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(s.Close)
	c := peer(t, private(t, s, everybody))
	want := c.Object("", "/x").Call("x.Y.Plain", 0)
	for range 2 {
		if got := c.Object("", "/x").Call("x.Y.Encoded", 0); got.Err != nil || !reflect.DeepEqual(got.Body, want.Body) || len(got.Body) != len(values) {
			t.Errorf("%v, %v; want %v", got.Body, got.Err, want.Body)
		}
	}
	signals := make(chan *dbus.Signal, 4)
	c.Signal(signals)
	s.Emit("/x", "x.Y", "Told", values...)
	if got := testkit.Receive(t, signals, "the signal"); got.Name != "x.Y.Told" || !reflect.DeepEqual(got.Body, want.Body) {
		t.Errorf("signal %s %v; want %v", got.Name, got.Body, want.Body)
	}
	if _, err := Encode(dbus.UnixFD(0)); err == nil {
		t.Error("a descriptor is encoded")
	}
}
