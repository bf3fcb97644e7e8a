package unitname

import "strings"

// Mangle turns what an operator types into a unit name, as systemctl(1)
// ("Parameter Syntax") and systemd-escape --mangle do: a valid name stays, an
// absolute path becomes a device or mount unit, everything else has its
// invalid characters escaped and the default suffix appended when it has none.
func Mangle(s string, defaultType Type) (string, error) {
	if s == "" {
		return "", &NameError{Name: s, Reason: "empty"}
	}
	if Valid(s) {
		return s, nil
	}
	if s[0] == '/' {
		if p, err := EscapePath(s); err == nil {
			t := Mount
			if strings.HasPrefix(p, "dev-") || strings.HasPrefix(p, "sys-") {
				t = Device
			}
			return FromPath(s, t)
		}
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '/':
			b.WriteByte('-')
		case c == '@' || nameByte(c):
			b.WriteByte(c)
		default:
			appendHex(&b, c)
		}
	}
	m := b.String()
	if Valid(m) {
		return m, nil
	}
	m += "." + defaultType.String()
	if _, err := Parse(m); err != nil {
		return "", err
	}
	return m, nil
}
