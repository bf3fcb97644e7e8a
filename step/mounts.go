package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/diag"
	"dynamod/internal/load/fstab"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// mounted is one line of /proc/self/mountinfo.
type mounted struct {
	device        string // "8:1"
	where, fstype string
	source        string
	options       []string // of the mount and of the file system
}

// mountTable reads mountinfo (proc_pid_mountinfo(5)); of several mounts on one
// point the last one is on top.
func (s *shell) mountTable() (map[string]mounted, error) {
	data, err := os.ReadFile(s.at("/proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	out := map[string]mounted{}
	for line := range strings.Lines(string(data)) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 {
			continue
		}
		m := mounted{device: l[2], where: unescape(l[4]), fstype: r[0], source: unescape(r[1]), options: strings.Split(l[5], ",")}
		if len(r) > 2 {
			m.options = append(m.options, strings.Split(r[2], ",")...)
		}
		out[m.where] = m
	}
	return out, nil
}

func (m mounted) readOnly() bool { return slices.Contains(m.options, "ro") }

func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// line is one mount of fstab as its unit has it.
type line struct {
	where, what, fstype string
	options             []string
}

// table reads fstab with the loader's own reader, so that there is one meaning.
// Its diagnostics were told when the units were loaded.
func (s *shell) table() ([]line, error) {
	data, err := os.ReadFile(s.at("/etc/fstab"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read fstab: %w", err)
	}
	res, _ := fstab.Parse("/etc/fstab", data, fstab.Options{})
	var out []line
	for _, src := range res.Units {
		u, ds := unit.Build(src)
		if w, bad := diag.Worst(ds); u.Type != unitname.Mount || bad && w == diag.Error {
			continue
		}
		out = append(out, line{where: unit.Where.Of(u), what: unit.What.Of(u), fstype: unit.MountType.Of(u),
			options: strings.Split(unit.MountOptions.Of(u), ",")})
	}
	return out, nil
}

// readOnlyTypes cannot be written, whatever one asks for.
var readOnlyTypes = []string{"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"}

// forMount leaves out the options that are for fstab's readers and not for the
// file system.
func forMount(options []string) []string {
	var out []string
	for _, o := range options {
		key, _, _ := strings.Cut(o, "=")
		switch key {
		case "", "defaults", "auto", "noauto", "nofail", "fail", "_netdev", "user", "nouser", "users", "owner", "group", "comment":
			continue
		}
		if !strings.HasPrefix(o, "x-") && !strings.HasPrefix(o, "X-") {
			out = append(out, o)
		}
	}
	return out
}

// remount gives / and /usr the options of fstab. Without a line for / it becomes
// writable. What cannot be written stays as it is: that is no fault to stop a boot for.
func remount(s *shell, _ []string) error {
	now, err := s.mountTable()
	if err != nil {
		return err
	}
	lines, err := s.table()
	if err != nil {
		return err
	}
	var errs []error
	for _, where := range []string{"/", "/usr"} {
		m, there := now[where]
		if !there {
			continue
		}
		var l *line
		if i := slices.IndexFunc(lines, func(l line) bool { return l.where == where }); i >= 0 {
			l = &lines[i]
		}
		options, because := m.wanted(l, s.writeProtected(m))
		if because != "" {
			s.say("%s stays read-only: %s", where, because)
		}
		if len(options) == 0 {
			continue
		}
		code, err := s.run("mount", "-o", "remount,"+strings.Join(options, ","), where)
		if err == nil && code != 0 {
			err = fmt.Errorf("remount %s with %s: mount ended with %d", where, strings.Join(options, ","), code)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// wanted are the options that a mount gets by its line in fstab, nil for no line; none
// to leave it alone. because says why it is not made writable, although it should be.
func (m mounted) wanted(l *line, protected bool) (options []string, because string) {
	switch {
	case l != nil:
		options = forMount(l.options)
		if !slices.Contains(options, "ro") && !slices.Contains(options, "rw") {
			options = append([]string{"rw"}, options...)
		}
	case m.where == "/" && m.readOnly():
		options = []string{"rw"}
	default:
		return nil, ""
	}
	if slices.Contains(readOnlyTypes, m.fstype) {
		return nil, "it is " + m.fstype
	}
	if protected && slices.Contains(options, "rw") {
		options = slices.DeleteFunc(options, func(o string) bool { return o == "rw" })
		if len(options) > 0 {
			options = append([]string{"ro"}, options...)
		}
		return options, "its device is write-protected"
	}
	return options, ""
}

// writeProtected says that the kernel refuses every write to the device of a mount
// ("ro" of a disk or partition in sysfs(5)). A device that sysfs does not know is none.
func (s *shell) writeProtected(m mounted) bool {
	device := m.device
	if strings.HasPrefix(device, "0:") { // of btrfs, not of the disk
		var st unix.Stat_t
		if unix.Stat(s.at(m.source), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
			return false
		}
		device = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	return strings.TrimSpace(s.text("/sys/dev/block/"+device+"/ro")) == "1"
}

// checkMounts compares the mount table with fstab.
func checkMounts(s *shell, _ []string) error {
	now, err := s.mountTable()
	if err != nil {
		return err
	}
	lines, err := s.table()
	if err != nil {
		return err
	}
	var missing []string
	for _, l := range lines {
		has := func(o string) bool { return slices.Contains(l.options, o) }
		point, err := filepath.EvalSymlinks(s.at(l.where))
		if err != nil {
			point = l.where
		}
		if _, there := now[point]; there || has("noauto") || has("x-systemd.automount") {
			continue
		}
		if has("nofail") || has("_netdev") || slices.ContainsFunc(l.options, func(o string) bool {
			return strings.HasPrefix(o, "x-systemd.wanted-by") || strings.HasPrefix(o, "x-systemd.required-by")
		}) || strings.HasPrefix(l.fstype, "nfs") || l.fstype == "cifs" {
			s.say("%s is not mounted, which its line in fstab allows", l.where)
			continue
		}
		missing = append(missing, l.where)
	}
	if len(missing) > 0 {
		return fmt.Errorf("not mounted, though fstab asks for it: %s", strings.Join(missing, ", "))
	}
	return nil
}

// writable says whether a file could be made in a directory.
func writable(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Flags&unix.ST_RDONLY == 0
}
