package api

import (
	"dynamod/internal/access"
	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// Access is where the rules come from and who stands above them.
type Access struct {
	// File is access.Path, or that of a user's manager.
	File     string
	Accounts access.Accounts
	// Owner is the user that the manager runs as; it may do everything, as
	// root may: it could end the manager anyway.
	Owner uint32
}

// ReloadAccess reads the access rules; a file with errors changes nothing. Requests
// and subscriptions are under the new rules at their next check. Before the first
// call nobody but root and the owner may do anything.
func (a *API) ReloadAccess() []diag.Diag {
	ds := a.live.Reload(a.access.File, a.access.Accounts)
	for _, d := range ds {
		if d.Severity == diag.Error {
			a.log.Error("access rules", "error", d.String())
		}
	}
	return ds
}

// decide asks the rules in force about rights on a unit; "" is the manager.
func (c *call) decide(unit string, rights ...ipc.Right) access.Decision {
	if c.peer.UID == c.access.Owner {
		return access.Decision{Allowed: true, Service: unit}
	}
	d := access.Decision{Allowed: true}
	rules := c.live.Rules()
	for _, r := range rights {
		if d = rules.Decide(c.subject(), access.Right(r), unit); !d.Allowed {
			break
		}
	}
	return d
}

func (c *call) subject() access.Subject {
	return access.Subject{UID: c.peer.UID, GID: c.peer.GID, Groups: c.peer.Groups}
}

// may says whether the caller has every right that the verb needs on a unit.
func (c *call) may(unit string) bool { return c.decide(unit, c.verb.Rights()...).Allowed }

// sees says whether the caller may query the unit; "" is the manager itself.
func (c *call) sees(unit string) bool { return c.decide(unit, ipc.RightQuery).Allowed }

// need says why the caller may not, and logs it.
func (c *call) need(unit string, rights ...ipc.Right) error {
	d := c.decide(unit, rights...)
	if d.Allowed {
		return nil
	}
	c.denied(d)
	return ipc.Errorf("AccessDenied", "uid %d may not %s %s: %s", c.peer.UID, c.verb, target(unit), d.Reason()).WithUnit(unit).
		WithHint("root can allow it in %s", c.access.File)
}

func target(unit string) string {
	if unit == "" {
		return "the manager"
	}
	return diag.Clip(unit)
}

func (c *call) denied(d access.Decision) {
	c.log.Warn(d.Denial(c.subject(), c.peer.PID, string(c.verb)), "uid", c.peer.UID, "verb", string(c.verb), "target", d.Service)
}

// gate checks a request before anything else is done about it.
type gate func(c *call, args any) error

// anybody may call the verb.
func anybody(*call, any) error { return nil }

// onManager needs the verb's rights on the manager as a whole.
func onManager(c *call, _ any) error { return c.need("", c.verb.Rights()...) }

// filtered verbs are about many units: each is checked where it is met, by sees or
// may. What the caller may not see does not exist for it.
func filtered(*call, any) error { return nil }

// onUnit needs the verb's rights on the unit that the request names. Aliases are
// resolved first: a right on one name is a right on the unit and on no other.
func onUnit(c *call, args any) error {
	name, err := c.nameIn(args)
	if err != nil {
		return err
	}
	if c.unit, err = c.canonical(name); err != nil {
		return err
	}
	return c.need(c.unit, c.verb.Rights()...)
}

// nameIn is the unit that arguments name.
func (c *call) nameIn(args any) (string, error) {
	name := ""
	switch a := args.(type) {
	case *ipc.UnitArgs:
		name = a.Unit
	case *ipc.StoredArgs:
		name = a.Unit
	case *ipc.ShowArgs:
		name = a.Unit
	case *ipc.SecurityArgs:
		name = a.Unit
	case *ipc.DepsArgs:
		name = a.Unit
	case *ipc.JobArgs:
		name = a.Unit
	case *ipc.KillArgs:
		name = a.Unit
	case *ipc.MountArgs:
		name = a.Unit
	case *ipc.MarkArgs:
		name = a.Unit
	case *ipc.AddArgs:
		name = a.Unit
	case *ipc.AttachArgs:
		name = a.Unit
	case *ipc.SetPropertyArgs:
		name = a.Unit
	case *ipc.CleanArgs:
		name = a.Unit
	case *ipc.NotifyArgs:
		name = a.Unit
	case *ipc.CancelArgs:
		name = a.Unit
	}
	if name == "" {
		return "", ipc.Errorf("InvalidArgs", "%s needs the name of a unit", c.verb)
	}
	return name, nil
}

// onUnitOrPID is onUnit for arguments that may name a process instead. Who may not
// see the unit does not learn its name.
func onUnitOrPID(c *call, args any) error {
	a := args.(*ipc.UnitArgs)
	if a.PID == 0 {
		return onUnit(c, args)
	}
	if a.Unit != "" {
		return ipc.Errorf("InvalidArgs", "%s takes a unit or a pid, not both", c.verb)
	}
	if a.PID < 0 {
		return ipc.Errorf("InvalidArgs", "%d is no pid", a.PID)
	}
	fd := -1
	if a.PID == c.peer.PID {
		fd = c.peer.PIDFD
	}
	name := c.m.UnitOfPID(a.PID, fd)
	if name != "" {
		d := c.decide(name, c.verb.Rights()...)
		if d.Allowed {
			c.unit = name
			return nil
		}
		c.denied(d)
	}
	return ipc.Errorf("NoUnitForPID", "process %d belongs to no unit that you may see", a.PID)
}

// onJob is the gate of cancel: the rights are needed on the job's unit.
func onJob(c *call, args any) error {
	a := args.(*ipc.CancelArgs)
	if a.Job == 0 {
		return onUnit(c, args)
	}
	if a.Unit != "" {
		return ipc.Errorf("InvalidArgs", "cancel takes a job or a unit, not both")
	}
	var j core.JobView
	var ok bool
	if err := c.query(func(v core.View) { j, ok = v.Job(core.JobID(a.Job)) }); err != nil {
		return err
	}
	if !ok || j.Ended && !c.sees(j.Unit) {
		return ipc.Errorf("NoSuchJob", "there is no job %d", a.Job)
	}
	c.unit = j.Unit
	return c.need(j.Unit, c.verb.Rights()...)
}
