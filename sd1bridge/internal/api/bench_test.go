package api

import (
	"testing"

	"github.com/godbus/dbus/v5"
)

// All properties of a service, as `systemctl show` reads them; the client's part is in it.
func BenchmarkGetAll(b *testing.B) {
	h := start(b, someUnits)
	c, err := h.dial()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	o := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice")
	b.ReportAllocs()
	for b.Loop() {
		var all map[string]dbus.Variant
		if err := o.Call("org.freedesktop.DBus.Properties.GetAll", 0, "").Store(&all); err != nil || len(all) < 300 {
			b.Fatalf("%d properties: %v", len(all), err)
		}
	}
}

// One property, as a desktop reads it.
func BenchmarkGet(b *testing.B) {
	h := start(b, someUnits)
	c, err := h.dial()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	o := c.Object("", "/org/freedesktop/systemd1/unit/web_2eservice")
	b.ReportAllocs()
	for b.Loop() {
		if v, err := o.GetProperty(prefix + "Unit.ActiveState"); err != nil || v.Value() != "inactive" {
			b.Fatalf("%v, %v", v, err)
		}
	}
}
