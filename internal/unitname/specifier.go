package unitname

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownSpecifier is what a SpecifierSource returns for a letter that it
// does not know.
var ErrUnknownSpecifier = errors.New("unknown specifier")

// SpecifierSource answers a specifier letter. For a letter that it does not
// know it returns ErrUnknownSpecifier; any other error means that the
// specifier is known and cannot be resolved.
type SpecifierSource func(spec byte) (string, error)

// SpecifierError names the specifier that could not be expanded and the byte
// offset of its "%".
type SpecifierError struct {
	Spec   byte
	Offset int
	Err    error
}

func (e *SpecifierError) Error() string {
	return fmt.Sprintf("specifier %q at byte %d: %v", "%"+string(rune(e.Spec)), e.Offset, e.Err)
}

func (e *SpecifierError) Unwrap() error { return e.Err }

// Expand replaces the specifiers in s (systemd.unit(5), "Specifiers"). "%%" is
// a single percent sign; a percent sign before anything but an ASCII letter or
// digit, or at the end, stands for itself (recorded from systemd 252). Values
// are not expanded again.
func Expand(s string, src SpecifierSource) (string, error) {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		c := s[i+1]
		if c == '%' {
			b.WriteByte('%')
			i++
			continue
		}
		if !alphanumeric(c) {
			b.WriteByte('%')
			continue
		}
		if src == nil {
			return "", &SpecifierError{c, i, ErrUnknownSpecifier}
		}
		v, err := src(c)
		if err != nil {
			return "", &SpecifierError{c, i, err}
		}
		b.WriteString(v)
		i++
	}
	return b.String(), nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// UnitSpecifiers answers the specifiers that follow from the unit name alone:
// %n %N %p %P %i %I %j %J %f. Its second result is false for every other
// letter and for one whose value cannot be unescaped; NameSource tells these
// two apart.
func UnitSpecifiers(n Name) func(spec byte) (string, bool) {
	src := NameSource(n, nil)
	return func(spec byte) (string, bool) {
		v, err := src(spec)
		return v, err == nil
	}
}

// NameSource is the SpecifierSource of UnitSpecifiers: it answers the letters
// that follow from the name, with the error of a failed unescape, and asks
// next (which may be nil) for all the others.
func NameSource(n Name, next SpecifierSource) SpecifierSource {
	return func(spec byte) (string, error) {
		last := n.Prefix[strings.LastIndexByte(n.Prefix, '-')+1:]
		switch spec {
		case 'n':
			return n.String(), nil
		case 'N':
			return n.WithoutSuffix(), nil
		case 'p':
			return n.Prefix, nil
		case 'P':
			return Unescape(n.Prefix)
		case 'i':
			return n.Instance, nil
		case 'I':
			return Unescape(n.Instance)
		case 'j':
			return last, nil
		case 'J':
			return Unescape(last)
		case 'f':
			if n.Instance != "" {
				return UnescapePath(n.Instance)
			}
			return UnescapePath(n.Prefix)
		}
		if next == nil {
			return "", ErrUnknownSpecifier
		}
		return next(spec)
	}
}

// A Specifier is one row of the table in systemd.unit(5), "Specifiers".
type Specifier struct {
	Letter  byte
	Meaning string
	// FromName: the value follows from the unit name (see UnitSpecifiers).
	FromName bool
	// Deprecated: no longer documented, but still accepted by systemd 252.
	Deprecated bool
}

// Specifiers lists every specifier, sorted by letter without regard to case.
var Specifiers = []Specifier{
	{Letter: 'a', Meaning: "architecture, as in ConditionArchitecture="},
	{Letter: 'A', Meaning: "IMAGE_VERSION= of os-release, or empty"},
	{Letter: 'b', Meaning: "boot ID"},
	{Letter: 'B', Meaning: "BUILD_ID= of os-release, or empty"},
	{Letter: 'c', Meaning: "control group path of the unit", Deprecated: true},
	{Letter: 'C', Meaning: "cache directory root: /var/cache or $XDG_CACHE_HOME"},
	{Letter: 'd', Meaning: "credentials directory: $CREDENTIALS_DIRECTORY"},
	{Letter: 'D', Meaning: "shared data directory: /usr/share or $XDG_DATA_HOME (not known to systemd 252)"},
	{Letter: 'E', Meaning: "configuration directory root: /etc or $XDG_CONFIG_HOME"},
	{Letter: 'f', Meaning: "instance, else prefix, unescaped as an absolute path", FromName: true},
	{Letter: 'g', Meaning: "name of the group that runs the manager"},
	{Letter: 'G', Meaning: "GID of the group that runs the manager"},
	{Letter: 'h', Meaning: "home directory of the user that runs the manager"},
	{Letter: 'H', Meaning: "host name"},
	{Letter: 'i', Meaning: "instance name, or empty", FromName: true},
	{Letter: 'I', Meaning: "instance name, unescaped", FromName: true},
	{Letter: 'j', Meaning: "final component of the prefix, after its last \"-\"", FromName: true},
	{Letter: 'J', Meaning: "final component of the prefix, unescaped", FromName: true},
	{Letter: 'l', Meaning: "short host name, up to the first dot"},
	{Letter: 'L', Meaning: "log directory root: /var/log or $XDG_CONFIG_HOME/log"},
	{Letter: 'm', Meaning: "machine ID"},
	{Letter: 'M', Meaning: "IMAGE_ID= of os-release, or empty"},
	{Letter: 'n', Meaning: "full unit name", FromName: true},
	{Letter: 'N', Meaning: "full unit name without the type suffix", FromName: true},
	{Letter: 'o', Meaning: "ID= of os-release"},
	{Letter: 'p', Meaning: "prefix name, before the first \"@\"", FromName: true},
	{Letter: 'P', Meaning: "prefix name, unescaped", FromName: true},
	{Letter: 'q', Meaning: "pretty host name of machine-info, or the short host name"},
	{Letter: 'r', Meaning: "control group path of the unit's slice", Deprecated: true},
	{Letter: 'R', Meaning: "root of the control group tree of the manager", Deprecated: true},
	{Letter: 's', Meaning: "shell of the user that runs the manager"},
	{Letter: 'S', Meaning: "state directory root: /var/lib or $XDG_STATE_HOME"},
	{Letter: 't', Meaning: "runtime directory root: /run or $XDG_RUNTIME_DIR"},
	{Letter: 'T', Meaning: "directory for temporary files: /tmp or $TMPDIR, $TEMP, $TMP"},
	{Letter: 'u', Meaning: "name of the user that runs the manager"},
	{Letter: 'U', Meaning: "UID of the user that runs the manager"},
	{Letter: 'v', Meaning: "kernel release, as uname -r"},
	{Letter: 'V', Meaning: "directory for larger and persistent temporary files: /var/tmp or $TMPDIR, $TEMP, $TMP"},
	{Letter: 'w', Meaning: "VERSION_ID= of os-release, or empty"},
	{Letter: 'W', Meaning: "VARIANT_ID= of os-release, or empty"},
	{Letter: 'y', Meaning: "path of the main unit file"},
	{Letter: 'Y', Meaning: "directory of the main unit file"},
	{Letter: '%', Meaning: "a single percent sign"},
}
