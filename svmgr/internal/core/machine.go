package core

import (
	"dynamod/internal/graph"
	"dynamod/internal/unitname"
)

// Input is what can happen to one unit; every Event and every deadline that
// concerns a unit becomes one.
type Input uint8

const (
	InStart Input = iota
	InStop
	InReload
	InSpawned
	InSpawnFailed
	InMainExit
	InControlExit
	InEmpty
	InReady
	InReloading
	InStopping
	InPing
	InAdopted
	InTimeout
	InReadyTimer
	InWatchdog
	InRuntimeMax
	InHealthTimer
	InHealthResult
	InStable
	InOOM
	InListening
	InTrigger
	InTarget
	InKernelUp
	InKernelDown
	InNameUp
	InNameLost
	numInputs
)

var inputNames = [numInputs]string{"start", "stop", "reload", "spawned", "spawn-failed", "main-exit",
	"control-exit", "cgroup-empty", "ready", "reloading", "stopping", "ping", "adopted", "timeout",
	"ready-timer", "watchdog", "runtime-max", "health-timer", "health-result", "stable", "oom",
	"listening", "trigger", "target-changed", "kernel-up", "kernel-down", "name-up", "name-lost"}

func (in Input) String() string { return inputNames[in] }

// Act is what a machine does about an input. docs/states.md describes each.
type Act uint8

const (
	// Ignore: the input means nothing in this state (a late or repeated
	// report); it is written in every such cell so that none is forgotten.
	Ignore Act = iota
	ActBegin
	ActStop
	ActAbort
	ActReload
	ActSpawned
	ActSpawnFailed
	ActMainEnd
	ActControlEnd
	ActEmpty
	ActReady
	ActReloading
	ActStopping
	ActPing
	ActAdopted
	ActStartTimeout
	ActReloadTimeout
	ActStopTimeout
	ActKillTimeout
	ActReadyTimer
	ActWatchdog
	ActRuntimeMax
	ActHealthTimer
	ActHealthResult
	ActStable
	ActOOM
	ActBound
	ActTrigger
	ActTarget
	ActUp
	ActDown
	ActNameUp
	ActNameLost
	numActs
)

var actNames = [numActs]string{"ignore", "begin", "stop", "abort", "reload", "spawned",
	"spawn-failed", "main-end", "control-end", "empty", "ready", "reloading", "stopping", "ping",
	"adopted", "start-timeout", "reload-timeout", "stop-timeout", "kill-timeout", "ready-timer",
	"watchdog", "runtime-max", "health-timer", "health-result", "stable", "oom", "bound",
	"trigger", "target", "up", "down", "name-up", "name-lost"}

func (a Act) String() string { return actNames[a] }

// machine is the state × input table of one family of unit types.
type machine struct {
	name string
	// upSub is the sub-state of a unit that is simply there.
	upSub Sub
	// limited: start limits apply; conditional: conditions apply.
	limited, conditional bool
	subs                 []Sub
	inputs               []Input
	cells                [numSubs][numInputs]Act
	// do carries the acts out.
	family family
}

type family uint8

const (
	familySimple family = iota
	familyService
	familySocket
	familyTrigger
	familyMount
	familyScope
	familyDevice
)

// on is one line of a table: in these sub-states, this input does that.
type on struct {
	in   Input
	act  Act
	subs []Sub
}

func table(m machine, lines []on) machine {
	seen := [numSubs]bool{}
	used := [numInputs]bool{}
	for _, l := range lines {
		used[l.in] = true
		for _, s := range l.subs {
			m.cells[s][l.in] = l.act
			if !seen[s] {
				seen[s] = true
			}
		}
	}
	for s := range numSubs {
		if seen[s] {
			m.subs = append(m.subs, s)
		}
	}
	for in := range numInputs {
		if used[in] {
			m.inputs = append(m.inputs, in)
		}
	}
	return m
}

// machines lists all tables for docs and tests.
func machines() []*machine {
	return []*machine{&serviceMachine, &socketMachine, &timerMachine, &pathMachine, &automountMachine,
		&mountMachine, &swapMachine, &scopeMachine, &simpleMachine, &deviceMachine}
}

// machineOf chooses the table by the unit's type; a placeholder's name has one.
func (c *Core) machineOf(i graph.Index) *machine {
	switch c.typeOf(i) {
	case unitname.Service:
		return &serviceMachine
	case unitname.Socket:
		return &socketMachine
	case unitname.Timer:
		return &timerMachine
	case unitname.Path:
		return &pathMachine
	case unitname.Automount:
		return &automountMachine
	case unitname.Mount:
		return &mountMachine
	case unitname.Swap:
		return &swapMachine
	case unitname.Scope:
		return &scopeMachine
	case unitname.Device:
		return &deviceMachine
	}
	return &simpleMachine
}

func (c *Core) typeOf(i graph.Index) unitname.Type {
	if u := c.g.Unit(i); u != nil {
		return u.Type
	}
	n, err := unitname.Parse(c.g.Name(i))
	if err != nil {
		return unitname.Invalid
	}
	return n.Type
}

// msg carries the particulars of an input.
type msg struct {
	run     RunID
	cause   Cause
	trigger string
	// ok is the verdict of an input that has one (adopted, health, listening).
	ok bool
	n  *Notification
	// errno of a failed listen.
	errno int32
	watch int
}

// input looks the cell up and acts.
func (c *Core) input(i graph.Index, in Input, m msg) {
	mach := c.machineOf(i)
	act := mach.cells[c.rec(i).sub][in]
	if act == Ignore {
		return
	}
	switch mach.family {
	case familyService:
		c.serviceAct(i, act, m)
	case familySocket:
		c.socketAct(i, act, m)
	case familyTrigger:
		c.triggerAct(i, act, m)
	case familyMount:
		c.mountAct(i, act, m)
	case familyScope:
		c.scopeAct(i, act, m)
	case familyDevice:
		c.deviceAct(i, act, m)
	default:
		c.simpleAct(i, act, m)
	}
}

var simpleMachine = table(machine{name: "target and slice", upSub: SubActive, conditional: true, family: familySimple}, []on{
	{InStart, ActBegin, []Sub{SubDead, SubFailed}},
	{InStop, ActStop, []Sub{SubActive}},
})

func (c *Core) simpleAct(i graph.Index, a Act, m msg) {
	switch a {
	case ActBegin:
		c.enter(i, Active, SubActive, m.cause)
	case ActStop:
		c.enter(i, Inactive, SubDead, m.cause)
	}
}

// A device is started by waiting for it; only the kernel makes it come and go.
var deviceMachine = table(machine{name: "device", upSub: SubPlugged, family: familyDevice}, []on{
	{InStart, ActBegin, []Sub{SubDead}},
	{InKernelUp, ActUp, []Sub{SubDead, SubTentative}},
	{InKernelDown, ActDown, []Sub{SubPlugged, SubTentative}},
})

func (c *Core) deviceAct(i graph.Index, a Act, m msg) {
	switch a {
	case ActBegin:
		// The job waits, running, for the device or its own timeout.
	case ActUp:
		c.enter(i, Active, SubPlugged, Cause{Kind: AppearedInKernel})
		c.deviceWants(i)
	case ActDown:
		c.enter(i, Inactive, SubDead, Cause{Kind: LostByKernel})
	}
}

// deviceWants starts what a device asks for (SYSTEMD_WANTS= in its udev entry
// reaches us as Wants= of its unit).
func (c *Core) deviceWants(i graph.Index) {
	if c.rec(i).job != nil {
		return
	}
	for _, e := range c.g.Edges(i) {
		if e.Rel.Has(graph.Wants|graph.Requires|graph.Upholds) && c.rec(e.To).down() {
			c.auto(e.To, graph.Start, SourceDevice, Cause{Kind: ByDevice, Unit: c.g.Name(i)})
		}
	}
}
