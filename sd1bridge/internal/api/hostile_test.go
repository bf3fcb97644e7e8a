package api

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/testkit"
)

// asNobody connects as a user without rights: the kernel tells the bridge so.
func (b *both) asNobody(t testing.TB) *dbus.Conn { return asNobody(t, b.socket) }

func asNobody(t testing.TB, socket string) *dbus.Conn {
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
func arbitrary(r *rand.Rand, t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t {
	case reflect.TypeFor[dbus.Variant]():
		types := []string{"s", "as", "u", "t", "b", "ay", "a(sv)", "(sasb)", "v"}
		v.Set(reflect.ValueOf(dbus.MakeVariant(arbitrary(r, typeOf(types[r.IntN(len(types))])).Interface())))
		return v
	case reflect.TypeFor[dbus.ObjectPath]():
		v.SetString("/org/freedesktop/systemd1")
		return v
	case reflect.TypeFor[dbus.UnixFD]():
		v.SetInt(0) // our own standard input
		return v
	}
	switch t.Kind() {
	case reflect.String:
		v.SetString([]string{"web.service", "bad.service", "", "nowhere.service", "../../etc/passwd", "/etc/passwd", strings.Repeat("x", 5000),
			"a@.service", "replace", "fail", "isolate", "-.slice", "%n.service", "\x01\n.service", "main", "default.target", "ExecStart", "CPUWeight"}[r.IntN(18)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64) & (1<<t.Bits() - 1))
	case reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> (64 - t.Bits()) >> r.IntN(t.Bits()))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	case reflect.Slice:
		for range r.IntN(4) {
			v = reflect.Append(v, arbitrary(r, t.Elem()))
		}
		if v.IsNil() {
			v = reflect.MakeSlice(t, 0, 0)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(arbitrary(r, t.Field(i).Type))
		}
	default:
		panic("no value of " + t.String())
	}
	return v
}

// typeOf is the Go type of one complete type of D-Bus.
func typeOf(sig string) reflect.Type {
	t, rest := nextType(sig)
	if rest != "" {
		panic("more than one type: " + sig)
	}
	return t
}

func nextType(sig string) (reflect.Type, string) {
	switch sig[0] {
	case 'a':
		t, rest := nextType(sig[1:])
		return reflect.SliceOf(t), rest
	case '(':
		var fields []reflect.StructField
		rest := sig[1:]
		for rest[0] != ')' {
			var t reflect.Type
			t, rest = nextType(rest)
			fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", len(fields)), Type: t})
		}
		return reflect.StructOf(fields), rest[1:]
	}
	t := map[byte]reflect.Type{'s': reflect.TypeFor[string](), 'b': reflect.TypeFor[bool](), 'y': reflect.TypeFor[byte](), 'q': reflect.TypeFor[uint16](),
		'n': reflect.TypeFor[int16](), 'u': reflect.TypeFor[uint32](), 'i': reflect.TypeFor[int32](), 't': reflect.TypeFor[uint64](), 'x': reflect.TypeFor[int64](),
		'd': reflect.TypeFor[float64](), 'o': reflect.TypeFor[dbus.ObjectPath](), 'h': reflect.TypeFor[dbus.UnixFD](), 'v': reflect.TypeFor[dbus.Variant]()}[sig[0]]
	if t == nil {
		panic("unknown type in " + sig)
	}
	return t, sig[1:]
}

// refusals counts the lines of a log that tell of one, and keeps the newest.
type refusals struct {
	mu   sync.Mutex
	n    int64
	last string
}

func (r *refusals) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes.Contains(line, []byte("a call was refused")) {
		r.n, r.last = r.n+1, string(line)
	}
	return len(line), nil
}

func (r *refusals) newest() (n int64, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n, r.last
}

// methods are all that systemd has, whether the bridge has them or not.
func methods() (out []member) {
	for _, m := range members() {
		if m.kind == "method" {
			out = append(out, m)
		}
	}
	return out
}

// hostile is somebody without rights before a manager with a unit that runs.
type hostile struct {
	*both
	root, nobody *dbus.Conn
	// dest is the bridge's name where nobody is: none on the private socket.
	dest   string
	before string
	// refusal are the names of errors by which a call may be refused.
	refusal []string
}

func newHostile(t testing.TB) *hostile {
	t.Helper()
	h := &hostile{both: start(t, someUnits), refusal: []string{bus.ErrAccessDenied}}
	var err error
	if h.root, err = h.dial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.root.Close() })
	if err := h.root.Object("", "/org/freedesktop/systemd1").Call(prefix+"Manager.StartUnit", 0, "web.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "all is up", func() bool {
		at := h.state(t)
		return strings.Contains(at, "web_2eservice Unit.ActiveState \"active\"") && strings.Contains(at, "default_2etarget Unit.ActiveState \"active\"")
	})
	h.before = h.state(t)
	h.nobody = h.asNobody(t)
	return h
}

// state is what a client could have changed.
func (h *hostile) state(t testing.TB) string {
	out := ""
	for _, u := range []string{"web_2eservice", "bad_2eservice", "default_2etarget"} {
		for _, p := range []string{"Unit.ActiveState", "Unit.InvocationID", "Unit.FreezerState", "Unit.LoadState", "Unit.UnitFileState", "Unit.DropInPaths", "Unit.Refs"} {
			v, err := h.root.Object("", dbus.ObjectPath("/org/freedesktop/systemd1/unit/"+u)).GetProperty(prefix + p)
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprintln(u, p, v)
		}
	}
	for _, p := range []string{"Environment", "NJobs", "NFailedUnits"} {
		v, err := h.root.Object("", "/org/freedesktop/systemd1").GetProperty(prefix + "Manager." + p)
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintln(p, v)
	}
	return out
}

// objectOf is an object with the interface.
func objectOf(iface string) dbus.ObjectPath {
	at := map[string]string{"Manager": "", "Job": "/job/1", "Unit": "/unit/web_2eservice"}[iface]
	if at == "" && iface != "Manager" {
		at = "/unit/web_2e" + strings.ToLower(iface)
	}
	return dbus.ObjectPath("/org/freedesktop/systemd1" + at)
}

// call calls a method with arguments of the right types. What needs a right must be
// refused and logged, with user and method.
func (h *hostile) call(t testing.TB, m member, r *rand.Rand) (refused bool) {
	t.Helper()
	in, _, _ := strings.Cut(m.types, " -> ")
	list, _ := bus.Named(in, nil)
	var values []any
	for _, a := range list {
		values = append(values, arbitrary(r, typeOf(a.Type)).Interface())
	}
	before, _ := h.said.newest()
	err := h.nobody.Object(h.dest, objectOf(m.iface)).Call(prefix+m.iface+"."+m.name, 0, values...).Err
	if errors.Is(err, dbus.ErrClosed) {
		t.Fatalf("%s.%s(%q): the bridge hung up", m.iface, m.name, values)
	}
	right := rights[m.name]
	if own := rights[m.name+".Unit"]; m.iface == "Unit" && own != "" {
		right = own
	}
	if right == "" {
		return false
	}
	e, ok := err.(dbus.Error)
	if !ok {
		t.Errorf("%s.%s(%q) was let: %v", m.iface, m.name, values, err)
		return false
	}
	if !slices.Contains(h.refusal, e.Name) {
		return false // there is no such object or method, which changes nothing
	}
	n, line := h.said.newest()
	if n != before+1 || !strings.Contains(line, "uid=65534 ") || !strings.Contains(line, "method="+prefix+m.iface+"."+m.name+" ") {
		t.Errorf("the refusal of %s.%s is not in the log: %d lines, %s", m.iface, m.name, n-before, line)
	}
	return true
}

func (h *hostile) unchanged(t testing.TB, after string) {
	t.Helper()
	if now := h.state(t); now != h.before {
		t.Fatalf("after %s: before it\n%s\nnow\n%s", after, h.before, now)
	}
}

// Whatever somebody without rights calls with whatever arguments: nothing changes, and
// what would change something is refused.
func TestHostileClientChangesNothing(t *testing.T) {
	h := newHostile(t)
	r := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 8 {
		for _, m := range methods() {
			if h.call(t, m, r) {
				refused++
			}
		}
	}
	h.unchanged(t, "all calls")
	if refused < 100 {
		t.Errorf("only %d calls were refused for want of rights", refused)
	}
	if n, _ := h.said.newest(); n != int64(refused) || n != h.server.refused.Load() {
		t.Errorf("%d calls were refused, %d are in the log", refused, n)
	}
}

// The same, one call at a time, with a look at the machine after each.
func FuzzHostileClient(f *testing.F) {
	all := methods()
	for i := range all {
		f.Add(uint16(i), uint64(i))
	}
	h := newHostile(f)
	f.Fuzz(func(t *testing.T, which uint16, seed uint64) {
		m := all[int(which)%len(all)]
		h.call(t, m, rand.New(rand.NewPCG(seed, 0)))
		h.unchanged(t, m.iface+"."+m.name)
	})
}
