package locale

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/envfile"
)

func TestCurrent(t *testing.T) {
	for text, want := range map[string]string{"": "", "# x\nLANG=\"C.UTF-8\"\nFOO=x\nLC_TIME=\nLC_PAPER=xx_YY\n": "LANG=C.UTF-8 LC_PAPER=xx_YY", "LANG='a b'\nLC_ALL=C\n": "",
		"LC_TIME=C\nLANG=C\n": "LANG=C LC_TIME=C", "LANGUAGE=de:en\n": "LANGUAGE=de:en"} {
		if got := strings.Join(Current(text, true), " "); got != want {
			t.Errorf("%q is %q; want %q", text, got, want)
		}
	}
	if got := Current("", false); !slices.Equal(got, []string{"LANG=C.UTF-8"}) {
		t.Errorf("without a file: %q", got)
	}
}

// The words of systemd-localed 257.
func TestWanted(t *testing.T) {
	installed := func(n string) bool { return Installed(n, []string{"C.utf8", "de_DE.utf8"}) }
	for args, want := range map[string]string{"LANG=C.UTF-8": "LANG=C.UTF-8\n", "C.UTF-8": "LANG=C.UTF-8\n", "LANG=de_DE.UTF-8 LC_TIME=C": "LANG=de_DE.UTF-8\nLC_TIME=C\n", "": "",
		"LANGUAGE=de:en LANG=C":  "LANGUAGE=de:en\nLANG=C\n",
		"LANG=fr_FR.UTF-8":       "Locale fr_FR.UTF-8 not installed, refusing.",
		"x":                      "Specified locale is not installed: x",
		"LANG=":                  "Locale  is not valid, refusing.",
		"FOO=C.UTF-8":            "Locale assignment FOO=C.UTF-8 not valid, refusing.",
		"LC_ALL=C":               "Locale assignment LC_ALL=C not valid, refusing.",
		"LANG=C LANG=POSIX":      "Locale variable LANG set twice, refusing.",
		"LANG=../x":              "Locale ../x is not valid, refusing.",
		"LANG=c.utf8":            "Locale c.utf8 not installed, refusing.",
		"LANGUAGE=de:../x":       "Locale de:../x is not valid, refusing.",
		"LANG=C LC_TIME=nowhere": "Locale nowhere not installed, refusing."} {
		vars, refusal := Wanted(strings.Fields(args), installed)
		if got := envfile.Render(vars) + refusal; refusal != "" && refusal != want || refusal == "" && got != want {
			t.Errorf("%q: %q; want %q", args, got, want)
		}
	}
	if _, refusal := Wanted([]string{"LANG=a b"}, installed); refusal != "Locale a b is not valid, refusing." {
		t.Errorf("%q", refusal)
	}
	if _, refusal := Wanted([]string{""}, installed); refusal != "Invalid locale specification: " {
		t.Errorf("%q", refusal)
	}
}

func TestMerge(t *testing.T) {
	const table = "fr_CA fr_CA:fr_FR\nbad ../x\n"
	for _, test := range []struct{ text, set, want string }{
		{"", "LANG=C.UTF-8\nLC_TIME=C.UTF-8\n", "LANG=C.UTF-8\n"}, {"LANG=C.UTF-8\n", "LC_TIME=POSIX\n", "LANG=C.UTF-8\nLC_TIME=POSIX\n"},
		{"LC_TIME=POSIX\nLANG=C.UTF-8\n", "LANG=C.utf8\n", "LANG=C.utf8\nLC_TIME=POSIX\n"}, {"LANG=C\nLC_TIME=POSIX\nMINE='x y'\n", "LC_TIME=C\n", "LANG=C\nMINE=\"x y\"\n"},
		{"", "LANG=fr_CA.UTF-8\n", "LANG=fr_CA.UTF-8\nLANGUAGE=fr_CA:fr_FR\n"}, {"LANG=fr_CA.UTF-8\nLANGUAGE=fr_CA:fr_FR\n", "LANG=C\n", "LANG=C\n"},
		{"LANG='$(reboot)'\n", "LC_TIME=C\n", "LC_TIME=C\n"}, {"LANG=bad\n", "", "LANG=bad\n"}, {"", "LANG=bad\n", "LANG=bad\n"},
	} {
		if got := Merge(test.text, true, envfile.Vars(test.set), table); got != test.want {
			t.Errorf("%q with %q: %q; want %q", test.text, test.set, got, test.want)
		}
	}
}

func TestMergeWithoutFile(t *testing.T) {
	if got, want := Merge("", false, envfile.Vars("LC_TIME=C\n"), ""), "LANG=C.UTF-8\nLC_TIME=C\n"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}

// Whatever a file says and a client wants, what is written is read back as it is meant, and
// no line of it is more than an assignment.
func FuzzMerge(f *testing.F) {
	f.Add("LANG=C\nX='\n'\n", "LC_TIME=de_DE.UTF-8", "de_DE de:en\n")
	f.Add("LANG=a\\\nb\n", "LANG=C.UTF-8", "")
	f.Fuzz(func(t *testing.T, text, arg, table string) {
		wanted, refusal := Wanted([]string{arg}, func(string) bool { return true })
		if refusal != "" {
			return
		}
		after := Merge(text, true, wanted, table)
		for _, w := range wanted {
			lang := envfile.Get(envfile.Vars(after), "LANG")
			if got := envfile.Get(envfile.Vars(after), w.Name); got != w.Value && (got != "" || w.Value != lang) {
				t.Errorf("%q with %q: %q", text, arg, after)
			}
		}
		for _, a := range Current(after, true) {
			if name, value, _ := strings.Cut(a, "="); !isVariable(name) || !validFor(name, value) {
				t.Errorf("%q is part of the locale", a)
			}
		}
		if again := Merge(after, true, nil, table); again != after {
			t.Errorf("%q becomes %q", after, again)
		}
	})
}

func TestInstalled(t *testing.T) {
	for name, want := range map[string]string{"de_DE.UTF-8": "de_DE.utf8", "de_DE.UTF-8@euro": "de_DE.utf8@euro", "de_DE": "de_DE", "de_DE.ISO-8859-1": "de_DE.iso88591", "ja_JP.eucJP": "ja_JP.eucjp", "x.8859-1": "x.iso88591"} {
		if got := Normal(name); got != want {
			t.Errorf("Normal(%q) = %q; want %q", name, got, want)
		}
	}
	names := []string{"C.utf8", "de_DE.utf8"}
	for name, want := range map[string]bool{"C": true, "POSIX": true, "C.UTF-8": true, "de_DE.UTF-8": true, "de_DE": false, "c.utf8": false} {
		if got := Installed(name, names); got != want {
			t.Errorf("Installed(%q) = %v", name, got)
		}
	}
}

// archive makes a locale-archive of names.
func archive(names ...string) []byte {
	b := make([]byte, 56)
	put := func(at, v int) { binary.NativeEndian.PutUint32(b[at:], uint32(v)) }
	table := len(b)
	b = append(b, make([]byte, 12*(len(names)+1))...)
	put(0, archiveMagic)
	put(8, table)
	put(12, len(names))
	put(16, len(names)+1) // one is free
	for i, n := range names {
		put(table+12*i+4, len(b))
		put(table+12*i+8, 4)
		b = append(append(b, n...), 0)
	}
	return b
}

func TestArchive(t *testing.T) {
	want := []string{"de_DE.utf8", "en_US.utf8"}
	if got := Archive(archive(want...)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := Archive(archive("../x", "ok")); !slices.Equal(got, []string{"ok"}) {
		t.Errorf("%q", got)
	}
	if got := Archive([]byte("no archive")); got != nil {
		t.Errorf("%q", got)
	}
}

// No archive, however broken, gives anything but names.
func FuzzArchive(f *testing.F) {
	f.Add(archive("de_DE.utf8"))
	f.Add(archive("a", "b")[:70])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, n := range Archive(data) {
			if !ValidName(n) || !strings.Contains(string(data), n) {
				t.Errorf("%q", n)
			}
		}
	})
}
