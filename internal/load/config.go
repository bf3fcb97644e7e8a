package load

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Mode is whose units are loaded.
type Mode uint8

const (
	// System is the machine's manager.
	System Mode = iota
	// User is the manager of one logged-in user.
	User
)

// Config says where to look. Only FS is required.
type Config struct {
	// FS is the root of the tree. It should implement fs.ReadLinkFS: without
	// it there are no symlinks, hence no aliases and no enabled units.
	FS   fs.FS
	Mode Mode
	// UnitDirs is the search path for unit files, highest priority first;
	// nil means UnitDirs(Mode, XDG).
	UnitDirs []string
	// NativeDirs hold services/ and supervisors/, highest priority first;
	// nil means NativeDirs(Mode, XDG).
	NativeDirs []string
	// StockDirs hold services/ and supervisors/ for a machine without systemd's
	// unit files. They count below NativeDirs, and not at all when the search path
	// for unit files has a sysinit.target: they would take the place of its units.
	// nil means StockDirs(Mode) when NativeDirs is nil too, else none.
	StockDirs []string
	// ShadowDirs are the same for a machine that has a sysinit.target: services that
	// take the place of systemd's daemons. nil means ShadowDirs(Mode) when NativeDirs is
	// nil too, else none.
	ShadowDirs []string
	// Consoles says which login prompts to add; see Consoles.
	Consoles Consoles
	// ControlDirs are those of UnitDirs in which set-property writes; nil means
	// the ones whose name ends in ".control". Their drop-ins hold for native
	// units too: others were written for the unit file of that name.
	ControlDirs []string
	// XDG gives the user's directories, for the defaults of mode User.
	XDG XDG
	// Fstab is the file to make mounts and swaps from, usually "/etc/fstab";
	// "" for none. Leave it out when a generator has done that: units of the
	// generator directory and above win over it anyway.
	Fstab string
	// Specifiers answers the specifiers of the host; see unit.Source.
	Specifiers func(byte) (string, bool)
	// MaxUnits bounds the units of one Load; 0 means 1<<20. Instances that
	// only a reference asks for are bounded by MaxInstances, 0 means 20000.
	MaxUnits, MaxInstances int
}

// Consoles is where login prompts come from when no generator makes them.
type Consoles uint8

const (
	// NoConsoles adds none.
	NoConsoles Consoles = iota
	// KernelConsoles adds those that the kernel uses, and the first virtual one.
	KernelConsoles
	// ContainerConsole adds /dev/console, if the container has one: the kernel's
	// are those of the machine outside.
	ContainerConsole
)

// XDG are a user's directories, as the environment gives them; empty ones take
// the defaults of the XDG base directory specification.
type XDG struct {
	Home, ConfigHome, DataHome, RuntimeDir string
	ConfigDirs, DataDirs                   []string
}

func (x XDG) withDefaults() XDG {
	if x.ConfigHome == "" && x.Home != "" {
		x.ConfigHome = path.Join(x.Home, ".config")
	}
	if x.DataHome == "" && x.Home != "" {
		x.DataHome = path.Join(x.Home, ".local/share")
	}
	if x.ConfigDirs == nil {
		x.ConfigDirs = []string{"/etc/xdg"}
	}
	if x.DataDirs == nil {
		x.DataDirs = []string{"/usr/local/share", "/usr/share"}
	}
	return x
}

// generatorDir is where generators of normal priority write; fstab units have
// the same rank.
const generatorDir = "generator"

// UnitDirs is the default search path of systemd.unit(5), highest priority
// first.
func UnitDirs(m Mode, x XDG) []string {
	if m == System {
		return []string{
			"/etc/systemd/system.control",
			"/run/systemd/system.control",
			"/run/systemd/transient",
			"/run/systemd/generator.early",
			"/etc/systemd/system",
			"/etc/systemd/system.attached",
			"/run/systemd/system",
			"/run/systemd/system.attached",
			"/run/systemd/generator",
			"/usr/local/lib/systemd/system",
			"/usr/lib/systemd/system",
			"/lib/systemd/system",
			"/run/systemd/generator.late",
		}
	}
	x = x.withDefaults()
	var out []string
	add := func(base, sub string) {
		if base != "" {
			out = append(out, path.Join(base, sub))
		}
	}
	add(x.ConfigHome, "systemd/user.control")
	add(x.RuntimeDir, "systemd/user.control")
	add(x.RuntimeDir, "systemd/transient")
	add(x.RuntimeDir, "systemd/generator.early")
	add(x.ConfigHome, "systemd/user")
	for _, d := range x.ConfigDirs {
		add(d, "systemd/user")
	}
	out = append(out, "/etc/systemd/user")
	add(x.RuntimeDir, "systemd/user")
	out = append(out, "/run/systemd/user")
	add(x.RuntimeDir, "systemd/generator")
	add(x.DataHome, "systemd/user")
	for _, d := range x.DataDirs {
		add(d, "systemd/user")
	}
	out = append(out, "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")
	add(x.RuntimeDir, "systemd/generator.late")
	return out
}

// NativeDirs is the default search path for dynamod's own files.
func NativeDirs(m Mode, x XDG) []string {
	if m == System {
		return []string{"/etc/dynamod", "/usr/lib/dynamod"}
	}
	x = x.withDefaults()
	var out []string
	if x.ConfigHome != "" {
		out = append(out, path.Join(x.ConfigHome, "dynamod"))
	}
	return append(out, "/etc/dynamod/user", "/usr/lib/dynamod/user")
}

// StockDirs is where the services for machines without unit files are installed.
func StockDirs(m Mode) []string {
	if m == System {
		return []string{"/usr/lib/dynamod/stock"}
	}
	return nil
}

// ShadowDirs is where the services that take the place of systemd's are installed.
func ShadowDirs(m Mode) []string {
	if m == System {
		return []string{"/usr/lib/dynamod/shadow"}
	}
	return nil
}

func (c *Config) fill() {
	if c.StockDirs == nil && c.NativeDirs == nil {
		c.StockDirs = StockDirs(c.Mode)
	}
	if c.ShadowDirs == nil && c.NativeDirs == nil {
		c.ShadowDirs = ShadowDirs(c.Mode)
	}
	if c.UnitDirs == nil {
		c.UnitDirs = UnitDirs(c.Mode, c.XDG)
	}
	if c.NativeDirs == nil {
		c.NativeDirs = NativeDirs(c.Mode, c.XDG)
	}
	if c.ControlDirs == nil {
		for _, d := range c.UnitDirs {
			if strings.HasSuffix(d, ".control") {
				c.ControlDirs = append(c.ControlDirs, d)
			}
		}
	}
	c.UnitDirs, c.NativeDirs, c.ControlDirs = absolute(c.UnitDirs), absolute(c.NativeDirs), absolute(c.ControlDirs)
	c.StockDirs, c.ShadowDirs = absolute(c.StockDirs), absolute(c.ShadowDirs)
	if c.MaxUnits <= 0 {
		c.MaxUnits = 1 << 20
	}
	if c.MaxInstances <= 0 {
		c.MaxInstances = 20000
	}
}

// absolute cleans paths for display; a relative one counts from the root.
func absolute(dirs []string) []string {
	out := slices.Clone(dirs)
	for i, d := range out {
		out[i] = path.Clean("/" + d)
	}
	return out
}

// rel is a display path as io/fs wants it.
func rel(p string) string {
	if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p != "" {
		return p
	}
	return "."
}
