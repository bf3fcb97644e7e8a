package unitname

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]Name{
		"a.service":                           {"a", "", Service, false},
		"a.b.socket":                          {"a.b", "", Socket, false},
		"getty@tty1.service":                  {"getty", "tty1", Service, false},
		"getty@.service":                      {"getty", "", Service, true},
		"a@b@c.target":                        {"a", "b@c", Target, false},
		"a@@.timer":                           {"a", "@", Timer, false},
		"-.mount":                             {"-", "", Mount, false},
		`x\x2d:_-.Z9.automount`:               {`x\x2d:_-.Z9`, "", Automount, false},
		"a@b.c.swap":                          {"a", "b.c", Swap, false},
		"system.slice":                        {"system", "", Slice, false},
		"init.scope":                          {"init", "", Scope, false},
		"dev-sda.device":                      {"dev-sda", "", Device, false},
		".path.path":                          {".path", "", Path, false},
		strings.Repeat("a", 247) + ".service": {strings.Repeat("a", 247), "", Service, false},
	} {
		got, err := Parse(s)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", s, got, err, want)
		}
		if got.String() != s {
			t.Errorf("Parse(%q).String() = %q", s, got.String())
		}
	}
}

func TestParseErrors(t *testing.T) {
	for s, off := range map[string]int{
		"": 0, "a": 1, ".service": 0, "@.service": 0, "@a.service": 0, "a b.service": 1, "a@é.service": 2,
		"a.Service": 2, "a.": 2, "a/b.service": 1, "a.service\n": 2, "a.invalid": 2, "%i.service": 0,
		strings.Repeat("a", 248) + ".service": 255,
	} {
		n, err := Parse(s)
		var e *NameError
		if !errors.As(err, &e) || e.Offset != off || e.Name != s || n != (Name{}) || Valid(s) {
			t.Errorf("Parse(%q) = %+v, %v; want an error at byte %d", s, n, err, off)
		}
	}
}

func TestTypes(t *testing.T) {
	all := Types()
	if len(all) != 11 || slices.Contains(all, Invalid) {
		t.Errorf("Types() = %v", all)
	}
	for _, typ := range all {
		if got, err := ParseType(typ.String()); err != nil || got != typ {
			t.Errorf("ParseType(%q) = %v, %v", typ.String(), got, err)
		}
	}
	if Type(200).String() != "Type(200)" || Type(0) != Invalid {
		t.Error("odd types")
	}
}

func TestInstances(t *testing.T) {
	tmpl, _ := Parse("getty@.service")
	plain, _ := Parse("a.service")
	inst, err := tmpl.WithInstance("tty1")
	if err != nil || inst.String() != "getty@tty1.service" || !inst.IsInstance() || inst.IsTemplate() {
		t.Errorf("WithInstance = %v, %v", inst, err)
	}
	if other, err := inst.WithInstance("tty2"); err != nil || other.String() != "getty@tty2.service" {
		t.Errorf("WithInstance = %v, %v", other, err)
	}
	if inst.TemplateName() != "getty@.service" || tmpl.TemplateName() != "getty@.service" || plain.TemplateName() != "" {
		t.Error("TemplateName")
	}
	for _, i := range []string{"", "a b", "a/b", strings.Repeat("x", 250)} {
		if n, err := tmpl.WithInstance(i); err == nil {
			t.Errorf("WithInstance(%q) = %v", i, n)
		}
	}
	if n, err := plain.WithInstance("x"); err == nil {
		t.Errorf("instance of a plain unit: %v", n)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		path string
		typ  Type
		name string
	}{
		{"/", Mount, "-.mount"}, {"/home/lennart", Mount, "home-lennart.mount"}, {"/dev/sda", Device, "dev-sda.device"},
		{"/a-b c", Swap, `a\x2db\x20c.swap`}, {"/.x", Automount, `\x2ex.automount`},
	} {
		if n, err := FromPath(c.path, c.typ); err != nil || n != c.name {
			t.Errorf("FromPath(%q) = %q, %v; want %q", c.path, n, err, c.name)
		}
		if p, err := ToPath(c.name); err != nil || p != c.path {
			t.Errorf("ToPath(%q) = %q, %v; want %q", c.name, p, err, c.path)
		}
	}
	for _, p := range []string{"", "a", "/a/..", "/a\x00b", "/" + strings.Repeat("a", 250)} {
		if n, err := FromPath(p, Mount); err == nil {
			t.Errorf("FromPath(%q) = %q", p, n)
		}
	}
	for _, n := range []string{"a", "a@b.mount", "a@.mount", "a--b.mount", "a-.mount", `\xzz.mount`} {
		if p, err := ToPath(n); err == nil {
			t.Errorf("ToPath(%q) = %q", n, p)
		}
	}
	if s, err := Unescape(`a\x00b`); err == nil {
		t.Errorf("NUL: %q", s)
	}
	if n, err := Mangle("rescue", Target); err != nil || n != "rescue.target" {
		t.Errorf("Mangle = %q, %v", n, err)
	}
}

func TestSlices(t *testing.T) {
	for name, parent := range map[string]string{
		"-.slice": "", "foo.slice": "-.slice", "foo-bar.slice": "foo.slice", "a-b-c.slice": "a-b.slice",
		`a\x2db.slice`: "-.slice", "user-1000.slice": "user.slice",
	} {
		if got, ok := SliceParent(name); got != parent || ok != (parent != "") || !ValidSlice(name) {
			t.Errorf("SliceParent(%q) = %q, %v; want %q", name, got, ok, parent)
		}
	}
	for _, name := range []string{"-a.slice", "a-.slice", "a--b.slice", "--.slice", "a@b.slice", "a@.slice", "a.service", ".slice", ""} {
		if got, ok := SliceParent(name); ok || ValidSlice(name) {
			t.Errorf("%q is a slice below %q", name, got)
		}
	}
}

// Recorded from systemd-analyze verify 252 with one drop-in of the same name in
// every candidate directory, taking the winner away in turn.
func TestDropinNames(t *testing.T) {
	for name, want := range map[string]string{
		"foo-bar-baz.service":   "foo-bar-baz.service foo-bar-.service foo-.service service",
		"foo-bar-.service":      "foo-bar-.service foo-.service service",
		"foo--bar.service":      "foo--bar.service foo--.service foo-.service service",
		"-foo.service":          "-foo.service service",
		"-.mount":               "-.mount mount",
		"a.socket":              "a.socket socket",
		"foo-bar@a-b.service":   "foo-bar@a-b.service foo-bar@.service foo-.service foo-@a-b.service foo-@.service service",
		"foo-bar-baz@i.service": "foo-bar-baz@i.service foo-bar-baz@.service foo-bar-.service foo-.service foo-bar-@i.service foo-bar-@.service foo-@i.service foo-@.service service",
		"-a-b@i.service":        "-a-b@i.service -a-b@.service -a-.service -a-@i.service -a-@.service service",
		"foo-bar-@x.service":    "foo-bar-@x.service foo-bar-@.service foo-.service foo-@x.service foo-@.service service",
		"getty@.service":        "getty@.service service",
		"not a unit":            "",
	} {
		if got := strings.Join(DropinNames(name), " "); got != want {
			t.Errorf("DropinNames(%q):\n got %s\nwant %s", name, got, want)
		}
	}
}

func FuzzUnitName(f *testing.F) {
	for _, s := range []string{"a.service", "a@b.service", "a@.socket", "@.service", `a\x2d-b.mount`, "é.target", ".path", "a@b@c.slice"} {
		f.Add(s)
	}
	for _, r := range recorded(f) {
		f.Add(r.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			var e *NameError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(s) {
				t.Fatalf("Parse(%q): %v", s, err)
			}
		} else {
			if n.String() != s {
				t.Fatalf("Parse(%q) = %+v = %q", s, n, n)
			}
			if n.IsTemplate() && n.IsInstance() || n.Prefix == "" || n.Type == Invalid || strings.ContainsAny(s, "/ \n\x00") {
				t.Fatalf("Parse(%q) = %+v", s, n)
			}
			names := DropinNames(s)
			if len(names) < 2 || names[0] != s || names[len(names)-1] != n.Type.String() {
				t.Fatalf("DropinNames(%q) = %q", s, names)
			}
			for _, d := range names[:len(names)-1] {
				if !Valid(d) {
					t.Fatalf("drop-in %q of %q", d, s)
				}
			}
			for p, ok := SliceParent(s); ok; p, ok = SliceParent(p) {
				if !ValidSlice(p) {
					t.Fatalf("slice %q above %q", p, s)
				}
			}
		}
		if m, err := Mangle(s, Service); err == nil && !Valid(m) {
			t.Fatalf("Mangle(%q) = %q", s, m)
		} else if err == nil {
			if again, err := Mangle(m, Target); err != nil || again != m {
				t.Fatalf("Mangle twice of %q: %q, %q, %v", s, m, again, err)
			}
		}
	})
}

func FuzzEscapeRoundTrip(f *testing.F) {
	for _, r := range recorded(f) {
		f.Add(r.in)
	}
	f.Add("\x80\xff/.-\\x")
	f.Fuzz(func(t *testing.T, s string) {
		e := Escape(s)
		for i := range len(e) {
			if !nameByte(e[i]) {
				t.Fatalf("Escape(%q) = %q", s, e)
			}
		}
		if back, err := Unescape(e); strings.Contains(s, "\x00") != (err != nil) || err == nil && back != s {
			t.Fatalf("%q is escaped %q, which is %q, %v", s, e, back, err)
		}
		if p, err := EscapePath(s); err == nil {
			back, err := UnescapePath(p)
			if err != nil {
				t.Fatalf("path %q is escaped %q: %v", s, p, err)
			}
			if again, err := EscapePath(back); err != nil || again != p || back[0] != '/' {
				t.Fatalf("path %q, %q, %q, %q, %v", s, p, back, again, err)
			}
		}
		// Not an inverse: "a/b" may come from "a\x2fb". The result must be stable.
		if u, err := Unescape(s); err == nil {
			if back, err := Unescape(Escape(u)); err != nil || back != u {
				t.Fatalf("%q unescaped is %q, then %q, %v", s, u, back, err)
			}
		}
		if p, err := UnescapePath(s); err == nil {
			if e, err := EscapePath(p); err != nil {
				t.Fatalf("%q is the path %q, escaped %q, %v", s, p, e, err)
			} else if back, err := UnescapePath(e); err != nil || back != p {
				t.Fatalf("path %q is %q, then %q, %v", p, e, back, err)
			}
		}
	})
}
