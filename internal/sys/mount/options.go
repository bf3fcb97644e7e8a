package mount

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Options is an option string, sorted by who acts on it.
type Options struct {
	// Flags are those of mount(2); Propagation those of the calls that follow,
	// in order.
	Flags       uintptr
	Propagation []uintptr
	// Data is what the file system itself gets.
	Data string
}

type flag struct {
	bit uintptr
	off bool
}

var flags = map[string]flag{
	"ro": {unix.MS_RDONLY, false}, "rw": {unix.MS_RDONLY, true},
	"nosuid": {unix.MS_NOSUID, false}, "suid": {unix.MS_NOSUID, true},
	"nodev": {unix.MS_NODEV, false}, "dev": {unix.MS_NODEV, true},
	"noexec": {unix.MS_NOEXEC, false}, "exec": {unix.MS_NOEXEC, true},
	"sync": {unix.MS_SYNCHRONOUS, false}, "async": {unix.MS_SYNCHRONOUS, true},
	"dirsync": {unix.MS_DIRSYNC, false},
	"mand":    {unix.MS_MANDLOCK, false}, "nomand": {unix.MS_MANDLOCK, true},
	"noatime": {unix.MS_NOATIME, false}, "atime": {unix.MS_NOATIME, true},
	"nodiratime": {unix.MS_NODIRATIME, false}, "diratime": {unix.MS_NODIRATIME, true},
	"relatime": {unix.MS_RELATIME, false}, "norelatime": {unix.MS_RELATIME, true},
	"strictatime": {unix.MS_STRICTATIME, false}, "nostrictatime": {unix.MS_STRICTATIME, true},
	"lazytime": {unix.MS_LAZYTIME, false}, "nolazytime": {unix.MS_LAZYTIME, true},
	"iversion": {unix.MS_I_VERSION, false}, "noiversion": {unix.MS_I_VERSION, true},
	"silent": {unix.MS_SILENT, false}, "loud": {unix.MS_SILENT, true},
	"nosymfollow": {unix.MS_NOSYMFOLLOW, false}, "symfollow": {unix.MS_NOSYMFOLLOW, true},
	"remount": {unix.MS_REMOUNT, false}, "bind": {unix.MS_BIND, false}, "rbind": {unix.MS_BIND | unix.MS_REC, false},
	"move": {unix.MS_MOVE, false},
}

var propagation = map[string]uintptr{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// ignored options are for those who read fstab, not for the kernel.
var ignored = map[string]bool{"": true, "auto": true, "noauto": true, "nofail": true, "fail": true, "_netdev": true, "user": true,
	"users": true, "nouser": true, "nousers": true, "owner": true, "noowner": true, "group": true, "nogroup": true, "defaults": true}

// needsProgram are options that only mount(8) carries out.
var needsProgram = map[string]bool{"loop": true, "offset": true, "sizelimit": true, "encryption": true, "helper": true}

// Split parts a string at commas outside double quotes (mount(8)).
func Split(s string) []string {
	var out []string
	quoted := false
	from := 0
	for i := 0; i <= len(s); i++ {
		if i == len(s) || s[i] == ',' && !quoted {
			if i > from {
				out = append(out, s[from:i])
			}
			from = i + 1
		} else if s[i] == '"' {
			quoted = !quoted
		}
	}
	return out
}

// Parse sorts the options. What the flags do not know is the file system's; those
// that need mount(8) are errors.
func Parse(text string) (Options, error) {
	var o Options
	var data []string
	for _, opt := range Split(text) {
		name, _, valued := strings.Cut(opt, "=")
		if needsProgram[name] {
			return o, fmt.Errorf("option %s needs mount(8), which is not there", opt)
		}
		if f, ok := flags[opt]; ok && !valued {
			if f.off {
				o.Flags &^= f.bit
			} else {
				o.Flags |= f.bit
			}
			continue
		}
		if p, ok := propagation[opt]; ok {
			o.Propagation = append(o.Propagation, p)
			continue
		}
		if !valued && ignored[name] || name == "comment" || strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "X-") {
			continue
		}
		data = append(data, opt)
	}
	o.Data = strings.Join(data, ",")
	return o, nil
}
