package core

import (
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// What the kernel says about devices, mounts and swaps. Those that no file
// describes become units all the same, and are forgotten when they are gone.

// kernelSays takes the kernel's word; made builds the unit of what has no file.
func (c *Core) kernelSays(name string, there bool, made func() *unit.Unit) {
	i, ok := c.g.Lookup(name)
	var u *unit.Unit
	if ok {
		u = c.g.Unit(i)
	}
	if u == nil {
		n, err := unitname.Parse(name)
		if err != nil || !there {
			return
		}
		switch n.Type {
		case unitname.Mount, unitname.Swap, unitname.Device:
		default:
			return
		}
		if u = made(); u == nil {
			u = &unit.Unit{Name: name, Type: n.Type}
		}
		i = c.addUnit(u)
		c.rec(i).ephemeral = u.Type != unitname.Device // a device may be waited for again
	} else if there && u.Path == "" && len(u.DropIns) == 0 && !u.Perpetual && c.rec(i).down() {
		// Somebody named it before it came: now there is more to say.
		if v := made(); v != nil {
			u = v
			i = c.addUnit(u)
		}
	}
	switch c.machineOf(i).family {
	case familyDevice, familyMount:
	default:
		return
	}
	r := c.rec(i)
	if u.Perpetual && !there {
		return
	}
	r.kernel = there
	in := InKernelDown
	if there {
		in = InKernelUp
	}
	c.input(i, in, msg{})
}

// foreign describes what others mounted or swapped on; nil when the event does not
// say what it is.
func foreign(e *MountChanged) *unit.Unit {
	if e.What == "" {
		return nil
	}
	var frags []unit.Fragment
	section := "Swap"
	set := func(section, key, value string) {
		if value != "" {
			frags = append(frags, unit.Fragment{Section: section, Key: key, Text: strings.ReplaceAll(value, "%", "%%")})
		}
	}
	if e.Where != "" {
		section = "Mount"
		set(section, "Where", e.Where)
		set(section, "Type", e.FSType)
		if extrinsic(e.Where) {
			set("Unit", "DefaultDependencies", "no")
		}
	}
	set(section, "What", e.What)
	set(section, "Options", e.Options)
	return fileless(e.Unit, frags)
}

// fileless builds a unit that no file describes; nil if it cannot be one.
func fileless(name string, frags []unit.Fragment) *unit.Unit {
	u, _ := unit.Build(unit.Source{Name: name, Files: []unit.File{{Fragments: frags}}, HasMain: true})
	if u == nil || u.Load != unit.Loaded {
		return nil
	}
	u.Path = ""
	return u
}

// deviceSays takes the word of udev, or of the kernel, about one device.
func (c *Core) deviceSays(e *DeviceAppeared) {
	before := false
	if i, ok := c.g.Lookup(e.Unit); ok {
		before = c.rec(i).up()
	}
	c.kernelSays(e.Unit, !e.Gone, func() *unit.Unit {
		if e.Description == "" {
			return nil
		}
		return fileless(e.Unit, []unit.Fragment{{Section: "Unit", Key: "Description", Text: strings.ReplaceAll(e.Description, "%", "%%")}})
	})
	i, ok := c.g.Lookup(e.Unit)
	if !ok || e.Gone || c.shutdown != nil {
		return
	}
	if before {
		if e.Changed {
			c.deviceChanged(i)
		}
		return
	}
	// systemd.device(5), SYSTEMD_WANTS=: only when it becomes active.
	for name := range strings.FieldsSeq(e.Wants) {
		if w, ok := c.g.Lookup(name); ok && c.g.Unit(w) != nil && c.rec(w).down() {
			c.auto(w, graph.Start, SourceDevice, Cause{Kind: ByDevice, Unit: c.g.Name(i)})
		}
	}
}

// deviceChanged reloads those that asked for it by ReloadPropagatedFrom=
// (systemd.device(5)).
func (c *Core) deviceChanged(i graph.Index) {
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.PropagatesReloadTo) && c.rec(e.To).up() {
			c.auto(e.To, graph.Reload, SourceDevice, Cause{Kind: ByDevice, Unit: c.g.Name(i)})
		}
	}
}

// extrinsic mounts belong to the machine and not to its configuration: nobody
// unmounts them on the way down (systemd.mount(5), "API file systems").
func extrinsic(where string) bool {
	switch where {
	case "/", "/usr", "/etc", "/run":
		return true
	}
	for _, p := range [...]string{"/proc", "/sys", "/dev"} {
		if rest, ok := strings.CutPrefix(where, p); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// outlives says that a shutdown leaves the unit alone: the machine's own mounts,
// and, when it is only the manager that ends, all that others made.
func (c *Core) outlives(i graph.Index) bool {
	m := c.machineOf(i)
	if m.family != familyMount {
		return false
	}
	u := c.g.Unit(i)
	if u == nil {
		return true
	}
	if m == &mountMachine {
		where := unit.Where.Of(u)
		if where == "" {
			where, _ = unitname.ToPath(u.Name)
		}
		if extrinsic(where) && !unit.DefaultDependencies.Of(u) || where == "/" {
			return true
		}
	}
	return c.shutdown.Kind == Exit && u.Path == "" && len(u.DropIns) == 0
}
