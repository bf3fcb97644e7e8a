package debtree

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"runtime"
	"strings"
)

// Method is how a recipe becomes a tree.
type Method string

const (
	// Bootstrap installs the packages with mmdebstrap: dependencies come along and
	// maintainer scripts run, so the result could boot.
	Bootstrap Method = "bootstrap"
	// Unpack downloads exactly the named packages and unpacks them side by side: no
	// dependencies, no scripts. What the scripts would have linked is in Links.
	Unpack Method = "unpack"
)

// Link is a symbolic link that a maintainer script makes.
type Link struct {
	Path   string // slash-separated, relative to the tree
	Target string // as written into the link
}

// Recipe is all that decides what a tree contains.
type Recipe struct {
	Name     string
	Suite    string
	Arch     string // Debian's name of the architecture
	Method   Method
	Packages []string // sorted
	Links    []Link   `json:",omitempty"` // only for Unpack
	// Follow is the beginning of names: dependencies of the packages that start
	// with it are unpacked too. A metapackage is named for what stays, and points
	// to a package with a version in its name. Only for Unpack.
	Follow string `json:",omitempty"`
	// Revision is raised when the code below builds a different tree from the same data.
	Revision int
}

// GNOME is the system from which reference/unit-directives.tsv and
// reference/gnome-user-graph-golden.tsv were recorded, as near as package names
// can say it: gdm and a GNOME session with what people have beside them (sway,
// foot, ssh, nginx, rsyslog, cron), without recommended packages.
var GNOME = Recipe{
	Name:   "gnome",
	Suite:  "trixie",
	Arch:   debianArch(),
	Method: Bootstrap,
	Packages: []string{
		"accountsservice", "at-spi2-core", "colord", "cron", "dbus", "dbus-user-session", "dirmngr",
		"evolution-data-server", "foot", "gcr", "gdm3", "gnome-keyring", "gnome-session",
		"gnome-settings-daemon", "gnome-shell", "gnome-terminal", "gnupg", "gpg-agent",
		"libpam-gnome-keyring", "libpam-systemd", "localsearch", "network-manager", "nginx",
		"openssh-client", "openssh-server", "pipewire-pulse", "polkitd", "rsyslog", "rtkit",
		"sway", "systemd-sysv", "systemd-timesyncd", "udev", "udisks2", "upower", "wireplumber",
		"xdg-desktop-portal", "xdg-desktop-portal-gnome", "xdg-desktop-portal-gtk",
	},
	Revision: 1,
}

// Minimal is the smallest Debian 13 that boots to a login prompt under systemd.
var Minimal = Recipe{
	Name:     "minimal",
	Suite:    "trixie",
	Arch:     debianArch(),
	Method:   Bootstrap,
	Packages: []string{"dbus", "libpam-systemd", "systemd-sysv", "udev"},
	Revision: 1,
}

// Server is a small server: what people have on a machine without a screen.
var Server = Recipe{
	Name:   "server",
	Suite:  "trixie",
	Arch:   debianArch(),
	Method: Bootstrap,
	Packages: []string{
		"cron", "dbus", "iproute2", "libpam-systemd", "nginx-light", "openssh-server", "rsyslog", "systemd-sysv", "udev",
	},
	Revision: 1,
}

// Sway is a machine with a screen: a Wayland compositor and a terminal, without
// recommended packages.
var Sway = Recipe{
	Name:   "sway",
	Suite:  "trixie",
	Arch:   debianArch(),
	Method: Bootstrap,
	Packages: []string{
		"dbus", "dbus-user-session", "fonts-dejavu-core", "foot", "libpam-systemd", "openssh-server", "polkitd", "procps", "seatd",
		"sudo", "sway", "systemd-sysv", "udev",
	},
	Revision: 1,
}

// Tools is a machine with the programs beside systemctl that talk to systemd: podman
// with crun, which make scopes, and a user's manager.
var Tools = Recipe{
	Name:   "tools",
	Suite:  "trixie",
	Arch:   debianArch(),
	Method: Bootstrap,
	Packages: []string{
		"busybox-static", "cron", "crun", "dbus", "dbus-user-session", "libpam-systemd", "podman", "polkitd", "procps", "strace", "systemd-sysv", "udev",
	},
	Revision: 1,
}

// GNOMEUnits has the same unit files, drop-ins and links as GNOME, and little
// else: it is there in seconds. Its programs do not run, for their libraries are missing.
var GNOMEUnits = Recipe{
	Name:     "gnome-units",
	Suite:    "trixie",
	Arch:     debianArch(),
	Method:   Unpack,
	Packages: unitPackages,
	Links:    enabledLinks,
	Revision: 1,
}

// Kernel is the kernel of Debian 13 and its modules, to boot virtual machines.
var Kernel = Recipe{
	Name:     "kernel",
	Suite:    "trixie",
	Arch:     debianArch(),
	Method:   Unpack,
	Packages: []string{"linux-image-" + debianArch()},
	Follow:   "linux-image-",
	Revision: 1,
}

// BusyBox is a userland in one static file.
var BusyBox = Recipe{
	Name:     "busybox",
	Suite:    "trixie",
	Arch:     debianArch(),
	Method:   Unpack,
	Packages: []string{"busybox-static"},
	Revision: 1,
}

// Recipes lists every recipe.
func Recipes() []Recipe {
	return []Recipe{GNOME, GNOMEUnits, Minimal, Server, Sway, Tools, Kernel, BusyBox}
}

// Lookup finds a recipe by name; "units" is short for "gnome-units".
func Lookup(name string) (Recipe, error) {
	if name == "units" {
		name = GNOMEUnits.Name
	}
	var names []string
	for _, r := range Recipes() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Recipe{}, fmt.Errorf("no recipe %q; there are %s", name, strings.Join(names, ", "))
}

// Key names the recipe's place in the cache: its name and the hash of its content.
func (r Recipe) Key() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("debtree: recipe %s does not encode: %v", r.Name, err)) // strings and ints always do
	}
	sum := sha256.Sum256(data)
	return r.Name + "-" + hex.EncodeToString(sum[:6])
}

// Policy 5.6.1 (package names) and 5.6.8 (architectures); names here also become file names.
var (
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	plainName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// Validate says what is wrong with a recipe, before a tool is asked to run it.
func (r Recipe) Validate() error {
	for what, s := range map[string]string{"name": r.Name, "suite": r.Suite, "architecture": r.Arch} {
		if !plainName.MatchString(s) {
			return fmt.Errorf("recipe %q: bad %s %q", r.Name, what, s)
		}
	}
	switch {
	case r.Method != Bootstrap && r.Method != Unpack:
		return fmt.Errorf("recipe %s: unknown method %q", r.Name, r.Method)
	case len(r.Packages) == 0:
		return fmt.Errorf("recipe %s: no packages", r.Name)
	case r.Method == Bootstrap && len(r.Links) > 0:
		return fmt.Errorf("recipe %s: links are made by maintainer scripts here", r.Name)
	case r.Method == Bootstrap && r.Follow != "":
		return fmt.Errorf("recipe %s: dependencies come along here; there is nothing to follow", r.Name)
	case r.Follow != "" && !packageName.MatchString(r.Follow):
		return fmt.Errorf("recipe %s: bad beginning of a package name %q", r.Name, r.Follow)
	}
	for i, p := range r.Packages {
		if !packageName.MatchString(p) {
			return fmt.Errorf("recipe %s: bad package name %q", r.Name, p)
		}
		// One order, so that two spellings of one recipe do not build two trees.
		if i > 0 && r.Packages[i-1] >= p {
			return fmt.Errorf("recipe %s: packages not sorted or twice: %q before %q", r.Name, r.Packages[i-1], p)
		}
	}
	for i, l := range r.Links {
		if l.Path != path.Clean(l.Path) || path.IsAbs(l.Path) || strings.HasPrefix(l.Path, "..") || l.Target == "" {
			return fmt.Errorf("recipe %s: bad link %q -> %q", r.Name, l.Path, l.Target)
		}
		if i > 0 && r.Links[i-1].Path >= l.Path {
			return fmt.Errorf("recipe %s: links not sorted or twice: %q before %q", r.Name, r.Links[i-1].Path, l.Path)
		}
	}
	return nil
}

func debianArch() string {
	switch runtime.GOARCH {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	}
	return runtime.GOARCH // amd64, arm64, riscv64, s390x are named alike
}
