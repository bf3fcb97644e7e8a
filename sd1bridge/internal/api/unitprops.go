package api

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
)

const never = uint64(1<<64 - 1)

// jobRef is (uo), unitRef is (so).
type jobRef struct {
	ID   uint32
	Path dbus.ObjectPath
}

type unitRef struct {
	Name string
	Path dbus.ObjectPath
}

// text is a property that is a string of the unit.
func of[T any](f func(*translate.Unit) T) func(*translate.Unit, *Server) any {
	return func(u *translate.Unit, _ *Server) any { return f(u) }
}

// unitProperties are the properties that are no settings: "Interface.Name", or
// "*.Name" for those that several interfaces share.
var unitProperties map[string]func(*translate.Unit, *Server) any

func init() {
	loaded := func(u *translate.Unit) bool { return u.Load == "loaded" }
	unitProperties = map[string]func(*translate.Unit, *Server) any{
		"Unit.Id":           of(func(u *translate.Unit) string { return u.Name }),
		"Unit.Names":        of((*translate.Unit).Names),
		"Unit.Following":    of(following),
		"Unit.LoadState":    of(func(u *translate.Unit) string { return u.Load }),
		"Unit.ActiveState":  of(func(u *translate.Unit) string { return u.Active }),
		"Unit.SubState":     of(func(u *translate.Unit) string { return u.Sub }),
		"Unit.FreezerState": of(freezer),
		"Unit.Description":  of(describe),
		"Unit.FragmentPath": of((*translate.Unit).Fragment),
		"Unit.DropInPaths":  of((*translate.Unit).DropIns),
		"Unit.Perpetual":    of(func(u *translate.Unit) bool { return u.Perpetual }),
		"Unit.Transient":    of(func(u *translate.Unit) bool { return u.Transient() || u.Name == "init.scope" }), // nobody wrote a file for it
		"Unit.UnitFileState": of(func(u *translate.Unit) string {
			if u.Enabled == "not-found" {
				return ""
			}
			return u.Enabled
		}),
		"Unit.UnitFilePreset":   func(u *translate.Unit, s *Server) any { return s.presetting(u) },
		"Unit.NeedDaemonReload": of(func(u *translate.Unit) bool { return u.NeedsReload }),
		"Unit.InvocationID":     of((*translate.Unit).InvocationID),
		"Unit.CanStart":         of(func(u *translate.Unit) bool { return loaded(u) && startable(u) && !unit.RefuseManualStart.Of(u.Model) }),
		"Unit.CanStop": of(func(u *translate.Unit) bool {
			return stoppable(u) && !u.Perpetual && !unit.RefuseManualStop.Of(u.Model)
		}),
		"Unit.CanIsolate": of(func(u *translate.Unit) bool { return loaded(u) && unit.AllowIsolate.Of(u.Model) }),
		"Unit.CanReload":  of(canReload),
		"Unit.CanFreeze": of(func(u *translate.Unit) bool {
			return slices.Contains([]string{"service", "scope", "slice"}, u.Type) && !u.Perpetual
		}),
		"Unit.LoadError": of(loadError),
		"Unit.ConditionResult": of(func(u *translate.Unit) bool {
			return tried(u) && (u.Why.Kind != "condition" || u.Type == "automount" && !startable(u))
		}),
		"Unit.AssertResult": of(func(u *translate.Unit) bool { return tried(u) && u.Why.Kind != "assert" }),
		"Unit.Job": func(u *translate.Unit, _ *Server) any {
			if u.Job == 0 {
				return jobRef{0, "/"}
			}
			return jobRef{u.Job, jobPath(u.Job)}
		},
		"Unit.Refs": func(u *translate.Unit, s *Server) any { return s.refs.of(u.Name) },

		"Service.MainPID":      of(func(u *translate.Unit) uint32 { return uint32(max(u.PID, 0)) }),
		"*.ControlPID":         of(func(u *translate.Unit) uint32 { return uint32(max(u.ControlPID, 0)) }),
		"*.Result":             of(func(u *translate.Unit) string { return word(u.Result, "success") }),
		"Service.NRestarts":    of(func(u *translate.Unit) uint32 { return u.Restarts }),
		"Service.StatusText":   of(func(u *translate.Unit) string { return u.Text }),
		"Service.ExecMainPID":  of(execMainPID),
		"Service.ExecMainCode": of(func(u *translate.Unit) int32 { c, _ := lastOf(u); return c }),
		"Service.ExecMainStatus": of(func(u *translate.Unit) int32 {
			_, st := lastOf(u)
			return st
		}),
		"Service.NFileDescriptorStore":              of(func(u *translate.Unit) uint32 { return uint32(u.StoredFDs) }),
		"Service.ExecMainStartTimestamp":            of(func(u *translate.Unit) uint64 { return translate.Micro(u.MainBegin().Wall) }),
		"Service.ExecMainStartTimestampMonotonic":   of(func(u *translate.Unit) uint64 { return translate.Micro(u.MainBegin().Mono) }),
		"Service.ExecMainExitTimestamp":             of(func(u *translate.Unit) uint64 { return translate.Micro(lastStamp(u).Wall) }),
		"Service.ExecMainExitTimestampMonotonic":    of(func(u *translate.Unit) uint64 { return translate.Micro(lastStamp(u).Mono) }),
		"Service.ExecMainHandoffTimestamp":          of(func(u *translate.Unit) uint64 { return translate.Micro(u.Handoff().Wall) }),
		"Service.ExecMainHandoffTimestampMonotonic": of(func(u *translate.Unit) uint64 { return translate.Micro(u.Handoff().Mono) }),
		"Service.WatchdogTimestamp":                 of(func(u *translate.Unit) uint64 { return translate.Micro(u.Pinged.Wall) }),
		"Service.WatchdogTimestampMonotonic":        of(func(u *translate.Unit) uint64 { return translate.Micro(u.Pinged.Mono) }),
		"*.RootHashPath":                            of(pathOf("RootHash")),
		"*.RootHashSignaturePath":                   of(pathOf("RootHashSignature")),
		"*.CPUAffinityFromNUMA": of(func(u *translate.Unit) bool {
			return slices.Contains(unit.CPUAffinity.Of(u.Model), "numa")
		}),
		"*.StandardInputFileDescriptorName":  of(streamName("StandardInput")),
		"*.StandardOutputFileDescriptorName": of(streamName("StandardOutput")),
		"*.StandardErrorFileDescriptorName":  of(streamName("StandardError")),
		"*.ImportCredentialEx": of(func(u *translate.Unit) []translate.Pair {
			out := []translate.Pair{}
			for _, w := range unit.ImportCredential.Of(u.Model) {
				glob, to, _ := strings.Cut(w, ":")
				out = append(out, translate.Pair{A: glob, B: to})
			}
			return out
		}),
		"*.UID": of(func(u *translate.Unit) uint32 { uid, _ := owner(u); return uid }),
		"*.GID": of(func(u *translate.Unit) uint32 { _, gid := owner(u); return gid }),
		// The label of the file that the unit comes from (xattr(7)).
		"Unit.AccessSELinuxContext": of(func(u *translate.Unit) string {
			buf := make([]byte, 1024)
			n, err := unix.Getxattr(u.Fragment(), "security.selinux", buf)
			if u.Fragment() == "" || err != nil {
				return ""
			}
			return strings.TrimRight(string(buf[:n]), "\x00")
		}),
		"Device.SysFSPath":       of(sysPath),
		"*.SyslogPriority":       of(syslogPriority),
		"*.DelegateControllers":  of(controllers),
		"*.ControlGroup":         of(func(u *translate.Unit) string { return u.Group }),
		"*.ControlGroupId":       of(groupID),
		"*.MemoryCurrent":        usage(func(r *ipc.Usage) int64 { return r.Memory }),
		"*.MemoryPeak":           usage(func(r *ipc.Usage) int64 { return r.MemoryPeak }),
		"*.MemorySwapCurrent":    usage(func(r *ipc.Usage) int64 { return r.Swap }),
		"*.MemorySwapPeak":       usage(func(r *ipc.Usage) int64 { return r.SwapPeak }),
		"*.MemoryZSwapCurrent":   groupNumber("memory.zswap.current"),
		"*.TasksCurrent":         usage(func(r *ipc.Usage) int64 { return r.Tasks }),
		"*.IOReadBytes":          groupSum("io.stat", "rbytes"),
		"*.IOWriteBytes":         groupSum("io.stat", "wbytes"),
		"*.IOReadOperations":     groupSum("io.stat", "rios"),
		"*.IOWriteOperations":    groupSum("io.stat", "wios"),
		"*.MemoryAvailable":      memoryAvailable,
		"*.IPIngressBytes":       traffic(func(t *ipc.Traffic) uint64 { return t.InBytes }),
		"*.IPIngressPackets":     traffic(func(t *ipc.Traffic) uint64 { return t.InPackets }),
		"*.IPEgressBytes":        traffic(func(t *ipc.Traffic) uint64 { return t.OutBytes }),
		"*.IPEgressPackets":      traffic(func(t *ipc.Traffic) uint64 { return t.OutPackets }),
		"*.EffectiveMemoryMax":   effective("memory.max"),
		"*.EffectiveMemoryHigh":  effective("memory.high"),
		"*.EffectiveTasksMax":    effective("pids.max"),
		"*.EffectiveCPUs":        groupSet("cpuset.cpus.effective"),
		"*.EffectiveMemoryNodes": groupSet("cpuset.mems.effective"),
		"*.CPUUsageNSec": func(u *translate.Unit, _ *Server) any {
			if u.Resources == nil || u.Resources.CPU < 0 {
				return never
			}
			return uint64(u.Resources.CPU) * 1000
		},
		"*.Slice": func(u *translate.Unit, s *Server) any {
			if in := u.Relations["Slice"]; len(in) > 0 {
				return in[0]
			}
			return unit.Slice.Of(u.Model)
		},

		"Timer.NextElapseUSecRealtime":   of(func(u *translate.Unit) uint64 { return elapse(u, true) }),
		"Timer.NextElapseUSecMonotonic":  of(func(u *translate.Unit) uint64 { return elapse(u, false) }),
		"Timer.LastTriggerUSec":          of(func(u *translate.Unit) uint64 { return lastTrigger(u).wall }),
		"Timer.LastTriggerUSecMonotonic": of(func(u *translate.Unit) uint64 { return lastTrigger(u).mono }),
		"Timer.Unit":                     of(triggered),
		"Path.Unit":                      of(triggered),
		"Path.Paths": of(func(u *translate.Unit) []translate.Pair {
			out := []translate.Pair{}
			for _, w := range unit.Watches.Of(u.Model) {
				out = append(out, translate.Pair{A: w.Kind, B: w.Path})
			}
			return out
		}),
	}
	maps.Copy(unitProperties, facts)
}

func word(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

func freezer(u *translate.Unit) string {
	if u.Frozen {
		return "frozen"
	}
	return "running"
}

func canReload(u *translate.Unit) bool {
	if u.Load != "loaded" {
		return false
	}
	switch u.Type {
	case "service":
		return len(unit.ExecReload.Of(u.Model)) > 0 || unit.ServiceType.Of(u.Model) == "notify-reload"
	case "mount":
		return true
	}
	return false
}

// loadError is the error name and text of a unit that could not be loaded.
func loadError(u *translate.Unit) translate.Pair {
	switch u.Load {
	case "not-found":
		return translate.Pair{A: prefix + "NoSuchUnit", B: "Unit " + u.Name + " not found."}
	case "bad-setting":
		return translate.Pair{A: prefix + "BadUnitSetting", B: "Unit " + u.Name + " has a bad unit file setting."}
	case "error":
		return translate.Pair{A: prefix + "LoadFailed", B: "Unit " + u.Name + " failed to load properly."}
	case "masked":
		return translate.Pair{A: prefix + "UnitMasked", B: "Unit " + u.Name + " is masked."}
	}
	return translate.Pair{}
}

func execMainPID(u *translate.Unit) uint32 {
	if u.PID > 0 {
		return uint32(u.PID)
	}
	if end := u.MainEnd(); end != nil {
		return uint32(end.PID)
	}
	return 0
}

// lastOf is how the main process ended: nothing while one runs.
func lastOf(u *translate.Unit) (code, status int32) {
	if u.PID > 0 {
		return 0, 0
	}
	return translate.ExitCode(u.MainEnd())
}

func lastStamp(u *translate.Unit) ipc.Stamp {
	end := u.MainEnd()
	if u.PID > 0 || end == nil {
		return ipc.Stamp{}
	}
	return end.At
}

// pathOf is a setting that is either hexadecimal digits or a path, as a path.
func pathOf(name string) func(*translate.Unit) string {
	row := settingOf("Service", name)
	return func(u *translate.Unit) string {
		if v, _ := u.Model.Value(row).(string); strings.HasPrefix(v, "/") {
			return v
		}
		return ""
	}
}

func syslogPriority(u *translate.Unit) int32 {
	level, _ := translate.Setting(u.Model, settingOf("Service", "SyslogLevel"), "i", translate.Machine{})
	facility, _ := translate.Setting(u.Model, settingOf("Service", "SyslogFacility"), "i", translate.Machine{})
	l, _ := level.(int32)
	f, _ := facility.(int32)
	return f<<3 | l
}

// controllers are those handed over by Delegate=: "yes" hands over all that systemd
// knows (systemd.resource-control(5)).
func controllers(u *translate.Unit) []string {
	v := unit.Delegate.Of(u.Model)
	switch {
	case len(v) == 0 || v[0] == "no":
		return []string{}
	case v[0] == "yes":
		return []string{"cpu", "cpuset", "io", "memory", "pids"}
	}
	return append([]string{}, v...)
}

// groupDir is the unit's cgroup in the file system, "" if it has none.
func groupDir(u *translate.Unit) string { return u.Cgroup }

func groupID(u *translate.Unit) uint64 {
	var st unix.Stat_t
	if dir := groupDir(u); dir == "" || unix.Stat(dir, &st) != nil {
		return 0
	}
	return st.Ino
}

func usage(f func(*ipc.Usage) int64) func(*translate.Unit, *Server) any {
	return of(func(u *translate.Unit) uint64 {
		if u.Resources == nil {
			return never
		}
		return translate.Counter(f(u.Resources), true)
	})
}

func groupFile(u *translate.Unit, name string) string {
	dir := groupDir(u)
	if dir == "" {
		return ""
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func groupNumber(file string) func(*translate.Unit, *Server) any {
	return of(func(u *translate.Unit) uint64 {
		n, err := strconv.ParseUint(groupFile(u, file), 10, 64)
		if err != nil {
			return never
		}
		return n
	})
}

func groupSum(file, key string) func(*translate.Unit, *Server) any {
	return of(func(u *translate.Unit) uint64 {
		text := groupFile(u, file)
		sum, found := uint64(0), false
		for _, f := range strings.Fields(text) {
			if v, ok := strings.CutPrefix(f, key+"="); ok {
				if n, err := strconv.ParseUint(v, 10, 64); err == nil {
					sum, found = sum+n, true
				}
			}
		}
		if !found {
			return never
		}
		return sum
	})
}

func groupSet(file string) func(*translate.Unit, *Server) any {
	return of(func(u *translate.Unit) []byte {
		if u.Name == "-.slice" {
			return []byte{} // the whole machine is no limit
		}
		return translate.Bits(groupFile(u, file))
	})
}

// effective is the smallest limit of the unit's group and of those above it.
func effective(file string) func(*translate.Unit, *Server) any {
	return of(func(u *translate.Unit) uint64 {
		least := never
		dir := groupDir(u)
		for dir != "" && dir != "/" && strings.HasPrefix(dir, "/sys/fs/cgroup") {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err == nil {
				if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil {
					least = min(least, n)
				}
			}
			dir = filepath.Dir(dir)
		}
		return least
	})
}

// traffic is what was counted by IPAccounting=, the largest number where it is not.
func traffic(of func(*ipc.Traffic) uint64) func(*translate.Unit, *Server) any {
	return func(u *translate.Unit, _ *Server) any {
		if u.Traffic == nil {
			return never
		}
		return of(u.Traffic)
	}
}

// memoryAvailable is the least that a unit that is up, or a slice above it, may still use:
// of MemoryMax=, MemoryHigh= and what the machine has (org.freedesktop.systemd1(5)).
func memoryAvailable(u *translate.Unit, _ *Server) any {
	if u.Active == "inactive" || u.Active == "failed" {
		return never
	}
	least := physical()
	for dir := groupDir(u); strings.HasPrefix(dir, "/sys/fs/cgroup/"); dir = filepath.Dir(dir) {
		number := func(file string) (uint64, bool) {
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return 0, false
			}
			n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
			return n, err == nil
		}
		used, _ := number("memory.current")
		for _, file := range []string{"memory.max", "memory.high"} {
			if limit, ok := number(file); ok {
				least = min(least, limit-min(used, limit))
			}
		}
	}
	return least
}

// physical is the memory that the machine can still give (proc_meminfo(5)).
func physical() uint64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return never
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
				return n << 10
			}
		}
	}
	return never
}

// elapse is a timer's next moment on one of the two clocks: the other one is the
// largest number, or zero where the timer has no setting of that kind.
func elapse(u *translate.Unit, calendar bool) uint64 {
	has := len(unit.OnCalendar.Of(u.Model)) > 0
	if !calendar {
		has = len(unit.Monotonics.Of(u.Model)) > 0
	}
	switch {
	case !has:
		return 0
	case u.NextElapse == nil:
		return never
	case calendar:
		return translate.Micro(u.NextElapse.Wall)
	}
	return translate.Micro(u.NextElapse.Mono)
}

func lastTrigger(u *translate.Unit) (t struct{ wall, mono uint64 }) {
	if u.LastElapse != nil {
		t.wall, t.mono = translate.Micro(u.LastElapse.Wall), translate.Micro(u.LastElapse.Mono)
	}
	return t
}

func triggered(u *translate.Unit) string {
	if t := u.Relations["Triggers"]; len(t) > 0 {
		return t[0]
	}
	return ""
}

// timestamps finds the moments of a unit's states, on both clocks.
func timestamps(name string) unitGetter {
	base, mono := strings.CutSuffix(name, "Monotonic")
	get := map[string]func(*translate.Unit) ipc.Stamp{
		"ActiveEnterTimestamp":   func(u *translate.Unit) ipc.Stamp { return u.ActiveEnter },
		"ActiveExitTimestamp":    func(u *translate.Unit) ipc.Stamp { return u.ActiveExit },
		"InactiveEnterTimestamp": func(u *translate.Unit) ipc.Stamp { return u.InactiveEnter },
		"InactiveExitTimestamp":  func(u *translate.Unit) ipc.Stamp { return u.InactiveExit },
		"StateChangeTimestamp":   (*translate.Unit).Changed,
		// Conditions are looked at when a unit leaves rest, or is about to.
		"ConditionTimestamp": func(u *translate.Unit) ipc.Stamp { return u.InactiveExit },
		"AssertTimestamp":    func(u *translate.Unit) ipc.Stamp { return u.InactiveExit },
	}[base]
	if get == nil {
		return nil
	}
	return func(u *translate.Unit, _ *Server) (any, bool) {
		if mono {
			return translate.Micro(get(u).Mono), true
		}
		return translate.Micro(get(u).Wall), true
	}
}

// special are units that have no file to describe them (systemd.special(7)); the words
// are those that systemd shows.
var special = map[string]string{"-.mount": "Root Mount", "-.slice": "Root Slice", "system.slice": "System Slice", "init.scope": "System and Service Manager"}

// describe is what a unit is called. Slices and devices without a description are
// called by what they are.
func describe(u *translate.Unit) string {
	n, err := unitname.Parse(u.Name)
	switch {
	case err == nil && u.Type == "device" && u.Fragment() == "" && strings.HasPrefix(u.Description, "/sys/"):
		// The kernel's name for it; what the unit is called after says more.
		if p, err := unitname.UnescapePath(n.Prefix); err == nil {
			return p
		}
		return u.Description
	case u.Description != "":
		return u.Description
	case special[u.Name] != "":
		return special[u.Name]
	case err == nil && u.Type == "slice":
		return "Slice /" + strings.ReplaceAll(n.Prefix, "-", "/")
	case err == nil && (u.Type == "device" || u.Type == "mount") && u.Fragment() == "":
		if p, err := unitname.UnescapePath(n.Prefix); err == nil {
			return p
		}
	}
	return u.Name
}

// streamName is the name of the descriptor that a standard stream is ("fd:NAME",
// systemd.exec(5)), "" for none.
func streamName(setting string) func(*translate.Unit) string {
	row := settingOf("Service", setting)
	return func(u *translate.Unit) string {
		v, _ := u.Model.Value(row).(string)
		name, ok := strings.CutPrefix(v, "fd:")
		if !ok {
			return ""
		}
		return name
	}
}

// owner are the user and group of a unit that runs as somebody else than the manager,
// as its main process has them; the largest numbers for none.
func owner(u *translate.Unit) (uid, gid uint32) {
	const none = 1<<32 - 1
	if u.PID <= 0 || unit.User.Of(u.Model) == "" && unit.Group.Of(u.Model) == "" && !unit.DynamicUser.Of(u.Model) {
		return none, none
	}
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(int(u.PID)), &st) != nil {
		return none, none
	}
	return st.Uid, st.Gid
}

// following is the unit that stands for the same device: that of its directory below
// /sys.
func following(u *translate.Unit) string {
	if u.Type != "device" || u.Active != "active" {
		return u.Following
	}
	if name, err := unitname.FromPath(sysPath(u), unitname.Device); err == nil && name != u.Name {
		return name
	}
	return ""
}

// sysPath is the directory of a device below /sys.
func sysPath(u *translate.Unit) string {
	n, err := unitname.Parse(u.Name)
	if err != nil {
		return ""
	}
	p, err := unitname.UnescapePath(n.Prefix)
	if err != nil {
		return ""
	}
	if strings.HasPrefix(p, "/sys/") {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return real
		}
		return ""
	}
	var st unix.Stat_t
	if unix.Stat(p, &st) != nil {
		return ""
	}
	kind := "char"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		kind = "block"
	case unix.S_IFCHR:
	default:
		return ""
	}
	real, err := filepath.EvalSymlinks("/sys/dev/" + kind + "/" + strconv.Itoa(int(unix.Major(uint64(st.Rdev)))) + ":" + strconv.Itoa(int(unix.Minor(uint64(st.Rdev)))))
	if err != nil {
		return ""
	}
	return real
}
