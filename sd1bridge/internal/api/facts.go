package api

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/mountinfo"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
)

// facts are the properties that need a second look at the machine or at the unit's
// run. Rules without a manual page were recorded from systemd 257 on Debian 13.
var facts = map[string]func(*translate.Unit, *Server) any{
	// What caused the present activation (org.freedesktop.systemd1(5)).
	"Unit.ActivationDetails": of(func(u *translate.Unit) []translate.Pair {
		if u.Trigger == "" {
			return []translate.Pair{}
		}
		return []translate.Pair{{A: "trigger_unit", B: u.Trigger}}
	}),
	// What a mount mounts is one of the paths, also where it is a device: mounts for that
	// are those of /, which is there.
	"Unit.RequiresMountsFor": of(func(u *translate.Unit) []string {
		paths := u.Related("RequiresMountsFor")
		if what := unit.What.Of(u.Model); u.Type == "mount" && u.Fragment() != "" && strings.HasPrefix(what, "/") && !slices.Contains(paths, what) {
			paths = append(paths, what)
		}
		return paths
	}),
	"Unit.WantsMountsFor": of(func(u *translate.Unit) []string { return u.Related("WantsMountsFor") }),
	"Unit.Documentation": of(func(u *translate.Unit) []string {
		if d := unit.Documentation.Of(u.Model); len(d) > 0 || manuals[u.Name] == "" {
			return append([]string{}, d...)
		}
		return []string{manuals[u.Name]}
	}),
	"Unit.DefaultDependencies": of(func(u *translate.Unit) bool { return unit.DefaultDependencies.Of(u.Model) && !u.Perpetual }),
	"Unit.JobRunningTimeoutUSec": func(u *translate.Unit, s *Server) any {
		if u.Type == "device" && !unit.JobRunningTimeoutSec.IsSet(u.Model) {
			return deviceTimeout
		}
		v, _ := translate.Setting(u.Model, unit.JobRunningTimeoutSec.Setting(), "t", s.machine)
		return v
	},
	// dynamod starts no unit with debug output.
	"Unit.CanClean":        of(cleanable),
	"Unit.CanLiveMount":    func(u *translate.Unit, s *Server) any { return s.ownMounts(u) },
	"Unit.DebugInvocation": of(func(*translate.Unit) bool { return false }),
	"Unit.Markers":         of(func(u *translate.Unit) []string { return append([]string{}, u.Marks...) }),
	"Service.LiveMountResult": of(func(u *translate.Unit) string {
		if u.MountFailed {
			return "exit-code"
		}
		return "success"
	}),

	// Clean answers when it is done, and says itself what went wrong.
	"Service.CleanResult": of(func(*translate.Unit) string { return "success" }),

	"Service.RestartUSecNext": of(func(u *translate.Unit) uint64 {
		switch {
		case u.RestartDelay == math.MaxInt64:
			return never
		case u.Load == "not-found": // there is no service that would wait
			return uint64(unit.RestartSec.Of(u.Model).Microseconds())
		}
		return translate.Micro(u.RestartDelay)
	}),
	"Service.StatusErrno":        of(func(u *translate.Unit) int32 { return u.Errno }),
	"Service.StatusBusError":     of(func(u *translate.Unit) string { return u.BusError }),
	"Service.StatusVarlinkError": of(func(u *translate.Unit) string { return u.VarlinkError }),
	// StartTransientUnit takes no ExtraFileDescriptors.
	"Service.ExtraFileDescriptorNames": of(func(*translate.Unit) []string { return []string{} }),
	"Service.ReloadResult": of(func(u *translate.Unit) string {
		if u.ReloadFailed {
			return "exit-code"
		}
		return "success"
	}),
	// A service that never ran has no watchdog that is off.
	"Service.WatchdogUSec": func(u *translate.Unit, s *Server) any {
		switch {
		case u.Watchdog > 0:
			return uint64(u.Watchdog)
		case u.Watchdog < 0:
			return uint64(0)
		case u.InactiveExit.Wall == 0 && !unit.WatchdogSec.IsSet(u.Model):
			return never
		}
		v, _ := translate.Setting(u.Model, unit.WatchdogSec.Setting(), "t", s.machine)
		return v
	},
	"Socket.NConnections": of(func(u *translate.Unit) uint32 { return u.Connections }),
	"Socket.NAccepted":    of(func(u *translate.Unit) uint32 { return clamp(u.Accepted) }),
	"Socket.NRefused":     of(func(u *translate.Unit) uint32 { return clamp(u.Refused) }),
	// systemd.socket(5): a port alone is one of IPv6, where there is any.
	"Socket.Listen": of(func(u *translate.Unit) []translate.Pair {
		out := []translate.Pair{}
		for _, l := range unit.Listens.Of(u.Model) {
			if _, err := strconv.ParseUint(l.Address, 10, 16); err == nil && slices.Contains([]string{"Stream", "Datagram", "SequentialPacket"}, l.Kind) {
				if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
					l.Address = "[::]:" + l.Address
				} else {
					l.Address = "0.0.0.0:" + l.Address
				}
			}
			out = append(out, translate.Pair{A: l.Kind, B: l.Address})
		}
		return out
	}),

	// The program that mounts is in its own group; the others' are not of their kind.
	"Mount.SameProcessGroup":   of(func(*translate.Unit) bool { return true }),
	"Service.SameProcessGroup": of(func(*translate.Unit) bool { return false }),
	"Socket.SameProcessGroup":  of(func(*translate.Unit) bool { return false }),
	// NonBlocking= is a setting of services: what sockets and mounts run gets none.
	"Mount.NonBlocking":  of(func(*translate.Unit) bool { return false }),
	"Socket.NonBlocking": of(func(*translate.Unit) bool { return false }),

	"Swap.Options":          of(func(u *translate.Unit) string { return unit.MountOptions.Of(u.Model) }),
	"Swap.Priority":         of(swapPriority),
	"Swap.SameProcessGroup": of(func(*translate.Unit) bool { return false }),
	"Swap.NonBlocking":      of(func(*translate.Unit) bool { return false }),

	// Of mounts that PID 1 has made, or others, there is no command.
	"Mount.ExecMount":   of(func(u *translate.Unit) []translate.Command { return u.Ran("ExecMount") }),
	"Mount.ExecUnmount": of(func(u *translate.Unit) []translate.Command { return u.Ran("ExecUnmount") }),
	"Mount.ExecRemount": of(func(u *translate.Unit) []translate.Command { return u.Ran("ExecRemount") }),

	"Mount.What":    mounted(unit.What, func(e *mountinfo.Entry) string { return e.Source }),
	"Mount.Type":    mounted(unit.MountType, func(e *mountinfo.Entry) string { return e.Type }),
	"Mount.Options": mounted(unit.MountOptions, mountOptions),

	"*.CacheDirectorySymlink":   links(unit.CacheDirectory),
	"*.LogsDirectorySymlink":    links(unit.LogsDirectory),
	"*.StateDirectorySymlink":   links(unit.StateDirectory),
	"*.RuntimeDirectorySymlink": links(unit.RuntimeDirectory),
	"Scope.Controller":          of(func(*translate.Unit) string { return "" }), // it is an object of a bus; scopes here have none
}

// deviceTimeout is DefaultDeviceTimeoutSec= (systemd-system.conf(5)), which the core
// applies to jobs of devices, in microseconds.
const deviceTimeout = uint64(90_000_000)

// manuals of units that have no file (systemd.special(7)).
var manuals = map[string]string{"-.slice": "man:systemd.special(7)", "system.slice": "man:systemd.special(7)", "init.scope": "man:systemd(1)"}

func clamp(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) }

// ownMounts says whether a service runs, or would run, with a table of mounts of its own.
func (s *Server) ownMounts(u *translate.Unit) bool {
	switch {
	case u.Type != "service":
		return false
	case u.PID <= 0: // what it would have
		return u.Load == "loaded" && u.OwnMounts()
	}
	s.mu.Lock()
	manager := s.info.PID
	s.mu.Unlock()
	if manager == 0 {
		manager = s.ping().PID
	}
	namespace := func(pid int32) (st unix.Stat_t, ok bool) {
		err := unix.Stat("/proc/"+strconv.Itoa(int(pid))+"/ns/mnt", &st)
		return st, err == nil
	}
	its, ok := namespace(u.PID)
	ours, known := namespace(manager)
	return ok && known && (its.Dev != ours.Dev || its.Ino != ours.Ino)
}

// startable says whether units of a type can be started by hand at all: devices come
// and go, scopes are made of processes, and automounts need the kernel's autofs.
func startable(u *translate.Unit) bool {
	switch u.Type {
	case "device", "scope":
		return false
	case "automount":
		_, err := os.Stat("/dev/autofs")
		return err == nil
	}
	return true
}

// stoppable is the same of stops: a scope has its processes ended.
func stoppable(u *translate.Unit) bool { return u.Type == "scope" || startable(u) }

// tried says whether the conditions of a unit were looked at: devices and what is
// always there never start.
func tried(u *translate.Unit) bool {
	return u.InactiveExit.Wall != 0 && u.Type != "device" && !u.Perpetual
}

// links are the directories of a setting with the link to each, "" for none, and 1 for
// those that are read-only (systemd.exec(5), "DIRECTORY:LINK:ro").
func links(key unit.Key[[]string]) func(*translate.Unit, *Server) any {
	return of(func(u *translate.Unit) []translate.Link {
		out := []translate.Link{}
		for _, w := range key.Of(u.Model) {
			dir, rest, _ := strings.Cut(w, ":")
			link, flags, _ := strings.Cut(rest, ":")
			l := translate.Link{Directory: dir, Link: link}
			if flags == "ro" {
				l.Flags = 1
			}
			out = append(out, l)
		}
		return out
	})
}

// swapPriority is the one in force (proc_swaps(5)), else the one that the unit asks for.
func swapPriority(u *translate.Unit) int32 {
	asked := int32(unit.SwapPriority.Of(u.Model))
	if u.Active != "active" {
		return asked
	}
	data, err := readLimited("/proc/swaps", maxMountTable)
	if err != nil {
		return asked
	}
	list, _ := mountinfo.Swaps(data)
	what, err := filepath.EvalSymlinks(unit.What.Of(u.Model))
	for _, s := range list {
		if err == nil && s.Path == what {
			return int32(s.Priority)
		}
	}
	return asked
}

// mounted is what the kernel says of a mount that is there, else what the unit asks for.
func mounted(key unit.Key[string], of func(*mountinfo.Entry) string) func(*translate.Unit, *Server) any {
	return func(u *translate.Unit, _ *Server) any {
		if e := mountAt(u); e != nil {
			return of(e)
		}
		return key.Of(u.Model)
	}
}

// maxMountTable bounds what is read of the table of mounts.
const maxMountTable = 16 << 20

// mountAt is the uppermost mount at the unit's place, nil if there is none.
func mountAt(u *translate.Unit) *mountinfo.Entry {
	if u.Active != "active" && u.Active != "reloading" {
		return nil
	}
	n, err := unitname.Parse(u.Name)
	if err != nil {
		return nil
	}
	where, err := unitname.UnescapePath(n.Prefix)
	if err != nil {
		return nil
	}
	data, err := readLimited("/proc/self/mountinfo", maxMountTable)
	if err != nil {
		return nil
	}
	var found *mountinfo.Entry
	last := escapedInTables.Replace(filepath.Base(where))
	for line := range strings.Lines(string(data)) {
		// A cheap look first: most lines are of other places.
		if !strings.Contains(line, last+" ") {
			continue
		}
		if e, ok := mountinfo.Parse([]byte(strings.TrimSuffix(line, "\n"))); ok && e.Point == where && e.Type != "autofs" {
			found = &e
		}
	}
	return found
}

// escapedInTables writes a name as the kernel's tables of mounts do (proc_pid_mountinfo(5)).
var escapedInTables = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)

// mountOptions are those of the mount and then those of the file system, as mount(8)
// shows them.
func mountOptions(e *mountinfo.Entry) string {
	out := strings.Split(e.Options, ",")
	for o := range strings.SplitSeq(e.Super, ",") {
		if o != "rw" && o != "ro" && !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return strings.Join(out, ",")
}

// cleanable are the kinds of things that the unit leaves behind (systemctl(1), clean).
func cleanable(u *translate.Unit) []string {
	out := []string{}
	for _, k := range []struct {
		word string
		key  unit.Key[[]string]
	}{{"runtime", unit.RuntimeDirectory}, {"state", unit.StateDirectory}, {"cache", unit.CacheDirectory}, {"logs", unit.LogsDirectory},
		{"configuration", unit.ConfigurationDirectory}} {
		if len(k.key.Of(u.Model)) > 0 {
			out = append(out, k.word)
		}
	}
	if u.Type == "timer" && unit.Persistent.Of(u.Model) {
		out = append(out, "state")
	}
	return out
}

func readLimited(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// taints are what is unusual about the machine (org.freedesktop.systemd1(5), Tainted).
func taints(root string) string {
	var out []string
	link := func(p string) string { to, _ := os.Readlink(filepath.Join(root, p)); return to }
	add := func(on bool, word string) {
		if on {
			out = append(out, word)
		}
	}
	add(!strings.HasSuffix(link("/bin"), "usr/bin"), "unmerged-usr")
	add(!strings.HasSuffix(link("/usr/sbin"), "bin"), "unmerged-bin")
	add(link("/var/run") != "" && !strings.HasSuffix(link("/var/run"), "run"), "var-run-bad")
	var st unix.Statfs_t
	add(unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type != unix.CGROUP2_SUPER_MAGIC, "cgroupsv1")
	for _, f := range []struct{ file, word string }{{"overflowuid", "overflowuid-not-65534"}, {"overflowgid", "overflowgid-not-65534"}} {
		data, err := os.ReadFile("/proc/sys/kernel/" + f.file)
		add(err == nil && strings.TrimSpace(string(data)) != "65534", f.word)
	}
	return strings.Join(out, ":")
}
