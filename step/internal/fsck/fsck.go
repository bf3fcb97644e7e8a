// Package fsck decides about file system checks: whether one is due, how the
// checker is called, and what its exit code means for the boot. It runs nothing.
package fsck

import (
	"slices"
	"strings"
)

// Mode is fsck.mode= of the kernel command line (systemd-fsck(8)).
type Mode uint8

const (
	// Auto leaves it to the checker whether there is anything to do.
	Auto Mode = iota
	// Force checks what looks clean too.
	Force
	// Skip checks nothing.
	Skip
)

// Repair is fsck.repair=: what may be mended without asking.
type Repair uint8

const (
	// Preen mends what is safe to mend.
	Preen Repair = iota
	// Yes mends everything.
	Yes
	// No mends nothing.
	No
)

// Policy is what the command line asks for.
type Policy struct {
	Mode   Mode
	Repair Repair
}

// ReadPolicy reads the words of the command line. Unknown values are returned for
// a warning and count as the default.
func ReadPolicy(cmdline string) (p Policy, unknown []string) {
	for w := range strings.FieldsSeq(cmdline) {
		k, v, _ := strings.Cut(w, "=")
		ok := true
		switch k {
		case "fsck.mode":
			switch v {
			case "auto":
				p.Mode = Auto
			case "force":
				p.Mode = Force
			case "skip":
				p.Mode = Skip
			default:
				ok = false
			}
		case "fsck.repair":
			switch v {
			case "preen":
				p.Repair = Preen
			case "yes":
				p.Repair = Yes
			case "no":
				p.Repair = No
			default:
				ok = false
			}
		case "fastboot":
			p.Mode = Skip
		case "forcefsck":
			p.Mode = Force
		}
		if !ok {
			unknown = append(unknown, w)
		}
	}
	return p, unknown
}

// Subject is a file system that may be checked.
type Subject struct {
	// Device is a path, or anything else for what has none.
	Device, Type string
	// Writable says that it is mounted read-write: a checker would destroy it.
	Writable bool
}

// never are types whose file systems are only ever read, or that have no checker.
var never = []string{"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs", "swap", "none", "tmpfs", "ramfs", "overlay", "9p", "virtiofs"}

// dashF are types whose checkers understand -f as "even if it looks clean". To
// that of FAT it means something else (fsck.fat(8)).
var dashF = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs"}

// Plan is what to do about a subject: run "fsck.TYPE ARGS", or nothing because of
// Skipped.
type Plan struct {
	Checker string
	Args    []string
	Skipped string
}

// For plans a check.
func (p Policy) For(s Subject) Plan {
	switch {
	case p.Mode == Skip:
		return Plan{Skipped: "the kernel command line says not to"}
	case s.Writable:
		return Plan{Skipped: "it is mounted read-write already"}
	case !strings.HasPrefix(s.Device, "/dev/"):
		return Plan{Skipped: "it is on no device"}
	case s.Type == "" || s.Type == "auto":
		return Plan{Skipped: "its type is not known; write it into the third field of /etc/fstab"}
	case slices.Contains(never, s.Type) || strings.ContainsAny(s.Type, "/."):
		return Plan{Skipped: "file systems of type " + s.Type + " are not checked"}
	}
	pl := Plan{Checker: "fsck." + s.Type}
	pl.Args = append(pl.Args, [...]string{Preen: "-a", Yes: "-y", No: "-n"}[p.Repair])
	if p.Mode == Force && slices.Contains(dashF, s.Type) {
		pl.Args = append(pl.Args, "-f")
	}
	pl.Args = append(pl.Args, s.Device)
	return pl
}

// Verdict is what a check means for the boot.
type Verdict uint8

const (
	// Continue: the file system is clean, or is now.
	Continue Verdict = iota
	// Reboot: what was mended may be in the kernel's memory as it was before.
	Reboot
	// Fail: it must not be mounted.
	Fail
)

// Exit codes of fsck(8); they add up.
const (
	corrected   = 1
	mustReboot  = 2
	uncorrected = 4
)

var bits = []struct {
	bit  int
	text string
}{
	{1, "errors were corrected"}, {2, "the system must be rebooted"}, {4, "errors are left uncorrected"},
	{8, "the checker could not do its work"}, {16, "the checker was called in a wrong way"},
	{32, "the check was cancelled"}, {64, "an unknown problem (64)"}, {128, "a shared library failed"},
}

// Judge reads an exit code. What is left uncorrected counts more than a reboot,
// which would only come back here. A negative code is a checker that was killed.
func Judge(code int) (Verdict, string) {
	if code < 0 || code > 255 {
		return Fail, "the checker was killed"
	}
	var said []string
	for _, b := range bits {
		if code&b.bit != 0 {
			said = append(said, b.text)
		}
	}
	text := strings.Join(said, ", ")
	switch {
	case code == 0:
		return Continue, "clean"
	case code&^(corrected|mustReboot) != 0:
		return Fail, text
	case code&mustReboot != 0:
		return Reboot, text
	}
	return Continue, text
}
