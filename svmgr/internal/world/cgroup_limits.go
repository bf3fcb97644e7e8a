package world

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/calendar"
	"dynamod/internal/sys/capacity"
	"dynamod/internal/sys/cgroup"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// limit is one line for a control file.
type limit struct{ controller, file, value string }

// quantities are the settings that are one number in one file. During boot and shutdown
// the one of startup goes before the other, where it is set.
var quantities = []struct {
	key, startup     unit.Key[unit.Quantity]
	controller, file string
}{
	{unit.MemoryMin, never, "memory", "memory.min"},
	{unit.MemoryLow, unit.StartupMemoryLow, "memory", "memory.low"},
	{unit.MemoryHigh, unit.StartupMemoryHigh, "memory", "memory.high"},
	{unit.MemoryMax, unit.StartupMemoryMax, "memory", "memory.max"},
	{unit.MemorySwapMax, unit.StartupMemorySwapMax, "memory", "memory.swap.max"},
	{unit.MemoryZSwapMax, unit.StartupMemoryZSwapMax, "memory", "memory.zswap.max"},
	{unit.TasksMax, never, "pids", "pids.max"},
}

// never is of a limit that is the same at all times.
var never unit.Key[unit.Quantity]

// inherited are the settings of slices for what lies below them, where that says
// nothing itself.
var inherited = []struct {
	key, startup, from, fromStartup unit.Key[unit.Quantity]
	file                            string
}{
	{unit.MemoryMin, never, unit.DefaultMemoryMin, never, "memory.min"},
	{unit.MemoryLow, unit.StartupMemoryLow, unit.DefaultMemoryLow, unit.DefaultStartupMemoryLow, "memory.low"},
}

// ioRates are the settings of io.max.
var ioRates = []struct {
	key  unit.Key[[]string]
	word string
	// bytes says that suffixes of 1000 are allowed.
	bytes bool
}{
	{unit.IOReadBandwidthMax, "rbps", true},
	{unit.IOWriteBandwidthMax, "wbps", true},
	{unit.IOReadIOPSMax, "riops", false},
	{unit.IOWriteIOPSMax, "wiops", false},
}

// limitsOf lists what the unit's settings ask of its group
// (systemd.resource-control(5)), during boot and shutdown (starting) or in between.
func limitsOf(u *unit.Unit, starting bool) (out []limit, err error) {
	add := func(c, f, v string) { out = append(out, limit{c, f, v}) }
	for _, q := range quantities {
		key := q.key
		if starting && q.startup != never && q.startup.IsSet(u) {
			key = q.startup
		}
		if !key.IsSet(u) {
			continue
		}
		total := capacity.Memory
		if q.controller == "pids" {
			total = totalTasks
		}
		v, err := amount(key.Of(u), total)
		if err != nil {
			return nil, err
		}
		add(q.controller, q.file, v)
	}
	if unit.MemoryZSwapWriteback.IsSet(u) && !unit.MemoryZSwapWriteback.Of(u) {
		add("memory", "memory.zswap.writeback", "0")
	}
	if k := during(u, starting, unit.CPUWeight, unit.StartupCPUWeight); k.IsSet(u) {
		if n := k.Of(u); n == 0 {
			add("cpu", "cpu.idle", "1")
		} else {
			add("cpu", "cpu.weight", strconv.FormatInt(n, 10))
		}
	}
	if unit.CPUQuota.IsSet(u) {
		period := unit.CPUQuotaPeriodSec.Of(u).Microseconds()
		quota := max(unit.CPUQuota.Of(u)*period/10000, 1000) // the kernel's least
		add("cpu", "cpu.max", fmt.Sprintf("%d %d", quota, period))
	}
	if v := unit.CPUMax.Of(u); v != "" {
		add("cpu", "cpu.max", v)
	}
	if v := during(u, starting, unit.AllowedCPUs, unit.StartupAllowedCPUs).Of(u); len(v) > 0 {
		add("cpuset", "cpuset.cpus", strings.Join(v, ","))
	}
	if v := during(u, starting, unit.AllowedMemoryNodes, unit.StartupAllowedMemoryNodes).Of(u); len(v) > 0 {
		add("cpuset", "cpuset.mems", strings.Join(v, ","))
	}
	if k := during(u, starting, unit.IOWeight, unit.StartupIOWeight); k.IsSet(u) {
		add("io", "io.weight", "default "+strconv.FormatInt(k.Of(u), 10))
	}
	for _, line := range unit.IODeviceWeight.Of(u) {
		dev, v, err := deviceLine(line)
		if err != nil {
			return nil, err
		}
		add("io", "io.weight", dev+" "+v)
	}
	for _, r := range ioRates {
		for _, line := range r.key.Of(u) {
			dev, v, err := deviceLine(line)
			if err == nil {
				v, err = rate(v, r.bytes)
			}
			if err != nil {
				return nil, err
			}
			add("io", "io.max", dev+" "+r.word+"="+v)
		}
	}
	for _, line := range unit.IODeviceLatencyTargetSec.Of(u) {
		dev, v, err := deviceLine(line)
		if err != nil {
			return nil, err
		}
		d, err := calendar.ParseSpan(v)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, unix.EINVAL)
		}
		add("io", "io.latency", dev+" target="+strconv.FormatInt(d.Microseconds(), 10))
	}
	return out, nil
}

// during is the setting that holds now: the one for boot and shutdown only then, and only
// where it is set.
func during[T any](u *unit.Unit, starting bool, always, startup unit.Key[T]) unit.Key[T] {
	if starting && startup.IsSet(u) {
		return startup
	}
	return always
}

// changesWithTime says that the unit has other limits during boot and shutdown, by itself
// or by the slices above it, which find knows.
func (w *World) changesWithTime(u *unit.Unit, find func(string) *unit.Unit) bool {
	for _, q := range quantities {
		if q.startup != never && q.startup.IsSet(u) {
			return true
		}
	}
	for _, in := range inherited {
		if in.fromStartup == never || in.key.IsSet(u) {
			continue
		}
		if w.nearest(u, find, func(s *unit.Unit) bool { return in.fromStartup.IsSet(s) }) != nil {
			return true
		}
	}
	return unit.StartupCPUWeight.IsSet(u) || unit.StartupAllowedCPUs.IsSet(u) || unit.StartupAllowedMemoryNodes.IsSet(u) || unit.StartupIOWeight.IsSet(u)
}

// above are the slices above a unit, outermost first.
func (w *World) above(u *unit.Unit) []string {
	if u.Type == unitname.Slice {
		names := slicesDownTo(u.Name)
		return names[:max(len(names)-1, 0)]
	}
	names, _ := w.placeOf(u)
	return names
}

// nearest is the nearest slice above a unit that says something.
func (w *World) nearest(u *unit.Unit, find func(string) *unit.Unit, says func(*unit.Unit) bool) *unit.Unit {
	if find == nil {
		return nil
	}
	for _, name := range slices.Backward(w.above(u)) {
		if s := find(name); s != nil && says(s) {
			return s
		}
	}
	return nil
}

// inheritedLimits are what the slices above a unit say for those below them, the nearest
// first (systemd.resource-control(5), DefaultMemoryLow=).
func (w *World) inheritedLimits(u *unit.Unit, starting bool) (out []limit, err error) {
	for _, in := range inherited {
		if in.key.IsSet(u) || starting && in.startup != never && in.startup.IsSet(u) {
			continue
		}
		key := func(s *unit.Unit) unit.Key[unit.Quantity] {
			if starting && in.fromStartup != never && in.fromStartup.IsSet(s) {
				return in.fromStartup
			}
			return in.from
		}
		s := w.nearest(u, w.cfg.UnitOf, func(s *unit.Unit) bool { return key(s).IsSet(s) })
		if s == nil {
			continue
		}
		v, err := amount(key(s).Of(s), capacity.Memory)
		if err != nil {
			return nil, err
		}
		out = append(out, limit{"memory", in.file, v})
	}
	return out, nil
}

// amount writes a quantity; a share is one of the machine's total.
func amount(q unit.Quantity, total func() (uint64, error)) (string, error) {
	switch {
	case q.Infinite:
		return "max", nil
	case q.Permille:
		t, err := total()
		if err != nil {
			return "", err
		}
		return strconv.FormatUint(q.Share(t), 10), nil
	}
	return strconv.FormatUint(q.N, 10), nil
}

func totalTasks() (uint64, error) { return capacity.Tasks("/") }

// deviceLine splits "DEVICE VALUE" and finds the number of the device.
func deviceLine(line string) (dev, value string, err error) {
	f := strings.Fields(line)
	if len(f) != 2 {
		return "", "", fmt.Errorf("%q is not a device and a value: %w", line, unix.EINVAL)
	}
	dev, err = blockDevice(f[0])
	return dev, f[1], err
}

// blockDevice is "MAJOR:MINOR" of a device node, or of the device that a file lies
// on; limits hold for whole disks, so a partition stands for its disk.
func blockDevice(p string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return "", fmt.Errorf("stat %s: %w", p, err)
	}
	d := st.Dev
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		d = st.Rdev
	}
	dev := fmt.Sprintf("%d:%d", unix.Major(d), unix.Minor(d))
	sys := "/sys/dev/block/" + dev
	if _, err := os.Stat(sys + "/partition"); err == nil {
		if b, err := os.ReadFile(sys + "/../dev"); err == nil {
			dev = strings.TrimSpace(string(b))
		}
	} else if _, err := os.Stat(sys); err != nil {
		return "", fmt.Errorf("%s is on no block device: %w", p, unix.ENODEV)
	}
	return dev, nil
}

func rate(v string, bytes bool) (string, error) {
	if v == "infinity" {
		return "max", nil
	}
	factor := uint64(1)
	if i := strings.IndexByte("KMGT", v[len(v)-1]); i >= 0 {
		v = v[:len(v)-1]
		for range i + 1 {
			factor *= 1000
		}
	}
	if factor > 1 && !bytes {
		return "", fmt.Errorf("a number of operations has no suffix: %w", unix.EINVAL)
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%q is no rate: %w", v, unix.EINVAL)
	}
	return strconv.FormatUint(n*factor, 10), nil
}

// applyLimits writes the limits of a unit's group. A limit whose controller is not
// there is left out; so is one that this kernel was built without (io.latency) or cannot
// set on the device (io.weight where no scheduler weighs). The unit is warned of both. One
// that the kernel refuses fails the start.
func (w *World) applyLimits(dir, unitName string, limits []limit) error {
	for _, l := range limits {
		if !slices.Contains(w.cg.available, l.controller) {
			notes{w, unitName}.say(fmt.Sprintf("a limit is not in force, for the cgroup controller %s is missing: %s = %s", l.controller, l.file, l.value))
			continue
		}
		err := cgroup.Write(dir, l.file, l.value)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
			w.warn(unitName, fmt.Sprintf("a limit is not in force, for the kernel does not offer it here: %s = %s: %v", l.file, l.value, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("%s = %s: %w", l.file, l.value, err)
		}
	}
	return nil
}

// limitsAt are the limits for the group of a unit, its own and those of the slices above,
// during boot and shutdown (starting) or between them.
func (w *World) limitsAt(u *unit.Unit, starting bool) ([]limit, error) {
	limits, err := limitsOf(u, starting)
	if err != nil {
		return nil, err
	}
	if !unit.TasksMax.IsSet(u) && slices.Contains(w.cg.available, "pids") {
		// Nobody asked for it: where the controller is missing nothing is missed.
		v, err := amount(unit.TasksLimit(u), totalTasks)
		if err != nil {
			return nil, err
		}
		if v != "max" {
			limits = append(limits, limit{"pids", "pids.max", v})
		}
	}
	more, err := w.inheritedLimits(u, starting)
	return append(more, limits...), err
}

// timePasses puts the limits into force that hold between boot and shutdown, or those
// for them, on all groups that have both (systemd.resource-control(5),
// StartupCPUWeight=).
func (w *World) timePasses(between bool) {
	if w.between.Swap(between) == between || w.cg.root == "" {
		return
	}
	w.reg.mu.Lock()
	var groups []*group
	for _, g := range w.reg.current {
		if g.u != nil {
			groups = append(groups, g)
		}
	}
	w.reg.mu.Unlock()
	for _, g := range groups {
		w.pool.do(g.unit, func() { // after a start or a change under way
			w.reg.mu.Lock()
			dir, u := g.dir, g.u
			if g.limited != nil {
				u = g.limited
			}
			w.reg.mu.Unlock()
			if dir != "" && w.changesWithTime(u, w.cfg.UnitOf) {
				w.relimit(dir, u, between)
			}
		})
	}
	// Who holds cg.mu may wait for the loop, on whose goroutine this is called.
	w.pool.do(unitname.RootSlice, func() {
		w.cg.mu.Lock()
		timely := maps.Clone(w.cg.timely)
		w.cg.mu.Unlock()
		for dir, u := range timely {
			w.relimit(dir, u, between)
		}
	})
}

func (w *World) relimit(dir string, u *unit.Unit, between bool) {
	if !cgroup.Valid(dir) {
		return // it ended meanwhile
	}
	change, err := w.changeBetween(u, !between, u, between)
	if err == nil {
		w.cg.mu.Lock()
		w.enableDown(parentPath(dir), w.controllersFor(u, change))
		err = w.applyLimits(dir, u.Name, change)
		w.cg.mu.Unlock()
	}
	if err != nil {
		w.warn(u.Name, "limits that change with the end of the boot or the begin of the shutdown are not in force: "+err.Error())
	}
}

// limitSlice applies the limits of a slice to its group. The caller holds cg.mu.
func (w *World) limitSlice(dir, name string) {
	if w.cfg.UnitOf == nil {
		return
	}
	u := w.cfg.UnitOf(name)
	if u == nil {
		return
	}
	limits, err := w.limitsAt(u, !w.between.Load())
	if err == nil {
		w.noteSlice(dir, u, w.cfg.UnitOf)
		w.enableDown(parentPath(dir), w.controllersFor(u, limits))
		err = w.applyLimits(dir, name, limits)
	}
	if err != nil {
		w.warn(name, "the limits of the slice are not in force: "+err.Error())
	}
}

// noteSlice remembers what a slice says for later and for what comes below it. The caller
// holds cg.mu.
func (w *World) noteSlice(dir string, u *unit.Unit, find func(string) *unit.Unit) {
	delete(w.cg.timely, dir)
	if w.changesWithTime(u, find) {
		w.cg.timely[dir] = u
	}
	delete(w.cg.disabled, dir)
	if list := unit.DisableControllers.Of(u); len(list) > 0 {
		w.cg.disabled[dir] = list
	}
}

// slicesAgain remembers what the slices above a unit say that was there before this
// manager: their groups are not made again. The loop does not run yet, so that nobody
// but find can be asked.
func (w *World) slicesAgain(u *unit.Unit, find func(string) *unit.Unit) {
	w.cg.mu.Lock()
	defer w.cg.mu.Unlock()
	dir := w.cg.root
	for _, name := range w.above(u) {
		dir += "/" + name
		if s := find(name); s != nil {
			w.noteSlice(dir, s, find)
		}
	}
}
