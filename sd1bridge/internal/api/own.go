package api

import (
	"strconv"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/sd1bridge/internal/translate"
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
	"ShowStatus":       func(r *ipc.ManagerResult) any { return r.ShowStatus == "yes" },
	"ExitCode":         func(r *ipc.ManagerResult) any { return r.ExitCode },
}

func init() {
	// A manager that has no PID 1 of ours above it has no watchdog.
	dog := func(of func(*ipc.Watchdog) any) func(*ipc.ManagerResult) any {
		return func(r *ipc.ManagerResult) any {
			if r.Watchdog == nil {
				return of(&ipc.Watchdog{})
			}
			return of(r.Watchdog)
		}
	}
	pinged := func(n int64) any {
		if n == 0 {
			return never
		}
		return translate.Micro(n)
	}
	for name, of := range map[string]func(*ipc.Watchdog) any{
		"RuntimeWatchdogUSec":                func(w *ipc.Watchdog) any { return w.Runtime },
		"RuntimeWatchdogPreUSec":             func(w *ipc.Watchdog) any { return w.Pre },
		"RuntimeWatchdogPreGovernor":         func(w *ipc.Watchdog) any { return w.Governor },
		"RebootWatchdogUSec":                 func(w *ipc.Watchdog) any { return w.Reboot },
		"KExecWatchdogUSec":                  func(w *ipc.Watchdog) any { return w.Kexec },
		"WatchdogDevice":                     func(w *ipc.Watchdog) any { return w.Device },
		"WatchdogLastPingTimestamp":          func(w *ipc.Watchdog) any { return pinged(w.Pinged.Wall) },
		"WatchdogLastPingTimestampMonotonic": func(w *ipc.Watchdog) any { return pinged(w.Pinged.Mono) },
	} {
		ownProperties[name] = dog(of)
	}
}

// ownSetters are those that can be set, by root: D-Bus has no action for them.
var ownSetters = map[string]func(*ipc.ManagerArgs, any){
	"LogLevel":         func(a *ipc.ManagerArgs, v any) { a.LogLevel = new(v.(string)) },
	"LogTarget":        func(a *ipc.ManagerArgs, v any) { a.LogTarget = new(v.(string)) },
	"ServiceWatchdogs": func(a *ipc.ManagerArgs, v any) { a.ServiceWatchdogs = new(v.(bool)) },

	"RuntimeWatchdogUSec":        func(a *ipc.ManagerArgs, v any) { a.RuntimeWatchdog = new(v.(uint64)) },
	"RuntimeWatchdogPreUSec":     func(a *ipc.ManagerArgs, v any) { a.WatchdogPre = new(v.(uint64)) },
	"RuntimeWatchdogPreGovernor": func(a *ipc.ManagerArgs, v any) { a.WatchdogGovernor = new(v.(string)) },
	"RebootWatchdogUSec":         func(a *ipc.ManagerArgs, v any) { a.RebootWatchdog = new(v.(uint64)) },
	"KExecWatchdogUSec":          func(a *ipc.ManagerArgs, v any) { a.KexecWatchdog = new(v.(uint64)) },
}

func init() {
	rights["SetExitCode"], rights["SetShowStatus"] = onlyRoot, onlyRoot
	managerMethods["SetShowStatus"] = func(s *Server, c *bus.Call) error {
		return s.ask(c, ipc.VerbSetManager, &ipc.ManagerArgs{ShowStatus: new(c.Args[0].(string))}, nil)
	}
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

// dynamicUser is (us) of GetDynamicUsers.
type dynamicUser struct {
	UID  uint32
	Name string
}

func (s *Server) dynamicUsers(c *bus.Call) ([]dynamicUser, error) {
	out := []dynamicUser{}
	args := ipc.Page{}
	err := pages(s, c, ipc.VerbDynamicUsers, &args, &args.After, func(r *ipc.DynamicUsersResult) string {
		for _, u := range r.Users {
			out = append(out, dynamicUser(u))
		}
		return r.Next
	})
	return out, err
}

func (s *Server) lookupDynamicUser(c *bus.Call, is func(dynamicUser) bool, answer func(dynamicUser) any, what string) error {
	list, err := s.dynamicUsers(c)
	if err != nil {
		return err
	}
	for _, u := range list {
		if is(u) {
			return c.Reply(answer(u))
		}
	}
	return bus.Errorf(prefix+"NoSuchDynamicUser", "Dynamic user %s does not exist.", what)
}

// storedRow is (suuutuusu) of DumpFileDescriptorStore.
type storedRow struct {
	Name                 string
	Mode, Major, Minor   uint32
	Inode                uint64
	RdevMajor, RdevMinor uint32
	Path                 string
	Flags                uint32
}

func (s *Server) stored(c *bus.Call, name string) error {
	name, err := s.loaded(c, name)
	if err != nil {
		return err
	}
	ctx, cancel := s.ctx(c)
	u, err := s.up.Quick(ctx, name)
	cancel()
	switch {
	case err != nil:
		return named(err)
	case u.Type != "service":
		return bus.Errorf(bus.ErrNotSupported, "DumpUnitFileDescriptorStore operation is not supported for unit type '%s'", u.Type)
	case unit.FileDescriptorStoreMax.Of(u.Model) == 0 && u.StoredFDs == 0:
		return bus.Errorf(prefix+"FileDescriptorStoreDisabled", "File descriptor store not enabled for %s.", name)
	}
	out := []storedRow{}
	args := ipc.StoredArgs{Unit: name}
	err = pages(s, c, ipc.VerbStored, &args, &args.After, func(r *ipc.StoredResult) string {
		for _, f := range r.Stored {
			out = append(out, storedRow(f))
		}
		return r.Next
	})
	if err != nil {
		return err
	}
	return c.Reply(out)
}

func init() {
	rights["DumpUnitFileDescriptorStore"], rights["DumpFileDescriptorStore"] = onlyRoot, onlyRoot
	managerMethods["GetDynamicUsers"] = func(s *Server, c *bus.Call) error {
		list, err := s.dynamicUsers(c)
		if err != nil {
			return err
		}
		return c.Reply(list)
	}
	managerMethods["LookupDynamicUserByName"] = func(s *Server, c *bus.Call) error {
		name := c.Args[0].(string)
		return s.lookupDynamicUser(c, func(u dynamicUser) bool { return u.Name == name }, func(u dynamicUser) any { return u.UID }, name)
	}
	managerMethods["LookupDynamicUserByUID"] = func(s *Server, c *bus.Call) error {
		uid := c.Args[0].(uint32)
		return s.lookupDynamicUser(c, func(u dynamicUser) bool { return u.UID == uid }, func(u dynamicUser) any { return u.Name }, "ID "+strconv.FormatUint(uint64(uid), 10))
	}
	managerMethods["DumpUnitFileDescriptorStore"] = func(s *Server, c *bus.Call) error { return s.stored(c, c.Args[0].(string)) }
}
