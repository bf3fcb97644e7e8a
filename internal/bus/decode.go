package bus

import (
	"github.com/godbus/dbus/v5"
)

// plain reads a message of this machine's byte order that has only simple values, which is
// what nearly all calls, answers of the bus and its signals are; ok is false for any other,
// and for whatever is not quite right: godbus decides about those. A test holds the two
// together.
func plain(data []byte) (m *dbus.Message, serial uint32, ok bool) {
	little := native.Uint16([]byte{1, 0}) == 1
	if len(data) < 16 || little != (data[0] == 'l') || data[3] != 1 {
		return nil, 0, false
	}
	m = &dbus.Message{Type: dbus.Type(data[1]), Flags: dbus.Flags(data[2])}
	if m.Type < dbus.TypeMethodCall || m.Type > dbus.TypeSignal || m.Flags&^(dbus.FlagNoReplyExpected|dbus.FlagNoAutoStart|dbus.FlagAllowInteractiveAuthorization) != 0 {
		return nil, 0, false
	}
	serial = native.Uint32(data[8:])
	// Lengths were checked by who read so many bytes, and are checked again here.
	body, fields := uint64(native.Uint32(data[4:])), uint64(native.Uint32(data[12:]))
	begin := (16 + fields + 7) &^ 7
	if begin+body != uint64(len(data)) {
		return nil, 0, false
	}
	d := decoder{data: data[:16+fields], at: 16, ok: true}
	m.Headers = make(map[dbus.HeaderField]dbus.Variant, 8)
	for d.ok && d.at < len(d.data) {
		d.align(8)
		f := dbus.HeaderField(d.byte())
		if f < dbus.FieldPath || f > dbus.FieldUnixFDs || d.signature() != fieldSignatures[f] {
			return nil, 0, false
		}
		switch f {
		case dbus.FieldPath:
			p := d.text()
			d.ok = d.ok && validPath(p)
			m.Headers[f] = dbus.MakeVariantWithSignature(dbus.ObjectPath(p), sigPath)
		case dbus.FieldReplySerial, dbus.FieldUnixFDs:
			m.Headers[f] = dbus.MakeVariantWithSignature(d.u32(), sigUint32)
		case dbus.FieldSignature:
			s, err := known(d.signature())
			d.ok = d.ok && err == nil
			m.Headers[f] = dbus.MakeVariantWithSignature(s, sigSignature)
		default:
			s := d.text()
			switch f {
			case dbus.FieldInterface, dbus.FieldErrorName:
				d.ok = d.ok && validInterface(s)
			case dbus.FieldMember:
				d.ok = d.ok && validMember(s)
			}
			m.Headers[f] = dbus.MakeVariantWithSignature(s, sigString)
		}
	}
	has := func(f dbus.HeaderField) bool { _, there := m.Headers[f]; return there }
	switch m.Type {
	case dbus.TypeMethodCall:
		d.ok = d.ok && has(dbus.FieldPath) && has(dbus.FieldMember)
	case dbus.TypeMethodReply:
		d.ok = d.ok && has(dbus.FieldReplySerial)
	case dbus.TypeError:
		d.ok = d.ok && has(dbus.FieldReplySerial) && has(dbus.FieldErrorName)
	case dbus.TypeSignal:
		d.ok = d.ok && has(dbus.FieldPath) && has(dbus.FieldInterface) && has(dbus.FieldMember)
	}
	if !d.ok {
		return nil, 0, false
	}
	sig, _ := m.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	d = decoder{data: data[begin:], ok: true}
	if text := sig.String(); text != "" {
		m.Body = make([]any, 0, len(text))
		for i := range len(text) {
			switch text[i] {
			case 's':
				m.Body = append(m.Body, d.text())
			case 'o': // as godbus, which looks at no path in a body
				m.Body = append(m.Body, dbus.ObjectPath(d.text()))
			case 'u':
				m.Body = append(m.Body, d.u32())
			case 'b':
				n := d.u32()
				d.ok = d.ok && n <= 1
				m.Body = append(m.Body, n == 1)
			default:
				return nil, 0, false
			}
		}
	}
	if !d.ok || d.at != len(d.data) {
		return nil, 0, false
	}
	return m, serial, true
}

var (
	sigString    = dbus.SignatureOf("")
	sigUint32    = dbus.SignatureOf(uint32(0))
	sigUint64    = dbus.SignatureOf(uint64(0))
	sigInt32     = dbus.SignatureOf(int32(0))
	sigBool      = dbus.SignatureOf(false)
	sigStrings   = dbus.SignatureOf([]string{})
	sigVariant   = dbus.SignatureOf(dbus.Variant{})
	sigPath      = dbus.SignatureOf(dbus.ObjectPath("/"))
	sigSignature = dbus.SignatureOf(dbus.Signature{})
	// common are signatures that need not be parsed again.
	common = func() map[string]dbus.Signature {
		out := map[string]dbus.Signature{}
		for _, s := range []string{"", "s", "ss", "sss", "u", "su", "b", "sb", "o", "v", "a{sv}", "sa{sv}as", "a(ssssssouso)"} {
			out[s] = dbus.ParseSignatureMust(s)
		}
		return out
	}()
)

func known(text string) (dbus.Signature, error) {
	if s, ok := common[text]; ok {
		return s, nil
	}
	return dbus.ParseSignature(text)
}

// decoder reads simple values; ok is false once something was not there or not right.
type decoder struct {
	data []byte
	at   int
	ok   bool
}

// take is the next n bytes.
func (d *decoder) take(n int) []byte {
	if !d.ok || n < 0 || n > len(d.data)-d.at {
		d.ok = false
		return nil
	}
	d.at += n
	return d.data[d.at-n : d.at]
}

func (d *decoder) align(n int) { d.take(-d.at & (n - 1)) }

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) u32() uint32 {
	d.align(4)
	if b := d.take(4); b != nil {
		return native.Uint32(b)
	}
	return 0
}

// upTo is text of n bytes and a zero byte after it.
func (d *decoder) upTo(n int) string {
	b := d.take(n)
	if end := d.take(1); end == nil || end[0] != 0 {
		d.ok = false
		return ""
	}
	return string(b)
}

func (d *decoder) text() string {
	n := d.u32()
	if uint64(n) > uint64(len(d.data)) {
		d.ok = false
		return ""
	}
	return d.upTo(int(n))
}

func (d *decoder) signature() string { return d.upTo(int(d.byte())) }
