package frame

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// recorded are the frames of testdata/frames.tsv, made by the original's encoder.
func recorded(t testing.TB) map[string][]byte {
	data, err := os.ReadFile("testdata/frames.tsv")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for line := range strings.Lines(string(data)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if out[name], err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) != 24 {
		t.Fatalf("%d recorded frames; want 24", len(out))
	}
	return out
}

// value reads any value the way msgpack.Unmarshal does.
func value(r *Reader) any {
	switch r.Peek() {
	case Nil:
		r.Nil()
		return nil
	case Bool:
		return r.Bool()
	case Int:
		save := *r
		if v := r.Uint(math.MaxUint64); r.Err() == nil {
			return v
		}
		*r = save
		return r.Int(math.MinInt64, math.MaxInt64)
	case Str:
		return string(r.Str(MaxPayload))
	case Map:
		m := map[string]any{}
		for range r.Map() {
			k := string(r.Str(MaxPayload))
			m[k] = value(r)
		}
		return m
	case Array:
		a := []any{}
		for range r.Array() {
			a = append(a, value(r))
		}
		return a
	}
	r.Fail(WrongType)
	return nil
}

// normal makes the library's integers uniform.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	default:
		switch r := reflect.ValueOf(v); {
		case r.CanInt() && r.Int() < 0:
			return r.Int()
		case r.CanInt():
			return uint64(r.Int())
		case r.CanUint():
			return r.Uint()
		}
	}
	return v
}

func TestRecordedFrames(t *testing.T) {
	for name, raw := range recorded(t) {
		payload, n, err := Next(raw, MaxPayload)
		if err != nil || n != len(raw) {
			t.Errorf("%s: Next took %d of %d bytes: %v", name, n, len(raw), err)
			continue
		}
		var want any
		if err := msgpack.Unmarshal(payload, &want); err != nil {
			t.Fatal(err)
		}
		r := NewReader(payload)
		if got := value(&r); r.End() != nil || !reflect.DeepEqual(got, normal(want)) {
			t.Errorf("%s: read %v (%v); want %v", name, got, r.End(), want)
		}
		e, err := Open(payload)
		if err != nil {
			t.Errorf("%s: Open: %v", name, err)
			continue
		}
		out := BeginMessage(nil, &e)
		if e.Fields == nil {
			out = AppendStr(out, e.Variant)
		} else {
			out = append(AppendStr(AppendMap(out, 1), e.Variant), e.Fields...)
		}
		if out, err = End(out, 0); err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%s: written again: %x (%v); want %x", name, out, err, raw)
		}
	}
}

func TestNumbersAreSmallest(t *testing.T) {
	var edges []int64
	for bit := range 63 {
		for d := int64(-2); d <= 2; d++ {
			edges = append(edges, 1<<bit+d, -(1<<bit)+d)
		}
	}
	edges = append(edges, math.MaxInt64, math.MinInt64)
	for _, v := range edges {
		var want bytes.Buffer
		enc := msgpack.NewEncoder(&want)
		if err := enc.EncodeInt(v); err != nil {
			t.Fatal(err)
		}
		got := AppendInt(nil, v)
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("AppendInt(%d) = %x; the library writes %x", v, got, want.Bytes())
		}
		r := NewReader(got)
		if back := r.Int(math.MinInt64, math.MaxInt64); back != v || r.End() != nil {
			t.Errorf("Int(%x) = %d, %v; want %d", got, back, r.Err(), v)
		}
	}
	r := NewReader(AppendUint(nil, math.MaxUint64))
	if v := r.Uint(math.MaxUint64); v != math.MaxUint64 || r.End() != nil {
		t.Errorf("the largest number came back as %d", v)
	}
	r = NewReader(AppendUint(nil, math.MaxUint64))
	if r.Int(math.MinInt64, math.MaxInt64); r.Err() != OutOfRange {
		t.Errorf("Int of the largest unsigned number: %v; want out of range", r.Err())
	}
}

func TestSizes(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("x", n)
		want, _ := msgpack.Marshal(s)
		if got := AppendStr(nil, s); !bytes.Equal(got, want) {
			t.Errorf("AppendStr of %d bytes begins with %x; want %x", n, got[:6], want[:6])
		}
		r := NewReader(want)
		if got := r.Str(n); len(got) != n || r.End() != nil {
			t.Errorf("Str of %d bytes: %d, %v", n, len(got), r.Err())
		}
		if r = NewReader(want); n > 0 {
			if r.Str(n - 1); r.Err() != TooLong {
				t.Errorf("a text of %d bytes passes a limit of %d: %v", n, n-1, r.Err())
			}
		}
		list := append(AppendArray(nil, n), make([]byte, n)...)
		if r = NewReader(list); r.Array() != n || r.Err() != nil {
			t.Errorf("array of %d: %v", n, r.Err())
		}
		m := append(AppendMap(nil, n), make([]byte, 2*n)...)
		if r = NewReader(m); r.Map() != n || r.Err() != nil {
			t.Errorf("map of %d: %v", n, r.Err())
		}
	}
}

func TestNext(t *testing.T) {
	ping := "DM\x02\x00\x00\x00hi"
	for _, c := range []struct {
		in, payload string
		n           int
		err         error
	}{
		{"", "", 0, nil},
		{"D", "", 0, nil},
		{"DM\x02\x00", "", 0, nil},
		{"DM\x02\x00\x00\x00h", "", 0, nil},
		{ping, "hi", 8, nil},
		{ping + ping, "hi", 8, nil},
		{"xyz", "", 3, Garbage},
		{"xyzD", "", 3, Garbage},
		{"xDxDM", "", 3, Garbage},
		{"DDM", "", 1, Garbage},
		{"DM\x11\x00\x00\x00" + ping, "", 2, Oversize},
		{"DM\xff\xff\xff\xff", "", 2, Oversize},
		{"DM\x00\x00\x00\x00", "", 6, nil},
	} {
		p, n, err := Next([]byte(c.in), 16)
		if string(p) != c.payload || n != c.n || err != c.err && (err == nil) != (c.err == nil) {
			t.Errorf("Next(%q) = %q, %d, %v; want %q, %d, %v", c.in, p, n, err, c.payload, c.n, c.err)
		}
		if c.n == 6 && p == nil {
			t.Error("an empty payload looks like none")
		}
	}
}

// TestLies: what claims more than is there is refused before anything is sized by
// it.
func TestLies(t *testing.T) {
	for _, p := range []string{"\xdf\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff", "\xdb\xff\xff\xff\xffabc", "\xde\x00\x02\x01\x01\x01",
		"\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x01", "\x92\x01", "\x81\x01", "\xcf\x01", "\xa5abc", "\xc1", "\xd8\x01"} {
		r := NewReader([]byte(p))
		if r.Skip(); r.Err() == nil {
			t.Errorf("Skip(%x) is content", p)
		}
	}
	deep := strings.Repeat("\x91", 60000) + "\xc0"
	if r := NewReader([]byte(deep)); true {
		if r.Skip(); r.End() != nil {
			t.Errorf("60000 nested arrays: %v", r.Err())
		}
	}
}

func TestEnvelopeLeniency(t *testing.T) {
	// {"x": [1.5, b"z"], "body": {"V": [7]}, "kind": "Event", "id": 3}
	odd := "\x84\xa1x\x92\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc4\x01z\xa4body\x81\xa1V\x91\x07\xa4kind\xa5Event\xa2id\x03"
	e, err := Open([]byte(odd))
	if err != nil || e.ID != 3 || e.Form != Event || string(e.Variant) != "V" || string(e.Fields) != "\x91\x07" {
		t.Errorf("Open of another order = %+v, %v", e, err)
	}
	// [4, {"Response": [9]}, "V"]
	if e, err = Open([]byte("\x93\x04\x81\xa8Response\x91\x09\xa1V")); err != nil || e.ID != 4 || e.InReplyTo != 9 || e.Fields != nil {
		t.Errorf("Open of arrays = %+v, %v", e, err)
	}
	for _, bad := range []string{"", "\xc0", "\x80", "\x82\xa2id\x01\xa2id\x01", "\x92\x01\xa7Request",
		"\x93\x01\xa7Reqvest\xa1V", "\x93\x01\xa7Request\x80", "\x93\x01\xa7Request\x82\xa1V\x01\xa1W\x01", "\x93\xff\xa7Request\xa1V",
		"\x93\x01\xa7Request\xa1V\x00", "\x93\x04\x81\xa8Response\x90\xa1V"} {
		if e, err := Open([]byte(bad)); err == nil {
			t.Errorf("Open(%q) = %+v", bad, e)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	frames := recorded(t)
	buf := make([]byte, 0, 4096)
	var failed error
	n := testing.AllocsPerRun(100, func() {
		for _, raw := range frames {
			payload, _, err := Next(raw, MaxPayload)
			if err != nil {
				failed = err
			}
			e, err := Open(payload)
			if err != nil {
				failed = err
			}
			buf = append(AppendStr(BeginMessage(buf[:0], &e), e.Variant), e.Fields...)
			_, _, _ = Next(raw[3:], MaxPayload)
			_, _ = Open(payload[1:])
		}
	})
	if failed != nil || n != 0 {
		t.Errorf("%v allocations per run, %v; want none", n, failed)
	}
}

// FuzzOpen: whatever comes in, nothing panics or allocates beyond its size; what is
// understood reads the same when it is written again.
func FuzzOpen(f *testing.F) {
	for _, raw := range recorded(f) {
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
		f.Add(append([]byte("xDDM\xff\xff\xff\x7f"), raw...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		total := len(in)
		for steps := 0; ; steps++ {
			if steps > total {
				t.Fatal("Next does not get on")
			}
			payload, n, err := Next(in, MaxPayload)
			if n < 0 || n > len(in) || (payload != nil || err != nil) && n == 0 {
				t.Fatalf("Next uses %d of %d bytes", n, len(in))
			}
			if n == 0 {
				return
			}
			in = in[n:]
			e, err := Open(payload)
			if payload == nil || err != nil {
				continue
			}
			out := BeginMessage(nil, &e)
			if e.Fields == nil {
				out = AppendStr(out, e.Variant)
			} else {
				out = append(AppendStr(AppendMap(out, 1), e.Variant), e.Fields...)
			}
			if out, err = End(out, 0); err != nil {
				continue // the smallest form of a large, odd one may still be larger
			}
			again, err := Open(out[HeaderLen:])
			if err != nil || !reflect.DeepEqual(e, again) {
				t.Fatalf("%+v came back as %+v, %v", e, again, err)
			}
		}
	})
}

// FuzzSkip: Skip agrees with the library about where a value ends.
func FuzzSkip(f *testing.F) {
	f.Add([]byte("\x84\xa1x\x92\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc4\x01z\xa4body\x81\xa1V\x91\x07\xa4kind\xa5Event\xa2id\x03"))
	f.Add([]byte("\xd4\x01\x02\xc7\x03\x05abc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(in)
		r.Skip()
		if r.Err() != nil {
			return
		}
		if depth(in[:r.off]) > 1000 {
			return // the library calls itself
		}
		rest := bytes.NewReader(in)
		if err := msgpack.NewDecoder(rest).Skip(); err != nil {
			t.Skip("the library does not take it:", err)
		}
		if got := len(in) - rest.Len(); got != r.off {
			t.Fatalf("Skip(%x) takes %d bytes, the library %d", in, r.off, got)
		}
	})
}

// depth is an upper bound of how deeply p is nested.
func depth(p []byte) (n int) {
	for _, b := range p {
		if b >= 0x80 && b < 0xa0 || b >= 0xdc && b <= 0xdf {
			n++
		}
	}
	return n
}
