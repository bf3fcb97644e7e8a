package deps

// rule is what one package may do. Our packages are named without the module
// path; a name that ends in "/..." covers the package and all below it.
type rule struct {
	pkg string
	// ours are the packages of this module it may import, outside are the
	// third-party ones. What is not named is forbidden.
	ours, outside []string
	// never are packages of the standard library it must not import.
	never []string
	// pure packages decide and never act: see forbiddenWhenPure.
	pure bool
}

// model is what describes units and is shared by everything that reads them.
var model = []string{"internal/diag", "internal/unitname", "internal/calendar", "internal/unit"}

func with(list []string, more ...string) []string {
	return append(append([]string{}, list...), more...)
}

// law has one row for every package. A package without a row is an error, so
// that a new one is placed on purpose. The rows of packages to come are there
// already: see the design of the house in CONTRIBUTING.md.
var law = []rule{
	// What describes units: pure.
	{pkg: "internal/diag", pure: true},
	{pkg: "internal/unitname", pure: true},
	{pkg: "internal/calendar", pure: true},
	{pkg: "internal/unit", ours: []string{"internal/diag", "internal/unitname", "internal/calendar"}, pure: true},
	{pkg: "internal/graph", ours: []string{"internal/diag", "internal/unitname", "internal/unit"}, pure: true},
	{pkg: "internal/cmdline", pure: true},
	{pkg: "internal/envfile", pure: true},
	{pkg: "internal/version", pure: true},
	{pkg: "internal/sandbox", ours: []string{"internal/unit", "internal/sandbox/seccomp"}, pure: true},
	{pkg: "internal/sandbox/seccomp", outside: []string{"golang.org/x/net/bpf"}, pure: true},

	// Loaders: a syntax each, then the search path. Files come in as fs.FS.
	{pkg: "internal/load/native", ours: model, outside: []string{"github.com/pelletier/go-toml/v2/..."}, pure: true},
	{pkg: "internal/load/zinit", ours: model, outside: []string{"github.com/pelletier/go-toml/v2/...", "gopkg.in/yaml.v3"}, pure: true},
	{pkg: "internal/load/...", ours: model, pure: true},
	{pkg: "internal/load", ours: with(model, "internal/load/..."), never: []string{"os", "os/...", "net/...", "net", "syscall"}},

	// What touches the machine, in thin layers that do not know our model.
	{pkg: "internal/board"},
	{pkg: "internal/witness", outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "internal/sys/cgroupbpf", outside: []string{"github.com/cilium/ebpf", "github.com/cilium/ebpf/...", "golang.org/x/sys/unix"}},
	{pkg: "internal/sys/...", outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "internal/log", ours: []string{"internal/sys/kmsg"}},
	{pkg: "internal/ipc/frame", never: []string{"fmt", "reflect"}, pure: true},
	{pkg: "internal/ipc/pid1", ours: []string{"internal/ipc/frame"}, never: []string{"fmt", "reflect"}, pure: true},
	{pkg: "internal/ipc", ours: []string{"internal/sys/fdpass", "internal/ipc/frame"}, outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "internal/access", ours: []string{"internal/diag"}, outside: []string{"github.com/pelletier/go-toml/v2/..."}},
	{pkg: "internal/bus/label", pure: true},
	{pkg: "internal/bus", ours: []string{"internal/log"}, outside: []string{"github.com/godbus/dbus/v5/...", "golang.org/x/sys/unix"}},
	{pkg: "sdnotify/...", outside: []string{"golang.org/x/sys/unix"}},

	// PID 1.
	{pkg: "init/internal/volume", never: []string{"fmt"}, pure: true},
	{pkg: "init/internal/pid1", ours: []string{"internal/ipc/pid1"}, never: []string{"fmt"}, pure: true},
	{pkg: "init/internal/...", ours: []string{"init/internal/...", "internal/sys/...", "internal/cmdline", "internal/ipc/pid1"}, outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "init", ours: []string{"init/internal/...", "internal/sys/...", "internal/cmdline", "internal/ipc/pid1"}, outside: []string{"golang.org/x/sys/unix"}},

	// The steps of a boot without unit files: cores that decide, a shell that acts.
	{pkg: "step/internal/...", ours: []string{"step/internal/dropdir"}, pure: true},
	{pkg: "step", ours: with(model, "step/internal/...", "internal/load/fstab"), outside: []string{"golang.org/x/sys/unix"}},

	// The manager: a pure part that decides, and what acts for it.
	{pkg: "svmgr/internal/core", ours: with(model, "internal/graph"), pure: true},
	{pkg: "svmgr/internal/sim", ours: with(model, "internal/graph", "svmgr/internal/core"), pure: true},
	{pkg: "svmgr/internal/sim/cmd/...", ours: with(model, "internal/graph", "internal/load", "svmgr/internal/core", "svmgr/internal/sim")},
	{pkg: "svmgr/internal/world", ours: []string{"svmgr/internal/core", "svmgr/internal/child", "internal/envfile", "internal/unit", "internal/unitname", "internal/calendar", "internal/sandbox/...", "internal/sandbox", "internal/sys/...", "internal/version", "sdnotify"}, outside: []string{"golang.org/x/sys/unix", "golang.org/x/net/bpf"}},
	{pkg: "svmgr/internal/generation"},
	{pkg: "svmgr/internal/ladder", pure: true},
	{pkg: "svmgr/child", ours: []string{"svmgr/internal/child", "internal/sys/mount", "internal/sys/confine"}},
	{pkg: "svmgr/pam", ours: []string{"svmgr/internal/child"}, outside: []string{"golang.org/x/sys/unix", "github.com/ebitengine/purego"}},
	{pkg: "svmgr/internal/generators", ours: []string{"internal/sys/confine"}},
	{pkg: "svmgr/internal/child", outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "svmgr/internal/api", ours: with(model, "svmgr/internal/core", "internal/graph", "internal/ipc", "internal/access", "internal/sandbox")},
	{pkg: "svmgr/internal/keeper", ours: []string{"internal/ipc/pid1", "sdnotify"}, outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "svmgr/internal/loop", ours: []string{"svmgr/internal/core", "svmgr/internal/world", "svmgr/internal/api", "internal/graph", "internal/unit", "internal/diag", "internal/load", "internal/log", "internal/sys/clock"}},
	{pkg: "svmgr", ours: with(model, "svmgr/internal/...", "internal/cmdline", "internal/graph", "internal/ipc", "internal/ipc/pid1", "internal/access", "internal/log", "internal/load", "internal/sys/subreaper", "internal/sys/booted", "internal/sys/clock", "internal/sys/memory", "internal/sys/cgroup", "internal/board", "internal/witness")},

	// The operator's tool asks the manager over ipc or reads files itself; it
	// never links the manager.
	{pkg: "dynamodctl/internal/render", ours: with(model, "internal/ipc", "dynamodctl/internal/style"), outside: []string{"github.com/charmbracelet/x/ansi"}, pure: true},
	{pkg: "dynamodctl/internal/top", ours: []string{"internal/ipc", "dynamodctl/internal/render", "dynamodctl/internal/noquery"},
		outside: []string{"github.com/charmbracelet/bubbletea", "github.com/charmbracelet/lipgloss", "github.com/charmbracelet/x/ansi"}},
	{pkg: "dynamodctl/internal/noquery", outside: []string{"github.com/charmbracelet/lipgloss"}},
	{pkg: "dynamodctl/internal/console", outside: []string{"github.com/creack/pty", "golang.org/x/term", "golang.org/x/sys/unix"}},
	{pkg: "dynamodctl/internal/live", ours: []string{"internal/ipc", "internal/board"}, outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "dynamodctl/internal/...", ours: with(model, "internal/install", "internal/tree", "internal/graph", "internal/sandbox", "internal/load", "internal/load/native", "internal/load/sdunit", "internal/ipc", "internal/board", "sdnotify", "dynamodctl/internal/..."),
		outside: []string{"github.com/spf13/cobra", "github.com/spf13/cobra/doc", "github.com/spf13/pflag", "golang.org/x/sys/unix"}},
	{pkg: "dynamodctl", ours: []string{"dynamodctl/internal/..."}},

	// A tree of units on disk, and the links that enable and mask them: for the
	// operator's tool and for D-Bus.
	{pkg: "internal/tree", ours: with(model, "internal/graph", "internal/load", "internal/load/...")},
	{pkg: "internal/install", ours: with(model, "internal/tree")},

	// systemd1 for its clients: words and types, the way to the manager, D-Bus.
	{pkg: "sd1bridge/internal/translate", ours: with(model, "internal/bus/label", "internal/ipc", "internal/sandbox", "internal/sandbox/seccomp"), never: []string{"os", "os/...", "net", "syscall", "sync"}},
	{pkg: "sd1bridge/internal/upstream", ours: []string{"internal/board", "internal/ipc", "internal/witness", "sd1bridge/internal/translate"}},
	{pkg: "sd1bridge/internal/api", ours: with(model, "internal/bus", "internal/graph", "internal/install", "internal/ipc", "internal/load", "internal/sys/capacity", "internal/sys/efivar", "internal/sys/mountinfo", "internal/sys/proc", "internal/sys/virt", "sd1bridge/internal/..."), outside: []string{"github.com/godbus/dbus/v5", "golang.org/x/sys/unix"}},
	{pkg: "sd1bridge", ours: []string{"internal/bus", "internal/ipc", "internal/sys/memory", "sdnotify", "sd1bridge/internal/..."}, outside: []string{"github.com/godbus/dbus/v5"}},

	// login1: what decides about sessions, and D-Bus, files and processes around it.
	{pkg: "logind/internal/session", pure: true},
	{pkg: "logind/internal/conf", ours: []string{"internal/calendar"}, pure: true},
	{pkg: "logind/internal/device", ours: []string{"internal/sys/acl", "internal/sys/ipcobject", "internal/sys/uevent", "logind/internal/session"}, outside: []string{"golang.org/x/sys/unix"}},
	// What the firmware and its boot loader are told.
	{pkg: "logind/internal/boot", ours: []string{"internal/sys/efivar", "internal/sys/replace", "internal/sys/uevent", "internal/sys/virt", "internal/version"}, outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "logind/internal/api", ours: []string{"logind/internal/boot", "internal/bus", "internal/calendar", "logind/internal/conf", "logind/internal/device", "internal/bus/label", "internal/ipc", "internal/sys/accounts", "internal/sys/pidfd", "internal/sys/replace", "logind/internal/session"}, outside: []string{"github.com/godbus/dbus/v5", "golang.org/x/sys/unix"}},
	{pkg: "logind", ours: []string{"internal/bus", "internal/ipc", "internal/sys/memory", "logind/internal/...", "sdnotify"}},

	// hostname1, timedate1 and locale1: what is valid and what files say, and D-Bus, files
	// and the clock around it.
	{pkg: "hostnamed/internal/host", ours: []string{"internal/envfile"}, pure: true},
	{pkg: "hostnamed/internal/timedate", pure: true},
	{pkg: "hostnamed/internal/locale", ours: []string{"internal/envfile"}, pure: true},
	{pkg: "hostnamed/internal/disk", outside: []string{"golang.org/x/sys/unix"}},
	{pkg: "hostnamed/internal/api", ours: []string{"hostnamed/internal/...", "internal/bus", "internal/envfile", "internal/sys/uevent", "internal/sys/virt"}, outside: []string{"github.com/godbus/dbus/v5", "golang.org/x/sys/unix"}},
	{pkg: "hostnamed", ours: with(model, "internal/bus", "internal/install", "internal/ipc", "internal/sys/virt", "hostnamed/internal/...", "sdnotify"), outside: []string{"golang.org/x/sys/unix"}},

	// Tools of the house; nothing that is shipped imports them.
	{pkg: "internal/deps"},
	{pkg: "internal/testkit/...", ours: []string{"..."}, outside: []string{"..."}},
	{pkg: "desktop-tests/...", ours: []string{"desktop-tests/...", "internal/testkit/..."}, outside: []string{"..."}},
	{pkg: "tools/..."},
}

// notInProducts may be imported by test files, internal/testkit,
// desktop-tests and tools only.
var notInProducts = []string{"testing", "testing/...", "pgregory.net/rapid", "github.com/rogpeppe/go-internal/..."}

// forbiddenWhenPure are the packages that a pure one must not import: whoever
// uses them acts, waits, or gives a different answer next time.
var forbiddenWhenPure = []string{
	"os", "os/...", "net", "net/...", "syscall", "golang.org/x/sys/...", "context", "log", "log/...",
	"sync", "sync/...", "io/ioutil", "path/filepath", "crypto/rand",
}

// forbiddenClocks are what a pure package must not use of package time: now
// comes in as an argument.
var forbiddenClocks = []string{
	"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker",
}

// seededRandom is what a pure package may use of math/rand and math/rand/v2;
// the other functions draw from a source that differs in each process.
var seededRandom = []string{
	"New", "NewPCG", "NewChaCha8", "NewSource", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf",
}
