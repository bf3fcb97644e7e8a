package api

import (
	"dynamod/internal/bus"
	"dynamod/internal/ipc"
)

// own is what the manager itself goes by (docs/ipc.md, manager); GetAll asks once.
func (o *managerObject) own() (*ipc.ManagerResult, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.itself == nil {
		var r ipc.ManagerResult
		if err := o.s.ask(nil, ipc.VerbManager, &ipc.NoArgs{}, &r); err != nil {
			return nil, err
		}
		o.itself = &r
	}
	return o.itself, nil
}

// ownProperties are those that the manager tells of itself.
var ownProperties = map[string]func(*ipc.ManagerResult) any{
	"LogLevel":         func(r *ipc.ManagerResult) any { return r.LogLevel },
	"LogTarget":        func(r *ipc.ManagerResult) any { return r.LogTarget },
	"ServiceWatchdogs": func(r *ipc.ManagerResult) any { return r.ServiceWatchdogs },
	"ExitCode":         func(r *ipc.ManagerResult) any { return r.ExitCode },
}

// ownSetters are those that can be set, by root: D-Bus has no action for them.
var ownSetters = map[string]func(*ipc.ManagerArgs, any){
	"LogLevel":         func(a *ipc.ManagerArgs, v any) { a.LogLevel = new(v.(string)) },
	"LogTarget":        func(a *ipc.ManagerArgs, v any) { a.LogTarget = new(v.(string)) },
	"ServiceWatchdogs": func(a *ipc.ManagerArgs, v any) { a.ServiceWatchdogs = new(v.(bool)) },
}

func init() {
	rights["SetExitCode"] = onlyRoot
	managerMethods["SetExitCode"] = func(s *Server, c *bus.Call) error {
		return s.ask(c, ipc.VerbSetManager, &ipc.ManagerArgs{ExitCode: new(c.Args[0].(uint8))}, nil)
	}
}

// setter is what changes a writable property, nil for one that nothing can change.
func (s *Server) setter(name string) func(*bus.Call, variant) error {
	set := ownSetters[name]
	if set == nil {
		return nil
	}
	return func(c *bus.Call, v variant) error {
		return s.allowed(onlyRoot, func(c *bus.Call) error {
			var a ipc.ManagerArgs
			set(&a, v.Value())
			return s.ask(c, ipc.VerbSetManager, &a, nil)
		})(c)
	}
}
