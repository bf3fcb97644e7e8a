package api

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/hostnamed/internal/locale"
	"dynamod/internal/bus"
	"dynamod/internal/envfile"
)

// Files of locale1.
const (
	localeConf = "etc/locale.conf"
	vconsole   = "etc/vconsole.conf"
	xorgConf   = "etc/X11/xorg.conf.d/00-keyboard.conf"
	// debianKeyboard is where /etc/vconsole.conf leads on Debian. Its X servers and desktops
	// read that file themselves, and one in xorg.conf.d would be before it.
	debianKeyboard = "etc/default/keyboard"
	localeDir      = "usr/lib/locale"
	xkbSymbols     = "usr/share/X11/xkb/symbols"
	// modelMap and languageMap are tables of systemd's package. Where they are installed they
	// are read.
	modelMap    = "usr/share/systemd/kbd-model-map"
	languageMap = "usr/share/systemd/language-fallback-map"
	// consoleSetup loads the keymap of /etc/vconsole.conf, where it is installed.
	consoleSetup = "systemd-vconsole-setup.service"
)

// keymapDirs are where kbd's keymaps are on one system or another.
var keymapDirs = []string{"usr/share/keymaps", "usr/share/kbd/keymaps", "usr/lib/kbd/keymaps"}

const localeAction = localeName + "."

// languageView is locale1 at one moment.
type languageView struct {
	locale   []string
	keyboard locale.Keyboard
}

func (s *Server) languages() *languageView {
	_, err := os.Stat(s.disk.At(localeConf))
	return &languageView{locale.Current(s.read(localeConf), err == nil), locale.Read(s.read(vconsole), s.read(xorgConf))}
}

func (s *Server) localeParts(p bus.Parts) {
	text := func(name string, value func(*languageView) string) {
		p.Getters["locale1."+name] = func(o any) (any, error) { return line(value(o.(*languageView))), nil }
	}
	p.Getters["locale1.Locale"] = func(o any) (any, error) { return o.(*languageView).locale, nil }
	text("X11Layout", func(v *languageView) string { return v.keyboard.Layout })
	text("X11Model", func(v *languageView) string { return v.keyboard.Model })
	text("X11Variant", func(v *languageView) string { return v.keyboard.Variant })
	text("X11Options", func(v *languageView) string { return v.keyboard.Options })
	text("VConsoleKeymap", func(v *languageView) string { return v.keyboard.Keymap })
	text("VConsoleKeymapToggle", func(v *languageView) string { return v.keyboard.Toggle })
	p.Methods["locale1.SetLocale"] = s.setLocale
	p.Methods["locale1.SetVConsoleKeyboard"] = s.setVConsole
	p.Methods["locale1.SetX11Keyboard"] = s.setX11
}

// maxArchive is how much of glibc's archive is read: names are at its beginning, and what
// follows can be hundreds of megabytes.
const maxArchive = 4 << 20

func (s *Server) installedLocales() []string {
	names := locale.Archive(s.disk.Start(path.Join(localeDir, "locale-archive"), maxArchive))
	entries, err := os.ReadDir(s.disk.At(localeDir))
	if err != nil {
		return names // a libc without
	}
	for _, e := range entries {
		if e.IsDir() && locale.ValidName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

func (s *Server) setLocale(c *bus.Call) error {
	args, interactive := c.Args[0].([]string), c.Args[1].(bool)
	// Who may not change anything is not told what is installed, nor is it looked for.
	asked, refusal := locale.Wanted(args, func(string) bool { return true })
	if refusal != "" {
		return bus.Errorf(bus.ErrInvalidArgs, "%s", refusal)
	}
	if _, same, err := s.merged(asked); err == nil && same {
		return nil // nothing to do, and nothing to ask for
	}
	return s.change(c, localeAction+"set-locale", interactive, func() error {
		names := s.installedLocales()
		wanted, refusal := locale.Wanted(args, func(n string) bool { return locale.Installed(n, names) })
		if refusal != "" {
			return bus.Errorf(bus.ErrInvalidArgs, "%s", refusal)
		}
		after, same, err := s.merged(wanted)
		if err != nil {
			return failed("Failed to read locale settings", err)
		}
		if same {
			return nil
		}
		if err := s.disk.Put(localeConf, after); err != nil {
			return failed("Failed to set locale", err)
		}
		s.changed(localePath, localeName, "Locale")
		s.log.Info("the locale is changed", "locale", strings.Join(locale.Assignments(after), " "))
		if err := s.units.SetEnvironment(context.Background(), locale.Assignments(after), locale.Variables()); err != nil {
			s.log.Warn("services begin with the locale of before", "err", err)
		}
		return nil
	})
}

// merged is what /etc/locale.conf would say with wanted in it, and whether that is what is
// in force already.
func (s *Server) merged(wanted []envfile.Var) (after string, same bool, err error) {
	text, err := s.disk.Read(localeConf)
	if err != nil {
		return "", false, err
	}
	_, err = os.Stat(s.disk.At(localeConf))
	after = locale.Merge(text, err == nil, wanted, s.read(languageMap))
	return after, slices.Equal(s.languages().locale, locale.Current(after, after != "")), nil
}

// maxKeymaps bounds how many files are looked at: kbd has some 600.
const maxKeymaps = 20000

// keymaps are the names of all keymaps that are installed.
func (s *Server) keymaps() map[string]bool {
	out := map[string]bool{}
	seen := 0
	for _, d := range keymapDirs {
		err := filepath.WalkDir(s.disk.At(d), func(p string, e fs.DirEntry, err error) error {
			if seen++; seen > maxKeymaps {
				return fs.SkipAll
			}
			if err != nil {
				return nil // most systems have one of the directories
			}
			if name := locale.KeymapOf(e.Name()); name != "" && !e.IsDir() {
				out[name] = true
			}
			return nil
		})
		if err != nil {
			s.log.Warn("keymaps are not looked for", "directory", d, "err", err)
		}
	}
	return out
}

// table says which keymap is which keyboard of XKB.
func (s *Server) table() []locale.Row {
	if t := locale.Table(s.read(modelMap)); len(t) > 0 {
		return t
	}
	return locale.Own
}

// layout says that XKB has a layout.
func (s *Server) layout(name string) bool {
	st, err := os.Stat(s.disk.At(path.Join(xkbSymbols, name)))
	return err == nil && st.Mode().IsRegular()
}

var (
	vconsoleProperties = []string{"VConsoleKeymap", "VConsoleKeymapToggle"}
	x11Properties      = []string{"X11Layout", "X11Model", "X11Variant", "X11Options"}
)

func (s *Server) setVConsole(c *bus.Call) error {
	keymap, toggle, convert, interactive := c.Args[0].(string), c.Args[1].(string), c.Args[2].(bool), c.Args[3].(bool)
	for _, k := range []string{keymap, toggle} {
		if k != "" && !locale.ValidKeymap(k) {
			return bus.Errorf(bus.ErrFailed, "Keymap %s is not installed.", line(k))
		}
	}
	return s.change(c, localeAction+"set-keyboard", interactive, func() error {
		installed := s.keymaps()
		for _, k := range []string{keymap, toggle} {
			if k != "" && !installed[k] {
				return bus.Errorf(bus.ErrFailed, "Keymap %s is not installed.", k)
			}
		}
		k := s.languages().keyboard
		k.Keymap, k.Toggle = keymap, toggle
		changed := vconsoleProperties
		if convert {
			if x := locale.ToX11(s.table(), keymap, s.layout); x != (locale.X11{}) || keymap == "" {
				k.X11 = x
				changed = append(slices.Clone(changed), x11Properties...)
			}
		}
		if err := s.writeKeyboard(k, convert); err != nil {
			return err
		}
		s.changed(localePath, localeName, changed...)
		s.log.Info("the keyboard of the console is changed", "keymap", keymap, "toggle", toggle)
		s.loadKeys(k)
		return nil
	})
}

func (s *Server) setX11(c *bus.Call) error {
	x := locale.X11{Layout: c.Args[0].(string), Model: c.Args[1].(string), Variant: c.Args[2].(string), Options: c.Args[3].(string)}
	convert, interactive := c.Args[4].(bool), c.Args[5].(bool)
	if !x.Valid() {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid X11 keyboard layout.")
	}
	return s.change(c, localeAction+"set-keyboard", interactive, func() error {
		k := s.languages().keyboard
		k.X11 = x
		changed := x11Properties
		if convert {
			installed := s.keymaps()
			if m := locale.ToKeymap(s.table(), x, func(n string) bool { return installed[n] }); m != "" || x.Layout == "" {
				if m != k.Keymap {
					k.Keymap, k.Toggle = m, ""
				}
				changed = append(slices.Clone(changed), vconsoleProperties...)
			}
		}
		if err := s.writeKeyboard(k, true); err != nil {
			return err
		}
		s.changed(localePath, localeName, changed...)
		s.log.Info("the keyboard of the X server is changed", "layout", x.Layout, "model", x.Model, "variant", x.Variant, "options", x.Options)
		if convert {
			s.loadKeys(k)
		}
		return nil
	})
}

// writeKeyboard writes the files of a keyboard; xorg says that its part of XKB is another
// one.
func (s *Server) writeKeyboard(k locale.Keyboard, xorg bool) error {
	text, err := s.disk.Read(vconsole)
	if err == nil {
		err = s.disk.Put(vconsole, locale.Write(text, k))
	}
	if err != nil {
		return failed("Failed to set keyboard", err)
	}
	if to, err := os.Readlink(s.disk.At(vconsole)); !xorg || err == nil && path.Join("etc", to) == debianKeyboard {
		return nil
	}
	if err := s.disk.Put(xorgConf, locale.Xorg(k.X11)); err != nil {
		return failed("Failed to set X11 keyboard layout", err)
	}
	return nil
}

// loadKeys brings the keymap of the console into force. That it cannot be is no failure of
// the change: the next boot does it.
func (s *Server) loadKeys(k locale.Keyboard) {
	ctx := context.Background() // Units bounds it
	if exists, _, err := s.units.Look(ctx, consoleSetup); err == nil && exists {
		if err := s.units.Restart(ctx, consoleSetup); err != nil {
			s.log.Warn("the keymap is not loaded", "err", err)
		}
		return
	}
	if k.Keymap == "" {
		return
	}
	if err := s.kernel.LoadKeys(k.Keymap, k.Toggle); err != nil {
		s.log.Info("the keymap is not loaded", "err", err)
	}
}
