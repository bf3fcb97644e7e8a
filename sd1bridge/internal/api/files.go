package api

import (
	"os"
	pathpkg "path"
	"slices"
	"strconv"

	"dynamod/internal/bus"
	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
)

func itoa(n int) string { return strconv.Itoa(n) }
func atoi(s string) int { n, _ := strconv.Atoi(s); return n }

// match is fnmatch(3) as systemctl's patterns are meant; a name without marks is
// itself.
func match(pattern, name string) bool {
	ok, err := pathpkg.Match(pattern, name)
	return ok && err == nil
}

func (s *Server) mode() load.Mode {
	if s.opts.User {
		return load.User
	}
	return load.System
}

// loader reads the unit files anew: what is enabled changes behind everybody's back.
func (s *Server) loader() *load.Loader {
	return load.New(load.Config{FS: os.DirFS(s.opts.Root), Mode: s.mode(), XDG: s.xdg()})
}

func (s *Server) xdg() load.XDG {
	if !s.opts.User {
		return load.XDG{}
	}
	return load.XDG{Home: os.Getenv("HOME"), ConfigHome: os.Getenv("XDG_CONFIG_HOME"), DataHome: os.Getenv("XDG_DATA_HOME"), RuntimeDir: os.Getenv("XDG_RUNTIME_DIR")}
}

func (s *Server) unitDirs() []string { return load.UnitDirs(s.mode(), s.xdg()) }

func (s *Server) fileState(c *bus.Call) error {
	name := pathpkg.Base(c.Args[0].(string))
	if _, err := unitname.Parse(name); err != nil {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid unit name %s", name)
	}
	st := s.loader().FileState(name)
	if st == load.NoFile {
		return bus.Errorf("org.freedesktop.DBus.Error.FileNotFound", "No such file or directory")
	}
	return c.Reply(string(st))
}

// fileRow is (ss) of ListUnitFiles.
type fileRow struct{ Path, State string }

func (s *Server) files(c *bus.Call, states, patterns []string) error {
	l := s.loader()
	out := []fileRow{}
	for _, f := range l.Files() {
		if len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p string) bool { return match(p, f.Name) }) {
			continue
		}
		st := string(l.FileState(f.Name))
		if len(states) > 0 && !slices.Contains(states, st) {
			continue
		}
		out = append(out, fileRow{f.Path, st})
	}
	return c.Reply(out)
}

func (s *Server) defaultTarget(c *bus.Call) error {
	u, _ := s.loader().One("default.target")
	if u.Load == unit.NotFound {
		return bus.Errorf("org.freedesktop.DBus.Error.FileNotFound", "No such file or directory")
	}
	return c.Reply(u.Name)
}

// presetting says what the vendor wants with a unit: enabled, disabled or ignored, and
// nothing for what is no file that could be enabled.
func (s *Server) presetting(u *translate.Unit) string {
	if u.Fragment() == "" || u.Load != "loaded" || u.Transient() {
		return ""
	}
	p, err := s.presets.Of(u.Name)
	if err != nil {
		s.log.Warn("the presets cannot be read", "err", err)
		return ""
	}
	return string(p)
}
