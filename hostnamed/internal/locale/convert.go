package locale

import "strings"

// Row says that a keymap of the console is a keyboard of XKB.
type Row struct {
	Keymap string
	X11
}

// Table reads kbd-model-map: lines of keymap, layout, model, variant and options, "-" for
// nothing; the first row for a keymap is the nearest one. Lines that are no rows are left
// out.
func Table(text string) []Row {
	var out []Row
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0][0] == '#' {
			continue
		}
		for k := range f {
			if f[k] == "-" {
				f[k] = ""
			}
		}
		f = append(f, "", "")
		if r := (Row{f[0], X11{f[1], f[2], f[3], f[4]}}); ValidKeymap(r.Keymap) && r.Layout != "" && r.Valid() {
			out = append(out, r)
		}
	}
	return out
}

// Own is the table where no other is installed: keymaps of kbd whose layout of
// xkeyboard-config has another name, or a variant.
var Own = []Row{
	{"us", X11{Layout: "us"}}, {"us-acentos", X11{Layout: "us", Variant: "intl"}}, {"dvorak", X11{Layout: "us", Variant: "dvorak"}},
	{"dvorak-l", X11{Layout: "us", Variant: "dvorak-l"}}, {"dvorak-r", X11{Layout: "us", Variant: "dvorak-r"}}, {"colemak", X11{Layout: "us", Variant: "colemak"}},
	{"uk", X11{Layout: "gb"}}, {"de", X11{Layout: "de"}}, {"de-latin1", X11{Layout: "de"}}, {"de-latin1-nodeadkeys", X11{Layout: "de", Variant: "nodeadkeys"}},
	{"fr", X11{Layout: "fr"}}, {"fr-latin1", X11{Layout: "fr"}}, {"fr-latin9", X11{Layout: "fr", Variant: "latin9"}}, {"fr-bepo", X11{Layout: "fr", Variant: "bepo"}},
	{"sg", X11{Layout: "ch"}}, {"sg-latin1", X11{Layout: "ch"}}, {"fr_CH", X11{Layout: "ch", Variant: "fr"}}, {"fr_CH-latin1", X11{Layout: "ch", Variant: "fr"}},
	{"cf", X11{Layout: "ca"}}, {"be-latin1", X11{Layout: "be"}}, {"br-abnt2", X11{Layout: "br"}}, {"la-latin1", X11{Layout: "latam"}}, {"pt-latin1", X11{Layout: "pt"}},
	{"es", X11{Layout: "es"}}, {"it2", X11{Layout: "it"}}, {"sv-latin1", X11{Layout: "se"}}, {"dk-latin1", X11{Layout: "dk"}}, {"no-latin1", X11{Layout: "no"}},
	{"is-latin1", X11{Layout: "is"}}, {"et", X11{Layout: "ee"}}, {"cz-us-qwertz", X11{Layout: "cz"}}, {"cz-lat2", X11{Layout: "cz", Variant: "qwerty"}},
	{"sk-qwertz", X11{Layout: "sk"}}, {"sk-qwerty", X11{Layout: "sk", Variant: "qwerty"}}, {"pl2", X11{Layout: "pl"}}, {"slovene", X11{Layout: "si"}},
	{"croat", X11{Layout: "hr"}}, {"sr-latin", X11{Layout: "rs", Variant: "latin"}}, {"trq", X11{Layout: "tr"}}, {"trf", X11{Layout: "tr", Variant: "f"}},
	{"jp106", X11{Layout: "jp"}}, {"ua-utf", X11{Layout: "ua"}}, {"bg_bds-utf8", X11{Layout: "bg"}}, {"ru", X11{Layout: "ru"}},
}

// ToX11 is the keyboard of XKB for a keymap; none when nothing is known of it. layout says
// whether XKB has a layout: keymaps that are made of XKB's data are called after layout
// and variant.
func ToX11(table []Row, keymap string, layout func(string) bool) X11 {
	for _, r := range table {
		if r.Keymap == keymap {
			return r.X11
		}
	}
	name, variant, _ := strings.Cut(keymap, "-")
	if x := (X11{Layout: name, Variant: variant}); keymap != "" && x.Valid() && layout(name) {
		return x
	}
	return X11{}
}

// ToKeymap is the nearest keymap for a keyboard of XKB, "" if none has its layout. installed
// says whether there is a keymap: one of the layout's and variant's own name is the
// nearest, as xkeyboard-config's are installed for the console by some.
func ToKeymap(table []Row, x X11, installed func(string) bool) string {
	layout, _, _ := strings.Cut(x.Layout, ",")
	variant, _, _ := strings.Cut(x.Variant, ",")
	if layout == "" {
		return ""
	}
	own := layout
	if variant != "" {
		own += "-" + variant
	}
	if ValidKeymap(own) && installed(own) {
		return own
	}
	best, score := "", 0
	for _, r := range table {
		s := 0
		first, _, _ := strings.Cut(r.Layout, ",")
		switch {
		case r.Layout == x.Layout:
			s = 32
		case first == layout:
			s = 16
		default:
			continue
		}
		if r.Variant == variant || r.Variant == x.Variant {
			s += 8
		} else if r.Variant != "" {
			s -= 4 // another one is further off than none
		}
		if installed(r.Keymap) {
			s += 4
		}
		if r.Model == x.Model {
			s += 2
		}
		if r.Options == x.Options {
			s++
		}
		if s > score {
			best, score = r.Keymap, s
		}
	}
	return best
}
