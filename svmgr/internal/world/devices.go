package world

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/uevent"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// devices are the device units: one for the path below /sys, one for the node, and one
// for each link and alias, of each device that udev has tagged "systemd" and does not
// call unready (systemd.device(5)). Without udev they are the block and network devices
// and terminals that the kernel tells of.
//
// It belongs to the goroutine that follows the devices.
type devices struct {
	w *World
	// dev is /dev.
	dev string
	db  uevent.Database
	// byUdev says that udev's word counts and not the kernel's.
	byUdev bool
	// names are the units of each device, claims the devices of each unit: two may
	// have the same link for a while.
	names  map[string][]string
	claims map[string][]string
	ears   *uevent.Listener
}

// systemdTag marks the devices that become units.
const systemdTag = "systemd"

// startDevices begins to follow; what is there is told first.
func (w *World) startDevices() {
	d := &devices{w: w, dev: "/dev", db: uevent.Database{Sys: "/sys", Run: "/run/udev"}, names: map[string][]string{}, claims: map[string][]string{}}
	if w.cfg.DeviceRoot != "" {
		d.dev, d.db = w.cfg.DeviceRoot+"/dev", uevent.Database{Sys: w.cfg.DeviceRoot + "/sys", Run: w.cfg.DeviceRoot + "/udev"}
	}
	var err error
	// Listening comes before looking: nothing can fall in between.
	if d.ears, err = uevent.Listen(uevent.Kernel, uevent.Udev); err != nil {
		w.log.Error("devices will not be seen: units that need one wait for their timeout", "err", err)
		return
	}
	w.hook.closed = append(w.hook.closed, d.ears.Close)
	w.start(d.follow) // ends with Close
}

func (d *devices) follow() {
	d.byUdev = d.udevExpected()
	d.scan()
	for _, n := range d.w.cfg.Plugged {
		if len(d.claims[n]) == 0 {
			d.w.post(core.DeviceAppeared{Unit: n, Gone: true})
		}
	}
	for {
		e, from, dropped, err := d.ears.Next()
		if dropped > 0 {
			d.w.log.Warn("messages that are not about devices, or not from root, were dropped", "count", dropped)
		}
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, uevent.ErrLost):
			d.w.log.Warn("messages about devices were lost: looking at all of them again")
			d.scan()
		case err != nil:
			d.w.log.Error("devices are not followed any more", "err", err)
			return
		case from == uevent.Udev && !d.byUdev:
			d.w.log.Info("udev has come: its word about devices counts from now on")
			d.byUdev = true
			d.scan()
			d.event(e)
		case (from == uevent.Udev) == d.byUdev:
			d.event(e)
		}
	}
}

// udevExpected says whether a udev is there or will be: then what the kernel says comes
// too early, before links and permissions.
func (d *devices) udevExpected() bool {
	if _, err := os.Stat(d.db.Run); err == nil {
		return true
	}
	if d.w.cfg.UnitOf == nil {
		return false
	}
	for _, name := range []string{"systemd-udevd.service", "udev.service", "eudev.service", "udevd.service"} {
		if u := d.w.cfg.UnitOf(name); u != nil && u.Load == unit.Loaded {
			return true
		}
	}
	return false
}

// event takes one message.
func (d *devices) event(e uevent.Event) {
	path := e.DevPath
	if e.Action == "move" {
		if old := e.Props["DEVPATH_OLD"]; old != "" {
			d.set(old, nil, uevent.Device{}, false)
		}
	}
	if e.Action == "remove" {
		d.set(path, nil, uevent.Device{}, false)
		return
	}
	dev := e.Device()
	if !d.byUdev {
		dev.Links = nil
	}
	d.set(path, d.unitsOf(path, dev), dev, e.Action == "change")
}

// unitsOf are the units of a device, the one of its path first; none for a device that
// is no unit, or not ready yet.
func (d *devices) unitsOf(path string, dev uevent.Device) []string {
	if d.byUdev && !dev.Has(systemdTag) || !d.byUdev && !d.ordinary(dev) || dev.Props["SYSTEMD_READY"] == "0" {
		return nil
	}
	var out []string
	add := func(p string) {
		if n, err := unitname.FromPath(p, unitname.Device); err == nil && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	add("/sys" + path)
	if n := dev.Props["DEVNAME"]; n != "" {
		if !strings.HasPrefix(n, "/") {
			n = "/dev/" + n // as the kernel writes it
		}
		add(n)
	}
	for _, l := range dev.Links {
		if d.leadsTo(l, dev) {
			add(l)
		}
	}
	for a := range strings.FieldsSeq(dev.Props["SYSTEMD_ALIAS"]) {
		if strings.HasPrefix(a, "/") {
			add(a)
		} else {
			d.w.log.Warn("SYSTEMD_ALIAS= of a device is no absolute path", "device", path, "alias", printable(a))
		}
	}
	if !d.byUdev && dev.Props["SUBSYSTEM"] == "net" && dev.Props["INTERFACE"] != "" {
		add("/sys/subsystem/net/devices/" + dev.Props["INTERFACE"])
	}
	return out
}

// ordinary are the devices that become units where there is no udev.
func (d *devices) ordinary(dev uevent.Device) bool {
	switch dev.Props["SUBSYSTEM"] {
	case "block", "net", "tty":
		return true
	}
	return false
}

// leadsTo says that a link is this device's and not that of another one which claims it
// too. One that is not there yet is believed.
func (d *devices) leadsTo(link string, dev uevent.Device) bool {
	var st unix.Stat_t
	if unix.Stat(d.dev+strings.TrimPrefix(link, "/dev"), &st) != nil {
		return true
	}
	if k := st.Mode & unix.S_IFMT; k != unix.S_IFBLK && k != unix.S_IFCHR {
		return true
	}
	return strconv.FormatUint(uint64(unix.Major(st.Rdev)), 10) == dev.Props["MAJOR"] &&
		strconv.FormatUint(uint64(unix.Minor(st.Rdev)), 10) == dev.Props["MINOR"]
}

// set tells what became of the units of a device.
func (d *devices) set(path string, units []string, dev uevent.Device, changed bool) {
	old := d.names[path]
	if len(units) == 0 {
		delete(d.names, path)
	} else {
		d.names[path] = units
	}
	for _, n := range old {
		if slices.Contains(units, n) {
			continue
		}
		d.claims[n] = slices.DeleteFunc(d.claims[n], func(p string) bool { return p == path })
		if len(d.claims[n]) == 0 {
			delete(d.claims, n)
			d.w.post(core.DeviceAppeared{Unit: n, Gone: true})
		}
	}
	if len(units) == 0 {
		return
	}
	wants, held := d.wants(path, dev)
	for k, n := range units {
		again := slices.Contains(old, n)
		if !again {
			d.claims[n] = append(d.claims[n], path)
		}
		ev := core.DeviceAppeared{Unit: n, Description: describe(path, dev), Changed: changed && again}
		if k == 0 {
			ev.Wants = wants
		}
		d.w.post(ev)
	}
	if len(held) > 0 {
		d.w.post(core.Released{Names: held})
	}
}

func describe(path string, dev uevent.Device) string {
	for _, key := range []string{"ID_MODEL_FROM_DATABASE", "ID_MODEL"} {
		if v := strings.TrimSpace(dev.Props[key]); v != "" {
			return printable(v)
		}
	}
	return printable("/sys" + path)
}

// wants are the units that the device asks for; a template gets the device's path as
// its instance. Those that are not loaded yet are, and held.
func (d *devices) wants(path string, dev uevent.Device) (names string, held []string) {
	key := "SYSTEMD_WANTS"
	if d.w.cfg.User {
		key = "SYSTEMD_USER_WANTS"
	}
	var out []string
	for name := range strings.FieldsSeq(dev.Props[key]) {
		n, err := unitname.Parse(name)
		if err == nil && n.IsTemplate() {
			var instance string
			if instance, err = unitname.EscapePath("/sys" + path); err == nil {
				n, err = n.WithInstance(instance)
			}
		}
		if err != nil {
			d.w.log.Warn(key+"= of a device names no unit", "device", path, "name", printable(name), "err", err)
			continue
		}
		name = n.String()
		if !d.w.defined(name) && d.w.cfg.Load != nil {
			u := d.w.cfg.Load(name)
			if u == nil {
				d.w.log.Warn("a device wants a unit that cannot be loaded", "device", path, "unit", name)
				continue
			}
			d.w.post(core.Loaded{Units: []*unit.Unit{u}, Hold: true})
			held = append(held, u.Name)
		}
		out = append(out, name)
	}
	return strings.Join(out, " "), held
}

// scan looks at all devices; those that are known and not found are gone.
func (d *devices) scan() {
	found := map[string]uevent.Device{}
	if d.byUdev {
		d.scanUdev(found)
	} else {
		d.scanSys(found)
	}
	paths := make([]string, 0, len(found))
	for p := range found {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	for p := range d.names {
		if _, ok := found[p]; !ok {
			d.set(p, nil, uevent.Device{}, false)
		}
	}
	for _, p := range paths {
		d.set(p, d.unitsOf(p, found[p]), found[p], false)
	}
}

// scanUdev reads the database.
func (d *devices) scanUdev(found map[string]uevent.Device) {
	err := d.db.Tagged(systemdTag, func(path string, dev uevent.Device) { found[path] = dev })
	if err != nil {
		d.w.log.Error("the devices cannot be listed", "err", err)
	}
}

func (d *devices) scanSys(found map[string]uevent.Device) {
	for _, class := range []string{"block", "net", "tty"} {
		list, err := os.ReadDir(d.db.Sys + "/class/" + class)
		if err != nil {
			continue // a kernel without it
		}
		for _, e := range list {
			path, ok := d.db.Resolve("class/" + class + "/" + e.Name())
			if !ok {
				continue
			}
			dev := uevent.Device{Props: map[string]string{}}
			d.db.FromSys(path, &dev)
			dev.Props["SUBSYSTEM"] = class
			found[path] = dev
		}
	}
}
