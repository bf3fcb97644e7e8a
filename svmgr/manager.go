package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"dynamod/internal/board"
	"dynamod/internal/ipc"
	"dynamod/internal/sys/cgroup"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/loop"
	"dynamod/svmgr/internal/world"
)

// manager joins the parts for the control socket: it implements api.Manager.
type manager struct {
	*loop.Loop
	*configuration
	world  *world.World
	output *ring
	info   api.Info
	log    *slog.Logger
	spent  spent
	// environ are the variables that services get.
	environ *environ
	// health remembers over boots how they went; nil for what is no machine's manager.
	health *bootHealth
	// mends says that the machine was started to be mended: the boot is not judged.
	mends bool
	// ends says that somebody has asked for the end in order while the boot was pending.
	ends atomic.Bool
	// own is what the manager itself goes by.
	own *own
	// changingFiles is held while drop-ins are written.
	changingFiles sync.Mutex

	// steps moves with everything that happens.
	steps *board.Steps
	// link is who is above.
	link *link
	// record is the loop's, to be used within Query.
	record *loop.Record
	// program is what this process executes. leave ends the loop, and replaced says
	// that a new program shall go on.
	program  string
	leave    context.CancelFunc
	replaced atomic.Bool
	// cgroupRoot is the group that this process was started in, "" for none.
	cgroupRoot string
	// ending is what a shutdown came to; the loop writes it before it ends.
	ending *ending
	// stopping says that a signal has asked for the end.
	stopping atomic.Bool

	mu       sync.Mutex
	exit     int    // the code to end with
	argument string // for reboot(2)
}

// statusOf finds a unit for the console.
func (m *manager) statusOf(name string) (u core.UnitView, ending bool) {
	m.Query(func(c *core.Core) {
		u, _ = c.View().Unit(name)
		ending = c.View().ShuttingDown()
	})
	return u, ending
}

// Post implements api.Loop.
func (m *manager) Post(ev core.Event) bool { return m.Take(ev) }

// Steps implements api.Loop.
func (m *manager) Steps() uint64 { return m.steps.Now() }

// Happened implements api.Loop.
func (m *manager) Happened() { m.steps.Step() }

// Now implements api.Loop.
func (m *manager) Now() core.Time { return loop.Now() }

// Info implements api.Manager.
func (m *manager) Info() api.Info {
	i := m.info
	i.Generation = m.generation()
	i.Moments = m.moments.are()
	return i
}

func (m *manager) exitCode() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exit
}

// PID implements api.World.
func (m *manager) PID(run core.RunID) int32 {
	pid, _ := m.world.PID(run)
	return int32(pid)
}

// UnitOfPID implements api.World.
func (m *manager) UnitOfPID(pid int32, pidfd int) string {
	name, _, _, ok := m.world.RunOf(int(pid))
	if !ok || pidfd >= 0 && !samePID(pid, pidfd) {
		return ""
	}
	return name
}

// samePID asks the kernel whether the pidfd still is that process.
func samePID(pid int32, pidfd int) bool {
	data, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Pid:"); ok {
			return strings.TrimSpace(rest) == strconv.Itoa(int(pid))
		}
	}
	return false
}

// LastExit implements api.World.
func (m *manager) LastExit(name string) (ipc.Exit, bool) {
	e, ok := m.world.LastEnd(name)
	if !ok {
		return ipc.Exit{}, false
	}
	return ipc.Exit{PID: int32(e.PID), Code: e.Code, Signal: e.Signal, Core: e.Core, At: ipc.Stamp{Wall: e.At.UnixMicro()}}, true
}

// Commands implements api.World.
func (m *manager) Commands(name string) []ipc.CommandRun {
	now := m.Now()
	stamp := func(t time.Time) ipc.Stamp {
		if t.IsZero() {
			return ipc.Stamp{}
		}
		return ipc.Stamp{Wall: t.UnixMicro(), Mono: int64(now.Mono/time.Microsecond) - (now.Wall/1000 - t.UnixMicro())}
	}
	var out []ipc.CommandRun
	for _, r := range m.world.CommandRuns(name) {
		out = append(out, ipc.CommandRun{Key: r.Key, Index: r.Index, Start: stamp(r.Begun), Handoff: stamp(r.Handoff), Argv: r.Argv,
			Exit: ipc.Exit{PID: int32(r.PID), Code: r.Code, Signal: r.Signal, Core: r.Core, At: stamp(r.Ended)}})
	}
	return out
}

// Cgroup implements api.World.
func (m *manager) Cgroup(name string) string { return m.world.CgroupOf(name) }

// RunOf implements api.World.
func (m *manager) RunOf(name string) (group, invocation string, mainStart ipc.Stamp) {
	group, invocation, ticks := m.world.RunOfUnit(name)
	if ticks > 0 {
		// A tick is 10 ms for all programs, whatever the kernel's own clock is
		// (USER_HZ, proc(5)).
		now := m.Now()
		mainStart.Mono = int64(ticks) * 10_000
		mainStart.Wall = now.Wall/1000 - (int64(now.Mono/time.Microsecond) - mainStart.Mono)
	}
	return group, invocation, mainStart
}

// Processes implements api.World: those of the unit's cgroup and the groups below,
// or, without cgroups, the runs that the core knows.
func (m *manager) Processes(name string) []ipc.Process {
	var out []ipc.Process
	seen := map[int]bool{}
	add := func(pid int, group string) {
		if !seen[pid] && pid > 0 {
			seen[pid] = true
			out = append(out, ipc.Process{PID: int32(pid), Cgroup: group, Command: command(pid)})
		}
	}
	dir := m.world.CgroupOf(name)
	if dir == "" {
		m.Query(func(c *core.Core) {
			u, _ := c.View().Unit(name)
			for _, run := range [...]core.RunID{u.Main, u.Control} {
				if pid, ok := m.world.PID(run); ok {
					add(pid, "")
				}
			}
		})
		return out
	}
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a group that went away meanwhile has no processes
		}
		data, err := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil {
				add(pid, p)
			}
		}
		return nil
	})
	return out
}

// command is the command line of a process, for people.
func command(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return "[" + strings.TrimSpace(string(comm)) + "]"
	}
	return strings.TrimRight(strings.ReplaceAll(string(data), "\x00", " "), " ")
}

// Usage implements api.World, from the unit's cgroup.
func (m *manager) Usage(name string) (ipc.Usage, bool) {
	dir := m.world.CgroupOf(name)
	if dir == "" {
		return ipc.Usage{}, false
	}
	return usageOf(dir), true
}

// Spent implements api.World.
func (m *manager) Spent(name string) (ipc.Usage, bool) { return m.spent.of(name) }

func usageOf(dir string) ipc.Usage {
	number := func(file string) int64 { return cgroupNumber(dir, file) }
	keyed := func(file, key string) int64 { return cgroupKeyed(dir, file, key) }
	read, written := cgroupIO(dir)
	return ipc.Usage{Memory: number("memory.current"), MemoryPeak: number("memory.peak"), MemoryMax: number("memory.max"),
		Swap: number("memory.swap.current"), SwapPeak: number("memory.swap.peak"), CPU: keyed("cpu.stat", "usage_usec"), Tasks: number("pids.current"),
		TasksMax: number("pids.max"), IORead: read, IOWrite: written, OOMKills: keyed("memory.events", "oom_kill")}
}

// cgroupNumber reads a file of a cgroup that holds one number; -1 if it holds "max" or
// cannot be read.
func cgroupNumber(dir, file string) int64 {
	text, err := cgroup.Read(dir, file)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// cgroupKeyed reads one number of a file with a key on each line; -1 if there is none.
func cgroupKeyed(dir, file, key string) int64 {
	text, err := cgroup.Read(dir, file)
	if err != nil {
		return -1
	}
	n, ok := cgroup.Lookup(text, key)
	if !ok || n > math.MaxInt64 {
		return -1
	}
	return int64(n)
}

// cgroupIO is how many bytes were read from and written to all devices, -1 where the io
// controller is off for the group (Documentation/admin-guide/cgroup-v2.rst, io.stat).
func cgroupIO(dir string) (read, written int64) {
	text, err := cgroup.Read(dir, "io.stat")
	if err != nil {
		return -1, -1
	}
	for field := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || n < 0:
		case key == "rbytes":
			read += n
		case key == "wbytes":
			written += n
		}
	}
	return read, written
}

// LiveMount implements api.World.
func (m *manager) LiveMount(run core.RunID, a ipc.MountArgs) error {
	err := syscall.EXDEV
	if run != 0 {
		var ok bool
		got := m.world.LiveMount(a.Unit, run, a.Source, a.Target, a.ReadOnly, a.Make)
		if got == nil {
			return nil
		}
		if err, ok = got.(syscall.Errno); !ok {
			return ipc.Errorf("Failed", "mount into %s: %v", a.Unit, got).WithUnit(a.Unit)
		}
	}
	if err == syscall.EXDEV || err == syscall.ESRCH {
		return ipc.Errorf("InvalidArgs", "Unit '%s' not running in private mount namespace, cannot live mount.", a.Unit).WithUnit(a.Unit)
	}
	return ipc.Errorf("Failed", "mount into %s: %v", a.Unit, err).WithUnit(a.Unit)
}

// MountFailed implements api.World.
func (m *manager) MountFailed(name string) bool { return m.world.MountFailed(name) }

// Traffic implements api.World.
func (m *manager) Traffic(name string) (ipc.Traffic, bool) {
	t, ok := m.world.Traffic(name)
	return ipc.Traffic(t), ok
}

// DynamicUsers implements api.World.
func (m *manager) DynamicUsers() ([]ipc.DynamicUser, error) {
	users, err := m.world.DynamicUsers()
	var out []ipc.DynamicUser
	for _, uid := range slices.Sorted(maps.Keys(users)) {
		out = append(out, ipc.DynamicUser{UID: uid, Name: users[uid]})
	}
	return out, err
}

// Stored implements api.World.
func (m *manager) Stored(name string) []ipc.StoredFD {
	var out []ipc.StoredFD
	for _, s := range m.world.Stored(name) {
		out = append(out, ipc.StoredFD(s))
	}
	return out
}

// Warnings implements api.World.
func (m *manager) Warnings(name string) []string { return m.world.Warnings(name) }

// Hold implements api.World.
func (m *manager) Hold(name string, pids []int32) error {
	return refusedProcess(m.world.Hold(name, pids), name)
}

// WhenGone implements api.World.
func (m *manager) WhenGone(pid int32, fd int, f func()) error { return m.world.WhenGone(pid, fd, f) }

// LetGo implements api.World.
func (m *manager) LetGo(name string) { m.world.LetGo(name) }

// Clean implements api.World.
func (m *manager) Clean(u *unit.Unit, what []string) error { return m.world.Clean(u, what) }

// Attach implements api.World.
func (m *manager) Attach(name, subgroup string, pids []int32) error {
	return refusedProcess(m.world.Attach(name, subgroup, pids), name)
}

// refusedProcess says why processes do not come into a unit.
func refusedProcess(err error, name string) error {
	kind := "Refused"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EOPNOTSUPP):
		kind = "NotSupported"
	case errors.Is(err, syscall.ESRCH):
		kind = "NoSuchProcess"
	case errors.Is(err, syscall.EINVAL):
		kind = "InvalidArgs"
	}
	return ipc.Errorf(kind, "%s: %v", name, err).WithUnit(name)
}

// Notify implements api.World.
func (m *manager) Notify(name string, pid int32, state string) error {
	if err := m.world.NotifyFor(name, int(pid), state); err != nil {
		return ipc.Errorf("InvalidArgs", "notify for %s: %v", name, err).WithUnit(name)
	}
	return nil
}

// Lines implements api.Manager.
func (m *manager) Lines(q api.LogQuery) api.LogPage {
	limit := q.Max
	if q.Newest > 0 && (limit == 0 || q.Newest < limit) {
		limit = q.Newest
	}
	lines := m.output.last(func(l *outputLine) bool {
		at := l.At.UnixMicro()
		return q.Match(l.Unit) && (q.Since == 0 || at >= q.Since) && (q.Until == 0 || at <= q.Until) &&
			(q.Priority == 0 || int(l.Level) <= q.Priority) && (q.After == "" || l.cursor() > q.After)
	}, 0)
	page := api.LogPage{Lost: m.output.lost()}
	if limit > 0 && len(lines) > limit {
		page.More = q.Newest == 0
		if q.Newest > 0 {
			lines = lines[len(lines)-limit:]
		} else {
			lines = lines[:limit]
		}
	}
	for k := range lines {
		l := &lines[k]
		page.Lines = append(page.Lines, ipc.LogLine{Cursor: l.cursor(), At: ipc.Stamp{Wall: l.At.UnixMicro()}, Unit: l.Unit,
			Priority: int(l.Level), Facility: int(l.Facility), Identifier: l.Identifier, Fields: l.Fields, Text: l.Text})
	}
	return page
}
