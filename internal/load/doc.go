// Package load turns directory trees into units: it owns the search paths of
// systemd.unit(5), symlinks and aliases, masks, drop-ins, .wants directories,
// templates and their instances, fstab, dynamod's own TOML directories, and
// what shadows what. Syntax is in its sub-packages, meaning in internal/unit.
//
// It sees files only through an fs.FS and resolves every symlink itself inside
// that root, so that a tree of another machine can be checked and no link can
// lead out of it. It refuses to run anything: generators are run by others,
// and their output is read like any other directory.
//
// A broken file costs its own unit and nothing else: it is reported, its unit
// is BadSetting, LoadError or NotFound, and all others load.
//
// # Where the manual is silent
//
// Recorded from systemd-analyze verify 257:
//   - Drop-in directories are looked at search directory by search directory,
//     in each of them the name, its template and its dash levels, then those
//     of every alias; the type level ("service.d") of all search directories
//     comes last. Of equally named files the first one counts. They are then
//     applied in the byte order of their names.
//   - The same order holds for .wants, .requires and .upholds; an empty entry
//     or a link to /dev/null there masks equally named ones further down, and
//     an entry that is no symlink is ignored. What counts is the name of the
//     entry, not where it points to. A template entry gets the instance of
//     the unit, or its prefix when it is no instance.
//   - A symlink whose target is anywhere below the search path is an alias, by
//     the name of its target only; one with its own name is skipped in favour
//     of the next directory. An alias that breaks the rules for names is
//     skipped too. Any other symlink is a linked unit, and when it dangles it
//     still hides the directories below it.
//   - Directories, FIFOs and devices with unit names are skipped.
//
// Templates that nothing instantiates are built once with the instance
// "instance", for their diagnostics only; they are no units of the Set. Neither
// are names that have no file: One answers them with Load NotFound. Slices that
// a unit names or falls into by default are units even without a file, because
// drop-ins may apply to them.
//
// # Native units
//
// A service of /etc/dynamod/services/x.toml is named by its service.name, and
// by its file name when that is missing. It takes the place of the unit file
// with that name or alias, and of its aliases. Unit-file drop-ins do not apply
// to it, .wants directories do. Its [timer], [socket], [path], … tables make
// companion units of the same prefix.
//
// Services with start = "boot" (the default) are linked into the "wants" of
// multi-user.target, or of default.target when only that exists; when neither
// does, multi-user.target is made up, with default.target as its alias. With a
// [timer], [socket] or [path] and no explicit start, the companion is wanted
// instead of the service. [install] acts at once, because there is no enabling:
// alias gives names, wanted-by, required-by and upheld-by replace the boot
// target. A file that is not TOML gives a unit that is BadSetting.
//
// # Machines without unit files
//
// Config.StockDirs hold what such a machine boots with: its targets, the checks
// and mounts, device nodes, getty. They count when no unit file is called
// sysinit.target, which only systemd itself ships: a package's stray unit file
// does not turn them off, and a distribution's own boot is never mixed with them.
// Where there is one, Config.ShadowDirs count in their stead: services that take the
// place of daemons which work under systemd only.
//
// Login prompts are wanted by getty.target, one for each console in
// /sys/class/tty/console/active, unless a systemd-getty-generator is installed
// or a native service is called getty-TTY or agetty-TTY.
package load
