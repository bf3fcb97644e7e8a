package unitname

import (
	"errors"
	"strings"
	"testing"
)

// Recorded from systemd-analyze verify 252 with ExecStart=/nope:SPECIFIER,
// whose message shows the expanded path.
func TestNameSpecifiers(t *testing.T) {
	const fails = "!"
	for _, c := range []struct{ name, in, want string }{
		{"foo-bar.service", "%n|%N|%p|%P", "foo-bar.service|foo-bar|foo-bar|foo/bar"},
		{"foo-bar.service", "%i|%I|%j|%J|%f", "||bar|bar|/foo/bar"},
		{`foo-b\x2da@x-y\x20z.service`, "%n", `foo-b\x2da@x-y\x20z.service`},
		{`foo-b\x2da@x-y\x20z.service`, "%N|%p|%P", `foo-b\x2da@x-y\x20z|foo-b\x2da|foo/b-a`},
		{`foo-b\x2da@x-y\x20z.service`, "%i|%I", `x-y\x20z|x/y z`},
		{`foo-b\x2da@x-y\x20z.service`, "%j|%J|%f", `b\x2da|b-a|/x/y z`},
		{"foo@--.service", "%i|%I", "--|//"},
		{"foo@--.service", "%f", fails},
		{"foo@-.service", "%f", "/"},
		{"-.mount", "%f", "/"},
		{"foo@-a.service", "%I", "/a"},
		{"foo@-a.service", "%f", fails},
		{"foo@a-..-b.service", "%f", fails},
		{"foo@a-.x.service", "%f", "/a/.x"},
		{`foo@a\x2fb.service`, "%f", "/a/b"},
		{`foo@\xzz.service`, "%i", `\xzz`},
		{`foo@\xzz.service`, "%I", fails},
		{`a-b\zz.service`, "%P", fails},
		{`a-b\zz-ok.service`, "%J", "ok"},
		{"foo-.service", "%j|%i", "|"},
		{"foo-.service", "%f", fails},
		{"foo@a@b.service", "%p|%i", "foo|a@b"},
		// Percent signs that start no specifier.
		{"a.service", "%%|%%%%|%%n", "%|%%|%n"},
		{"a.service", "100%", "100%"},
		{"a.service", "%%%", "%%"},
		{"a.service", "%!x %_ %- % x %é", "%!x %_ %- % x %é"},
		{"a.service", "%z", fails},
		{"a.service", "%9", fails},
	} {
		n, err := Parse(c.name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Expand(c.in, NameSource(n, nil))
		if err != nil {
			got = fails
		}
		if got != c.want {
			t.Errorf("%s: Expand(%q) = %q, %v; want %q", c.name, c.in, got, err, c.want)
		}
	}
}

func TestExpandErrors(t *testing.T) {
	n, _ := Parse(`a@\x.service`)
	boom := errors.New("no machine id")
	src := NameSource(n, func(spec byte) (string, error) {
		switch spec {
		case 'm':
			return "", boom
		case 'H':
			return "host%n", nil
		}
		return "", ErrUnknownSpecifier
	})
	if got, err := Expand("a%Hb", src); err != nil || got != "ahost%nb" {
		t.Errorf("values are not expanded again: %q, %v", got, err)
	}
	for in, want := range map[string]struct {
		off int
		err error
	}{"ab %z": {3, ErrUnknownSpecifier}, "%%%m": {2, boom}, "%H%0": {2, ErrUnknownSpecifier}} {
		_, err := Expand(in, src)
		var e *SpecifierError
		if !errors.As(err, &e) || e.Offset != want.off || !errors.Is(err, want.err) || !strings.Contains(err.Error(), "%"+string(in[want.off+1])) {
			t.Errorf("Expand(%q): %v; want offset %d", in, err, want.off)
		}
	}
	var e *EscapeError
	if _, err := Expand("%I", src); !errors.As(err, &e) {
		t.Errorf("%%I: %v", err)
	}
	if _, err := Expand("%n", nil); !errors.Is(err, ErrUnknownSpecifier) {
		t.Errorf("nil source: %v", err)
	}
}

func TestSpecifierTable(t *testing.T) {
	n, _ := Parse("a-b@c.service")
	unit := UnitSpecifiers(n)
	seen := map[byte]bool{}
	for i, s := range Specifiers {
		if seen[s.Letter] || s.Meaning == "" {
			t.Errorf("row %d: %+v", i, s)
		}
		seen[s.Letter] = true
		if _, ok := unit(s.Letter); ok != s.FromName {
			t.Errorf("%%%c: from name %v", s.Letter, ok)
		}
	}
	for _, c := range []byte("aAbBCdEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY%") {
		if !seen[c] {
			t.Errorf("%%%c is missing", c)
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "%", "%%", "a%n%!", "%é", "%%%n%"} {
		f.Add(s)
	}
	n, _ := Parse("a-b@c.service")
	src := NameSource(n, func(c byte) (string, error) { return "<" + string(c) + ">", nil })
	f.Fuzz(func(t *testing.T, s string) {
		// Doubling every percent sign quotes a string.
		if got, err := Expand(strings.ReplaceAll(s, "%", "%%"), nil); err != nil || got != s {
			t.Fatalf("%q: %q, %v", s, got, err)
		}
		if _, err := Expand(s, src); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
