package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// theirs is a message as godbus writes it, with its body alone behind it.
func theirs(t testing.TB, m *dbus.Message) (whole, body []byte, fds []int, err error) {
	t.Helper()
	var b bytes.Buffer
	fds, err = m.EncodeToWithFDs(&b, native)
	if err != nil {
		return nil, nil, nil, err
	}
	whole = b.Bytes()
	return whole, whole[len(whole)-int(native.Uint32(whole[4:])):], fds, nil
}

type pair struct {
	A string
	B uint64
	c int    // not on the wire
	D string `dbus:"-"`
}

func args(values ...any) *dbus.Message {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Flags: dbus.FlagNoReplyExpected, Body: values, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(uint32(7))}}
	if len(values) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(values...))
	}
	return m
}

// What is encoded here is what godbus encodes, and refused where godbus refuses it.
func TestEncodeAsGodbus(t *testing.T) {
	deep := dbus.MakeVariant("x")
	for range 70 {
		deep = dbus.MakeVariant(deep)
	}
	for _, values := range [][]any{
		{}, {""}, {"text", "text two"}, {true, false}, {byte(1), int16(-2), uint16(3), int32(-4), uint32(5), int64(-6), uint64(7), 1.5, math.Inf(1)},
		{byte(1), "x", byte(2), uint64(3), byte(4), []uint64{}, byte(5), []uint64{6}}, {[]string{}, []string{"a", "bb", ""}, []string(nil)},
		{dbus.ObjectPath("/"), dbus.ObjectPath("/a/b_1")}, {dbus.SignatureOf("", uint32(1))}, {int(3), uint(4)},
		{dbus.MakeVariant("x"), dbus.MakeVariant(uint64(1)), dbus.MakeVariant([]string{"a"}), dbus.MakeVariant(dbus.MakeVariant(byte(1)))},
		{[]dbus.Variant{dbus.MakeVariant(uint64(1)), dbus.MakeVariant("y")}}, {[]any{uint64(1), "x"}},
		{map[string]dbus.Variant{}, map[string]dbus.Variant{"one": dbus.MakeVariant(uint64(1))}}, {map[uint32]string{7: "x"}},
		{byte(1), []pair{{A: "a", B: 1, c: 2, D: "d"}, {A: "bb"}}}, {byte(1), []pair{}}, {pair{A: "x"}, &pair{A: "y"}}, {[]byte("bytes"), []byte{}},
		{[][]string{{"a"}, {}, {"b", "c"}}}, {byte(1), []entry{{"k", dbus.MakeVariant(uint64(1))}, {"l", dbus.MakeVariant([]entry{})}}},
		{[]unitLike{{"a", 1, "/x"}, {"b", 2, "/y"}}}, {dbus.UnixFD(0), []dbus.UnixFD{1, 2}}, {[3]uint16{1, 2, 3}}, {[]bool{true}}, {[]int16{-1}}, {[]float64{2}},
		{"not \xff UTF-8"}, {"a zero \x00 byte"}, {[]string{"\x00"}}, {dbus.ObjectPath("x")}, {dbus.ObjectPath("/x//y")}, {dbus.ObjectPath("/x/")}, {[]dbus.ObjectPath{"/a-b"}},
		{strings.Repeat("long", 5000)}, {deep},
	} {
		_, want, wantFDs, wantErr := theirs(t, args(values...))
		var e encoder
		err := e.body(values)
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%v: %v; godbus says %v", values, err, wantErr)
			continue
		}
		if err == nil && (!bytes.Equal(e.b, want) || len(e.fds) != len(wantFDs)) {
			t.Errorf("%v:\n%q %v, want\n%q %v", values, e.b, e.fds, want, wantFDs)
		}
	}
}

type unitLike struct {
	Name string
	Job  uint32
	Path dbus.ObjectPath
}

// headers are those that messages may have, right and wrong.
func TestHeadersAsGodbus(t *testing.T) {
	for _, fields := range []map[dbus.HeaderField]any{
		{dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldMember: "M"}, {dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldMember: "M.x"},
		{dbus.FieldPath: dbus.ObjectPath("a"), dbus.FieldMember: "M"}, {dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldInterface: "a", dbus.FieldMember: "M"},
		{dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldInterface: "a.b.c_1", dbus.FieldMember: "M"}, {dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldInterface: "a.1", dbus.FieldMember: "M"},
		{dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldInterface: ".a", dbus.FieldMember: "M"}, {dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldInterface: "a..b", dbus.FieldMember: "M"},
		{dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldMember: "1"}, {dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldMember: strings.Repeat("m", 256)},
		{dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldMember: "M", dbus.FieldErrorName: "x"},
		{dbus.FieldPath: dbus.ObjectPath("/a"), dbus.FieldInterface: "a.b", dbus.FieldMember: "M", dbus.FieldErrorName: "x.y", dbus.FieldReplySerial: uint32(1), dbus.FieldDestination: ":1.2",
			dbus.FieldSender: "a.b", dbus.FieldUnixFDs: uint32(0), dbus.FieldSignature: dbus.SignatureOf()},
	} {
		m := &dbus.Message{Type: dbus.TypeMethodCall, Flags: dbus.FlagNoAutoStart, Headers: map[dbus.HeaderField]dbus.Variant{}}
		for f, v := range fields {
			m.Headers[f] = dbus.MakeVariant(v)
		}
		_, _, _, wantErr := theirs(t, m)
		var e encoder
		err := e.header(m, 0)
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%v: %v; godbus says %v", fields, err, wantErr)
			continue
		}
		if err != nil {
			continue
		}
		got, err := dbus.DecodeMessage(bytes.NewReader(e.b)) // godbus writes fields in any order
		if err != nil || got.Type != m.Type || got.Flags != m.Flags || !reflect.DeepEqual(got.Headers, m.Headers) {
			t.Errorf("%+v, %v; want %+v", got, err, m)
		}
	}
}

// FuzzPlain: what is read here is what godbus reads; what godbus refuses is never taken.
func FuzzPlain(f *testing.F) {
	call := func(values ...any) []byte {
		m := args(values...)
		m.Type = dbus.TypeMethodCall
		m.Headers[dbus.FieldPath], m.Headers[dbus.FieldMember] = dbus.MakeVariant(dbus.ObjectPath("/a/b")), dbus.MakeVariant("Get")
		m.Headers[dbus.FieldInterface], m.Headers[dbus.FieldSender] = dbus.MakeVariant("org.x.Y"), dbus.MakeVariant(":1.5")
		whole, _, _, err := theirs(f, m)
		if err != nil {
			f.Fatal(err)
		}
		return whole
	}
	f.Add(call())
	f.Add(call("a.b", "Name"))
	f.Add(call("a.b", uint32(1), true, dbus.ObjectPath("/x")))
	f.Add(call([]string{"not", "simple"}))
	f.Add([]byte("l\x01\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(append(call(), 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, serial, ok := plain(data)
		if !ok {
			return
		}
		want, err := dbus.DecodeMessage(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%q is taken; godbus says %v", data, err)
		}
		if len(m.Body) == 0 && len(want.Body) == 0 {
			m.Body, want.Body = nil, nil
		}
		if m.Type != want.Type || m.Flags != want.Flags || serial != want.Serial() || !reflect.DeepEqual(m.Headers, want.Headers) || !reflect.DeepEqual(m.Body, want.Body) {
			t.Errorf("%q is %+v; want %+v", data, m, want)
		}
	})
}

// Messages that come together, in pieces and with descriptors are told apart.
func TestMessagesInOneRead(t *testing.T) {
	var all []byte
	for k := range 50 {
		m := args(strings.Repeat("x", 1+k*400))
		whole, _, _, err := theirs(t, m)
		if err != nil {
			t.Fatal(err)
		}
		binary.NativeEndian.PutUint32(whole[8:], uint32(k+1))
		all = append(all, whole...)
	}
	for _, piece := range []int{1, 7, 4096, 5000, len(all)} {
		a, b := streams(t)
		go func() { // ends when all is written
			for rest := all; len(rest) > 0; {
				n := min(piece, len(rest))
				if _, err := a.conn().Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		}()
		for k := range 50 {
			m, err := b.read()
			if err != nil {
				t.Fatalf("pieces of %d, message %d: %v", piece, k, err)
			}
			if m.serial != uint32(k+1) || len(m.Body[0].(string)) != 1+k*400 {
				t.Fatalf("pieces of %d: message %d is %d, of %d bytes", piece, k, m.serial, len(m.Body[0].(string)))
			}
		}
		if len(b.in) != 0 || cap(b.buf) > readAhead {
			t.Errorf("pieces of %d: %d bytes are left, the buffer has %d", piece, len(b.in), cap(b.buf))
		}
	}
}

// Each message gets the descriptors that it says it has, also when several come at once;
// those of no message are a mistake of the peer's, and closed.
func TestDescriptorsOfMessages(t *testing.T) {
	a, b := streams(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for k := range 3 {
		values := []any{"none"}
		for range k {
			values = append(values, dbus.UnixFD(w.Fd()))
		}
		if _, err := a.send(args(values...), nil); err != nil {
			t.Fatal(err)
		}
	}
	go a.writeLoop() // ends with the stream
	for k := range 3 {
		m, err := b.read()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.fds) != k || len(m.Body) != 1+k {
			t.Errorf("message %d has %d descriptors and %d values", k, len(m.fds), len(m.Body))
		}
		m.closeFDs()
	}
	whole, _, _, err := theirs(t, args("none"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.conn().WriteMsgUnix(whole, unix.UnixRights(int(w.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	if m, err := b.read(); !errors.Is(err, errProtocol) {
		t.Errorf("a descriptor of no message: %+v, %v", m, err)
	}
	b.forsake()
	// One that is said to come and does not.
	c, d := streams(t)
	m := args("none")
	m.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(1))
	if whole, _, _, err = theirs(t, m); err != nil {
		t.Fatal(err)
	}
	if _, err := c.conn().Write(whole); err != nil {
		t.Fatal(err)
	}
	if m, err := d.read(); !errors.Is(err, errProtocol) {
		t.Errorf("a descriptor that did not come: %+v, %v", m, err)
	}
	a.close(errClosed)
	w.Close()
	if _, err := unix.Read(int(r.Fd()), make([]byte, 1)); err != nil {
		t.Errorf("the pipe has another writer: %v", err)
	}
}

// What is read may end one message and begin the next: each of the two may have as many
// descriptors as a message can have.
func TestDescriptorsOfTwoMessages(t *testing.T) {
	a, b := streams(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// The first read ends within the second message.
	counts := []int{0, MaxFDs, MaxFDs}
	for k, n := range counts {
		list := make([]dbus.UnixFD, n)
		for i := range list {
			list[i] = dbus.UnixFD(w.Fd())
		}
		m := args(strings.Repeat("x", []int{readAhead / 2, readAhead / 4, 1}[k]), list)
		m.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(n))
		whole, _, fds, err := theirs(t, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.conn().WriteMsgUnix(whole, unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
	}
	for k, n := range counts {
		m, err := b.read()
		if err != nil {
			t.Fatalf("message %d: %v", k, err)
		}
		if len(m.fds) != n {
			t.Errorf("message %d has %d descriptors, want %d", k, len(m.fds), n)
		}
		m.closeFDs()
	}
}
