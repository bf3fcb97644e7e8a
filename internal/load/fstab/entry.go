package fstab

import (
	"path"
	"slices"
	"strings"

	"dynamod/internal/calendar"
	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// entry is one line.
type entry struct {
	what, where, fstype, opts field
	check                     bool
	passCol                   int32
}

const (
	localTarget  = "local-fs.target"
	remoteTarget = "remote-fs.target"
	swapTarget   = "swap.target"
)

// early are the file systems that PID 1 mounts itself (systemd.mount(5), "API
// file systems"), as the generator of systemd 257 skips them.
var early = []string{"/proc", "/sys", "/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/dev", "/dev/pts", "/dev/shm", "/run",
	"/sys/fs/pstore", "/sys/fs/bpf", "/sys/kernel/security", "/sys/firmware/efi/efivars", "/sys/fs/selinux"}

// writer collects the fragments of one unit.
type writer struct {
	p     *parser
	frags []unit.Fragment
}

func (w *writer) set(section, key, text string, col int32) {
	w.frags = append(w.frags, unit.Fragment{Section: section, Key: key, Text: text, Pos: w.p.at(col)})
}

// literal protects a text from specifier expansion.
func literal(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// quote makes one word of a text, for settings that are lists.
func quote(s string) string {
	if !strings.ContainsAny(s, " \t\"'\\") {
		return literal(s)
	}
	return `"` + literal(strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)) + `"`
}

// define adds a unit unless its name is taken.
func (p *parser) define(name string, w *writer, col int32) bool {
	if first, dup := p.taken[name]; dup {
		p.add(col, diag.Error, "duplicate-unit", "", "%s is already defined in line %d; this line is ignored", diag.Clip(name), first)
		return false
	}
	p.taken[name] = p.line
	p.res.Units = append(p.res.Units, unit.Source{Name: name, HasMain: true,
		Files: []unit.File{{Path: p.path, Fragments: w.frags}}})
	return true
}

func (p *parser) link(owner, dir, name string, col int32) {
	p.res.Links = append(p.res.Links, Link{owner, unit.Link{Dir: dir, Name: name, Pos: p.at(col)}})
}

func (p *parser) entry(e *entry) {
	switch {
	case e.fstype.text == "ignore" || e.fstype.text == "autofs":
		return
	case e.fstype.text == "swap":
		p.swap(e)
	case !strings.HasPrefix(e.where.text, "/"):
		p.add(e.where.col, diag.Error, "bad-fstab", "", "the mount point %s is not an absolute path; the line is ignored", diag.Clip(e.where.text))
	default:
		p.mount(e)
	}
}

func (p *parser) header(w *writer, e *entry) {
	w.set("Unit", "Documentation", "man:fstab(5) man:systemd-fstab-generator(8)", e.what.col)
	w.set("Unit", "SourcePath", literal(p.path), e.what.col)
}

// optionText is what remains of the options for Options=: the device timeout
// is not one of mount(8)'s.
func optionText(opts []option) string {
	var out []string
	for _, o := range opts {
		if o.key != "x-systemd.device-timeout" {
			out = append(out, o.text)
		}
	}
	if len(out) == 1 && out[0] == "defaults" {
		return ""
	}
	return literal(strings.Join(out, ","))
}

func (p *parser) swap(e *entry) {
	opts := options(e.opts)
	p.refuse(opts)
	what := device(e.what.text)
	if !strings.HasPrefix(what, "/") {
		p.add(e.what.col, diag.Error, "bad-fstab", "", "%s is no swap file or device; the line is ignored", diag.Clip(e.what.text))
		return
	}
	name, err := unitname.FromPath(what, unitname.Swap)
	if err != nil {
		p.add(e.what.col, diag.Error, "bad-name", "", "%s cannot be the name of a unit: %s; the line is ignored", diag.Clip(what), diag.Clip(err.Error()))
		return
	}
	w := &writer{p: p}
	p.header(w, e)
	w.set("Swap", "What", literal(what), e.what.col)
	if o, ok := last(opts, "pri"); ok {
		w.set("Swap", "Priority", literal(o.value), o.col)
	}
	if t := optionText(opts); t != "" {
		w.set("Swap", "Options", t, e.opts.col)
	}
	p.deviceTimeout(what, opts)
	if !p.define(name, w, e.what.col) {
		return
	}
	if !toggle(opts, "noauto", "auto") {
		dir := "requires"
		if toggle(opts, "nofail", "fail") {
			dir = "wants"
		}
		p.link(swapTarget, dir, name, e.what.col)
	}
}

func (p *parser) mount(e *entry) {
	opts := options(e.opts)
	where := path.Clean(e.where.text)
	if p.opts.Resolve != nil {
		where = p.opts.Resolve(where)
	}
	if slices.Contains(early, where) {
		p.add(e.where.col, diag.Note, "early-mount", "", "%s is mounted by init before fstab is read; the line is ignored", where)
		return
	}
	name, err := unitname.FromPath(where, unitname.Mount)
	if err != nil {
		p.add(e.where.col, diag.Error, "bad-name", "", "%s cannot be the name of a unit: %s; the line is ignored", diag.Clip(where), diag.Clip(err.Error()))
		return
	}
	p.refuse(opts)
	what := device(e.what.text)
	root := where == "/"
	network := isNetwork(e.fstype.text, opts)
	nofail := toggle(opts, "nofail", "fail") && !root
	noauto := toggle(opts, "noauto", "auto") && !root
	automount := has(opts, "x-systemd.automount") && !root
	chosen := has(opts, "x-systemd.wanted-by") || has(opts, "x-systemd.required-by")
	background := strings.HasPrefix(e.fstype.text, "nfs") && toggle(opts, "bg", "fg")
	if background {
		// systemd.mount(5): as if these had been written around the list.
		nofail = true
	}
	target := localTarget
	if network {
		target = remoteTarget
	}
	w := &writer{p: p}
	p.header(w, e)
	p.dependencies(w, opts)
	switch {
	case chosen:
		if nofail || noauto {
			p.add(e.opts.col, diag.Note, "odd-value", "", "noauto and nofail have no effect beside x-systemd.wanted-by and x-systemd.required-by")
		}
		// None of the default dependencies but the one on shutdown.
		w.set("Unit", "DefaultDependencies", "no", e.opts.col)
		w.set("Unit", "Conflicts", "umount.target", e.opts.col)
		w.set("Unit", "Before", "umount.target", e.opts.col)
	case !nofail:
		w.set("Unit", "Before", target, e.where.col)
	}
	p.fsck(w, e, what, root)
	w.set("Mount", "What", literal(what), e.what.col)
	w.set("Mount", "Where", literal(where), e.where.col)
	if e.fstype.text != "auto" {
		w.set("Mount", "Type", literal(e.fstype.text), e.fstype.col)
	}
	if o, ok := last(opts, "x-systemd.mount-timeout"); ok && p.span(o) {
		w.set("Mount", "TimeoutSec", o.value, o.col)
	} else if background {
		w.set("Mount", "TimeoutSec", "infinity", e.opts.col)
	}
	t := optionText(opts)
	if background {
		t = strings.TrimSuffix("x-systemd.mount-timeout=infinity,retry=10000,nofail,"+t, ",") + ",fg"
	}
	if t != "" {
		w.set("Mount", "Options", t, e.opts.col)
	}
	if o, ok := last(opts, "x-systemd.rw-only"); ok {
		w.set("Mount", "ReadWriteOnly", "yes", o.col)
	}
	if !p.define(name, w, e.where.col) {
		return
	}
	p.deviceTimeout(what, opts)
	if has(opts, "_netdev") {
		p.networkDevice(what, e)
	}
	if (root || where == "/usr") && !p.remounts {
		p.remounts = true
		p.link(localTarget, "wants", "systemd-remount-fs.service", e.where.col)
	}
	if automount {
		if name = p.automount(where, e, opts); name == "" {
			return
		}
	}
	dir := "requires"
	if nofail {
		dir = "wants"
	}
	switch {
	case chosen:
		for _, o := range opts {
			switch o.key {
			case "x-systemd.wanted-by":
				p.linkFrom(o, "wants", name)
			case "x-systemd.required-by":
				p.linkFrom(o, "requires", name)
			}
		}
	case automount || !noauto:
		p.link(target, dir, name, e.where.col)
	}
}

func (p *parser) linkFrom(o option, dir, name string) {
	if owner := p.unitOf(o); owner != "" {
		p.link(owner, dir, name, o.col)
	}
}

// unitOf is the unit that an option names, or that stands for its path.
func (p *parser) unitOf(o option) string {
	name, err := unitname.Mangle(o.value, unitname.Mount)
	if err != nil {
		p.add(o.col, diag.Error, "bad-value", "write a unit name or an absolute path", "%s=%s is ignored: %s", o.key, diag.Clip(o.value), diag.Clip(err.Error()))
		return ""
	}
	return name
}

func (p *parser) dependencies(w *writer, opts []option) {
	for _, o := range opts {
		switch o.key {
		case "x-systemd.requires", "x-systemd.wants":
			if n := p.unitOf(o); n != "" {
				key := "Requires"
				if o.key == "x-systemd.wants" {
					key = "Wants"
				}
				w.set("Unit", key, literal(n), o.col)
				w.set("Unit", "After", literal(n), o.col)
			}
		case "x-systemd.before", "x-systemd.after":
			if n := p.unitOf(o); n != "" {
				key := "Before"
				if o.key == "x-systemd.after" {
					key = "After"
				}
				w.set("Unit", key, literal(n), o.col)
			}
		case "x-systemd.requires-mounts-for", "x-systemd.wants-mounts-for":
			if !strings.HasPrefix(o.value, "/") {
				p.add(o.col, diag.Error, "bad-value", "", "%s=%s is ignored: not an absolute path", o.key, diag.Clip(o.value))
				continue
			}
			key := "RequiresMountsFor"
			if o.key == "x-systemd.wants-mounts-for" {
				key = "WantsMountsFor"
			}
			w.set("Unit", key, quote(o.value), o.col)
		}
	}
}

func (p *parser) fsck(w *writer, e *entry, what string, root bool) {
	if !e.check {
		return
	}
	if !strings.HasPrefix(what, "/dev/") {
		p.add(e.passCol, diag.Warning, "bad-fstab", "write 0 as the sixth field", "%s is no device and cannot be checked", diag.Clip(what))
		return
	}
	if root {
		p.link(localTarget, "wants", "systemd-fsck-root.service", e.passCol)
		return
	}
	dev, err := unitname.EscapePath(what)
	if err != nil {
		return
	}
	service := "systemd-fsck@" + dev + ".service"
	w.set("Unit", "Requires", literal(service), e.passCol)
	w.set("Unit", "After", literal(service), e.passCol)
}

func (p *parser) automount(where string, e *entry, opts []option) string {
	name, err := unitname.FromPath(where, unitname.Automount)
	if err != nil {
		return ""
	}
	w := &writer{p: p}
	p.header(w, e)
	w.set("Automount", "Where", literal(where), e.where.col)
	if o, ok := last(opts, "x-systemd.idle-timeout"); ok && p.span(o) {
		w.set("Automount", "TimeoutIdleSec", o.value, o.col)
	}
	if !p.define(name, w, e.where.col) {
		return ""
	}
	return name
}

// span checks a time, so that a bad one shows here and not in a made-up file.
func (p *parser) span(o option) bool {
	if o.value == "infinity" {
		return true
	}
	if _, err := calendar.ParseSpan(o.value); err != nil {
		p.add(o.col, diag.Error, "bad-value", `write a time such as "30s"`, "%s=%s is ignored: %s", o.key, diag.Clip(o.value), diag.Clip(err.Error()))
		return false
	}
	return true
}

// deviceUnit is the unit of a device path, "" for anything else.
func deviceUnit(what string) string {
	if !strings.HasPrefix(what, "/dev/") {
		return ""
	}
	n, err := unitname.FromPath(what, unitname.Device)
	if err != nil {
		return ""
	}
	return n
}

func (p *parser) deviceTimeout(what string, opts []option) {
	o, ok := last(opts, "x-systemd.device-timeout")
	if !ok || !p.span(o) {
		return
	}
	dev := deviceUnit(what)
	if dev == "" {
		p.add(o.col, diag.Warning, "odd-value", "", "x-systemd.device-timeout has no effect: %s is no device", diag.Clip(what))
		return
	}
	w := &writer{p: p}
	w.set("Unit", "JobRunningTimeoutSec", o.value, o.col)
	p.dropin(dev, w)
}

func (p *parser) networkDevice(what string, e *entry) {
	if dev := deviceUnit(what); dev != "" {
		w := &writer{p: p}
		w.set("Unit", "After", "network-online.target network.target", e.opts.col)
		w.set("Unit", "Wants", "network-online.target", e.opts.col)
		p.dropin(dev, w)
	}
}

func (p *parser) dropin(name string, w *writer) {
	p.res.Dropins = append(p.res.Dropins, Dropin{name, unit.File{Path: p.path, Fragments: w.frags}})
}

// known are the options of systemd.mount(5) that need no complaint.
var known = []string{"requires", "wants", "before", "after", "wanted-by", "required-by", "requires-mounts-for",
	"wants-mounts-for", "device-bound", "automount", "idle-timeout", "device-timeout", "mount-timeout", "rw-only"}

// refuse reports the options that nothing here can carry out.
func (p *parser) refuse(opts []option) {
	for _, o := range opts {
		short, ok := strings.CutPrefix(o.key, "x-systemd.")
		if !ok {
			continue
		}
		switch short {
		case "makefs":
			p.add(o.col, diag.Warning, "unsupported", "make the file system once by hand", "x-systemd.makefs is not supported: nothing is formatted")
		case "growfs":
			p.add(o.col, diag.Warning, "unsupported", "grow the file system once by hand", "x-systemd.growfs is not supported: the file system keeps its size")
		case "pcrfs", "validatefs":
			p.add(o.col, diag.Warning, "unsupported", "", "x-systemd.%s is not supported: nothing is measured", short)
		default:
			if slices.Contains(known, short) {
				continue
			}
			hint := ""
			if s := diag.Suggest(short, known); s != "" {
				hint = "did you mean x-systemd." + s + "?"
			}
			p.add(o.col, diag.Warning, "unknown-key", hint, "unknown option %s is ignored", diag.Clip(o.key))
		}
	}
}
