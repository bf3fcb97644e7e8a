package translate

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Names on the bus, as busctl showed them for systemd 257.
func TestLabel(t *testing.T) {
	for name, label := range map[string]string{"": "_", "dbus.service": "dbus_2eservice", "-.slice": "_2d_2eslice",
		"3": "_33", "a1": "a1", "user@1000.service": "user_401000_2eservice", `a\x2d.mount`: "a_5cx2d_2emount"} {
		if got := Label(name); got != label {
			t.Errorf("Label(%q) = %s, want %s", name, got, label)
		}
	}
	for _, bad := range []string{"", "a.b", "_2", "_2E", "_61", "a_"} {
		if name, ok := Unlabel(bad); ok {
			t.Errorf("Unlabel(%q) = %q", bad, name)
		}
	}
}

// Every name has a label that is an element of a path and leads back to it.
func FuzzLabel(f *testing.F) {
	f.Add("dbus.service")
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		l := Label(name)
		if !dbus.ObjectPath("/"+l).IsValid() || strings.Contains(l, "/") {
			t.Fatalf("Label(%q) = %q is no element of a path", name, l)
		}
		if back, ok := Unlabel(l); !ok || back != name {
			t.Fatalf("Unlabel(%q) = %q, %v; want %q", l, back, ok, name)
		}
	})
}
