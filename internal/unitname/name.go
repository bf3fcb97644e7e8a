package unitname

import (
	"fmt"
	"strings"
)

// MaxLength is the longest permitted name in bytes, suffix included
// (systemd.unit(5), "Description").
const MaxLength = 255

// NameError says why a string is not a unit name. Offset is the byte at which
// the trouble starts.
type NameError struct {
	Name   string
	Offset int
	Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("unit name %q: byte %d: %s", e.Name, e.Offset, e.Reason)
}

// Name is a unit name taken apart. Plain units have no instance and are no
// template; instances have an Instance; templates have Template set.
type Name struct {
	Prefix   string
	Instance string
	Type     Type
	Template bool
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == ':' || c == '-' || c == '_' || c == '.' || c == '\\'
}

// Parse takes a unit name apart (systemd.unit(5), "Description"). The first
// "@" separates prefix from instance; the instance itself may contain further
// "@" characters, as every systemd accepts ("a@b@c.service" has the instance
// "b@c").
func Parse(s string) (Name, error) {
	fail := func(off int, reason string) (Name, error) {
		return Name{}, &NameError{Name: s, Offset: off, Reason: reason}
	}
	if s == "" {
		return fail(0, "empty")
	}
	if len(s) > MaxLength {
		return fail(MaxLength, fmt.Sprintf("longer than %d bytes", MaxLength))
	}
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return fail(len(s), "no type suffix such as .service")
	}
	at := -1
	for i := 0; i < dot; i++ {
		switch {
		case s[i] == '@':
			if at < 0 {
				at = i
			}
		case !nameByte(s[i]):
			return fail(i, fmt.Sprintf("invalid character %q", s[i:i+1]))
		}
	}
	t, err := ParseType(s[dot+1:])
	if err != nil {
		return fail(dot+1, err.Error())
	}
	n := Name{Prefix: s[:dot], Type: t}
	if at >= 0 {
		n.Prefix, n.Instance = s[:at], s[at+1:dot]
		n.Template = n.Instance == ""
	}
	if n.Prefix == "" {
		return fail(0, "no prefix before the first \"@\" or \".\"")
	}
	return n, nil
}

// Valid tells whether s is a unit name: plain, instance or template.
func Valid(s string) bool {
	_, err := Parse(s)
	return err == nil
}

// String puts the name together again; String of a parsed name is the string
// that was parsed.
func (n Name) String() string {
	return n.WithoutSuffix() + "." + n.Type.String()
}

// WithoutSuffix is the name without its dot and type ("%N").
func (n Name) WithoutSuffix() string {
	if n.Template || n.Instance != "" {
		return n.Prefix + "@" + n.Instance
	}
	return n.Prefix
}

// IsTemplate tells whether the name is a template such as "getty@.service".
func (n Name) IsTemplate() bool { return n.Template }

// IsInstance tells whether the name is an instance such as
// "getty@tty1.service".
func (n Name) IsInstance() bool { return n.Instance != "" }

// WithInstance makes an instance of the template, or another instance of the
// same template. The instance must already be escaped.
func (n Name) WithInstance(instance string) (Name, error) {
	if !n.Template && n.Instance == "" {
		return Name{}, &NameError{Name: n.String(), Offset: len(n.Prefix), Reason: "not a template"}
	}
	if instance == "" {
		return Name{}, &NameError{Name: n.String(), Offset: len(n.Prefix) + 1, Reason: "empty instance"}
	}
	n.Instance, n.Template = instance, false
	return Parse(n.String())
}

// TemplateName is the name of the template of an instance (or of a template),
// and "" for a plain name.
func (n Name) TemplateName() string {
	if !n.Template && n.Instance == "" {
		return ""
	}
	return n.Prefix + "@." + n.Type.String()
}
