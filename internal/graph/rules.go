package graph

import (
	"strings"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// emitter lists the dependencies that follow from one unit: what its files ask
// for, what its type implies, and the defaults. It also follows from the names
// of other units which of them exist, but from nothing else of theirs, so that
// a unit can be looked at alone (Origins, Add). The one exception is the order
// of targets after their members: targetDefaults.
type emitter struct {
	g   *Graph
	i   Index
	u   *unit.Unit
	out []dep
	// item and key say what in the unit's files the next deps come from.
	item int32
	key  keyRef
	// grow lets names of unknown units become placeholders.
	grow bool
	// selves are the settings in which a unit names itself.
	selves []dep
}

var explicit = []struct {
	key unit.Key[[]string]
	rel Rel
}{
	{unit.Requires, Requires},
	{unit.Requisite, Requisite},
	{unit.Wants, Wants},
	{unit.BindsTo, BindsTo},
	{unit.Upholds, Upholds},
	{unit.PartOf, PartOf},
	{unit.Conflicts, Conflicts},
	{unit.Before, Before},
	{unit.After, After},
	{unit.OnFailure, OnFailure},
	{unit.OnSuccess, OnSuccess},
	{unit.PropagatesReloadTo, PropagatesReloadTo},
	{unit.ReloadPropagatedFrom, ReloadPropagatedFrom},
	{unit.PropagatesStopTo, PropagatesStopTo},
	{unit.StopPropagatedFrom, StopPropagatedFrom},
	{unit.JoinsNamespaceOf, JoinsNamespaceOf},
}

// emit appends everything that follows from unit i.
func (e *emitter) emit(i Index) {
	e.i, e.u, e.item, e.key = i, e.g.units[i], 0, 0
	u := e.u
	if u == nil || u.Load != unit.Loaded && u.Load != unit.BadSetting {
		return
	}
	for _, x := range explicit {
		e.key = refTo(x.key.Setting())
		for k, name := range x.key.Of(u) {
			e.item = int32(k)
			if to := e.named(name); to != None {
				e.add(to, x.rel, ruleFile)
				if x.rel == JoinsNamespaceOf {
					e.add(to, NamespaceJoinedBy, ruleFile)
				}
			}
		}
	}
	e.mountsFor(unit.RequiresMountsFor, Requires)
	e.mountsFor(unit.WantsMountsFor, Wants)
	e.key, e.item = 0, 0
	e.slice()
	switch u.Type {
	case unitname.Service:
		e.service()
	case unitname.Socket:
		e.socket()
	case unitname.Timer:
		e.timer()
	case unitname.Path:
		e.path()
	case unitname.Mount:
		e.mount()
	case unitname.Automount:
		e.automount()
	case unitname.Swap:
		e.swap()
	}
	e.exec()
	if unit.DefaultDependencies.Of(u) && !e.g.perpetual(u) {
		e.defaults()
	}
}

func (e *emitter) add(to Index, rel Rel, r rule) {
	if to == None {
		return
	}
	if to == e.i {
		if r == ruleFile {
			e.selves = append(e.selves, dep{from: e.i, to: to, rel: rel, rule: r, item: e.item, key: e.key})
		}
		return
	}
	if rel = e.g.safely(e.i, to, rel); rel == 0 {
		return
	}
	e.out = append(e.out, dep{from: e.i, to: to, rel: rel, rule: r, item: e.item, key: e.key})
}

// named finds the unit of a name that a file gives; unknown ones become
// placeholders. In an instance, the name of a template means the instance of
// the same name (recorded: gnome-session@gnome.target).
func (e *emitter) named(name string) Index {
	if i, ok := e.g.byName[name]; ok {
		return i
	}
	if at := strings.IndexByte(name, '@'); at >= 0 && at+1 < len(name) && name[at+1] == '.' {
		own, err := unitname.Parse(e.u.Name)
		if err != nil || own.Instance == "" {
			return None
		}
		return e.named(name[:at+1] + own.Instance + name[at+1:])
	}
	if !e.grow {
		return None
	}
	return e.g.intern(name)
}

// known adds a dependency on a unit that the manager takes for granted, when it
// exists: a system without basic.target needs no order after it.
func (e *emitter) known(name string, rel Rel, r rule) {
	if i, ok := e.g.byName[name]; ok && e.g.units[i] != nil {
		e.add(i, rel, r)
	}
}

// slice: systemd.resource-control(5), "Slice=": "defaults to system.slice for
// all non-instantiated units", instances get a slice for their template.
func (e *emitter) slice() {
	u := e.u
	if u.Type == unitname.Slice {
		if up, ok := unitname.SliceParent(u.Name); ok {
			e.add(e.g.internIf(up, e.grow), Requires|After|InSlice, ruleSliceParent)
		}
		return
	}
	if name := e.g.sliceOf(u); name != "" {
		e.add(e.g.internIf(name, e.grow), Requires|After|InSlice, ruleSlice)
	}
}

// sliceOf is the slice that the unit runs in, "" for units without a cgroup
// and for native services, which have their own place.
func (g *Graph) sliceOf(u *unit.Unit) string {
	switch u.Type {
	case unitname.Service, unitname.Socket, unitname.Mount, unitname.Swap, unitname.Scope:
	default:
		return ""
	}
	if s := unit.Slice.Of(u); s != "" {
		return s
	}
	top := "system"
	if g.mode == User {
		top = "app"
	}
	switch {
	case u.Format == unit.Native:
		return ""
	case u.Perpetual,
		u.Type == unitname.Mount && (g.mode == User || apiMount(u)),
		u.Type == unitname.Swap && g.mode == User:
		return unitname.RootSlice
	}
	if n, err := unitname.Parse(u.Name); err == nil && n.Instance != "" {
		return top + "-" + unitname.Escape(n.Prefix) + ".slice"
	}
	return top + ".slice"
}

// apiMount: the kernel's own file systems belong to no service (recorded).
func apiMount(u *unit.Unit) bool {
	where := mountPoint(u)
	for _, top := range [...]string{"/dev", "/proc", "/sys"} {
		if where == top || strings.HasPrefix(where, top+"/") {
			return true
		}
	}
	return false
}

func (e *emitter) service() {
	u := e.u
	if unit.ServiceType.Of(u) == "dbus" {
		e.known("dbus.socket", Requires|After, ruleDBus)
	}
	e.key = refTo(unit.Sockets.Setting())
	for k, s := range unit.Sockets.Of(u) {
		e.item = int32(k)
		if to := e.named(s); to != None {
			e.add(to, Wants|After|TriggeredBy, ruleFile)
		}
	}
	e.key, e.item = 0, 0
}

func (e *emitter) socket() {
	u := e.u
	if !unit.Accept.Of(u) {
		e.activates(unit.SocketService.Of(u), ".service")
	}
	for _, l := range unit.Listens.Of(u) {
		if strings.HasPrefix(l.Address, "/") && l.Kind != "MessageQueue" {
			e.below(l.Address, Requires, ruleMountsFor)
		}
	}
	if dev := unit.BindToDevice.Of(u); dev != "" && dev != "lo" {
		if name, err := unitname.FromPath("/sys/subsystem/net/devices/"+dev, unitname.Device); err == nil {
			e.add(e.g.internIf(name, e.grow), e.onDevice(BindsTo|After), ruleNetDevice)
		}
	}
}

// activates: sockets, timers, paths and automounts start before the unit that
// they activate.
func (e *emitter) activates(name, suffix string) {
	if name == "" {
		name = strings.TrimSuffix(e.u.Name, "."+e.u.Type.String()) + suffix
	}
	if to := e.named(name); to != None {
		e.add(to, Before|Triggers, ruleActivates)
	}
}

func (e *emitter) timer() {
	e.activates(unit.TimerUnit.Of(e.u), ".service")
	if unit.Persistent.Of(e.u) && e.g.mode == System {
		e.below("/var/lib/systemd/timers", Requires, ruleMountsFor)
	}
}

func (e *emitter) path() {
	e.activates(unit.PathUnit.Of(e.u), ".service")
	for _, w := range unit.Watches.Of(e.u) {
		e.below(w.Path, Requires, ruleMountsFor)
	}
}

// defaults are the dependencies of DefaultDependencies=yes.
func (e *emitter) defaults() {
	u, system := e.u, e.g.mode == System
	if u.Format == unit.Native && !unit.DefaultDependencies.IsSet(u) {
		e.known("shutdown.target", Conflicts|Before, ruleNativeShutdown)
		return
	}
	r := ruleDefault
	switch u.Type {
	case unitname.Service:
		if system {
			e.known("sysinit.target", Requires|After, r)
			e.known("basic.target", After, r)
		} else {
			e.known("basic.target", Requires|After, r)
		}
	case unitname.Socket:
		e.known("sockets.target", Before, r)
		if system {
			e.known("sysinit.target", Requires|After, r)
		}
	case unitname.Timer:
		e.known("timers.target", Before, r)
		if system {
			e.known("sysinit.target", Requires|After, r)
			if len(unit.OnCalendar.Of(u)) > 0 {
				e.known("time-set.target", After, r)
				e.known("time-sync.target", After, r)
			}
		}
	case unitname.Path:
		e.known("paths.target", Before, r)
		if system {
			e.known("sysinit.target", Requires|After, r)
		}
	case unitname.Mount:
		e.mountDefaults()
		return
	case unitname.Automount:
		if system {
			e.known("umount.target", Conflicts|Before, r)
			e.known("local-fs-pre.target", After, r)
			e.known("local-fs.target", Before, r)
		}
		return
	case unitname.Swap:
		if system {
			e.known("umount.target", Conflicts|Before, r)
			e.known("swap.target", Before, r)
		}
		return
	case unitname.Device:
		return
	}
	if u.Name != "shutdown.target" {
		e.known("shutdown.target", Conflicts|Before, r)
	}
}

// takenForGranted are the units that only become dependencies when they exist:
// when one of them is added later, every unit is looked at again.
var takenForGranted = map[string]bool{
	"sysinit.target": true, "basic.target": true, "shutdown.target": true,
	"sockets.target": true, "timers.target": true, "paths.target": true,
	"local-fs.target": true, "local-fs-pre.target": true, "remote-fs.target": true,
	"remote-fs-pre.target": true, "network.target": true, "network-online.target": true,
	"swap.target": true, "umount.target": true, "time-set.target": true,
	"time-sync.target": true, "dbus.socket": true, "systemd-journald.socket": true,
	"systemd-remount-fs.service": true, "systemd-tmpfiles-setup.service": true, "systemd-quotacheck.service": true,
	"quotaon.service": true,
}

// pulls are the settings by which a target has members. The manual names only
// Wants= and Requires=; the others are recorded.
var pulls = [...]unit.Key[[]string]{unit.Wants, unit.Requires, unit.Requisite, unit.BindsTo, unit.Upholds}

// targetDefaults: systemd.target(5), "Default Dependencies": a target starts
// after its members, unless either has DefaultDependencies=no, or the member is itself ordered after the target (recorded: services wanted
// by graphical-session.target and started after it).
func (e *emitter) targetDefaults(i Index, ordered func(a, b Index) bool) {
	e.i, e.u = i, e.g.units[i]
	u := e.u
	if u == nil || u.Type != unitname.Target || u.Load != unit.Loaded || !unit.DefaultDependencies.Of(u) ||
		u.Format == unit.Native && !unit.DefaultDependencies.IsSet(u) {
		return
	}
	for _, key := range pulls {
		e.key = refTo(key.Setting())
		for k, name := range key.Of(u) {
			e.item = int32(k)
			to := e.named(name)
			if to == None {
				continue
			}
			m := e.g.units[to]
			if m == nil || !unit.DefaultDependencies.Of(m) || ordered(i, to) {
				continue
			}
			e.add(to, After, ruleDefaultTarget)
		}
	}
}
