package api

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/testkit"
)

// asNobody connects as a user without rights: the kernel tells the bridge so.
func (b *both) asNobody(t *testing.T) *dbus.Conn { return asNobody(t, b.socket) }

func asNobody(t *testing.T, socket string) *dbus.Conn {
	t.Helper()
	type result struct {
		c   *dbus.Conn
		err error
	}
	ch := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		const nobody = 65534
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); e != 0 {
			ch <- result{nil, e}
			return
		}
		c, err := dbus.Dial("unix:path=" + socket)
		ch <- result{c, err}
	}()
	r := <-ch
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.c.Close() })
	if err := r.c.Auth([]dbus.Auth{dbus.AuthExternal("65534")}); err != nil {
		t.Fatal(err)
	}
	return r.c
}

// arbitrary makes a value of a type, now and then a hostile one.
func arbitrary(r *rand.Rand, typ string) any {
	text := func() string {
		return []string{"web.service", "bad.service", "", "nowhere.service", "../../etc/passwd", "/etc/passwd", strings.Repeat("x", 5000),
			"a@.service", "replace", "fail", "isolate", "-.slice", "%n.service", "\x01\n.service", "main", "default.target"}[r.IntN(16)]
	}
	switch typ {
	case "s":
		return text()
	case "as":
		return []string{text(), text()}[:r.IntN(3)]
	case "b":
		return r.IntN(2) == 0
	case "u":
		return r.Uint32() >> r.IntN(32)
	case "i":
		return int32(r.Uint32()) >> r.IntN(32)
	case "t":
		return r.Uint64() >> r.IntN(64)
	case "y":
		return byte(r.IntN(256))
	case "ay":
		return make([]byte, r.IntN(40))
	case "au":
		return []uint32{1, r.Uint32()}
	}
	return "of the wrong type"
}

// Whatever somebody without rights calls with whatever arguments: nothing changes, and
// what would change something is refused.
func TestHostileClientChangesNothing(t *testing.T) {
	b := start(t, someUnits)
	root, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	manager := func(c *dbus.Conn) dbus.BusObject { return c.Object("", "/org/freedesktop/systemd1") }
	if err := manager(root).Call(prefix+"Manager.StartUnit", 0, "web.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	state := func() string {
		out := ""
		for _, u := range []string{"web_2eservice", "bad_2eservice", "default_2etarget"} {
			for _, p := range []string{"Unit.ActiveState", "Unit.InvocationID", "Unit.FreezerState", "Unit.LoadState"} {
				v, err := root.Object("", dbus.ObjectPath("/org/freedesktop/systemd1/unit/"+u)).GetProperty(prefix + p)
				if err != nil {
					t.Fatal(err)
				}
				out += fmt.Sprintln(u, p, v)
			}
		}
		return out
	}
	testkit.Eventually(t, "all is up", func() bool {
		at := state()
		return strings.Contains(at, "web_2eservice Unit.ActiveState \"active\"") && strings.Contains(at, "default_2etarget Unit.ActiveState \"active\"")
	})
	before := state()
	c := b.asNobody(t)
	r := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 8 {
		for _, m := range members() {
			if m.kind != "method" {
				continue
			}
			object := map[string]string{"Manager": "", "Job": "/job/1", "Unit": "/unit/web_2eservice"}[m.iface]
			if object == "" && m.iface != "Manager" {
				object = "/unit/web_2e" + strings.ToLower(m.iface)
			}
			in, _, _ := strings.Cut(m.types, " -> ")
			list, _ := bus.Named(in, nil)
			var values []any
			for _, a := range list {
				values = append(values, arbitrary(r, a.Type))
			}
			err := c.Object("", dbus.ObjectPath("/org/freedesktop/systemd1"+object)).Call(prefix+m.iface+"."+m.name, 0, values...).Err
			right := rights[m.name]
			if own := rights[m.name+".Unit"]; m.iface == "Unit" && own != "" {
				right = own
			}
			if right != "" && err == nil {
				t.Errorf("%s.%s(%q) was let", m.iface, m.name, values)
			}
			if e, ok := err.(dbus.Error); ok && e.Name == "org.freedesktop.DBus.Error.AccessDenied" {
				refused++
			}
		}
	}
	if after := state(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if refused < 100 {
		t.Errorf("only %d calls were refused for want of rights", refused)
	}
	if n := b.server.refused.Load(); n < int64(refused) {
		t.Errorf("%d calls were refused, %d were logged", refused, n)
	}
}
