package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// ping says who answers.
func (c *call) ping(*ipc.PingArgs) (any, error) {
	info := c.m.Info()
	r := &ipc.PingResult{Program: "dynamod-svmgr", Version: info.Version, PID: info.PID, Mode: info.Mode,
		State: "running", Generation: info.Generation, Started: stamp(info.Started), Boot: c.m.BootHealth().Why}
	err := c.query(func(v core.View) {
		switch {
		case v.ShuttingDown():
			r.State = "stopping"
		case !v.Booted():
			r.State = "starting"
		case v.Degraded():
			r.State = "degraded"
		}
	})
	return r, err
}

// shutdowns are the kinds of shutdown.
var shutdowns = []core.ShutdownKind{core.Poweroff, core.Reboot, core.Halt, core.Kexec, core.SoftReboot, core.Exit}

// shutdown ends the machine, the container or the user's manager.
func (c *call) shutdown(a *ipc.ShutdownArgs) (any, error) {
	k := slices.IndexFunc(shutdowns, func(k core.ShutdownKind) bool { return k.String() == a.Kind })
	if k < 0 {
		var words []string
		for _, k := range shutdowns {
			words = append(words, k.String())
		}
		return nil, ipc.Errorf("InvalidArgs", "unknown shutdown kind: %s", clip(a.Kind)).WithHint("one of %s", strings.Join(words, ", "))
	}
	if a.ExitCode != nil && (*a.ExitCode < 0 || *a.ExitCode > 255 || a.Kind != core.Exit.String()) {
		return nil, ipc.Errorf("InvalidArgs", "exit_code is 0 to 255, and only for kind exit")
	}
	c.log.Warn("shutdown requested", "kind", a.Kind, "uid", c.peer.UID, "pid", c.peer.PID, "force", a.Force)
	done, err := c.m.PrepareShutdown(*a)
	if err != nil {
		return nil, err
	}
	if !done {
		_, err := c.ask(func(id core.RequestID) core.Event {
			return core.ShutdownRequested{Kind: shutdowns[k], Request: id, Now: a.Force}
		})(c.ctx)
		if err != nil {
			return nil, err
		}
	}
	c.ShutdownBegan(shutdowns[k])
	return nil, nil
}

// reexec replaces the manager by its new program.
func (c *call) reexec(*ipc.NoArgs) (any, error) {
	c.log.Info("re-execution requested", "uid", c.peer.UID, "pid", c.peer.PID)
	return nil, c.m.Reexec()
}

// notify reports for a unit what its process would have sent.
func (c *call) notify(a *ipc.NotifyArgs) (any, error) {
	if err := c.look(func(core.View, core.UnitView) {}); err != nil {
		return nil, err
	}
	pid := a.PID
	if pid == 0 {
		pid = c.peer.PID
	}
	if pid < 0 || a.State == "" {
		return nil, ipc.Errorf("InvalidArgs", "notify needs a state such as READY=1, and no negative pid")
	}
	return nil, c.m.Notify(c.unit, pid, a.State)
}

// busName tells the core that a bus name got or lost its owner.
func (c *call) busName(a *ipc.BusNameArgs) (any, error) {
	if a.Name == "" || len(a.Name) > 255 {
		return nil, ipc.Errorf("InvalidArgs", "%q is no bus name", clip(a.Name))
	}
	var ev core.Event = core.BusNameAcquired{Name: a.Name}
	if !a.Owned {
		ev = core.BusNameLost{Name: a.Name}
	}
	if !c.m.Post(ev) {
		return nil, errEnded()
	}
	return nil, nil
}

// debugState gives the core's inner state as text.
func (c *call) debugState(a *ipc.Page) (any, error) {
	var data []byte
	if !c.m.Query(func(k *core.Core) { data = k.Snapshot() }) {
		return nil, errEnded()
	}
	var text bytes.Buffer
	if json.Indent(&text, data, "", " ") != nil {
		text.Reset()
		text.Write(data)
	}
	s := text.String()
	return &ipc.DebugResult{Text: s[min(a.Offset(), len(s)):]}, nil
}

// environment tells the variables that services get.
func (c *call) environment(*ipc.NoArgs) (any, error) {
	return &ipc.EnvironmentResult{Environment: append([]string{}, c.m.Environment()...)}, nil
}

// setEnvironment changes them, all or nothing.
func (c *call) setEnvironment(a *ipc.EnvironmentArgs) (any, error) {
	return nil, c.m.SetEnvironment(a.Unset, a.Set)
}

// manager tells what the manager itself goes by.
func (c *call) manager(*ipc.NoArgs) (any, error) {
	res, err := c.m.Own()
	if err != nil {
		return nil, err
	}
	err = c.query(func(v core.View) { res.ServiceWatchdogs = v.ServiceWatchdogs() })
	return &res, err
}

// setManager changes that. The core's part comes last: it cannot be refused.
func (c *call) setManager(a *ipc.ManagerArgs) (any, error) {
	if err := c.m.SetOwn(*a); err != nil {
		return nil, err
	}
	c.log.Info("what the manager goes by was changed", "uid", c.peer.UID, "pid", c.peer.PID)
	if a.ServiceWatchdogs != nil && !c.m.Post(core.WatchdogsSet{Off: !*a.ServiceWatchdogs}) {
		return nil, ipc.Errorf("ShuttingDown", "the manager has ended")
	}
	return nil, nil
}

// dynamicUsers lists the users that exist while their units do.
func (c *call) dynamicUsers(a *ipc.Page) (any, error) {
	list, err := c.m.DynamicUsers()
	if err != nil {
		return nil, err
	}
	res := &ipc.DynamicUsersResult{}
	res.Users, res.More = cutPage(list, *a)
	return res, nil
}

// stored lists what is in the store of a unit.
func (c *call) stored(a *ipc.StoredArgs) (any, error) {
	res := &ipc.StoredResult{Unit: c.unit}
	res.Stored, res.More = cutPage(c.m.Stored(c.unit), a.Page)
	return res, nil
}
