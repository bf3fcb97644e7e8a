package unit

// The [Path] section. systemd.path(5).

// Watches are all Path…= lines of a path unit in the order of the file.
var Watches = watches(Setting{Native: "path.watches", In: InPath, DBus: "Paths", Signature: "a(ss)", Since: "1", internal: true,
	Effect: ByCore, Source: "systemd.path(5)", Doc: "All watched paths; set through the keys for each kind of watch."})

func watchRow(native, name, since, doc string) Key[[]PathWatch] {
	return watches(Setting{Native: native, Name: name, tag: name, In: InPath, DBus: "Paths", Signature: "a(ss)", Since: since,
		Effect: ByCore, Source: "systemd.path(5)", Doc: doc, into: []*Setting{Watches.s}})
}

var PathExists = watchRow("path.exists", "PathExists", "", "Starts the unit while the path exists.")

var PathExistsGlob = watchRow("path.exists-glob", "PathExistsGlob", "", "Starts the unit while a path matches the pattern.")

var PathChanged = watchRow("path.changed", "PathChanged", "", "Starts the unit when a file was written and closed, or a directory changed.")

var PathModified = watchRow("path.modified", "PathModified", "", "Starts the unit at every write to the file, and when a directory changed.")

var DirectoryNotEmpty = watchRow("path.directory-not-empty", "DirectoryNotEmpty", "", "Starts the unit while the directory holds anything.")

var PathUnit = unitName(Setting{Native: "path.unit", Name: "Unit",
	In: InPath, DBus: "Unit", Signature: "s", Since: "", Effect: ByGraph, Source: "systemd.path(5)",
	Doc: "The unit to start; by default the service of the same name."})

var MakeDirectory = boolean(Setting{Native: "path.make-directory", Name: "MakeDirectory",
	In: InPath, DBus: "MakeDirectory", Signature: "b", Since: "", Effect: ByWorld, Source: "systemd.path(5)",
	Doc: "Makes the watched directories before watching."})

var DirectoryMode = mode(Setting{Native: "mount.directory-mode", NativeAliases: []string{"path.directory-mode", "socket.directory-mode", "automount.directory-mode"},
	Name: "DirectoryMode", Default: "0755",
	In: InPath | InSocket | InMount | InAutomount, DBus: "DirectoryMode", Signature: "u", Since: "", Effect: ByWorld, Source: "systemd.mount(5)",
	Doc: "The mode of directories made for mount points, sockets and watched paths."})

var PathTriggerLimitIntervalSec = duration(Setting{Native: "path.trigger-limit-interval", Name: "TriggerLimitIntervalSec", Default: "2s",
	In: InPath, DBus: "TriggerLimitIntervalUSec", Signature: "t", Since: "250", Effect: ByCore, Source: "systemd.path(5)",
	Doc: "The window in which activations are counted against TriggerLimitBurst=."})

var PathTriggerLimitBurst = integer(Setting{Native: "path.trigger-limit-burst", Name: "TriggerLimitBurst", Default: "200", Max: 1<<32 - 1,
	In: InPath, DBus: "TriggerLimitBurst", Signature: "u", Since: "250", Effect: ByCore, Source: "systemd.path(5)",
	Doc: "How many activations the window allows before the path unit fails."})
