package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

// What is sent is written here, and not by godbus, whose encoder goes through a writer and
// reflection for each byte: an answer took longer to encode than to find. A test holds
// the two together, byte for byte.

// encoder appends values as they are on the wire (D-Bus specification, "Marshaling"). The
// slice must begin at a multiple of 8 of the message.
type encoder struct {
	b []byte
	// fds are descriptors among the values, which are numbered on the wire.
	fds []int
}

// maxArray bounds an array in bytes (D-Bus specification).
const maxArray = 1 << 26

// errors of values that cannot be sent.
var (
	errTooDeep = errors.New("a value is nested too deeply")
	errText    = errors.New("a text is not UTF-8 or has a zero byte in it")
)

func (e *encoder) align(n int) {
	for len(e.b)%n != 0 {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) u32(v uint32) {
	e.align(4)
	e.b = binary.NativeEndian.AppendUint32(e.b, v)
}

func (e *encoder) u64(v uint64) {
	e.align(8)
	e.b = binary.NativeEndian.AppendUint64(e.b, v)
}

func (e *encoder) bool(v bool) {
	if v {
		e.u32(1)
		return
	}
	e.u32(0)
}

// raw is text that is known to be valid.
func (e *encoder) raw(s string) {
	e.u32(uint32(len(s)))
	e.b = append(append(e.b, s...), 0)
}

func (e *encoder) text(s string) error {
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return errText
	}
	e.raw(s)
	return nil
}

func (e *encoder) path(p dbus.ObjectPath) error {
	if !validPath(string(p)) {
		return fmt.Errorf("%q is no object path", string(p))
	}
	e.raw(string(p))
	return nil
}

func (e *encoder) signature(s string) {
	e.b = append(append(append(e.b, byte(len(s))), s...), 0)
}

// array writes an array whose elements f writes, which are aligned to n.
func (e *encoder) array(n int, f func() error) error {
	e.u32(0)
	length := len(e.b) - 4
	e.align(n)
	begin := len(e.b)
	if err := f(); err != nil {
		return err
	}
	if len(e.b)-begin > maxArray {
		return errors.New("an array is too long")
	}
	native.PutUint32(e.b[length:], uint32(len(e.b)-begin))
	return nil
}

// value writes what most values are without a look at their types.
func (e *encoder) value(v any, depth int) error {
	if depth > maxValueDepth {
		return errTooDeep
	}
	switch x := v.(type) {
	case string:
		return e.text(x)
	case bool:
		e.bool(x)
	case uint32:
		e.u32(x)
	case uint64:
		e.u64(x)
	case int32:
		e.u32(uint32(x))
	case dbus.ObjectPath:
		return e.path(x)
	case []string:
		return e.array(4, func() error {
			for _, s := range x {
				if err := e.text(s); err != nil {
					return err
				}
			}
			return nil
		})
	case dbus.Variant:
		return e.variant(x, depth)
	case []entry:
		return e.array(8, func() error {
			for _, x := range x {
				e.align(8)
				if err := e.text(x.Name); err != nil {
					return err
				}
				if err := e.variant(x.Value, depth+2); err != nil {
					return err
				}
			}
			return nil
		})
	default:
		return e.reflect(reflect.ValueOf(v), depth)
	}
	return nil
}

func (e *encoder) variant(v dbus.Variant, depth int) error {
	e.signature(v.Signature().String())
	return e.value(v.Value(), depth+1)
}

var (
	variantType   = reflect.TypeFor[dbus.Variant]()
	signatureType = reflect.TypeFor[dbus.Signature]()
	pathType      = reflect.TypeFor[dbus.ObjectPath]()
	fdType        = reflect.TypeFor[dbus.UnixFD]()
)

// alignment is that of values of a type.
func alignment(t reflect.Type) int {
	switch t {
	case variantType, signatureType:
		return 1
	}
	switch t.Kind() {
	case reflect.Uint8:
		return 1
	case reflect.Uint16, reflect.Int16:
		return 2
	case reflect.Uint64, reflect.Int64, reflect.Float64, reflect.Struct:
		return 8
	case reflect.Pointer:
		return alignment(t.Elem())
	case reflect.Interface:
		return 1 // a variant
	}
	return 4
}

// maxValueDepth is how deep values may be nested (D-Bus specification).
const maxValueDepth = 64

// reflect writes any value that has a signature.
func (e *encoder) reflect(v reflect.Value, depth int) error {
	if depth > maxValueDepth {
		return errTooDeep
	}
	switch v.Kind() {
	case reflect.Uint8:
		e.b = append(e.b, byte(v.Uint()))
	case reflect.Bool:
		e.bool(v.Bool())
	case reflect.Int16:
		e.align(2)
		e.b = binary.NativeEndian.AppendUint16(e.b, uint16(v.Int()))
	case reflect.Uint16:
		e.align(2)
		e.b = binary.NativeEndian.AppendUint16(e.b, uint16(v.Uint()))
	case reflect.Int, reflect.Int32:
		if v.Type() == fdType {
			e.u32(uint32(len(e.fds)))
			e.fds = append(e.fds, int(v.Int()))
			break
		}
		e.u32(uint32(v.Int()))
	case reflect.Uint, reflect.Uint32:
		e.u32(uint32(v.Uint()))
	case reflect.Int64:
		e.u64(uint64(v.Int()))
	case reflect.Uint64:
		e.u64(v.Uint())
	case reflect.Float64:
		e.u64(math.Float64bits(v.Float()))
	case reflect.String:
		if v.Type() == pathType {
			return e.path(dbus.ObjectPath(v.String()))
		}
		return e.text(v.String())
	case reflect.Pointer:
		return e.reflect(v.Elem(), depth)
	case reflect.Interface:
		return e.variant(dbus.MakeVariant(v.Interface()), depth)
	case reflect.Slice, reflect.Array:
		return e.array(alignment(v.Type().Elem()), func() error {
			for i := range v.Len() {
				if err := e.reflect(v.Index(i), depth+1); err != nil {
					return err
				}
			}
			return nil
		})
	case reflect.Map:
		return e.array(8, func() error {
			for m := v.MapRange(); m.Next(); {
				e.align(8)
				if err := e.reflect(m.Key(), depth+2); err != nil {
					return err
				}
				if err := e.reflect(m.Value(), depth+2); err != nil {
					return err
				}
			}
			return nil
		})
	case reflect.Struct:
		switch t := v.Type(); t {
		case signatureType:
			e.signature(v.Interface().(dbus.Signature).String())
		case variantType:
			return e.variant(v.Interface().(dbus.Variant), depth)
		default:
			e.align(8)
			for i := range t.NumField() {
				if f := t.Field(i); f.IsExported() && f.Tag.Get("dbus") != "-" {
					if err := e.reflect(v.Field(i), depth+1); err != nil {
						return err
					}
				}
			}
		}
	default:
		return fmt.Errorf("a %v cannot be sent", v.Type())
	}
	return nil
}

// body writes arguments.
func (e *encoder) body(values []any) error {
	for _, v := range values {
		if err := e.value(v, 0); err != nil {
			return err
		}
	}
	return nil
}

// fieldSignatures are the types of header fields (D-Bus specification, "Header Fields").
var fieldSignatures = [...]string{dbus.FieldPath: "o", dbus.FieldInterface: "s", dbus.FieldMember: "s", dbus.FieldErrorName: "s",
	dbus.FieldReplySerial: "u", dbus.FieldDestination: "s", dbus.FieldSender: "s", dbus.FieldSignature: "g", dbus.FieldUnixFDs: "u"}

// header writes everything before the body of a message. The serial, at byte 8, is left 0.
func (e *encoder) header(m *dbus.Message, body int) error {
	order := byte('l')
	if native.Uint16([]byte{1, 0}) != 1 {
		order = 'B'
	}
	e.b = append(e.b, order, byte(m.Type), byte(m.Flags), 1)
	e.u32(uint32(body))
	e.u32(0)
	err := e.array(8, func() error {
		for f := dbus.FieldPath; f <= dbus.FieldUnixFDs; f++ {
			v, ok := m.Headers[f]
			if !ok {
				continue
			}
			e.align(8)
			e.b = append(e.b, byte(f))
			e.signature(fieldSignatures[f])
			switch x := v.Value().(type) {
			case dbus.ObjectPath:
				if err := e.path(x); err != nil {
					return err
				}
			case dbus.Signature:
				e.signature(x.String())
			case uint32:
				e.u32(x)
			case string:
				switch {
				case (f == dbus.FieldInterface || f == dbus.FieldErrorName) && !validInterface(x):
					return fmt.Errorf("%q is no name of an interface or error", x)
				case f == dbus.FieldMember && !validMember(x):
					return fmt.Errorf("%q is no name of a member", x)
				}
				if err := e.text(x); err != nil {
					return err
				}
			}
		}
		return nil
	})
	e.align(8)
	return err
}

// simple are the signatures of the values that most properties have.
func simple(v any) (dbus.Signature, bool) {
	switch v.(type) {
	case string:
		return sigString, true
	case uint32:
		return sigUint32, true
	case uint64:
		return sigUint64, true
	case int32:
		return sigInt32, true
	case bool:
		return sigBool, true
	case []string:
		return sigStrings, true
	case dbus.Variant:
		return sigVariant, true
	}
	return dbus.Signature{}, false
}

// byType are the signatures of all other types that were sent, of which a program has a
// few dozen: dbus.SignatureOf takes longer than to send the value.
var byType sync.Map // reflect.Type to dbus.Signature

// signature is that of one value.
func signature(v any) dbus.Signature {
	if s, ok := simple(v); ok {
		return s
	}
	t := reflect.TypeOf(v)
	if s, ok := byType.Load(t); ok {
		return s.(dbus.Signature)
	}
	s := dbus.SignatureOf(v)
	byType.Store(t, s)
	return s
}

// signatureOf is that of all of them.
func signatureOf(values ...any) string {
	if len(values) == 1 {
		return signature(values[0]).String()
	}
	return dbus.SignatureOf(values...).String()
}

// What names are valid is in the D-Bus specification, "Valid Names" and "Valid Object Paths".

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9'
}

func validMember(s string) bool {
	if s == "" || len(s) > 255 || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

func validInterface(s string) bool {
	if len(s) > 255 {
		return false
	}
	parts := 0
	for more := true; more; parts++ {
		var part string
		if part, s, more = strings.Cut(s, "."); !validMember(part) {
			return false
		}
	}
	return parts > 1
}

func validPath(s string) bool {
	if s == "" || s[0] != '/' || len(s) > 1 && s[len(s)-1] == '/' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] == '/' && s[i-1] == '/' || s[i] != '/' && !nameByte(s[i]) {
			return false
		}
	}
	return true
}
