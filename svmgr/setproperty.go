package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/generation"
)

// setPropertyFile and a key are the path of what changes a transient unit.
const setPropertyFile = "set-property: "

// maxValue bounds a value that is written into a drop-in.
const maxValue = 16 << 10

// SetProperty implements api.Config. Each setting becomes a drop-in of its own,
// UNIT.d/50-KEY.conf in systemd's directory for that purpose (systemctl(1),
// set-property), so that the next change of the same setting replaces it. Only
// settings that may change while the unit runs are taken: the rest would not do
// what the command promises.
func (m *manager) SetProperty(name string, settings []ipc.Setting, runtime bool) (*unit.Unit, []diag.Diag, error) {
	files, lines, err := dropIns(name, m.changing(name, settings))
	if err != nil {
		return nil, nil, err
	}
	// The lines by themselves first: nothing is written that would not load.
	for _, d := range m.buildAlone(name, lines) {
		if d.Pos.Line > 0 && d.Severity >= diag.Warning {
			e := ipc.Errorf("BadUnitSetting", "%s: %s: %s", name, lines[d.Pos.Line-1].Key, d.Message).WithUnit(name)
			e.Hint = d.Hint
			return nil, nil, e
		}
	}
	m.changingFiles.Lock()
	defer m.changingFiles.Unlock()
	before, _ := m.loader().One(name)
	if before.Load != unit.Loaded || before.Path == "" && !before.Perpetual {
		return m.setTransient(name, lines)
	}
	dir := m.control[0]
	if runtime {
		dir = m.control[1]
	}
	undo, err := writeDropIns(filepath.Join(dir, before.Name+".d"), files)
	if err != nil {
		return nil, nil, fmt.Errorf("set properties of %s: %w", before.Name, err)
	}
	after, ds := m.loader().One(name)
	if err := m.world.Reconfigure(before, after); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("set properties of %s: %w", before.Name, err), undo())
	}
	if err := m.addToForce(filepath.Join(dir, before.Name+".d"), files); err != nil {
		m.log.Warn("a manager that takes over after a crash would not know the new settings", "unit", before.Name, "err", err)
	}
	return after, ds, nil
}

// changing leaves out settings that cannot change while the unit exists and do not: clients
// that make a unit and give it other limits later, such as crun, send all that they know.
func (m *manager) changing(name string, settings []ipc.Setting) []ipc.Setting {
	var u *unit.Unit
	m.Query(func(c *core.Core) {
		if v, ok := c.View().Unit(name); ok {
			u = v.Defined
		}
	})
	if u == nil {
		return settings
	}
	same := map[*unit.Setting]bool{}
	for _, l := range settings {
		if s, ok := unit.LookupDirective(l.Section, l.Key); ok && !s.Live() {
			same[s] = true
		}
	}
	for s := range same {
		f := unit.File{Path: setPropertyFile + s.Name}
		for _, l := range settings {
			if x, ok := unit.LookupDirective(l.Section, l.Key); ok && x == s {
				op := unit.Assign
				if l.Value == "" {
					op = unit.Reset
				}
				f.Fragments = append(f.Fragments, unit.Fragment{Section: l.Section, Key: l.Key, Op: op, Text: l.Value})
			}
		}
		with, ds, err := u.With(f)
		same[s] = err == nil && len(ds) == 0 && slices.Equal(unit.Texts(s, u.Value(s)), unit.Texts(s, with.Value(s)))
	}
	return slices.DeleteFunc(slices.Clone(settings), func(l ipc.Setting) bool {
		s, ok := unit.LookupDirective(l.Section, l.Key)
		return ok && same[s]
	})
}

// setTransient changes settings of a unit that has no file, for good: it lasts no
// longer anyway.
func (m *manager) setTransient(name string, lines []ipc.Setting) (*unit.Unit, []diag.Diag, error) {
	var before *unit.Unit
	m.Query(func(c *core.Core) {
		if v, ok := c.View().Unit(name); ok && v.Ephemeral {
			before = v.Defined
		}
	})
	if before == nil || !before.Recordable() {
		return nil, nil, api.Unsupported("changing the settings of " + name + ", which neither has a file nor was made by a client")
	}
	after := before
	// A file for each, as on disk: the next one for the same setting replaces it.
	byKey := map[string]*unit.File{}
	var order []*unit.File
	for _, l := range lines {
		f := byKey[l.Key]
		if f == nil {
			f = &unit.File{Path: setPropertyFile + l.Key}
			byKey[l.Key], order = f, append(order, f)
		}
		op := unit.Assign
		if l.Value == "" {
			op = unit.Reset
		}
		f.Fragments = append(f.Fragments, unit.Fragment{Section: l.Section, Key: l.Key, Op: op, Text: l.Value,
			Pos: diag.Pos{File: f.Path, Line: int32(len(f.Fragments) + 1)}})
	}
	var ds []diag.Diag
	for _, f := range order {
		var err error
		if after, ds, err = after.With(*f); err != nil {
			return nil, nil, fmt.Errorf("set properties of %s: %w", name, err)
		}
	}
	if err := m.world.Reconfigure(before, after); err != nil {
		return nil, nil, fmt.Errorf("set properties of %s: %w", name, err)
	}
	return after, ds, nil
}

// dropIns are the files for some settings, by name, and the settings as their lines
// have them.
func dropIns(unitName string, settings []ipc.Setting) (files map[string]string, lines []ipc.Setting, err error) {
	files = map[string]string{}
	for _, l := range settings {
		s, ok := unit.LookupDirective(l.Section, l.Key)
		if !ok {
			s, ok = unit.LookupNative(l.Section + "." + l.Key)
		}
		if !ok || s.Name == "" {
			return nil, nil, ipc.Errorf("BadUnitSetting", "%s: [%s] %s is no setting that a drop-in can have", unitName, l.Section, l.Key).WithUnit(unitName)
		}
		if !s.Live() {
			return nil, nil, ipc.Errorf("NotSupported", "%s= cannot be changed while the unit exists: it counts from the next start on", s.Name).WithUnit(unitName).
				WithHint("write it into a drop-in, then `dynamodctl daemon-reload` and restart")
		}
		if strings.ContainsAny(l.Value, "\n\x00") || len(l.Value) > maxValue || strings.HasSuffix(l.Value, "\\") {
			return nil, nil, ipc.Errorf("InvalidArgs", "the value of %s= does not fit into one line of a file", s.Name).WithUnit(unitName)
		}
		l = ipc.Setting{Section: "Unit", Key: s.Name, Value: l.Value}
		if s.In != unit.InUnit {
			l.Section = sectionOf(unitName)
		}
		lines = append(lines, l)
		file := "50-" + s.Name + ".conf"
		if files[file] == "" {
			files[file] = "# Written by dynamodctl set-property; the next one for this setting replaces it.\n[" + l.Section + "]\n"
		}
		files[file] += s.Name + "=" + l.Value + "\n"
	}
	return files, lines, nil
}

// sectionOf is the section of a unit file for a unit's own type.
func sectionOf(name string) string {
	_, typ, _ := strings.Cut(name[strings.LastIndexByte(name, '.'):], ".")
	return strings.ToUpper(typ[:1]) + typ[1:]
}

// writeDropIns writes files into dir, all of them or none. undo puts back what was
// there before.
func writeDropIns(dir string, files map[string]string) (undo func() error, err error) {
	former := map[string][]byte{} // nil: there was none
	undo = func() error {
		var errs error
		for file, text := range former {
			p := filepath.Join(dir, file)
			if text == nil {
				errs = errors.Join(errs, os.Remove(p))
			} else {
				errs = errors.Join(errs, replaceFile(p, text))
			}
		}
		_ = os.Remove(dir) // unless somebody has something in it
		return errs
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for file, text := range files {
		p := filepath.Join(dir, file)
		old, err := os.ReadFile(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, undo())
		}
		if err := replaceFile(p, []byte(text)); err != nil {
			return nil, errors.Join(err, undo())
		}
		former[file] = old
	}
	return undo, nil
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(path string, text []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}

// addToForce adds drop-ins to the file of the generation in force.
func (c *configuration) addToForce(dir string, files map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	im, err := generation.ReadFile(c.inForce)
	if err != nil {
		return err
	}
	for file, text := range files {
		if im, err = im.With(filepath.Join(dir, file)[1:], []byte(text)); err != nil {
			return err
		}
	}
	return generation.WriteFile(c.inForce, im)
}
