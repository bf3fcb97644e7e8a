package api

import (
	"errors"
	"path/filepath"

	"dynamod/internal/bus"
	"dynamod/internal/install"
	"dynamod/internal/unit"
	"dynamod/sd1bridge/internal/translate"
)

// Flags of the methods …WithFlags (org.freedesktop.systemd1(5)).
const (
	flagRuntime  = 1
	flagForce    = 2
	flagPortable = 4
)

// change is one call that changes links of unit files.
type change struct {
	verbs          []install.Verb
	runtime, force bool
	// carries says that the answer begins with whether any of the files can be
	// enabled at all.
	carries bool
}

// links carries a change out and answers with the list of what was done.
func (s *Server) links(c *bus.Call, names []string, ch change) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	out := []translate.Triple{}
	bare := make([]string, len(names))
	for k, n := range names {
		// A path stands for the unit of its name, which must be where units are.
		bare[k] = filepath.Base(n)
		if err := validFile(bare[k]); err != nil {
			return err
		}
	}
	for _, v := range ch.verbs {
		r, err := install.Run(v, bare, install.Options{Root: s.opts.Root, User: s.opts.User, Runtime: ch.runtime, Force: ch.force})
		if err != nil {
			return fileError(err)
		}
		for _, x := range r.Changes {
			kind := map[string]string{"link": "symlink", "unlink": "unlink"}[x.Op]
			out = append(out, translate.Triple{A: kind, B: x.Path, C: x.Target})
		}
	}
	if len(out) > 0 {
		s.bus.Emit(translate.ManagerPath, prefix+"Manager", "UnitFilesChanged")
	}
	if !ch.carries {
		return c.Reply(out)
	}
	carries := false
	l := s.loader()
	for _, n := range bare {
		u, _ := l.One(n)
		carries = carries || u.Format == unit.Native || len(unit.WantedBy.Of(u))+len(unit.RequiredBy.Of(u))+len(unit.UpheldBy.Of(u))+len(unit.Alias.Of(u))+len(unit.Also.Of(u)) > 0
	}
	return c.Reply(carries, out)
}

// fileError gives refusals of changes the names that clients know.
func fileError(err error) error {
	var none *install.NoUnitError
	var refused *install.Error
	switch {
	case errors.As(err, &none):
		return bus.Errorf("org.freedesktop.DBus.Error.FileNotFound", "%v", none)
	case errors.As(err, &refused):
		text := refused.Text
		if refused.Hint != "" {
			text += " (" + refused.Hint + ")"
		}
		return bus.Errorf("org.freedesktop.DBus.Error.FileExists", "%s", text)
	}
	return err
}

// withFlags reads the flags of enabling and disabling.
func withFlags(flags uint64, ch change) (change, error) {
	if flags&^(flagRuntime|flagForce) != 0 {
		if flags&flagPortable != 0 {
			return ch, bus.Errorf(bus.ErrNotSupported, "Portable services are not supported.")
		}
		return ch, bus.Errorf(bus.ErrInvalidArgs, "Invalid flags")
	}
	ch.runtime, ch.force = flags&flagRuntime != 0, flags&flagForce != 0
	return ch, nil
}

func flagged(ch change) func(*Server, *bus.Call) error {
	return func(s *Server, c *bus.Call) error {
		ch, err := withFlags(c.Args[1].(uint64), ch)
		if err != nil {
			return err
		}
		return s.links(c, c.Args[0].([]string), ch)
	}
}

// plain is for (asbb) and (asb): names, runtime and perhaps force.
func plain(ch change) func(*Server, *bus.Call) error {
	return func(s *Server, c *bus.Call) error {
		ch.runtime = c.Args[1].(bool)
		if len(c.Args) > 2 {
			ch.force = c.Args[2].(bool)
		}
		return s.links(c, c.Args[0].([]string), ch)
	}
}

func init() {
	enable, disable := []install.Verb{install.Enable}, []install.Verb{install.Disable}
	for name, f := range map[string]func(*Server, *bus.Call) error{
		"EnableUnitFiles":                         plain(change{verbs: enable, carries: true}),
		"EnableUnitFilesWithFlags":                flagged(change{verbs: enable, carries: true}),
		"DisableUnitFiles":                        plain(change{verbs: disable}),
		"DisableUnitFilesWithFlags":               flagged(change{verbs: disable}),
		"DisableUnitFilesWithFlagsAndInstallInfo": flagged(change{verbs: disable, carries: true}),
		"ReenableUnitFiles":                       plain(change{verbs: append(disable[:1:1], install.Enable), carries: true}),
		"MaskUnitFiles":                           plain(change{verbs: []install.Verb{install.Mask}}),
		"UnmaskUnitFiles":                         plain(change{verbs: []install.Verb{install.Unmask}}),
		"SetDefaultTarget": func(s *Server, c *bus.Call) error {
			return s.links(c, []string{c.Args[0].(string)}, change{verbs: []install.Verb{install.SetDefault}, force: c.Args[1].(bool)})
		},
	} {
		managerMethods[name] = f
		rights[name] = manageFiles
	}
}
