package load

import (
	"io/fs"
	"path"
	"slices"

	"dynamod/internal/diag"
	"dynamod/internal/load/getty"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// stockMarker is the unit by which a tree shows that it boots with unit files.
const stockMarker = "sysinit.target"

// takeStock decides which packaged services count for this tree: those that boot a
// machine, or those that answer in place of systemd's.
func (l *Loader) takeStock() {
	more := l.cfg.ShadowDirs
	if l.ix.files[stockMarker] == nil {
		more = l.cfg.StockDirs
	}
	l.nativeDirs = slices.Concat(l.cfg.NativeDirs, more)
}

// gettyTarget is what brings login prompts up; gettyGenerators are where
// systemd.generator(7) has the program that would have made them.
const gettyTarget = "getty.target"

var gettyGenerators = []string{"/run/systemd/system-generators", "/etc/systemd/system-generators",
	"/usr/local/lib/systemd/system-generators", "/usr/lib/systemd/system-generators", "/lib/systemd/system-generators"}

// readConsoles links the prompts of the machine's consoles into getty.target.
func (l *Loader) readConsoles() {
	target := l.canonical(gettyTarget)
	if l.cfg.Consoles == NoConsoles || !l.exists(target) {
		return
	}
	for _, d := range gettyGenerators {
		if _, _, err := l.tree.resolve(rel(d + "/systemd-getty-generator")); err == nil {
			return
		}
	}
	add := func(name, from string) {
		l.extra[target] = append(l.extra[target], unit.Link{Dir: "wants", Name: name, Pos: diag.Pos{File: from}})
	}
	if l.cfg.Consoles == ContainerConsole {
		_, fi, err := l.tree.resolve("dev/console")
		if err != nil || fi.Mode()&fs.ModeCharDevice == 0 || l.ownGetty("console") {
			return
		}
		if name := "console-getty.service"; l.exists(l.canonical(name)) {
			add(name, "/dev/console")
		} else if name := l.prompt("console", "getty@"); name != "" {
			add(name, "/dev/console")
		}
		return
	}
	const active = "/sys/class/tty/console/active"
	m := getty.Machine{Active: l.short(active), Cmdline: l.short("/proc/cmdline")}
	_, _, err := l.tree.resolve("sys/class/tty/tty0")
	m.VirtualTerminals = err == nil
	for _, c := range getty.Consoles(m) {
		if l.ownGetty(c.TTY) {
			continue
		}
		templates := []string{"serial-getty@", "getty@"}
		if c.Virtual {
			templates = templates[1:]
		}
		if name := l.prompt(c.TTY, templates...); name != "" {
			add(name, active)
		}
	}
}

// prompt is the instance for a console of the first template that there is.
func (l *Loader) prompt(tty string, templates ...string) string {
	for _, t := range templates {
		name := t + unitname.Escape(tty) + ".service"
		if unitname.Valid(name) && l.exists(l.canonical(name)) {
			return l.canonical(name)
		}
	}
	return ""
}

// ownGetty: who has written a service for the console wants no second one there.
func (l *Loader) ownGetty(tty string) bool {
	for _, p := range []string{"agetty-", "getty-"} {
		if l.natives[p+unitname.Escape(tty)+".service"] != nil {
			return true
		}
	}
	return false
}

// short reads one of the kernel's small files; "" when it is not there.
func (l *Loader) short(p string) string {
	real, fi, err := l.tree.resolve(rel(path.Clean(p)))
	if err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	data, err := l.tree.read(real)
	if err != nil {
		return ""
	}
	return string(data)
}
