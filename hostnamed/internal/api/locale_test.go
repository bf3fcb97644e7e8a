package api

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func (r *rig) symlink(at, to string) {
	r.Helper()
	if err := os.MkdirAll(filepath.Join(r.root, filepath.Dir(at)), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.Symlink(to, filepath.Join(r.root, at)); err != nil {
		r.Fatal(err)
	}
}

// Debian's links lead from the old names to the new ones, or the other way, and neither
// file is there at first.
func TestSetLocale(t *testing.T) {
	r := begin(t, map[string]string{"usr/lib/locale/C.utf8/LC_CTYPE": "", "usr/lib/locale/de_DE.utf8/LC_CTYPE": ""})
	r.symlink("etc/default/locale", "../locale.conf")
	if got := r.get(localeName, "Locale"); !slices.Equal(got.([]string), []string{"LANG=C.UTF-8"}) {
		t.Errorf("without a file: %v", got)
	}
	next := r.changes(localeName)
	for _, s := range []struct {
		args             []string
		err, file, units string
	}{
		{[]string{"LANG=C.UTF-8"}, "", "-", ""}, // it is so without a file
		{[]string{"LANG=de_DE.UTF-8", "LC_TIME=C.UTF-8"}, "", "LANG=de_DE.UTF-8\nLC_TIME=C.UTF-8\n", "environment LANG=de_DE.UTF-8 LC_TIME=C.UTF-8"},
		{[]string{"LANG=fr_FR.UTF-8"}, "Locale fr_FR.UTF-8 not installed, refusing.", "LANG=de_DE.UTF-8\nLC_TIME=C.UTF-8\n", ""},
		{[]string{"LANG=C\nLD_PRELOAD=x"}, "Locale C\nLD_PRELOAD=x is not valid, refusing.", "LANG=de_DE.UTF-8\nLC_TIME=C.UTF-8\n", ""},
		{[]string{"C.UTF-8"}, "", "LANG=C.UTF-8\n", "environment LANG=C.UTF-8"},
	} {
		want := s.err
		if want != "" {
			want = "org.freedesktop.DBus.Error.InvalidArgs: " + want
		}
		if e := r.call(localeName, "SetLocale", s.args, false); e != want {
			t.Errorf("%q: %s", s.args, e)
		}
		if file, did := r.file("etc/locale.conf"), r.units.done(); file != s.file || did != s.units {
			t.Errorf("%q: %q, %q", s.args, file, did)
		}
		if s.units != "" {
			if got := "environment " + strings.Join(next()["Locale"].Value().([]string), " "); got != s.units {
				t.Errorf("%q: told %q", s.args, got)
			}
		}
	}
	if r.link("etc/default/locale") != "../locale.conf" {
		t.Error("the link is gone")
	}
}

func (r *rig) keyboard() string {
	var out []string
	for _, p := range []string{"X11Layout", "X11Model", "X11Variant", "X11Options", "VConsoleKeymap", "VConsoleKeymapToggle"} {
		out = append(out, r.get(localeName, p).(string))
	}
	return strings.Join(out, "|")
}

func TestSetKeyboard(t *testing.T) {
	r := begin(t, map[string]string{"usr/share/keymaps/i386/qwertz/de-latin1.map.gz": "", "usr/share/kbd/keymaps/fr.map": "", "usr/lib/kbd/keymaps/us.map.gz": "", "usr/share/X11/xkb/symbols/de": ""})
	next := r.changes(localeName)
	x11 := func(args ...string) string {
		return r.call(localeName, "SetX11Keyboard", args[0], args[1], args[2], args[3], args[4] == "convert", false)
	}
	console := func(args ...string) string {
		return r.call(localeName, "SetVConsoleKeyboard", args[0], args[1], args[2] == "convert", false)
	}
	for _, s := range []struct {
		set                      func(...string) string
		args                     []string
		file, keyboard, did, err string
		told                     int
	}{
		{x11, []string{"de", "pc105", "nodeadkeys", "terminate:ctrl_alt_bksp", ""}, "XKBLAYOUT=de\nXKBMODEL=pc105\nXKBVARIANT=nodeadkeys\nXKBOPTIONS=terminate:ctrl_alt_bksp\n", "de|pc105|nodeadkeys|terminate:ctrl_alt_bksp||", "", "", 4},
		{x11, []string{"fr", "", "", "", "convert"}, "XKBLAYOUT=fr\nKEYMAP=fr\n", "fr||||fr|", "keys fr ", "", 6},
		{x11, []string{"a\"b", "", "", "", ""}, "XKBLAYOUT=fr\nKEYMAP=fr\n", "fr||||fr|", "", "org.freedesktop.DBus.Error.InvalidArgs: Invalid X11 keyboard layout.", 0},
		{console, []string{"de", "", ""}, "XKBLAYOUT=fr\nKEYMAP=fr\n", "fr||||fr|", "", "org.freedesktop.DBus.Error.Failed: Keymap de is not installed.", 0},
		{console, []string{"../x", "", ""}, "XKBLAYOUT=fr\nKEYMAP=fr\n", "fr||||fr|", "", "org.freedesktop.DBus.Error.Failed: Keymap ../x is not installed.", 0},
		{console, []string{"us", "-d", ""}, "XKBLAYOUT=fr\nKEYMAP=fr\n", "fr||||fr|", "", "org.freedesktop.DBus.Error.Failed: Keymap -d is not installed.", 0},
		{console, []string{"de-latin1", "us", "convert"}, "XKBLAYOUT=de\nKEYMAP=de-latin1\nKEYMAP_TOGGLE=us\n", "de||||de-latin1|us", "keys de-latin1 us", "", 6},
		{console, []string{"us", "", ""}, "XKBLAYOUT=de\nKEYMAP=us\n", "de||||us|", "keys us ", "", 2},
		{console, []string{"", "", "convert"}, "-", "|||||", "", "", 6},
	} {
		if e := s.set(s.args...); e != s.err {
			t.Errorf("%q: %s", s.args, e)
		}
		if file, k, did := r.file("etc/vconsole.conf"), r.keyboard(), r.kernel.done(); file != s.file || k != s.keyboard || did != s.did {
			t.Errorf("%q: %q, %q, %q", s.args, file, k, did)
		}
		xorg := r.file("etc/X11/xorg.conf.d/00-keyboard.conf")
		if layout := r.get(localeName, "X11Layout").(string); layout != "" && !strings.Contains(xorg, "\"XkbLayout\" \""+layout+"\"\n") || layout == "" && xorg != "-" {
			t.Errorf("%q: %q", s.args, xorg)
		}
		if s.told > 0 {
			if told := next(); len(told) != s.told {
				t.Errorf("%q: %v is told", s.args, told)
			}
		}
	}
	// A service loads the keys where there is one; the machine's own table is read.
	r.units.exists("systemd-vconsole-setup.service", false)
	r.write("usr/share/systemd/kbd-model-map", "fr\tfr\tpc105\t-\tterminate:x\n")
	if e := console("fr", "", "convert"); e != "" || r.units.done() != "restart systemd-vconsole-setup.service" || r.kernel.done() != "" || r.keyboard() != "fr|pc105||terminate:x|fr|" {
		t.Errorf("%s; %s", e, r.keyboard())
	}
}

// On Debian, /etc/vconsole.conf leads to /etc/default/keyboard, which X servers and desktops
// read: it is written, with what else is in it, and no file of xorg.conf.d.
func TestSetKeyboardOnDebian(t *testing.T) {
	r := begin(t, nil)
	r.symlink("etc/vconsole.conf", "default/keyboard")
	if got := r.keyboard(); got != "|||||" {
		t.Errorf("without a file: %s", got)
	}
	r.write("etc/default/keyboard", "XKBMODEL=\"pc105\"\nXKBLAYOUT=\"us\"\nBACKSPACE=\"guess\"\n")
	if e := r.call(localeName, "SetX11Keyboard", "de", "pc105", "", "", true, false); e != "" {
		t.Fatal(e)
	}
	if got, want := r.file("etc/default/keyboard"), "XKBMODEL=pc105\nXKBLAYOUT=de\nBACKSPACE=guess\nKEYMAP=de\n"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
	if r.link("etc/vconsole.conf") != "default/keyboard" || r.file("etc/X11/xorg.conf.d/00-keyboard.conf") != "-" {
		t.Error("the link is gone, or X servers got a second file")
	}
}

// Who may not change the language or the keyboard hears the same whether or not what is
// asked for is installed: it is looked for only with polkit's leave.
func TestLocalePolkit(t *testing.T) {
	r := begin(t, map[string]string{"usr/lib/locale/C.utf8/LC_CTYPE": "", "usr/share/kbd/keymaps/fr.map": ""})
	r.bus.Polkit.Forget()
	var calls [][]string
	for _, k := range []string{"fr", "absent"} {
		calls = append(calls, []string{localeName, localePath, localeName + ".SetVConsoleKeyboard", "s:" + k, "s:", "b:false", "b:true"},
			[]string{localeName, localePath, localeName + ".SetVConsoleKeyboard", "s:", "s:" + k, "b:false", "b:true"})
	}
	for i, got := range r.bus.CallsAsUser(calls...) {
		if !strings.HasPrefix(got, "org.freedesktop.DBus.Error.AccessDenied") {
			t.Errorf("%q: %s", calls[i], got)
		}
	}
	if got := len(r.bus.Polkit.Asked()); got != len(calls) {
		t.Errorf("polkit was asked %d times, of %d", got, len(calls))
	}
	if got := r.bus.CallAsUser(localeName, localePath, localeName+".SetVConsoleKeyboard", "s:../x", "s:", "b:false", "b:true"); !strings.HasPrefix(got, "org.freedesktop.DBus.Error.Failed") || len(r.bus.Polkit.Asked()) != 0 {
		t.Errorf("what cannot be a keymap: %s", got)
	}
	// What is in force already is nothing to ask for (seen with systemd 257).
	if got := r.bus.CallAsUser(localeName, localePath, localeName+".SetLocale", "as:C.UTF-8", "b:true"); got != "ok []" || len(r.bus.Polkit.Asked()) != 0 {
		t.Errorf("the locale that is set: %s", got)
	}
}
