package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/ipc/pid1"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/core"
)

// ending is what init is asked for when services are stopped.
type ending struct {
	kind     pid1.Shutdown
	urgency  pid1.Urgency
	argument string
}

// shutdownWords are init's words for the core's kinds. A container exits: for PID 1
// of one every kind does.
var shutdownWords = [...]pid1.Shutdown{core.Poweroff: pid1.Poweroff, core.Reboot: pid1.Reboot, core.Halt: pid1.Halt,
	core.Kexec: pid1.Kexec, core.SoftReboot: pid1.SoftReboot, core.Exit: pid1.Poweroff}

// PrepareShutdown implements api.Manager.
func (m *manager) PrepareShutdown(a ipc.ShutdownArgs) (done bool, err error) {
	ends := a.Kind == core.Exit.String()
	switch {
	case m.info.Mode == system.String() && ends:
		return false, api.Unsupported("exit: a machine cannot exit; it powers off, reboots or halts")
	case m.info.Mode != system.String() && !ends:
		return false, api.Unsupported(a.Kind + ": this manager runs in mode " + m.info.Mode + " and can only end itself (kind exit)")
	case a.ExitCode != nil && (*a.ExitCode < 0 || *a.ExitCode > 255):
		return false, ipc.Errorf("InvalidArgs", "exit_code %d: exit codes go from 0 to 255", *a.ExitCode)
	case len(a.Argument) > pid1.MaxArgument:
		return false, ipc.Errorf("InvalidArgs", "argument: %d bytes are too many for reboot(2); at most %d", len(a.Argument), pid1.MaxArgument)
	case a.Argument != "" && m.info.Mode != system.String():
		return false, ipc.Errorf("InvalidArgs", "argument: it is for reboot(2), which this manager does not call")
	}
	m.mu.Lock()
	m.argument = a.Argument
	if a.ExitCode != nil {
		m.exit = *a.ExitCode
	}
	m.mu.Unlock()
	if !a.Force {
		m.endedInOrder()
	}
	if !a.Force || m.link.init == nil {
		return false, nil
	}
	for kind, word := range shutdownWords {
		if core.ShutdownKind(kind).String() == a.Kind {
			return true, m.forceEnd(ending{word, pid1.Force, m.endArgument(core.ShutdownKind(kind))})
		}
	}
	return false, ipc.Errorf("InvalidArgs", "unknown shutdown kind: %s", a.Kind)
}

// forceEnd asks init for the end without stopping anything in order.
func (m *manager) forceEnd(e ending) error {
	if err := m.link.init.Shutdown(e.kind, e.urgency, e.argument); err != nil {
		return ipc.Errorf("Failed", "init cannot be asked: %v", err)
	}
	return nil
}

// rebootParam is where systemctl(1) and logind's SetRebootParameter put the argument of
// the reboot to come (as systemd 257 was seen to do it).
const rebootParam = "/run/systemd/reboot-param"

// rebootArgument is the argument in a file of one line, "" without one. One that is too
// long for reboot(2) is an error.
func rebootArgument(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, pid1.MaxArgument+2))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if len(line) > pid1.MaxArgument || strings.Contains(line, "\x00") {
		return "", errors.New(path + ": it is no argument of reboot(2); write a line of at most " + strconv.Itoa(pid1.MaxArgument) + " bytes")
	}
	return line, nil
}

// endArgument is what goes along with a shutdown: for reboot(2), or the exit code of
// a container.
func (m *manager) endArgument(kind core.ShutdownKind) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kind == core.Exit {
		return strconv.Itoa(m.exit)
	}
	if kind == core.Reboot && m.argument == "" && m.info.Mode == system.String() {
		text, err := rebootArgument(rebootParam)
		if err != nil {
			m.log.Error("the machine reboots without an argument", "err", err)
		}
		return text
	}
	return m.argument
}

// handedOver remembers what the core has come to; it is called on the loop's
// goroutine.
func (m *manager) handedOver(kind core.ShutdownKind) {
	m.ending = &ending{kind: shutdownWords[kind], argument: m.endArgument(kind)}
}

// stopSignals are what signals to PID 1 ask for (docs/pid1.md, systemd(1)); a
// container always exits.
var stopSignals = map[string]core.ShutdownKind{
	"SIGTERM": core.Poweroff, "SIGINT": core.Reboot, "SIGUSR1": core.Reboot, "SIGPWR": core.Poweroff, "SIGRTMIN+3": core.Halt,
	"SIGRTMIN+4": core.Poweroff, "SIGRTMIN+5": core.Reboot, "SIGRTMIN+6": core.Kexec, "SIGRTMIN+7": core.SoftReboot,
}

// targetSignals are those that start a target, if there is one (systemd(1),
// "Signals"); isolate says that all else is stopped.
var targetSignals = map[string]struct {
	target  string
	isolate bool
}{
	"SIGWINCH": {"kbrequest.target", false}, "SIGPWR": {"sigpwr.target", false}, "SIGRTMIN+0": {"default.target", true},
	"SIGRTMIN+1": {"rescue.target", true}, "SIGRTMIN+2": {"emergency.target", true},
}

// signalled does what a signal to PID 1 means.
func (m *manager) signalled(name string, reload func()) {
	if name == "SIGHUP" {
		reload()
		return
	}
	if t, ok := targetSignals[name]; ok && m.starts(t.target, t.isolate) {
		m.log.Info("starting what a signal to PID 1 asks for", "signal", name, "unit", t.target)
		return
	}
	kind, ok := stopSignals[name]
	if !ok {
		m.log.Info("a signal to PID 1 means nothing here", "signal", name)
		return
	}
	if m.info.Mode != system.String() {
		kind = core.Exit
	}
	m.stop(kind, name)
}

// stop stops everything because of a signal. Who is not a machine's manager kills what
// still runs if a second signal comes: somebody waits at a terminal.
func (m *manager) stop(kind core.ShutdownKind, signal string) {
	now := m.stopping.Swap(true) && m.info.Mode != system.String()
	if now {
		m.log.Warn("stopping everything was asked for again: what still runs is killed", "signal", signal)
	} else {
		m.endedInOrder()
		m.log.Info("stopping everything", "signal", signal, "kind", kind.String())
	}
	m.Take(core.ShutdownRequested{Kind: kind, Now: now})
}

// starts asks for a target; false if there is none.
func (m *manager) starts(target string, isolate bool) bool {
	known := false
	m.Query(func(c *core.Core) {
		u, ok := c.View().Unit(target)
		known = ok && u.Unit != nil && u.Unit.Load == unit.Loaded
	})
	if !known {
		return false
	}
	m.Ask(func(id core.RequestID) core.Event {
		r := core.Request{ID: id, Verb: core.VerbStart, Unit: target, Source: core.SourceOperator}
		if isolate {
			r.Mode = graph.Isolate
		}
		return r
	})
	return true
}

// emergency does what a FailureAction= and its kind ask for (systemd.unit(5)).
func (m *manager) emergency(e core.Emergency) {
	log := m.log.With("unit", e.Unit, "action", e.Action)
	word, urgency := e.Action, pid1.Orderly
	if w, ok := strings.CutSuffix(word, "-force"); ok {
		word, urgency = w, pid1.Force
	} else if w, ok := strings.CutSuffix(word, "-immediate"); ok {
		word, urgency = w, pid1.Immediate
	}
	if word == "emergency" && m.info.Mode == system.String() {
		log.Error("the emergency shell is asked for")
		if err := syscall.Kill(os.Getppid(), syscall.SIGUSR2); err != nil { // docs/pid1.md
			log.Error("PID 1 cannot be asked for the emergency shell", "err", err)
		}
		return
	}
	for k := range shutdownWords {
		kind := core.ShutdownKind(k)
		if kind.String() != word {
			continue
		}
		if (kind == core.Exit) == (m.info.Mode == system.String()) {
			break
		}
		log.Error("a unit asks for the end", "cause", e.Cause.Sentence(e.Unit))
		if e.Wanted { // as systemd-reboot.service does, which systemctl(1) starts where there is no logind
			m.endedInOrder()
		}
		m.mu.Lock()
		m.argument = ""
		if e.Status >= 0 {
			m.exit = int(e.Status)
		}
		if kind == core.Reboot && len(e.Argument) <= pid1.MaxArgument {
			m.argument = e.Argument
		} else if e.Argument != "" {
			log.Error("the reboot argument is left out: it is too long, or nothing reboots", "argument", e.Argument)
		}
		m.mu.Unlock()
		if urgency != pid1.Orderly && m.link.init != nil {
			if err := m.forceEnd(ending{shutdownWords[kind], urgency, m.endArgument(kind)}); err == nil {
				return
			}
		}
		m.Take(core.ShutdownRequested{Kind: kind, Now: urgency != pid1.Orderly})
		return
	}
	log.Error("a unit asks for what this manager cannot do", "mode", m.info.Mode)
}

// watchBoot does what the verdict on the boot asks for, tells init, and whether what gates the hardware
// watchdog lives. published are the core's words, in order, and missed says that some were
// too many; it ends with ctx.
//
// unkept says that the configuration is not on disk, which is read-only: so is / until
// it has been checked. What makes it writable is a unit, so that each unit that comes up
// is a reason to try again, until the boot is done.
func (m *manager) watchBoot(ctx context.Context, published <-chan core.Action, missed <-chan struct{}, unkept bool) {
	open, told := true, core.BootPending
	look := func() (degraded, gate bool, boot core.BootView) {
		gate = true
		m.Query(func(c *core.Core) {
			v := c.View()
			boot = v.Boot()
			degraded = v.Degraded()
			v.Units(func(u core.UnitView) bool {
				degraded = degraded || u.State == core.Failed || u.State == core.Abandoned
				if u.Unit != nil && unit.WatchdogGate.Of(u.Unit) {
					switch u.State {
					case core.Failed, core.Abandoned, core.Dormant, core.RestartPending:
						gate = false
					}
				}
				return true
			})
		})
		return degraded, gate, boot
	}
	for {
		var a core.Action
		select {
		case <-ctx.Done():
			return
		case <-missed:
			p := core.Publish{What: core.BootJudged}
			m.Query(func(c *core.Core) {
				if c.View().Booted() {
					p.What = core.StartupFinished
				}
			})
			a = p
		case a = <-published:
		}
		switch p := a.(type) {
		case core.Emergency:
			m.emergency(p)
			continue
		case core.Publish:
			if p.What == core.StartupFinished || p.To == core.Active || p.To == core.Completed {
				if unkept {
					unkept = m.tryToKeep(p.What == core.StartupFinished)
				}
				if m.health != nil {
					m.health.count(p.What == core.StartupFinished)
				}
			}
			if p.What == core.UnitChanged && !m.gates(p) {
				continue
			}
			degraded, gate, boot := look()
			if boot.State != told {
				told = boot.State
				m.judged(ctx, boot, degraded)
			}
			if gate != open && m.link.init != nil {
				open = gate
				m.log.Warn("services that gate the hardware watchdog", "alive", open)
				_ = m.link.init.Gate(open)
			}
		}
	}
}

// tryToKeep says whether the configuration still waits to be kept on disk. The last try
// says what came of it.
func (m *manager) tryToKeep(last bool) (left bool) {
	if !last && m.store.ReadOnly() {
		return true // cheaper than to pack it up for nothing
	}
	left, err := m.keepUnkept()
	if last && err != nil {
		m.log.Warn("the configuration could not be kept for rollback: it is in memory only", "err", err)
	}
	return left && !last
}

// gates says that a change may open or close the gate.
func (m *manager) gates(p core.Publish) bool {
	broken := func(s core.State) bool {
		return s == core.Failed || s == core.Abandoned || s == core.Dormant || s == core.RestartPending
	}
	return broken(p.From) != broken(p.To)
}
