package api

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/sys/virt"
	"dynamod/internal/unit"
	"dynamod/sd1bridge/internal/translate"
)

// boot is the course of the boot without that of its units.
func (s *Server) boot() ipc.BootResult {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	var r ipc.BootResult
	if err := s.up.Call(ctx, ipc.VerbBoot, &ipc.ListArgs{Units: []string{"-.slice"}}, &r); err != nil {
		s.log.Warn("the course of the boot could not be asked for", "err", err)
	}
	return r
}

// bootMoments are moments of the boot, in microseconds since the kernel began. Those that
// are always 0 do not happen here: what runs in the initramfs reads no units.
var bootMoments = map[string]func(*ipc.BootResult) int64{
	"UserspaceTimestamp":              userspace,
	"FinishTimestamp":                 func(r *ipc.BootResult) int64 { return r.Finished },
	"ShutdownStartTimestamp":          func(r *ipc.BootResult) int64 { return r.ShutdownStart },
	"GeneratorsStartTimestamp":        func(r *ipc.BootResult) int64 { return r.Moments.GeneratorsStart },
	"GeneratorsFinishTimestamp":       func(r *ipc.BootResult) int64 { return r.Moments.GeneratorsFinish },
	"UnitsLoadStartTimestamp":         func(r *ipc.BootResult) int64 { return r.Moments.LoadStart },
	"UnitsLoadFinishTimestamp":        func(r *ipc.BootResult) int64 { return r.Moments.LoadFinish },
	"UnitsLoadTimestamp":              func(r *ipc.BootResult) int64 { return r.Moments.Reload },
	"InitRDTimestamp":                 notHere,
	"InitRDSecurityStartTimestamp":    notHere,
	"InitRDSecurityFinishTimestamp":   notHere,
	"InitRDGeneratorsStartTimestamp":  notHere,
	"InitRDGeneratorsFinishTimestamp": notHere,
	"InitRDUnitsLoadStartTimestamp":   notHere,
	"InitRDUnitsLoadFinishTimestamp":  notHere,
}

// userspace is when the first manager of this boot began.
func userspace(r *ipc.BootResult) int64 { return r.Manager }

// security is when security policies could have been loaded: at the beginning, in no time,
// for dynamod has none to load. In a container and for a user's manager that step does
// not exist, and systemd-analyze takes a manager without it for one of those.
func (o *managerObject) security() int64 {
	if o.s.opts.User || o.s.virtualization().Container != "" {
		return 0
	}
	return userspace(o.boot())
}

func notHere(*ipc.BootResult) int64 { return 0 }

func init() {
	for name, of := range bootMoments {
		bootProperties[name+"Monotonic"] = func(o *managerObject) any { return translate.Micro(of(o.boot())) }
		bootProperties[name] = func(o *managerObject) any { return o.wall(of(o.boot())) }
	}
	for _, name := range []string{"SecurityStartTimestamp", "SecurityFinishTimestamp"} {
		bootProperties[name+"Monotonic"] = func(o *managerObject) any { return translate.Micro(o.security()) }
		bootProperties[name] = func(o *managerObject) any { return o.wall(o.security()) }
	}
	// The time before the kernel is to be read as negative (org.freedesktop.systemd1(5)).
	for name, which := range map[string]int{"FirmwareTimestamp": 0, "LoaderTimestamp": 1} {
		bootProperties[name+"Monotonic"] = func(o *managerObject) any { return beforeKernel(o.s.opts.Root)[which] }
		bootProperties[name] = func(o *managerObject) any {
			before := beforeKernel(o.s.opts.Root)[which]
			if before == 0 {
				return uint64(0)
			}
			o.boot()
			return o.wall(-int64(before))
		}
	}
}

// managerObject is the manager for one call: GetAll asks for the boot once.
type managerObject struct {
	s *Server

	mu     sync.Mutex
	course *ipc.BootResult
	itself *ipc.ManagerResult
	// born is when the kernel began, on the wall clock. That follows from the manager's
	// own start, so that the same moment is always the same number.
	born int64
}

func (o *managerObject) boot() *ipc.BootResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.course == nil {
		r, i := o.s.boot(), o.s.ping()
		o.course, o.born = &r, i.Started.Wall-i.Started.Mono
	}
	return o.course
}

// wall puts a moment since boot on the wall clock; boot was asked for before.
func (o *managerObject) wall(mono int64) uint64 {
	if mono == 0 || o.born <= 0 {
		return 0
	}
	return translate.Micro(o.born + mono)
}

// bootProperties are those that follow from the course of the boot.
var bootProperties = map[string]func(*managerObject) any{
	"NInstalledJobs": func(o *managerObject) any { return uint32(o.boot().JobsEver) },
	"NFailedJobs":    func(o *managerObject) any { return uint32(o.boot().JobsFailed) },
}

func fixed(v any) func(*Server) (any, error) {
	return func(*Server) (any, error) { return v, nil }
}

// count is how many units or jobs there are.
func count(args ipc.ListArgs) func(*Server) (any, error) {
	return func(s *Server) (any, error) {
		ctx, cancel := s.ctx(nil)
		defer cancel()
		var r ipc.ListResult
		if err := s.up.Call(ctx, ipc.VerbList, &args, &r); err != nil {
			return nil, named(err)
		}
		return uint32(r.Total), nil
	}
}

// byDefault is the value that a setting has in a unit file that does not name it.
func byDefault(section, property string) func(*Server) (any, error) {
	row := settingOf(section, property)
	types := map[string]string{"Service": "x.service", "Timer": "x.timer", "Unit": "x.service"}
	return func(s *Server) (any, error) {
		src := unit.Source{Name: types[section]}
		if section == "Service" { // one with a command: without any it is a oneshot
			src.HasMain = true
			src.Files = []unit.File{{Fragments: []unit.Fragment{{Section: "Service", Key: "ExecStart", Text: "/bin/true"}}}}
		}
		u, _ := unit.Build(src)
		v, ok := translate.Setting(u, row, row.Signature, s.machine)
		if !ok {
			panic("the default of " + property + " has no value")
		}
		return v, nil
	}
}

var failedUnits = count(ipc.ListArgs{States: []string{"failed", "abandoned"}})

var managerProperties = map[string]func(*Server) (any, error){
	"Version":                    func(s *Server) (any, error) { return "257 (dynamod " + s.opts.Version + ")", nil },
	"Features":                   fixed("+SECCOMP +CGROUP2 -SELINUX -APPARMOR -SYSVINIT default-hierarchy=unified"),
	"Architecture":               func(*Server) (any, error) { return architecture(), nil },
	"Virtualization":             func(s *Server) (any, error) { return s.virtualization().Innermost(), nil },
	"ConfidentialVirtualization": func(s *Server) (any, error) { return virt.Confidential(s.detected()), nil },
	"SystemState": func(s *Server) (any, error) {
		st := s.ping().State
		switch st {
		case "":
			st = "unknown"
		case "running": // systemctl(1), is-system-running: one failed unit is enough
			if n, err := failedUnits(s); err != nil || n.(uint32) > 0 {
				return "degraded", err
			}
		}
		return st, nil
	},
	"NNames":       count(ipc.ListArgs{All: true}),
	"NFailedUnits": failedUnits,
	"NJobs": func(s *Server) (any, error) {
		rows, err := s.jobRows(nil, func(ipc.Job) bool { return true })
		return uint32(len(rows)), err
	},
	"KernelTimestampMonotonic": fixed(uint64(0)),
	"KernelTimestamp": func(s *Server) (any, error) {
		i := s.ping()
		return translate.Micro(i.Started.Wall - i.Started.Mono), nil
	},
	"Environment": func(s *Server) (any, error) {
		var r ipc.EnvironmentResult
		err := s.ask(nil, ipc.VerbEnvironment, &ipc.NoArgs{}, &r)
		return append([]string{}, r.Environment...), err
	},
	// A directory that is a link to another one is named once.
	"UnitPath": func(s *Server) (any, error) {
		return slices.DeleteFunc(s.unitDirs(), func(dir string) bool {
			top, rest, _ := strings.Cut(strings.TrimPrefix(dir, "/"), "/")
			to, err := os.Readlink(filepath.Join(s.opts.Root, top))
			return err == nil && slices.Contains(s.unitDirs(), filepath.Join("/", to, rest))
		}), nil
	},
	// A boot is as far as its jobs: systemd counts those of the transaction.
	"Progress": func(s *Server) (any, error) {
		if s.ping().State != "starting" {
			return 1.0, nil
		}
		return 0.0, nil
	},
	"DefaultTimeoutStartUSec":       byDefault("Service", "TimeoutStartUSec"),
	"DefaultTimeoutStopUSec":        byDefault("Service", "TimeoutStopUSec"),
	"DefaultTimeoutAbortUSec":       byDefault("Service", "TimeoutStopUSec"),
	"DefaultRestartUSec":            byDefault("Service", "RestartUSec"),
	"DefaultTimerAccuracyUSec":      byDefault("Timer", "AccuracyUSec"),
	"DefaultStartLimitIntervalUSec": byDefault("Unit", "StartLimitIntervalUSec"),
	"DefaultStartLimitBurst":        byDefault("Unit", "StartLimitBurst"),
	"DefaultOOMPolicy":              byDefault("Service", "OOMPolicy"),
	"DefaultTasksMax":               byDefault("Service", "TasksMax"),
	"DefaultCPUAccounting":          byDefault("Service", "CPUAccounting"),
	"DefaultMemoryAccounting":       byDefault("Service", "MemoryAccounting"),
	"DefaultTasksAccounting":        byDefault("Service", "TasksAccounting"),
	"DefaultIOAccounting":           byDefault("Service", "IOAccounting"),
	"DefaultIPAccounting":           byDefault("Service", "IPAccounting"),
	"DefaultStandardOutput":         byDefault("Service", "StandardOutput"),
	"DefaultStandardError":          byDefault("Service", "StandardError"),
	"DefaultOOMScoreAdjust":         byDefault("Service", "OOMScoreAdjust"),
	"DefaultMemoryPressureWatch":    byDefault("Service", "MemoryPressureWatch"),
	"TimerSlackNSec":                func(*Server) (any, error) { return timerSlack(), nil },
	"ControlGroup":                  func(s *Server) (any, error) { return s.rootGroup(), nil },
}

// CtrlAltDelBurstAction is what PID 1 does when Ctrl-Alt-Del is pressed again and again
// (docs/pid1.md, "force"); that cannot be changed.
const ctrlAltDelBurst = "reboot-force"

// Facts of a manager that has nothing to set them by: no confirmation of starts, no
// soft reboot, no accounting of cgroup v1.
func init() {
	for name, v := range map[string]any{"ConfirmSpawn": false, "SoftRebootsCount": uint32(0), "DefaultBlockIOAccounting": false, "CtrlAltDelBurstAction": ctrlAltDelBurst,
		"DefaultDeviceTimeoutUSec": deviceTimeout} {
		managerProperties[name] = fixed(v)
	}
	managerProperties["DefaultMemoryPressureThresholdUSec"] = byDefault("Service", "MemoryPressureThresholdUSec")
	managerProperties["Tainted"] = func(s *Server) (any, error) { return taints(s.opts.Root), nil }
}

func init() {
	for name := range machine().Limits {
		managerProperties["DefaultLimit"+name] = limitOf(name, 1)
		managerProperties["DefaultLimit"+name+"Soft"] = limitOf(name, 0)
	}
}

func limitOf(name string, which int) func(*Server) (any, error) {
	return func(s *Server) (any, error) { return s.machine.Limits[name][which], nil }
}

// rootGroup is the cgroup that everything of this manager is below: that of the slice
// of all slices.
func (s *Server) rootGroup() string {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	u, err := s.up.Quick(ctx, "-.slice")
	if err != nil || u.Group == "" {
		return ""
	}
	return strings.TrimSuffix(u.Group, "/")
}

// timerSlack is what processes get that set none: 50 µs (prctl(2), PR_SET_TIMERSLACK).
func timerSlack() uint64 { return uint64(50 * time.Microsecond) }
