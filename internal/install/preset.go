package install

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Limits of presets: of one file, and of rules altogether.
const (
	maxPresetFile  = 1 << 20
	maxPresetRules = 1 << 16
)

// Preset is what the vendor wants with a unit (systemd.preset(5)).
type Preset string

const (
	PresetEnable  Preset = "enabled"
	PresetDisable Preset = "disabled"
	PresetIgnore  Preset = "ignored"
)

// PresetMode restricts what presetting does (systemctl(1), --preset-mode=).
type PresetMode string

const (
	PresetFull        PresetMode = "full"
	PresetEnableOnly  PresetMode = "enable-only"
	PresetDisableOnly PresetMode = "disable-only"
)

// presetRule is one line of a preset file.
type presetRule struct {
	what      Preset
	pattern   string
	instances []string
}

// Presets are the rules of a tree: the first that matches decides.
type Presets struct{ rules []presetRule }

// ReadPresets reads the preset files below root. A file hides those of the same name
// in directories of lower priority, and /dev/null or an empty one hides them all. A
// line that is no rule is left out, and told in notes.
func ReadPresets(root string, user bool) (p *Presets, notes []string, err error) {
	r, err := os.OpenRoot(cmp.Or(root, "/"))
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	files := map[string]string{}
	d := &disk{root: r, own: cmp.Or(root, "/") == "/"}
	for _, dir := range presetDirs(user) {
		entries, err := d.list(dir)
		if err != nil {
			return nil, nil, err
		}
		for _, e := range entries {
			if _, hidden := files[e.Name()]; !hidden && strings.HasSuffix(e.Name(), ".preset") {
				files[e.Name()] = path.Join(dir, e.Name())
			}
		}
	}
	p = &Presets{}
	names := []string{}
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		text, err := d.read(files[n], maxPresetFile)
		if err != nil {
			return nil, nil, err
		}
		notes = append(notes, p.parse(files[n], text)...)
	}
	return p, notes, nil
}

// presetDirs are the directories of preset files, the most important first.
func presetDirs(user bool) (dirs []string) {
	sub := "system-preset"
	if user {
		sub = "user-preset"
	}
	for _, base := range []string{"/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"} {
		dirs = append(dirs, path.Join(base, sub))
	}
	return dirs
}

// parse adds the rules of one file.
func (p *Presets) parse(file, text string) (notes []string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") || strings.HasPrefix(f[0], ";") {
			continue
		}
		what, ok := map[string]Preset{"enable": PresetEnable, "disable": PresetDisable, "ignore": PresetIgnore}[f[0]]
		if !ok || len(f) < 2 || len(f) > 2 && what != PresetEnable || len(p.rules) >= maxPresetRules {
			notes = append(notes, fmt.Sprintf("%s:%d: %s is no rule: write enable, disable or ignore and a pattern", file, n, diag.Clip(strings.TrimSpace(line))))
			continue
		}
		p.rules = append(p.rules, presetRule{what, f[1], f[2:]})
	}
	return notes
}

// Of is the rule for a unit file. What no rule names is enabled. For a template,
// instances are those that its rule lists.
func (p *Presets) Of(name string) (what Preset, instances []string) {
	n, err := unitname.Parse(name)
	for _, r := range p.rules {
		if len(r.instances) > 0 && err == nil && n.IsInstance() {
			// The rule of a template is one of the instances that it lists.
			for _, i := range r.instances {
				t, terr := unitname.Parse(r.pattern)
				if terr != nil || !t.IsTemplate() {
					continue
				}
				if x, ierr := t.WithInstance(i); ierr == nil && x.String() == name {
					return r.what, nil
				}
			}
			continue
		}
		if ok, err := path.Match(r.pattern, name); ok && err == nil {
			return r.what, r.instances
		}
	}
	return PresetEnable, nil
}

// RunPreset enables and disables units as the presets have it: those named, or with
// no names all that have an [Install] section.
func RunPreset(names []string, m PresetMode, o Options) (*Result, error) {
	return run(o, func(w *work) error {
		p, notes, err := ReadPresets(w.o.Root, o.User)
		if err != nil {
			return err
		}
		w.res.Notes = notes
		all := len(names) == 0
		if all {
			names = w.tree.Names()
		}
		return w.each(names, func(full string) error { return w.preset(full, m, p, all) })
	})
}

func (w *work) preset(name string, m PresetMode, p *Presets, all bool) error {
	u, err := w.find(name)
	if err != nil {
		if all {
			return nil
		}
		return err
	}
	installable := len(unit.WantedBy.Of(u))+len(unit.RequiredBy.Of(u))+len(unit.UpheldBy.Of(u))+len(unit.Alias.Of(u))+len(unit.Also.Of(u)) > 0
	switch {
	case u.Load == unit.Masked && !all:
		return refuse("unmask it first", "Unit %s is masked", name)
	case all && (u.Load != unit.Loaded || u.Path == "" || !installable || u.Name != name && !strings.Contains(name, "@")):
		return nil // aliases follow their units
	}
	what, instances := p.Of(name)
	switch {
	case what == PresetIgnore:
		return nil
	case what == PresetDisable && m != PresetEnableOnly:
		return w.disable(name)
	case what == PresetEnable && m != PresetDisableOnly:
		if len(instances) == 0 {
			n, err := unitname.Parse(name)
			if err == nil && n.IsTemplate() && unit.DefaultInstance.Of(u) == "" {
				return nil // a template alone cannot be enabled
			}
			return w.enable(name)
		}
		n, err := unitname.Parse(name)
		if err != nil {
			return err
		}
		for _, i := range instances {
			x, err := n.WithInstance(i)
			if err != nil {
				return refuse("", "the preset of %s names the instance %s: %v", name, diag.Clip(i), err)
			}
			if err := w.enable(x.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads a file of the tree, at most limit bytes; a link to /dev/null is empty.
func (d *disk) read(p string, limit int64) (string, error) {
	if to, kind, err := d.look(p); err != nil || kind == fs.ModeSymlink && to == devNull {
		return "", err
	}
	f, err := d.root.Open(d.rel(p))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", p, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", p, cause(err))
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return "", fmt.Errorf("read %s: it is no file of at most %d bytes", p, limit)
	}
	b := make([]byte, info.Size())
	n, err := f.ReadAt(b, 0)
	if err != nil && n < len(b) {
		return "", fmt.Errorf("read %s: %w", p, cause(err))
	}
	return string(b[:n]), nil
}

// Presetting says what the presets of a tree have for unit files. It keeps the rules
// while the files that they are from and their directories are as they were. It may be
// used by several goroutines.
type Presetting struct {
	Root string
	User bool

	mu    sync.Mutex
	rules *Presets
	seen  map[string]seenFile
}

type seenFile struct {
	at   time.Time
	size int64
	info fs.FileInfo
}

// Of is what the presets have for a unit file.
func (p *Presetting) Of(name string) (Preset, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rules == nil || !p.same() {
		seen := map[string]seenFile{} // before they are read: what changes meanwhile differs
		dirs := presetDirs(p.User)
		for _, d := range dirs {
			p.note(seen, d)
			list, err := os.ReadDir(filepath.Join(cmp.Or(p.Root, "/"), d))
			if err != nil {
				continue // ReadPresets says why, if it matters
			}
			for _, e := range list {
				p.note(seen, path.Join(d, e.Name()))
			}
		}
		rules, _, err := ReadPresets(p.Root, p.User)
		if err != nil {
			return "", err
		}
		p.rules, p.seen = rules, seen
	}
	what, _ := p.rules.Of(name)
	return what, nil
}

func (p *Presetting) note(seen map[string]seenFile, name string) {
	if st, err := os.Stat(filepath.Join(cmp.Or(p.Root, "/"), name)); err == nil {
		seen[name] = seenFile{st.ModTime(), st.Size(), st}
	} else {
		seen[name] = seenFile{}
	}
}

func (p *Presetting) same() bool {
	now := map[string]seenFile{}
	for name, was := range p.seen {
		p.note(now, name)
		is := now[name]
		if !is.at.Equal(was.at) || is.size != was.size || (is.info == nil) != (was.info == nil) || is.info != nil && !os.SameFile(is.info, was.info) {
			return false
		}
	}
	return true
}
