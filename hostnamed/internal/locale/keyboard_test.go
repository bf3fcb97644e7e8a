package locale

import (
	"strings"
	"testing"

	"dynamod/internal/envfile"
)

func TestReadAndWrite(t *testing.T) {
	const debian = "# KEYBOARD CONFIGURATION FILE\nXKBMODEL=\"pc105\"\nXKBLAYOUT=\"us,de\"\nXKBVARIANT=\",nodeadkeys\"\nXKBOPTIONS=\"terminate:ctrl_alt_bksp\"\nBACKSPACE=\"guess\"\n"
	k := Read(debian, "")
	if want := (Keyboard{X11: X11{"us,de", "pc105", ",nodeadkeys", "terminate:ctrl_alt_bksp"}}); k != want {
		t.Errorf("%+v; want %+v", k, want)
	}
	k.Keymap, k.X11 = "fr", X11{Layout: "fr"}
	if got, want := Write(debian, k), "XKBLAYOUT=fr\nBACKSPACE=guess\nKEYMAP=fr\n"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
	if got := Write("KEYMAP=fr\n", Keyboard{}); got != "" {
		t.Errorf("%q", got)
	}
}

// The X server's file as other tools wrote it, and as we do.
func TestXorg(t *testing.T) {
	x := X11{"de", "pc105", "nodeadkeys", "terminate:ctrl_alt_bksp"}
	text := Xorg(x)
	if !strings.HasPrefix(text, "# ") || !strings.Contains(text, "\nSection \"InputClass\"\n        Identifier \"system-keyboard\"\n        MatchIsKeyboard \"on\"\n        Option \"XkbLayout\" \"de\"\n") {
		t.Errorf("%s", text)
	}
	if k := Read("", text); k.X11 != x {
		t.Errorf("%+v", k)
	}
	if k := Read("XKBLAYOUT=us\n", text); k.X11 != (X11{Layout: "us"}) {
		t.Errorf("%+v", k)
	}
	if Xorg(X11{}) != "" {
		t.Error("nothing is written for no keyboard")
	}
	other := "Section \"InputClass\"\nIdentifier \"pointer\"\nOption \"XkbLayout\" \"no\"\nEndSection\nsection \"inputclass\" # ours\n\tMatchIsKeyboard\n\toption \"xkblayout\" \"fr\" # x\nendsection\nSection \"InputClass\"\nMatchIsKeyboard \"on\"\nOption \"XkbLayout\" \"never ended\n"
	if k := Read("", other); k.X11 != (X11{Layout: "fr"}) {
		t.Errorf("%+v", k)
	}
}

// Defect W80: nothing that is accepted opens a section of the X server's file, or a line of
// the console's.
func FuzzXorg(f *testing.F) {
	f.Add("de", "pc105", "\"\nEndSection\nSection \"Module\"", "a:b")
	f.Add("us,de", "", ",nodeadkeys", "grp:x,ctrl:y")
	f.Fuzz(func(t *testing.T, layout, model, variant, options string) {
		x := X11{layout, model, variant, options}
		if !x.Valid() {
			return
		}
		text := Xorg(x)
		if got := Read("", text); got.X11 != x || strings.Count(text, "Section \"") > 1 {
			t.Errorf("%+v is written as %q and read as %+v", x, text, got)
		}
		if got := Read(Write("", Keyboard{X11: x}), ""); got.X11 != x {
			t.Errorf("%+v is read as %+v", x, got)
		}
	})
}

// Whatever is in the files, what is read can be shown, and what is written again is the
// same keyboard.
func FuzzRead(f *testing.F) {
	f.Add("KEYMAP=de\nXKBLAYOUT='a\nb'\n", "Section \"InputClass\"\nMatchIsKeyboard\nOption \"XkbLayout\" \"us\"\nEndSection\n")
	f.Fuzz(func(t *testing.T, vconsole, xorg string) {
		k := Read(vconsole, xorg)
		if got := Read(Write(vconsole, k), ""); got != k {
			t.Errorf("%+v is read as %+v", k, got)
		}
		if len(envfile.Vars(Write(vconsole, k))) > len(envfile.Vars(vconsole))+4 {
			t.Errorf("%q makes more variables of %q", xorg, vconsole)
		}
	})
}

func TestValidKeymap(t *testing.T) {
	for s, want := range map[string]bool{"de-latin1": true, "fr_CH": true, "us.utf8": true, "": false, "../x": false, "a/b": false, "-d": false, ".": false, "a b": false, "a;b": false, "$(x)": false} {
		if got := ValidKeymap(s); got != want {
			t.Errorf("ValidKeymap(%q) = %v", s, got)
		}
	}
	for file, want := range map[string]string{"de-latin1.map.gz": "de-latin1", "us.map": "us", "README": "", "x.inc.gz": "", "-x.map": "", ".map": ""} {
		if got := KeymapOf(file); got != want {
			t.Errorf("KeymapOf(%q) = %q", file, got)
		}
	}
}

const sample = "# keymap\tlayout\tmodel\tvariant\toptions\naa\tla\tpc105\t-\tterminate:x\naa-two la pc105 two terminate:x\nbb\tlb,us pc105 ,\t-\nbad\nworse\t\"x\" y\n\nnomodel lc -\n"

func TestConvert(t *testing.T) {
	table := Table(sample)
	if len(table) != 4 || table[0] != (Row{"aa", X11{"la", "pc105", "", "terminate:x"}}) || table[3] != (Row{"nomodel", X11{Layout: "lc"}}) {
		t.Fatalf("%+v", table)
	}
	layout := func(n string) bool { return n == "zz" }
	for keymap, want := range map[string]X11{"aa": table[0].X11, "bb": table[2].X11, "zz": {Layout: "zz"}, "zz-foo": {Layout: "zz", Variant: "foo"}, "qq": {}, "": {}} {
		if got := ToX11(table, keymap, layout); got != want {
			t.Errorf("%s is %+v; want %+v", keymap, got, want)
		}
	}
	none := func(string) bool { return false }
	for _, test := range []struct {
		x    X11
		want string
	}{{X11{Layout: "la"}, "aa"}, {X11{Layout: "la", Variant: "two"}, "aa-two"}, {X11{Layout: "la", Variant: "other"}, "aa"}, {X11{Layout: "la,us"}, "aa"}, {X11{Layout: "lb"}, "bb"},
		{X11{Layout: "lb,us"}, "bb"}, {X11{Layout: "nn"}, ""}, {X11{Variant: "two"}, ""}} {
		if got := ToKeymap(table, test.x, none); got != test.want {
			t.Errorf("%+v is %q; want %q", test.x, got, test.want)
		}
	}
	if got := ToKeymap(table, X11{Layout: "la", Variant: "two"}, func(n string) bool { return n == "la-two" }); got != "la-two" {
		t.Errorf("a keymap of its own name: %q", got)
	}
	for _, test := range []struct {
		x    X11
		want string
	}{{X11{Layout: "gb"}, "uk"}, {X11{Layout: "de"}, "de"}, {X11{Layout: "de", Model: "pc105", Variant: "nodeadkeys"}, "de-latin1-nodeadkeys"}, {X11{Layout: "us", Variant: "dvorak"}, "dvorak"},
		{X11{Layout: "us", Model: "pc105", Options: "terminate:ctrl_alt_bksp"}, "us"}, {X11{Layout: "ch", Variant: "fr"}, "fr_CH"}, {X11{Layout: "us,ru"}, "us"}} {
		if got := ToKeymap(Own, test.x, none); got != test.want {
			t.Errorf("%+v is %q; want %q", test.x, got, test.want)
		}
	}
}

// Of our own table, every row is valid, and leads there and back to its layout.
func TestOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Own {
		if seen[r.Keymap] || !ValidKeymap(r.Keymap) || !r.Valid() || r.Layout == "" {
			t.Errorf("%+v", r)
		}
		seen[r.Keymap] = true
		k := ToKeymap(Own, r.X11, func(string) bool { return false })
		if x := ToX11(Own, k, func(string) bool { return false }); x != r.X11 {
			t.Errorf("%+v leads to %s, and that to %+v", r.X11, k, x)
		}
	}
}

// A table of any content makes keymaps and keyboards that may be set.
func FuzzConvert(f *testing.F) {
	f.Add(sample, "la", "two", "aa")
	f.Fuzz(func(t *testing.T, text, layout, variant, keymap string) {
		table := Table(text)
		x := X11{Layout: layout, Variant: variant}
		if x.Valid() {
			if k := ToKeymap(table, x, func(string) bool { return true }); k != "" && !ValidKeymap(k) {
				t.Errorf("%+v is %q", x, k)
			}
		}
		if !ToX11(table, keymap, func(string) bool { return true }).Valid() {
			t.Errorf("%q is not valid", keymap)
		}
	})
}
