package translate

import (
	"encoding/hex"
	"slices"
	"strings"

	"dynamod/internal/ipc"
	"dynamod/internal/sandbox"
	"dynamod/internal/unit"
)

// Unit is one unit as the manager told it.
type Unit struct {
	ipc.Facts
	// Model has its settings with their defaults.
	Model *unit.Unit
	// Relations are the other units by the name of the D-Bus property.
	Relations map[string][]string
}

// NewUnit builds the model of a unit from the pages of the verb "unit".
func NewUnit(f ipc.Facts, settings []ipc.Setting, relations []ipc.Relation) *Unit {
	u := &Unit{Facts: f, Relations: map[string][]string{}}
	main := unit.File{}
	if len(f.Files) > 0 {
		main.Path = f.Files[0]
	}
	for k, s := range settings {
		// Items of one setting share a line: "~" in front of the first one is about
		// all of them.
		line := int32(k + 1)
		if k > 0 && settings[k-1].Key == s.Key && settings[k-1].Section == s.Section && len(main.Fragments) > 0 {
			line = main.Fragments[k-1].Pos.Line
		}
		g := unit.Fragment{Section: s.Section, Key: s.Key, Text: s.Value}
		g.Pos.Line = line
		main.Fragments = append(main.Fragments, g)
	}
	u.Model, _ = unit.Build(unit.Source{Name: f.Name, Files: []unit.File{main}, HasMain: true, Aliases: f.Aliases})
	if f.Load == "not-found" {
		u.Model.Load = unit.NotFound
	}
	for _, r := range relations {
		u.Relations[r.Relation] = append(u.Relations[r.Relation], r.Unit)
	}
	return u
}

// Related are the units of one relation, never nil.
func (u *Unit) Related(relation string) []string {
	return append([]string{}, u.Relations[relation]...)
}

// Fragment is the main file, DropIns the others.
func (u *Unit) Fragment() string {
	if len(u.Files) == 0 {
		return ""
	}
	return u.Files[0]
}

// DropIns are the files that add to the main one.
func (u *Unit) DropIns() []string {
	if len(u.Files) == 0 {
		return []string{}
	}
	return append([]string{}, u.Files[1:]...)
}

// Transient says that the unit's file was written by the manager for a client.
func (u *Unit) Transient() bool {
	return u.Enabled == "transient" || strings.Contains(u.Fragment(), "/systemd/transient/")
}

// InvocationID is the id of the run as 16 bytes, or none.
func (u *Unit) InvocationID() []byte {
	b, err := hex.DecodeString(u.Invocation)
	if err != nil || len(b) != 16 {
		return []byte{}
	}
	return b
}

// Changed is the last change of state.
func (u *Unit) Changed() ipc.Stamp { return u.Since }

// Micro is a moment as D-Bus has it.
func Micro(n int64) uint64 { return uint64(max(n, 0)) }

// Counter is a measurement: what is not counted is the largest number.
func Counter(n int64, known bool) uint64 {
	if !known || n < 0 {
		return infinity
	}
	return uint64(n)
}

// MainEnd is how the main process ended the last time. One that could not be executed is
// known as a command alone.
func (u *Unit) MainEnd() *ipc.Exit {
	end := u.Last
	if c := u.mainCommand(); c != nil && c.At.Wall != 0 && (end == nil || end.At.Wall < c.At.Wall && end.PID != c.PID) {
		end = &c.Exit
	}
	return end
}

// MainBegin is when the main process began, the last one if there is none.
func (u *Unit) MainBegin() ipc.Stamp {
	if c := u.mainCommand(); u.MainStart.Wall == 0 && c != nil {
		return c.Start
	}
	return u.MainStart
}

// OwnMounts says whether the settings ask for a table of mounts of its own.
func (u *Unit) OwnMounts() bool {
	p := sandbox.Of(u.Model)
	return p.MountSpace
}

// Handoff is when the main process was about to execute its program.
func (u *Unit) Handoff() ipc.Stamp {
	if c := u.mainCommand(); c != nil {
		return c.Handoff
	}
	return ipc.Stamp{}
}

// Ran is the newest run of what changed the table of mounts, as ExecMount and its kind
// have it.
func (u *Unit) Ran(key string) []Command {
	out := []Command{}
	for k := range u.Facts.Commands {
		r := &u.Facts.Commands[k]
		if r.Key != key || len(r.Argv) == 0 {
			continue
		}
		c := Command{Path: r.Argv[0], Argv: r.Argv, PID: uint32(max(r.PID, 0)), Start: Micro(r.Start.Wall), StartMono: Micro(r.Start.Mono)}
		if c.Exit, c.ExitMono = Micro(r.At.Wall), Micro(r.At.Mono); c.Exit != 0 {
			c.Code, c.Status = ExitCode(&r.Exit)
		}
		out = append(out, c)
	}
	return out
}

// mainCommand is the run of the command that is the main process, nil for none.
func (u *Unit) mainCommand() *ipc.CommandRun {
	last := len(unit.ExecStart.Of(u.Model)) - 1
	for k := range u.Facts.Commands {
		if c := &u.Facts.Commands[k]; c.Key == "ExecStart" && c.Index == last && unit.ServiceType.Of(u.Model) != "forking" {
			return c
		}
	}
	return nil
}

// Commands are the command lines of a setting with their newest runs. The last one of
// ExecStart= is that of the main process, which a manager that took over knows as well.
func (u *Unit) Commands(s *unit.Setting) []Command {
	list, _ := u.Model.Value(s).([]unit.Exec)
	out := []Command{}
	for k, e := range list {
		c := Command{Path: e.Path, Argv: append([]string{}, e.Argv...), IgnoreFailure: e.IgnoreFailure}
		for n := range u.Facts.Commands {
			if r := &u.Facts.Commands[n]; r.Key == s.Name && r.Index == k {
				c.PID, c.Start, c.StartMono = uint32(max(r.PID, 0)), Micro(r.Start.Wall), Micro(r.Start.Mono)
				if c.Exit, c.ExitMono = Micro(r.At.Wall), Micro(r.At.Mono); c.Exit != 0 {
					c.Code, c.Status = ExitCode(&r.Exit)
				}
			}
		}
		if s.Name == "ExecStart" && k == len(list)-1 && c.PID == 0 && unit.ServiceType.Of(u.Model) != "forking" {
			c.Start, c.StartMono = Micro(u.MainStart.Wall), Micro(u.MainStart.Mono)
			c.PID = uint32(max(u.PID, 0))
			if u.PID == 0 && u.Last != nil {
				c.PID, c.Exit, c.ExitMono = uint32(u.Last.PID), Micro(u.Last.At.Wall), Micro(u.Last.At.Mono)
				c.Code, c.Status = ExitCode(u.Last)
			}
		}
		out = append(out, c)
	}
	return out
}

// CommandsEx are the same with all prefixes (systemd.service(5), table "Special
// executable prefixes").
func (u *Unit) CommandsEx(s *unit.Setting) []CommandEx {
	list, _ := u.Model.Value(s).([]unit.Exec)
	out := []CommandEx{}
	for k, c := range u.Commands(s) {
		e := list[k]
		flags := []string{}
		for _, f := range []struct {
			on   bool
			word string
		}{{e.IgnoreFailure, "ignore-failure"}, {e.Privileged, "privileged"}, {e.NoSetuid, "no-setuid"},
			{e.AmbientOnly, "ambient"}, {e.NoEnvExpand, "no-env-expand"}, {e.Shell, "via-shell"}} {
			if f.on {
				flags = append(flags, f.word)
			}
		}
		out = append(out, CommandEx{c.Path, c.Argv, flags, c.Start, c.StartMono, c.Exit, c.ExitMono, c.PID, c.Code, c.Status})
	}
	return out
}

// ExitCode is how a process ended, in the numbers of waitid(2): exited, killed or
// dumped, and the code or the signal.
func ExitCode(e *ipc.Exit) (code, status int32) {
	switch {
	case e == nil:
		return 0, 0
	case e.Core:
		return 3, e.Signal
	case e.Signal != 0:
		return 2, e.Signal
	}
	return 1, e.Code
}

// Checks are the conditions, or the asserts with prefix "Assert". What each of them
// came to is not remembered, only their sum: see ConditionResult.
func (u *Unit) Checks(s *unit.Setting, prefix string) []Check {
	list, _ := u.Model.Value(s).([]unit.Condition)
	out := []Check{}
	for _, c := range list {
		out = append(out, Check{Name: prefix + c.Check, Trigger: c.Trigger, Negate: c.Negate, Arg: c.Arg})
	}
	return out
}

// Calendars are a timer's expressions; Next is the timer's own next moment when it
// has one expression only.
func (u *Unit) Calendars(s *unit.Setting) []Elapse {
	list, _ := u.Model.Value(s).([]unit.Calendar)
	out := []Elapse{}
	for _, c := range list {
		e := Elapse{Base: "OnCalendar", Spec: c.Spec.String()}
		if u.NextElapse != nil && len(list) == 1 {
			e.Next = Micro(u.NextElapse.Wall)
		}
		out = append(out, e)
	}
	return out
}

// Monotonics are a timer's spans, whose names end in USec on the bus.
func (u *Unit) Monotonics(s *unit.Setting) []After {
	list, _ := u.Model.Value(s).([]unit.Monotonic)
	out := []After{}
	for _, m := range list {
		a := After{Base: strings.TrimSuffix(m.Base, "Sec") + "USec", Span: usec(m.Span)}
		if u.NextElapse != nil && len(list) == 1 {
			a.Next = Micro(u.NextElapse.Mono)
		}
		out = append(out, a)
	}
	return out
}

// Names are the unit's own name and its others, sorted.
func (u *Unit) Names() []string {
	out := append([]string{u.Name}, u.Aliases...)
	slices.Sort(out)
	return slices.Compact(out)
}
