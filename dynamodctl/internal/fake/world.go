package fake

import (
	"strings"

	"dynamod/internal/ipc"
)

// Lines are lines of log.
func Lines() []ipc.LogLine {
	return []ipc.LogLine{
		{Cursor: "1", At: At(140), Unit: "db.service", PID: 90, Priority: 6, Text: "opening /var/lib/db"},
		{Cursor: "2", At: At(136), Unit: "db.service", PID: 90, Priority: 3, Text: "cannot open /var/lib/db: permission denied"},
		{Cursor: "3", At: At(60), Unit: "evil.service", PID: 666, Priority: 4, Text: "\x1b[31mred\x1b[0m\ttext"},
	}
}

var exit = ipc.Exit{PID: 90, Code: 1, At: At(135)}

func cause(u *ipc.Unit) ipc.Cause {
	switch u.Name {
	case "db.service":
		return ipc.Cause{Kind: "exit-code", Code: 1, Sentence: "its main process exited with code 1; it used up its 5 restarts. mend it, then dynamodctl reset db.service"}
	case "app.service":
		return ipc.Cause{Kind: "dependency-failed", Unit: "db.service", Sentence: "db.service, which it requires, did not start; it was not started. mend db.service: dynamodctl why db.service"}
	case "slow.service":
		return ipc.Cause{Kind: "requested", Sentence: "the operator started it"}
	case "idle.service":
		return ipc.Cause{Kind: "never-started"}
	}
	return ipc.Cause{Kind: "boot", Sentence: "the boot wanted it"}
}

// Status is the page about a unit.
func Status(u *ipc.Unit) *ipc.Status {
	s := &ipc.Status{Unit: *u, Why: cause(u), Files: []string{"/etc/dynamod/services/" + strings.TrimSuffix(u.Name, ".service") + ".toml"}, Enabled: "enabled"}
	switch u.Name {
	case "web.service":
		s.Files = append(s.Files, "/etc/systemd/system/web.service.d/limit.conf")
		s.Shadows = []string{"/usr/lib/systemd/system/web.service"}
		s.Aliases = []string{"www.service"}
		s.Stable, s.Text, s.Restarts = true, "serving 12 clients", 2
		s.Cgroup = "/system.slice/web.service"
		s.Processes = []ipc.Process{{PID: 1234, Role: "main", Command: "/usr/sbin/webd -c /etc/web.conf"}, {PID: 1240, Role: "other", Command: "webd: worker"}}
		s.Resources = &ipc.Usage{Memory: 52 << 20, MemoryPeak: 80 << 20, MemoryMax: 1 << 30, CPU: 754_320_000, Tasks: 9, TasksMax: 512, IORead: 4096, IOWrite: 3 << 30}
		s.Last = &ipc.Exit{PID: 1200, Signal: 11, Core: true, At: At(3730)}
		s.TriggerBy, s.Listens, s.StoredFDs = []string{"web.socket"}, []string{"[::]:80 (stream)"}, 1
		s.Warnings = []string{"the old cgroup could not be removed"}
		s.NeedsReload, s.NeedsRestart = true, true
	case "db.service":
		s.Last, s.Result, s.Log = &exit, "exit-code", Lines()[:2]
		s.Decisions, s.Checks = []ipc.Decision{decision()}, checks
	case "tidy.timer":
		s.NextElapse = &ipc.Stamp{Wall: Now + 43200*1e6}
		s.LastElapse = &ipc.Stamp{Wall: Now - 43200*1e6}
		s.Triggers = []string{"tidy.service"}
	case "evil.service":
		s.Text, s.Log = Hostile, Lines()[2:]
		s.Processes = []ipc.Process{{PID: 666, Role: "main", Command: "/bin/sh -c \x1b[5mblink"}}
	}
	return s
}

// decision is how db.service was given up.
func decision() ipc.Decision {
	return ipc.Decision{At: At(135), Verdict: "give-up", Cause: ipc.Cause{Kind: "exit-code", Code: 1}, Checks: []ipc.Check{
		{Name: "policy", OK: true, Text: "its restart policy is always"},
		{Name: "budget", Text: "5 of 5 restarts in 1m0s used"},
		{Name: "last-chance", Text: Hostile},
	}}
}

// checks are those before its last start.
var checks = []ipc.Check{{Name: "binary", OK: true, Text: "1 looked at"}, {Name: "memory", Text: "5 MiB available, 8 MiB needed"}}

// Why is the reason of a unit's state.
func Why(u *ipc.Unit) *ipc.WhyResult {
	r := &ipc.WhyResult{Unit: u.Name, State: u.State}
	step := ipc.WhyStep{Unit: u.Name, State: u.State, Since: u.Since, Cause: cause(u)}
	switch u.Name {
	case "slow.service":
		step.Job = &ipc.Job{ID: 5, Unit: u.Name, Type: "start", State: "running"}
		step.WaitsFor = []string{"db.service"}
	case "db.service":
		d := decision()
		step.Last, step.Log, step.Decision, step.Checks = &exit, Lines()[:2], &d, checks
	}
	r.Chain = append(r.Chain, step)
	if u.Name == "app.service" {
		db := Units()[1]
		r.Chain = append(r.Chain, Why(&db).Chain...)
	}
	return r
}

// Jobs are under way.
func Jobs() []ipc.Job {
	return []ipc.Job{
		{ID: 5, Unit: "slow.service", Type: "start", Mode: "replace", Source: "operator", State: "running", Created: At(42)},
		{ID: 6, Unit: "late.service", Type: "start", Mode: "replace", Source: "boot", State: "waiting", Created: At(50), WaitsFor: []string{"slow.service", "db.service"}},
	}
}

// Tree is the supervision tree.
func Tree() *ipc.TreeResult {
	return &ipc.TreeResult{Rows: []ipc.TreeRow{
		{Depth: 0, Name: "root", Strategy: "one-for-one", State: "active", MaxRestarts: 20},
		{Depth: 1, Name: "storage", Strategy: "one-for-all", State: "degraded", Restarts: 3, MaxRestarts: 10},
		{Depth: 2, Name: "db.service", State: "failed", Restarts: 5},
		{Depth: 2, Name: "cache.service", State: "active", PID: 91},
		{Depth: 1, Name: "chain", Strategy: "rest-for-one", State: "active"},
		{Depth: 2, Name: "slow.service", State: "starting", PID: 77},
		{Depth: 1, Name: "web.service", State: "active", PID: 1234, Restarts: 1},
	}}
}

// Deps is a dependency tree.
func Deps() *ipc.DepsResult {
	return &ipc.DepsResult{Unit: "app.service", Rows: []ipc.DepRow{
		{Depth: 1, Unit: "db.service", State: "failed", Relations: []string{"requires", "after"}, Why: "/etc/dynamod/services/app.toml:4"},
		{Depth: 2, Unit: "basic.target", State: "active", Relations: []string{"requires", "after"}, Why: "default"},
		{Depth: 1, Unit: "web.service", State: "active", Relations: []string{"wants"}},
		{Depth: 2, Unit: "basic.target", State: "active", Relations: []string{"requires", "after"}, Why: "default", Again: true},
	}}
}

// Stats are measurements; each is a second after the one before.
func Stats(n int64) *ipc.StatsResult {
	return &ipc.StatsResult{At: ipc.Stamp{Wall: Now + n*1e6, Mono: 1e12 + n*1e6}, Units: []ipc.StatsRow{
		{Unit: "evil.service", State: "active", PID: 666, Since: At(3600), Usage: ipc.Usage{Memory: -1, MemoryPeak: -1, CPU: 1000 * n, Tasks: -1}},
		{Unit: "slow.service", State: "starting", PID: 77, Since: At(42), Usage: ipc.Usage{Memory: 900, MemoryPeak: 4096, CPU: 20_000 * n, Tasks: 1}},
		{Unit: "web.service", State: "active", PID: 1234, Restarts: 2, Since: At(3723),
			Usage: ipc.Usage{Memory: 52 << 20, MemoryPeak: 80 << 20, CPU: 754_320_000 + 250_000*n + 200_000*(n%5), Tasks: 9}},
	}}
}

// Procs are processes by unit.
func Procs() *ipc.ProcsResult {
	return &ipc.ProcsResult{Units: []ipc.ProcsRow{
		{Unit: "web.service", Cgroup: "/system.slice/web.service", Processes: Status(&Units()[5]).Processes},
		{Unit: "evil.service", Processes: Status(&Units()[2]).Processes},
	}}
}

func boot() *ipc.BootResult { return Boot() }

// Boot is the course of the boot.
func Boot() *ipc.BootResult {
	return &ipc.BootResult{Kernel: 1_200_000, Manager: 1_450_000, Finished: 6_750_000, Units: []ipc.BootRow{
		{Unit: "basic.target", Activating: 1_800_000, Active: 1_800_000},
		{Unit: "db.service", Activating: 1_810_000, Active: 6_000_000, After: "basic.target"},
		{Unit: "multi-user.target", Activating: 6_700_000, Active: 6_700_000, After: "web.service"},
		{Unit: "web.service", Activating: 6_010_000, Active: 6_700_000, After: "db.service"},
		{Unit: "fast.service", Activating: 1_500_000, Active: 1_500_700, After: "basic.target"},
		{Unit: "never.service", Activating: 2_000_000},
	}}
}

// Plan is what a dry run says.
func Plan(name, verb string) *ipc.JobResult {
	return &ipc.JobResult{Plan: []ipc.Planned{
		{Unit: "app.service", Type: verb, Because: name, Relation: "requires"},
		{Unit: name, Type: verb},
	}, Warnings: []string{"app.service has clients"}}
}

// Reload is the difference between two generations.
func Reload(applied bool) *ipc.ReloadResult {
	return &ipc.ReloadResult{Generation: 4, Applied: applied, Added: []string{"new.service"}, Removed: []string{"gone.service"},
		Changed: []string{"web.service"}, Restart: []string{"db.service"}, Diagnostics: []ipc.Diagnostic{
			{File: "/etc/dynamod/services/new.toml", Line: 3, Column: 1, Severity: "warning", Code: "unknown-key", Message: "unknown key exce", Hint: "did you mean exec?"}}}
}
