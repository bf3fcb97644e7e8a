package api

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

// polkit is one that always gives the same answer, or says yes to what is about one unit.
type polkit struct {
	authorized, challenge bool
	unit                  string
}

func (p polkit) CheckAuthorization(_ struct {
	Kind    string
	Details map[string]dbus.Variant
}, _ string, details map[string]string, _ uint32, _ string) (struct {
	Authorized, Challenge bool
	Details               map[string]string
}, *dbus.Error) {
	return struct {
		Authorized, Challenge bool
		Details               map[string]string
	}{p.authorized || p.unit != "" && details["unit"] == p.unit, p.challenge, map[string]string{}}, nil
}

// onBus takes nobody to a message bus, with a polkit or without one.
func (h *hostile) onBus(t *testing.T, authority *polkit) {
	t.Helper()
	daemon := testbus.NewDaemon(t, testbus.Open).Start()
	if authority != nil {
		c := daemon.Client()
		if err := c.Export(*authority, "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"); err != nil {
			t.Fatal(err)
		}
		if r, err := c.RequestName("org.freedesktop.PolicyKit1", dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
			t.Fatal(r, err)
		}
	}
	joined := make(chan struct{}, 1)
	go h.server.Service().Join(bus.Bus{Address: daemon.Socket, Names: []string{Name}, Heard: h.server.Heard,
		Joined: func(k *bus.Client) { h.server.Joined(k); joined <- struct{}{} }, Left: h.server.Left}) // ends with the service
	testkit.Receive(t, joined, "the bridge is on the bus")
	h.nobody, h.dest = asNobody(t, daemon.Socket), Name
	if err := h.nobody.Hello(); err != nil {
		t.Fatal(err)
	}
}

// The same over a message bus, for each way in which polkit does not authorize somebody.
func TestHostileClientOnBus(t *testing.T) {
	for name, row := range map[string]struct {
		authority *polkit
		refusal   string
	}{
		"without polkit":      {nil, bus.ErrAccessDenied},
		"polkit refuses":      {&polkit{}, bus.ErrAccessDenied},
		"polkit wants to ask": {&polkit{challenge: true}, bus.ErrInteractiveRequired},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t)
			h.onBus(t, row.authority)
			h.refusal = append(h.refusal, row.refusal)
			r := rand.New(rand.NewPCG(3, 4))
			refused := int64(0)
			for range 2 {
				for _, m := range methods() {
					if h.call(t, m, r) {
						refused++
					}
				}
			}
			h.unchanged(t, "all calls")
			if n, _ := h.said.newest(); n != refused || refused < 50 {
				t.Errorf("%d calls were refused, %d are in the log", refused, n)
			}
		})
	}
}

// Whom polkit authorizes may do it.
func TestAuthorizedClient(t *testing.T) {
	h := newHostile(t)
	h.onBus(t, &polkit{authorized: true})
	if err := h.nobody.Object(Name, objectOf("Manager")).Call(prefix+"Manager.StopUnit", 0, "web.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "web.service is down", func() bool {
		return strings.Contains(h.state(t), "web_2eservice Unit.ActiveState \"inactive\"")
	})
	if err := h.nobody.Object(Name, objectOf("Manager")).Call(prefix+"Manager.PowerOff", 0).Err; err == nil {
		t.Error("polkit was asked about what is for root")
	}
}

// Polkit is told which unit will be started, not which one makes room for it.
func TestAuthorizedForOneUnit(t *testing.T) {
	h := newHostile(t)
	h.onBus(t, &polkit{unit: "web.service"})
	call := func(method string, args ...any) error {
		return h.nobody.Object(Name, objectOf("Manager")).Call(prefix+"Manager."+method, 0, args...).Err
	}
	for _, err := range []error{call("StartUnit", "db.service", "replace"), call("StartUnitReplace", "web.service", "db.service", "replace")} {
		if e, ok := err.(dbus.Error); !ok || e.Name != bus.ErrAccessDenied {
			t.Errorf("db.service: %v; want %s", err, bus.ErrAccessDenied)
		}
	}
	if err := call("StopUnit", "web.service", "replace"); err != nil {
		t.Error(err)
	}
}

// reader says that a method changes nothing and shows no secrets, by its name: what a unit
// has stored is its own.
func reader(m member) bool {
	byName := slices.ContainsFunc([]string{"Get", "List", "Dump", "Lookup"}, func(p string) bool { return strings.HasPrefix(m.name, p) }) ||
		slices.Contains([]string{"LoadUnit", "Subscribe", "Unsubscribe"}, m.name)
	return byName && !strings.HasSuffix(m.name, "FileDescriptorStore")
}

// A method that is there and does more than read needs a right, and one that reads needs
// none.
func TestMethodsNeedRights(t *testing.T) {
	s := &Server{}
	for _, m := range methods() {
		if s.method(m.iface, m.name) == nil {
			continue
		}
		right := rights[m.name]
		if own := rights[m.name+".Unit"]; m.iface == "Unit" && own != "" {
			right = own
		}
		if (right == "") != reader(m) {
			t.Errorf("%s.%s needs the right %q", m.iface, m.name, right)
		}
	}
}

// Properties are not set by somebody without rights, and arguments that are not those of
// the method are refused before anything is done.
func TestHostileClientSetsNothing(t *testing.T) {
	h := newHostile(t)
	r := rand.New(rand.NewPCG(5, 6))
	writable := 0
	for _, m := range members() {
		switch m.kind {
		case "property":
			before, _ := h.said.newest()
			v := dbus.MakeVariant(arbitrary(r, typeOf(m.types)).Interface())
			err := h.nobody.Object("", objectOf(m.iface)).Call("org.freedesktop.DBus.Properties.Set", 0, prefix+m.iface, m.name, v).Err
			e, ok := err.(dbus.Error)
			if !ok {
				t.Errorf("%s.%s was set to %v: %v", m.iface, m.name, v, err)
				continue
			}
			if !strings.HasPrefix(m.access, "readwrite") || slices.Contains(h.server.Missing(), m.iface+"."+m.name) {
				continue
			}
			writable++
			n, line := h.said.newest()
			if e.Name != bus.ErrAccessDenied || n != before+1 || !strings.Contains(line, "uid=65534 ") {
				t.Errorf("%s.%s is set: %v; %d lines of log: %s", m.iface, m.name, e, n-before, line)
			}
		case "method":
			in, _, _ := strings.Cut(m.types, " -> ")
			for _, sig := range []string{"", "s", "v", "a{sv}", "ssss", "au"} {
				if sig == in || slices.Contains(h.server.Missing(), m.iface+"."+m.name) {
					continue
				}
				var values []any
				if sig == "a{sv}" {
					values = []any{map[string]dbus.Variant{"x": dbus.MakeVariant("y")}}
				} else {
					list, _ := bus.Named(sig, nil)
					for _, a := range list {
						values = append(values, arbitrary(r, typeOf(a.Type)).Interface())
					}
				}
				err := h.nobody.Object("", objectOf(m.iface)).Call(prefix+m.iface+"."+m.name, 0, values...).Err
				if e, ok := err.(dbus.Error); !ok || e.Name != bus.ErrInvalidArgs && e.Name != bus.ErrUnknownObject && !strings.HasSuffix(e.Name, ".NoSuchJob") {
					t.Errorf("%s.%s(%s) called with %q: %v", m.iface, m.name, in, sig, err)
				}
			}
		}
	}
	h.unchanged(t, "all properties and signatures")
	t.Logf("%d properties can be set by root", writable)
}
