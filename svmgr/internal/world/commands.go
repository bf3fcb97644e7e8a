package world

import (
	"reflect"
	"slices"
	"time"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// CommandRun is the newest run of one command line of a unit.
type CommandRun struct {
	// Key is the setting that has the command, Index its place there.
	Key   string
	Index int
	// Argv is what was run where no setting says it: for what changes the mount table.
	Argv []string
	// Handoff is when its program was about to be executed, or could not be. Ended is
	// zero while it runs.
	Begun, Handoff, Ended time.Time
	pidfd.Status
}

// maxCommandRuns bounds those of one unit; those that come later are not remembered. How
// many units there are is bounded by maxEnds.
const maxCommandRuns = 64

// commandRuns are what is remembered of the commands of units, until they start anew.
type commandRuns struct {
	by    map[string][]CommandRun
	order []string // the units, the oldest first
}

// stageKeys are the settings whose commands are remembered.
var stageKeys = map[core.Stage]unit.Key[[]unit.Exec]{
	core.StageCondition: unit.ExecCondition, core.StageStartPre: unit.ExecStartPre, core.StageStart: unit.ExecStart,
	core.StageStartPost: unit.ExecStartPost, core.StageReload: unit.ExecReload, core.StageStop: unit.ExecStop,
	core.StageStopPre: unit.ExecStopPre, core.StageStopPost: unit.ExecStopPost,
}

// tableKeys are the names of org.freedesktop.systemd1(5) for what changes the mount table.
var tableKeys = map[core.Stage]string{core.StageMount: "ExecMount", core.StageUnmount: "ExecUnmount", core.StageRemount: "ExecRemount"}

// begins takes note of a command that runs as p, and of the unit's beginning anew if it
// is the first of an activation. reg.mu is held, as for ends.
func (c *commandRuns) begins(p *process, a *core.Spawn, now time.Time) {
	name := p.group.unit
	if c.by == nil {
		c.by = map[string][]CommandRun{}
	}
	list, known := c.by[name]
	if a.Fresh {
		list = nil
	}
	if key, ok := stageKeys[a.Stage]; ok {
		// Of two that are the same, the one that has its turn.
		last, at := -1, -1
		for _, r := range list {
			if r.Key == key.Setting().Name {
				last = max(last, r.Index)
			}
		}
		for k, e := range key.Of(a.Unit) {
			if reflect.DeepEqual(e, a.Exec) && (at < 0 || at <= last) {
				at = k
			}
		}
		if at >= 0 {
			p.command = &CommandRun{Key: key.Setting().Name, Index: at, Begun: now, Status: pidfd.Status{PID: p.pid}}
			list = put(list, *p.command)
		}
	}
	if key := tableKeys[a.Stage]; key != "" {
		p.command = &CommandRun{Key: key, Argv: a.Exec.Argv, Begun: now, Status: pidfd.Status{PID: p.pid}}
		list = put(list, *p.command)
	}
	if !known {
		if len(c.order) >= maxEnds {
			delete(c.by, c.order[0])
			c.order = c.order[1:]
		}
		c.order = append(c.order, name)
	}
	c.by[name] = list
}

// forget is for a unit that is gone.
func (c *commandRuns) forget(unit string) {
	if _, known := c.by[unit]; known {
		delete(c.by, unit)
		c.order = slices.DeleteFunc(c.order, func(name string) bool { return name == unit })
	}
}

// commandBegins is called before the end of p can be heard of.
func (w *World) commandBegins(p *process, a *core.Spawn) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	w.commands.begins(p, a, time.Now())
}

// executes takes note of when the program took the helper's place.
func (c *commandRuns) executes(p *process, now time.Time) {
	if list, known := c.by[p.group.unit]; p.command != nil && known {
		p.command.Handoff = now
		c.by[p.group.unit] = put(list, *p.command)
	}
}

// commandExecuted is the same for who does not hold reg.mu.
func (w *World) commandExecuted(p *process) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	w.commands.executes(p, time.Now())
}

// ends takes note of how it ended.
func (c *commandRuns) ends(p *process, st pidfd.Status, now time.Time) {
	list, known := c.by[p.group.unit]
	if p.command == nil || !known {
		return
	}
	r := *p.command
	r.Ended, r.Status = now, st
	c.by[p.group.unit] = put(list, r)
}

// setupCodes are the exit codes of systemd.exec(5), "Process Exit Codes", for the stages of
// a set-up.
var setupCodes = map[string]int32{"working-directory": 200, "nice": 201, "descriptors": 202, "exec": 203, "limits": 205, "oom-score-adj": 206,
	"signals": 207, "stdin": 208, "tty": 208, "stdout": 209, "ioprio": 211, "timer-slack": 212, "secure-bits": 213, "scheduling": 214,
	"affinity": 215, "group": 216, "groups": 216, "pam": 224, "user": 217, "ambient-capabilities": 218, "capability-bounding-set": 218,
	"cgroup": 219, "session": 220, "stderr": 222, "mounts": 226, "namespace": 226, "user-namespace": 226, "no-new-privileges": 227,
	"seccomp": 228, "personality": 230, "keyring": 237, "numa": 242, "credentials": 243, "memory-ksm": 246}

// commandFailed takes note of a command that could not be executed, at a stage of its
// set-up, as an end with the code that systemd's helper ends with; EXIT_EXCEPTION where
// there is none.
func (w *World) commandFailed(p *process, stage string) {
	if stage == "exec" {
		w.commandExecuted(p)
	}
	st := pidfd.Status{PID: p.pid, Code: 255}
	if code, ok := setupCodes[stage]; ok {
		st.Code = code
	}
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	w.commands.ends(p, st, time.Now())
}

// put replaces the run of the same command, unless that is a newer one.
func put(list []CommandRun, r CommandRun) []CommandRun {
	for k := range list {
		if list[k].Key == r.Key && list[k].Index == r.Index {
			if !list[k].Begun.After(r.Begun) {
				list[k] = r
			}
			return list
		}
	}
	if len(list) < maxCommandRuns {
		list = append(list, r)
	}
	return list
}

// CommandRuns are the newest runs of the unit's commands since it started the last time,
// as far as this manager has begun them.
func (w *World) CommandRuns(unit string) []CommandRun {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return append([]CommandRun(nil), w.commands.by[unit]...)
}
