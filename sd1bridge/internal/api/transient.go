package api

import (
	"errors"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
)

// Bounds of one request for transient units.
const (
	maxAux       = 64
	maxProcesses = 4096
)

// made is what a client wants of one transient unit.
type made struct {
	name  string
	lines []ipc.Setting
	// pids are the processes of a scope. fds are the pidfds among them, which still
	// have to be the same processes when the scope has them.
	pids []int32
	fds  map[int]int32
	// stdio are descriptors for the unit's standard streams, owned by this.
	stdio []int
	// ref holds on to the unit for the caller.
	ref bool
}

// own is the section of a unit file for the unit's type: "Service".
func own(n unitname.Name) string {
	w := n.Type.String()
	return strings.ToUpper(w[:1]) + w[1:]
}

// transient reads one unit of the request. Types without settings of their own cannot
// be made (org.freedesktop.systemd1(5), StartTransientUnit).
func (s *Server) transient(c *bus.Call, name string, properties [][]any) (_ *made, err error) {
	if err := validName(name); err != nil {
		return nil, err
	}
	n, err := unitname.Parse(name)
	if err != nil {
		return nil, err
	}
	switch n.Type {
	case unitname.Service, unitname.Scope, unitname.Slice, unitname.Timer, unitname.Socket, unitname.Path, unitname.Mount, unitname.Automount:
	default:
		return nil, bus.Errorf(bus.ErrInvalidArgs, "Unit type %s does not support transient units.", n.Type)
	}
	m := &made{name: name, fds: map[int]int32{}}
	defer func() {
		if err != nil {
			m.drop()
		}
	}()
	var rest []translate.Assignment
	for _, p := range properties {
		key, v := p[0].(string), p[1].(dbus.Variant)
		switch key {
		case "PIDs":
			list, ok := v.Value().([]uint32)
			if !ok || n.Type != unitname.Scope {
				return nil, badProperty(key)
			}
			for _, pid := range list {
				if pid == 0 {
					who, err := callerPID(c)
					if err != nil {
						return nil, err
					}
					pid = who
				}
				m.pids = append(m.pids, int32(pid))
			}
		case "PIDFDs":
			list, ok := v.Value().([]dbus.UnixFD)
			if !ok || n.Type != unitname.Scope {
				return nil, badProperty(key)
			}
			for _, fd := range list {
				pid, err := pidOf(int(fd))
				if err != nil {
					return nil, bus.Errorf(bus.ErrInvalidArgs, "Failed to get PID from PIDFD: %v", err)
				}
				m.pids, m.fds[int(fd)] = append(m.pids, int32(pid)), int32(pid)
			}
		case "AddRef":
			on, ok := v.Value().(bool)
			if !ok {
				return nil, badProperty(key)
			}
			m.ref = on
		case "StandardInputFileDescriptor", "StandardOutputFileDescriptor", "StandardErrorFileDescriptor":
			if err := m.takeStdio(c, own(n), key, v.Value()); err != nil {
				return nil, err
			}
		default:
			rest = append(rest, translate.Assignment{Name: key, Signature: v.Signature().String(), Value: v.Value()})
		}
	}
	if len(m.pids) > maxProcesses {
		return nil, bus.Errorf(bus.ErrLimitsExceeded, "Too many processes for one scope.")
	}
	if n.Type == unitname.Scope && len(m.pids) == 0 {
		return nil, bus.Errorf(bus.ErrInvalidArgs, "Scope has no PIDs.")
	}
	lines, err := translate.Lines(own(n), rest)
	// What was set as a descriptor counts, whatever word came with it.
	m.lines = append(lines, m.lines...)
	return m, assignment(err)
}

func badProperty(name string) error {
	return bus.Errorf(bus.ErrInvalidArgs, "Property %s has the wrong type or is not for this unit.", name)
}

// assignment gives the refusal of a property its name on the bus.
func assignment(err error) error {
	var e *translate.AssignError
	if !errors.As(err, &e) {
		return err
	}
	if e.Unknown {
		return bus.Errorf("org.freedesktop.DBus.Error.PropertyReadOnly", "%v", e)
	}
	return bus.Errorf(bus.ErrInvalidArgs, "%v", e)
}

// same says whether the processes behind the pidfds are the ones that the numbers
// mean: a number may have been given away meanwhile.
func (m *made) same() bool {
	for fd, pid := range m.fds {
		if now, err := pidOf(fd); err != nil || int32(now) != pid {
			return false
		}
	}
	return true
}

// startTransient is StartTransientUnit(name, mode, properties, aux).
func (s *Server) startTransient(c *bus.Call) error {
	name, mode := c.Args[0].(string), c.Args[1].(string)
	if _, ok := graph.ParseMode(mode); !ok {
		return bus.Errorf(bus.ErrInvalidArgs, "Job mode %s invalid", mode)
	}
	m, err := s.transient(c, name, c.Args[2].([][]any))
	if err != nil {
		return err
	}
	defer m.drop()
	list := c.Args[3].([][]any)
	if len(list) > maxAux {
		return bus.Errorf(bus.ErrLimitsExceeded, "Too many auxiliary units.")
	}
	var aux []ipc.AddedUnit
	for _, x := range list {
		a, err := s.transient(c, x[0].(string), x[1].([][]any))
		if err != nil {
			return err
		}
		defer a.drop()
		if len(a.pids)+len(a.stdio) > 0 {
			return bus.Errorf(bus.ErrInvalidArgs, "Auxiliary units are not started.")
		}
		aux = append(aux, ipc.AddedUnit{Unit: a.name, Settings: a.lines})
	}
	return s.add(c, m, mode, aux)
}

// add makes the units and starts the first one. A unit that the caller holds on to
// is made first and held before it starts: it may have ended before the answer.
func (s *Server) add(c *bus.Call, m *made, mode string, aux []ipc.AddedUnit) error {
	if taken, err := s.taken(c, m.name); err != nil || taken {
		if err == nil {
			err = bus.Errorf(prefix+"UnitExists", "Unit %s was already loaded or has a fragment file.", m.name)
		}
		return err
	}
	if !m.same() {
		return bus.Errorf(prefix+"NoSuchProcess", "The process is gone.")
	}
	if err := s.stdio.hold(m); err != nil {
		return err
	}
	err := s.addNow(c, m, mode, aux)
	if err != nil {
		s.stdio.release(m.name)
	}
	return err
}

func (s *Server) addNow(c *bus.Call, m *made, mode string, aux []ipc.AddedUnit) error {
	args := ipc.AddArgs{Unit: m.name, Settings: m.lines, PIDs: m.pids, Aux: aux, Start: true, Mode: mode}
	// On a private socket there is no name whose end would end the reference.
	first := m.ref && c.Sender() != "" && len(m.pids) == 0
	if first {
		args.Start, args.Mode = false, ""
		if err := s.ask(c, ipc.VerbAdd, &args, nil); err != nil {
			return exists(err, m.name)
		}
		if err := s.ref(c, m.name); err != nil {
			return err
		}
		return s.begin(c, ipc.VerbStart, m.name, mode)
	}
	s.jobs.order.RLock()
	var r ipc.JobResult
	err := s.ask(c, ipc.VerbAdd, &args, &r)
	ended := false
	if err == nil {
		r.Job, ended = s.known(r.Job)
		s.announce(r.Job, m.name, true)
		err = c.Reply(jobPath(r.Job))
	}
	s.jobs.order.RUnlock()
	if ended {
		s.retire(r.Job, m.name, "done")
	}
	if err == nil && m.ref && c.Sender() != "" {
		return s.ref(c, m.name)
	}
	return exists(err, m.name)
}

// exists gives the manager's refusal of a taken name the one that clients know.
func exists(err error, name string) error {
	if bus.NameOf(err) == bus.ErrFailed && strings.Contains(err.Error(), "exists already") {
		return bus.Errorf(prefix+"UnitExists", "Unit %s was already loaded or has a fragment file.", name)
	}
	return err
}

// taken says whether a name has a unit already: one with a file, or one that is up.
func (s *Server) taken(c *bus.Call, name string) (bool, error) {
	ctx, cancel := s.ctx(c)
	defer cancel()
	u, err := s.up.Quick(ctx, name)
	if err != nil {
		return false, named(err)
	}
	return u.Fragment() != "" || u.Load == "masked" || u.Active != "inactive" && u.Active != "failed" || u.Job != 0, nil
}

// setProperties is SetUnitProperties(name, runtime, properties).
func (s *Server) setProperties(c *bus.Call, name string, runtime bool, properties [][]any) error {
	if err := validName(name); err != nil {
		return err
	}
	n, err := unitname.Parse(name)
	if err != nil {
		return err
	}
	var list []translate.Assignment
	for _, p := range properties {
		v := p[1].(dbus.Variant)
		if words, ok := v.Value().([]string); ok && p[0].(string) == "Markers" {
			if err := s.mark(c, name, words); err != nil {
				return err
			}
			continue
		}
		list = append(list, translate.Assignment{Name: p[0].(string), Signature: v.Signature().String(), Value: v.Value()})
	}
	lines, err := translate.Lines(own(n), list)
	if err != nil {
		return assignment(err)
	}
	if len(lines) == 0 {
		return nil
	}
	err = s.ask(c, ipc.VerbSetProperty, &ipc.SetPropertyArgs{Unit: name, Settings: lines, Runtime: runtime}, nil)
	return s.asSystemd(err, ipc.VerbStop, name)
}

// attach moves processes into a unit's group. Whoever is not root may move his own
// into his own only, which the kernel would not know: the manager does it for him.
func (s *Server) attach(c *bus.Call, name, subgroup string, pids []uint32) error {
	if err := validName(name); err != nil && name != "" {
		return err
	}
	if len(pids) == 0 || len(pids) > maxProcesses {
		return bus.Errorf(bus.ErrInvalidArgs, "There must be between 1 and %d processes.", maxProcesses)
	}
	if subgroup != "" && (!strings.HasPrefix(subgroup, "/") || slices.Contains(strings.Split(subgroup, "/"), "..")) {
		return bus.Errorf(bus.ErrInvalidArgs, "Control group path is not absolute or not normalized: %s", subgroup)
	}
	if name == "" {
		n, err := s.unitOfPID(c, 0)
		if err != nil {
			return err
		}
		name = n
	}
	args := ipc.AttachArgs{Unit: name, Subgroup: strings.Trim(subgroup, "/")}
	for _, p := range pids {
		if p == 0 {
			who, err := callerPID(c)
			if err != nil {
				return err
			}
			p = who
		}
		if p > 1<<22 {
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid PID %d", p)
		}
		args.PIDs = append(args.PIDs, int32(p))
	}
	return s.asSystemd(s.ask(c, ipc.VerbAttach, &args, nil), ipc.VerbStop, name)
}

// abandon leaves the processes of a scope to themselves.
func (s *Server) abandon(c *bus.Call, name string) error {
	if err := validName(name); err != nil {
		return err
	}
	err := s.ask(c, ipc.VerbAbandon, &ipc.UnitArgs{Unit: name}, nil)
	if bus.NameOf(err) == prefix+"UnitInactive" {
		return bus.Errorf(prefix+"ScopeNotRunning", "Scope %s is not running, cannot abandon.", name)
	}
	return s.asSystemd(err, ipc.VerbStop, name)
}

// auxiliaryScope is StartAuxiliaryScope(name, pidfds, flags, properties): a scope with
// the settings of the unit that the caller is in.
func (s *Server) auxiliaryScope(c *bus.Call) error {
	if c.Args[2].(uint64) != 0 {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid flags: %d", c.Args[2])
	}
	name := c.Args[0].(string)
	n, err := unitname.Parse(name)
	if err != nil || n.Type != unitname.Scope {
		return bus.Errorf(bus.ErrInvalidArgs, "Name %s is no scope.", name)
	}
	from, err := s.unitOfPID(c, 0)
	if err != nil {
		return err
	}
	ctx, cancel := s.ctx(c)
	u, err := s.up.Quick(ctx, from)
	cancel()
	if err != nil {
		return named(err)
	}
	properties := append([][]any{{"PIDFDs", dbus.MakeVariant(c.Args[1].([]dbus.UnixFD))}}, c.Args[3].([][]any)...)
	m, err := s.transient(c, name, properties)
	if err != nil {
		return err
	}
	defer m.drop()
	// The limits of the caller's unit hold for what comes out of it.
	inherited := []ipc.Setting{{Section: "Scope", Key: "Slice", Value: unit.Slice.Of(u.Model)}}
	for _, x := range u.Model.Assigned() {
		if row := x.Setting; slices.Contains(row.In.Names(), "Scope") && slices.Contains(row.In.Names(), "Slice") && row.Name != "" {
			for _, text := range unit.Texts(row, x.Value) {
				inherited = append(inherited, ipc.Setting{Section: "Scope", Key: row.Name, Value: text})
			}
		}
	}
	if inherited[0].Value == "" {
		inherited = inherited[1:]
	}
	m.lines = append(inherited, m.lines...)
	return s.add(c, m, "fail", nil)
}

func init() {
	managerMethods["StartTransientUnit"] = (*Server).startTransient
	managerMethods["StartAuxiliaryScope"] = (*Server).auxiliaryScope
	managerMethods["SetUnitProperties"] = func(s *Server, c *bus.Call) error {
		return s.setProperties(c, c.Args[0].(string), c.Args[1].(bool), c.Args[2].([][]any))
	}
	managerMethods["AttachProcessesToUnit"] = func(s *Server, c *bus.Call) error {
		return s.attach(c, c.Args[0].(string), c.Args[1].(string), c.Args[2].([]uint32))
	}
	managerMethods["AbandonScope"] = func(s *Server, c *bus.Call) error { return s.abandon(c, c.Args[0].(string)) }
	managerMethods["RefUnit"] = func(s *Server, c *bus.Call) error {
		name, err := s.loaded(c, c.Args[0].(string))
		if err != nil {
			return s.asSystemd(err, ipc.VerbStart, c.Args[0].(string))
		}
		return s.ref(c, name)
	}
	managerMethods["UnrefUnit"] = func(s *Server, c *bus.Call) error { return s.unref(c, c.Args[0].(string)) }
	unitMethods["Ref"] = func(s *Server, c *bus.Call, name string) error { return s.ref(c, name) }
	unitMethods["Unref"] = func(s *Server, c *bus.Call, name string) error { return s.unref(c, name) }
	unitMethods["SetProperties"] = func(s *Server, c *bus.Call, name string) error {
		return s.setProperties(c, name, c.Args[0].(bool), c.Args[1].([][]any))
	}
	for _, m := range []string{"StartTransientUnit", "StartAuxiliaryScope", "AttachProcessesToUnit", "AbandonScope", "AttachProcesses", "Abandon", "Ref", "Unref"} {
		rights[m] = manageUnits
	}
}

// attachTo is AttachProcesses of the interfaces of units with groups.
func (s *Server) attachTo(c *bus.Call) error {
	return s.attach(c, c.Object.(*unitObject).name, c.Args[0].(string), c.Args[1].([]uint32))
}
