package locale

import (
	"strings"

	"dynamod/internal/envfile"
)

// Keyboard is both keyboards of a machine: that of the console, and that of the X server
// and whoever else speaks XKB.
type Keyboard struct {
	Keymap, Toggle string
	X11
}

// X11 is a keyboard of XKB (xkeyboard-config(7)).
type X11 struct{ Layout, Model, Variant, Options string }

// Read is the keyboard in the content of /etc/vconsole.conf, and of the X server's file
// when the first one has nothing of XKB.
func Read(vconsole, xorg string) Keyboard {
	list := envfile.Vars(vconsole)
	k := Keyboard{envfile.Get(list, "KEYMAP"), envfile.Get(list, "KEYMAP_TOGGLE"),
		X11{envfile.Get(list, "XKBLAYOUT"), envfile.Get(list, "XKBMODEL"), envfile.Get(list, "XKBVARIANT"), envfile.Get(list, "XKBOPTIONS")}}
	if k.X11 == (X11{}) {
		k.X11 = readXorg(xorg)
	}
	return k
}

// Write is the content of /etc/vconsole.conf with another keyboard. Other lines stay; ""
// means that the file is not needed.
func Write(vconsole string, k Keyboard) string {
	list := envfile.Vars(vconsole)
	for _, v := range []envfile.Var{{Name: "KEYMAP", Value: k.Keymap}, {Name: "KEYMAP_TOGGLE", Value: k.Toggle}, {Name: "XKBLAYOUT", Value: k.Layout},
		{Name: "XKBMODEL", Value: k.Model}, {Name: "XKBVARIANT", Value: k.Variant}, {Name: "XKBOPTIONS", Value: k.Options}} {
		list = envfile.Set(list, v.Name, v.Value)
	}
	return envfile.Render(list)
}

// MaxXKB bounds each part of a keyboard of XKB, in bytes.
const MaxXKB = 512

// Valid says that all parts are words of XKB. They go into files of the X server and of
// shells: nothing that means something there is let through.
func (x X11) Valid() bool {
	for _, s := range []string{x.Layout, x.Model, x.Variant, x.Options} {
		if len(s) > MaxXKB {
			return false
		}
		for i := range len(s) {
			c := s[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_+-:,()./", c) >= 0) {
				return false
			}
		}
	}
	return true
}

// options of the X server's file, in order.
func (x X11) options() [4][2]string {
	return [...][2]string{{"XkbLayout", x.Layout}, {"XkbModel", x.Model}, {"XkbVariant", x.Variant}, {"XkbOptions", x.Options}}
}

// Xorg is the X server's file for a keyboard that is Valid (xorg.conf(5), "InputClass"); ""
// means that none is needed.
func Xorg(x X11) string {
	if x == (X11{}) {
		return ""
	}
	var b strings.Builder
	b.WriteString("# Written by dynamod-hostnamed for localectl(1), which changes it.\nSection \"InputClass\"\n        Identifier \"system-keyboard\"\n        MatchIsKeyboard \"on\"\n")
	for _, o := range x.options() {
		if o[1] != "" {
			b.WriteString("        Option \"" + o[0] + "\" \"" + o[1] + "\"\n")
		}
	}
	b.WriteString("EndSection\n")
	return b.String()
}

// readXorg takes the options of the sections for keyboards out of the X server's file.
func readXorg(text string) X11 {
	var x, section X11
	in, keyboard := false, false
	for line := range strings.Lines(text) {
		f := quoted(line)
		if len(f) == 0 {
			continue
		}
		switch word := strings.ToLower(f[0]); {
		case word == "section":
			in, keyboard, section = len(f) == 2 && strings.EqualFold(f[1], "InputClass"), false, X11{}
		case word == "endsection":
			if in && keyboard && section.Valid() {
				x = section
			}
			in = false
		case in && word == "matchiskeyboard":
			keyboard = len(f) == 1 || isTrue(f[1])
		case in && word == "option" && len(f) == 3:
			switch strings.ToLower(f[1]) {
			case "xkblayout":
				section.Layout = f[2]
			case "xkbmodel":
				section.Model = f[2]
			case "xkbvariant":
				section.Variant = f[2]
			case "xkboptions":
				section.Options = f[2]
			}
		}
	}
	return x
}

func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "1", "on", "true", "yes":
		return true
	}
	return false
}

// quoted splits a line of the X server's file: words, and texts in quotes; # ends it.
func quoted(line string) []string {
	var out []string
	for {
		line = strings.TrimLeft(line, " \t\r\n")
		switch {
		case line == "" || line[0] == '#':
			return out
		case line[0] == '"':
			text, rest, ok := strings.Cut(line[1:], "\"")
			if !ok {
				return out
			}
			out, line = append(out, text), rest
		default:
			end := strings.IndexAny(line, " \t\r\n\"#")
			if end < 0 {
				end = len(line)
			}
			out, line = append(out, line[:end]), line[end:]
		}
	}
}

// MaxKeymap bounds the name of a keymap, in bytes.
const MaxKeymap = 128

// ValidKeymap says that s can name a keymap of the console: the name of a file that has no
// path, and is no option of loadkeys(1).
func ValidKeymap(s string) bool {
	if s == "" || len(s) > MaxKeymap || s[0] == '-' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_.-+", c) >= 0) {
			return false
		}
	}
	return true
}

// KeymapOf is the keymap that a file holds, "" for other files.
func KeymapOf(file string) string {
	for _, end := range []string{".map", ".map.gz", ".map.xz", ".map.zst", ".map.bz2"} {
		if name, ok := strings.CutSuffix(file, end); ok && ValidKeymap(name) {
			return name
		}
	}
	return ""
}
