package child

import (
	"reflect"
	"testing"
)

// fillAll gives every field of a value something that is not zero, so that a field
// that the codec forgets is noticed.
func fillAll(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "\x00ü")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n%250 + 1))
	case reflect.Int32:
		v.SetInt(int64(-*n))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, byte(*n), 255})
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fillAll(t, v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillAll(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a field of kind %s: teach the test about it", v.Kind())
	}
}

func TestCodecCarriesEveryField(t *testing.T) {
	var s Spec
	n := 0
	fillAll(t, reflect.ValueOf(&s).Elem(), &n)
	got, err := Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, s) {
		t.Errorf("Decode(Encode(s)) =\n%+v; want\n%+v", *got, s)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := (&Spec{Path: "/bin/true", Argv: []string{"true"}}).Encode()
	huge := append([]byte(nil), good[:len(magic)+4+len("/bin/true")]...)
	huge = append(huge, 0xff, 0xff, 0, 0) // 65535 arguments in no bytes
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"another version":   append([]byte("dynmchd\x01"), good[len(magic):]...),
		"a half":            good[:len(good)/2],
		"more than all":     append(append([]byte(nil), good...), 0),
		"a count too large": huge,
		"too much":          make([]byte, MaxSpec+1),
	} {
		if s, err := Decode(b); err == nil {
			t.Errorf("%s: Decode = %+v; want an error", name, s)
		}
	}
}

// What can be decoded encodes to the same bytes: there is one form of each spec.
func FuzzSpec(f *testing.F) {
	f.Add((&Spec{}).Encode())
	f.Add((&Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", "exit 3"}, Env: []string{"A=b"}, FDs: []int32{3, 9},
		Dirs: []Dir{{Path: "/run/x", Links: []string{"/run/y"}}}, Ids: Ids{SetUID: true, Groups: []uint32{1, 2}},
		Credentials: Credentials{Path: "/c", Items: []Credential{{ID: "a", Data: []byte("secret")}}}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		if again := s.Encode(); string(again) != string(b) {
			t.Errorf("Encode(Decode(%q)) = %q", b, again)
		}
	})
}

func FuzzReport(f *testing.F) {
	f.Add([]byte("E"))
	f.Add(append([]byte("F"), (&StageError{Stage: "user", Errno: 1, Path: "/x"}).encode()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		executed, e := ParseReport(b)
		if executed && e != nil {
			t.Errorf("ParseReport(%q) = executed and %v", b, e)
		}
		if e == nil {
			return
		}
		_, again := ParseReport(append([]byte{reportFailure}, e.encode()...))
		if again == nil || *again != *e {
			t.Errorf("the report %v comes back as %v", e, again)
		}
	})
}
