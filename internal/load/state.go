package load

import (
	"path"
	"slices"
	"strings"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// FileState is what `systemctl is-enabled` prints (systemctl(1)).
type FileState string

// The states. A "-runtime" one will be gone after a reboot.
const (
	Enabled        FileState = "enabled"
	EnabledRuntime FileState = "enabled-runtime"
	Linked         FileState = "linked"
	LinkedRuntime  FileState = "linked-runtime"
	AliasState     FileState = "alias"
	MaskedState    FileState = "masked"
	MaskedRuntime  FileState = "masked-runtime"
	Static         FileState = "static"
	Indirect       FileState = "indirect"
	Disabled       FileState = "disabled"
	Generated      FileState = "generated"
	Transient      FileState = "transient"
	Bad            FileState = "bad"
	NoFile         FileState = "not-found"
)

// tier is whose directory something stands in.
type tier uint8

const (
	vendor tier = iota
	volatile
	persistent
)

func (l *Loader) tierOf(dir string) tier {
	below := func(base string) bool { return base != "" && (dir == base || strings.HasPrefix(dir, base+"/")) }
	x := l.cfg.XDG.withDefaults()
	switch {
	case below("/run") || below(x.RuntimeDir):
		return volatile
	case below("/usr") || below("/lib") || below(x.DataHome) || slices.ContainsFunc(x.DataDirs, below):
		return vendor
	}
	return persistent
}

// FileState says whether the unit file of name is enabled, as recorded from
// systemctl 257 on offline trees. Links below /usr never enable anything. For
// a native unit it says whether boot starts it.
func (l *Loader) FileState(name string) FileState {
	if n, ok := l.nativeNames[name]; ok {
		return l.nativeState(n, name)
	}
	f := l.ix.lookup(name)
	if f == nil {
		return NoFile
	}
	t := vendor
	if f.dir < len(l.cfg.UnitDirs) {
		t = l.tierOf(l.cfg.UnitDirs[f.dir])
	}
	pick := func(lasting, gone FileState) FileState {
		if t == volatile {
			return gone
		}
		return lasting
	}
	switch {
	case f.kind == masked:
		return pick(MaskedState, MaskedRuntime)
	case f.kind == broken && f.linked:
		return NoFile
	case f.kind == broken:
		return Bad
	case f.kind == alias && l.ix.files[name] == f:
		end := l.canonical(name)
		switch g := l.ix.lookup(end); {
		case g == nil:
			return Bad
		case g.kind == masked:
			return pick(MaskedState, MaskedRuntime)
		}
		return AliasState
	case f.kind == alias:
		return l.FileState(l.canonical(name)) // an instance of an alias template
	case f.generated != nil:
		return Generated
	}
	switch base := path.Base(l.cfg.UnitDirs[f.dir]); {
	case base == "transient":
		return Transient
	case base == generatorDir || strings.HasPrefix(base, generatorDir+"."):
		return Generated
	}
	if f.linked && path.Base(f.real) != name && unitname.Valid(path.Base(f.real)) && l.ix.files[name] == f {
		return AliasState
	}
	u := l.build(name, false).u
	switch u.Load {
	case unit.Masked: // an empty file
		return pick(MaskedState, MaskedRuntime)
	case unit.LoadError:
		return Bad
	}
	if s := l.enabledBy(name, u); s != "" {
		return s
	}
	if f.linked && l.ix.files[name] == f {
		return pick(Linked, LinkedRuntime)
	}
	switch {
	case len(unit.WantedBy.Of(u))+len(unit.RequiredBy.Of(u))+len(unit.UpheldBy.Of(u))+len(unit.Alias.Of(u)) > 0:
		return Disabled
	case len(unit.Also.Of(u)) > 0:
		return Indirect
	}
	return Static
}

// enabledBy looks for the symlinks that enable a unit; "" when there are none.
func (l *Loader) enabledBy(name string, u *unit.Unit) FileState {
	best, indirect := vendor, false
	see := func(t tier) { best = max(best, t) }
	hooks := l.hooked()
	if t, ok := hooks[name]; ok {
		see(t)
	}
	n, err := unitname.Parse(name)
	if err == nil && n.IsTemplate() {
		want := ""
		if d := unit.DefaultInstance.Of(u); d != "" {
			want, _ = instanceOf(name, d)
		}
		for other, t := range hooks {
			if o, err := unitname.Parse(other); err == nil && o.IsInstance() && o.TemplateName() == name && t != vendor {
				if other == want {
					see(t)
				} else {
					indirect = true
				}
			}
		}
	}
	ours := unit.Alias.Of(u)
	for _, a := range u.Aliases {
		f := l.ix.files[a]
		if f == nil || f.dir >= len(l.cfg.UnitDirs) {
			continue
		}
		switch t := l.tierOf(l.cfg.UnitDirs[f.dir]); {
		case t == vendor:
		case slices.Contains(ours, a):
			see(t)
		default:
			indirect = true
		}
	}
	switch {
	case best == persistent:
		return Enabled
	case best == volatile:
		return EnabledRuntime
	case indirect:
		return Indirect
	}
	return ""
}

// hooked maps the names that stand in .wants, .requires and .upholds
// directories to the most lasting place of such a link.
func (l *Loader) hooked() map[string]tier {
	l.hooksOnce.Do(func() {
		hooks := map[string]tier{}
		for name, subs := range l.ix.subs {
			if _, suffix, _ := subdirOf(name); suffix == "d" {
				continue
			}
			for _, s := range subs {
				t := l.tierOf(l.cfg.UnitDirs[s.dir])
				for _, m := range l.list(s) {
					if m.link && unitname.Valid(m.name) {
						hooks[m.name] = max(hooks[m.name], t)
					}
				}
			}
		}
		l.hooks = hooks
	})
	return l.hooks
}

func (l *Loader) nativeState(final, name string) FileState {
	if final != name {
		return AliasState
	}
	if n, err := unitname.Parse(name); err == nil && n.IsTemplate() {
		return Static
	}
	for _, links := range l.extra {
		for _, x := range links {
			if x.Name == name {
				return Enabled
			}
		}
	}
	if t, ok := l.hooked()[name]; ok && t == persistent {
		return Enabled
	} else if ok && t == volatile {
		return EnabledRuntime
	}
	if n, _ := unitname.Parse(name); n.Type == unitname.Service && (unit.StartMode.Of(l.build(name, false).u) != "boot" || unit.Disabled.Of(l.build(name, false).u)) {
		return Disabled
	}
	return Static
}
