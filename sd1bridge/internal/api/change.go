package api

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

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

// step is one thing that is done with unit files.
type step = func(names []string, o install.Options) (*install.Result, error)

// verb is a step that changes links of units that are where units are.
func verb(v install.Verb) step {
	return func(names []string, o install.Options) (*install.Result, error) {
		for k, n := range names {
			names[k] = filepath.Base(n)
		}
		return install.Run(v, names, o)
	}
}

// enable takes paths of files outside the search path as well, which it links.
func enable(names []string, o install.Options) (*install.Result, error) {
	all := &install.Result{}
	for _, kind := range []bool{true, false} {
		var some []string
		for _, n := range names {
			if strings.HasPrefix(n, "/") == kind {
				some = append(some, n)
			}
		}
		if len(some) == 0 {
			continue
		}
		r, err := install.RunLink(some, true, o)
		if !kind {
			r, err = install.Run(install.Enable, some, o)
		}
		if err != nil {
			return nil, err
		}
		all.Changes = append(all.Changes, r.Changes...)
	}
	return all, nil
}

// change is one call that changes unit files or links to them.
type change struct {
	steps          []step
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
	for _, n := range names {
		if err := validFile(filepath.Base(n)); err != nil {
			return err
		}
	}
	for _, do := range ch.steps {
		r, err := do(slices.Clone(names), install.Options{Root: s.opts.Root, User: s.opts.User, Runtime: ch.runtime, Force: ch.force})
		if err != nil {
			return s.fileError(err, names)
		}
		for _, x := range r.Changes {
			if x.Over != "" { // it was replaced at once, and is told as systemd tells it
				out = append(out, translate.Triple{A: "unlink", B: x.Path})
			}
			kind := map[string]string{"link": "symlink", "unlink": "unlink"}[x.Op]
			out = append(out, translate.Triple{A: kind, B: x.Path, C: x.Target})
		}
	}
	if len(out) > 0 {
		s.bus.Announce(translate.ManagerPath, prefix+"Manager", "UnitFilesChanged")
	}
	if !ch.carries {
		return c.Reply(out)
	}
	carries := false
	l := s.loader()
	for _, n := range names {
		u, _ := l.One(filepath.Base(n))
		carries = carries || u.Format == unit.Native || len(unit.WantedBy.Of(u))+len(unit.RequiredBy.Of(u))+len(unit.UpheldBy.Of(u))+len(unit.Alias.Of(u))+len(unit.Also.Of(u)) > 0
	}
	return c.Reply(carries, out)
}

// fileError gives refusals of changes the names and words that clients know: which of
// the files is missing, or masked, is looked for again.
func (s *Server) fileError(err error, names []string) error {
	var none *install.NoUnitError
	var refused *install.Error
	switch {
	case errors.As(err, &none):
		text := none.Error()
		l := s.loader()
		for _, n := range names {
			if u, _ := l.One(filepath.Base(n)); u.Load == unit.NotFound {
				text = "Unit " + n + " does not exist"
				break
			}
		}
		return bus.Errorf(prefix+"NoSuchUnit", "%s", text)
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

// presetMode reads the word of the methods …WithMode; "" is the whole.
func presetMode(word string) (install.PresetMode, error) {
	switch m := install.PresetMode(word); m {
	case "":
		return install.PresetFull, nil
	case install.PresetFull, install.PresetEnableOnly, install.PresetDisableOnly:
		return m, nil
	}
	return "", bus.Errorf(bus.ErrInvalidArgs, "Invalid preset mode %s", word)
}

// preset is for the methods of presets; all is for those that name no units.
func preset(all bool) func(*Server, *bus.Call) error {
	return func(s *Server, c *bus.Call) error {
		args, names := c.Args, []string(nil)
		if !all {
			names, args = args[0].([]string), args[1:]
			if len(names) == 0 {
				return c.Reply(false, []translate.Triple{})
			}
		}
		word := ""
		if len(args) == 3 {
			word, args = args[0].(string), args[1:]
		}
		m, err := presetMode(word)
		if err != nil {
			return err
		}
		do := func(names []string, o install.Options) (*install.Result, error) {
			return install.RunPreset(names, m, o)
		}
		return s.links(c, names, change{steps: []step{do}, runtime: args[0].(bool), force: args[1].(bool), carries: !all})
	}
}

func link(names []string, o install.Options) (*install.Result, error) {
	return install.RunLink(names, false, o)
}

func (s *Server) addDependency(c *bus.Call) error {
	target, kind := c.Args[1].(string), c.Args[2].(string)
	if err := validName(target); err != nil {
		return err
	}
	if kind != "Wants" && kind != "Requires" {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid dependency type %s", kind)
	}
	do := func(names []string, o install.Options) (*install.Result, error) {
		return install.RunAddDependency(names, target, kind, o)
	}
	return s.links(c, c.Args[0].([]string), change{steps: []step{do}, runtime: c.Args[3].(bool), force: c.Args[4].(bool)})
}

// fileLinks are the links that disabling a unit would remove.
func (s *Server) fileLinks(c *bus.Call) error {
	name := c.Args[0].(string)
	if err := validFile(name); err != nil {
		return err
	}
	list, err := install.Links(name, install.Options{Root: s.opts.Root, User: s.opts.User, Runtime: c.Args[1].(bool)})
	if err != nil {
		return s.fileError(err, []string{name})
	}
	return c.Reply(list)
}

func init() {
	disable := []step{verb(install.Disable)}
	for name, f := range map[string]func(*Server, *bus.Call) error{
		"EnableUnitFiles":                         plain(change{steps: []step{enable}, carries: true}),
		"EnableUnitFilesWithFlags":                flagged(change{steps: []step{enable}, carries: true}),
		"DisableUnitFiles":                        plain(change{steps: disable}),
		"DisableUnitFilesWithFlags":               flagged(change{steps: disable}),
		"DisableUnitFilesWithFlagsAndInstallInfo": flagged(change{steps: disable, carries: true}),
		"ReenableUnitFiles":                       plain(change{steps: []step{disable[0], enable}, carries: true}),
		"MaskUnitFiles":                           plain(change{steps: []step{verb(install.Mask)}}),
		"UnmaskUnitFiles":                         plain(change{steps: []step{verb(install.Unmask)}}),
		"LinkUnitFiles":                           plain(change{steps: []step{link}}),
		"PresetUnitFiles":                         preset(false),
		"PresetUnitFilesWithMode":                 preset(false),
		"PresetAllUnitFiles":                      preset(true),
		"AddDependencyUnitFiles":                  (*Server).addDependency,
		"RevertUnitFiles": func(s *Server, c *bus.Call) error {
			return s.links(c, c.Args[0].([]string), change{steps: []step{install.RunRevert}})
		},
		"SetDefaultTarget": func(s *Server, c *bus.Call) error {
			return s.links(c, []string{c.Args[0].(string)}, change{steps: []step{verb(install.SetDefault)}, force: c.Args[1].(bool)})
		},
	} {
		managerMethods[name] = f
		rights[name] = manageFiles
	}
	managerMethods["GetUnitFileLinks"] = (*Server).fileLinks
}
