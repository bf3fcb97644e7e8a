package world

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"dynamod/internal/unit"
)

// checks answer the conditions of systemd.unit(5). An error means that there is no
// answer: such a condition does not hold, negated or not, and the log says why.
var checks map[string]func(m *machine, arg string) (bool, error)

func init() {
	checks = map[string]func(*machine, string) (bool, error){
		"PathExists":             (*machine).pathExists,
		"PathExistsGlob":         (*machine).pathExistsGlob,
		"PathIsDirectory":        (*machine).pathIsDirectory,
		"PathIsSymbolicLink":     (*machine).pathIsSymbolicLink,
		"PathIsMountPoint":       (*machine).pathIsMountPoint,
		"PathIsReadWrite":        (*machine).pathIsReadWrite,
		"PathIsEncrypted":        (*machine).pathIsEncrypted,
		"DirectoryNotEmpty":      (*machine).directoryNotEmpty,
		"FileNotEmpty":           (*machine).fileNotEmpty,
		"FileIsExecutable":       (*machine).fileIsExecutable,
		"NeedsUpdate":            (*machine).needsUpdate,
		"FirstBoot":              (*machine).firstBoot,
		"Architecture":           (*machine).architecture,
		"Firmware":               (*machine).firmware,
		"Virtualization":         (*machine).virtualization,
		"Host":                   (*machine).host,
		"KernelCommandLine":      (*machine).kernelCommandLine,
		"KernelVersion":          (*machine).kernelVersion,
		"Credential":             (*machine).credential,
		"Security":               (*machine).security,
		"Capability":             (*machine).capability,
		"ACPower":                (*machine).acPower,
		"Memory":                 (*machine).memory,
		"CPUFeature":             (*machine).cpuFeature,
		"CPUs":                   (*machine).cpuCount,
		"Environment":            (*machine).environment,
		"User":                   (*machine).user,
		"Group":                  (*machine).group,
		"ControlGroupController": (*machine).cgroupController,
		"OSRelease":              (*machine).osRelease,
		"MemoryPressure":         func(m *machine, arg string) (bool, error) { return m.pressure("memory", arg) },
		"CPUPressure":            func(m *machine, arg string) (bool, error) { return m.pressure("cpu", arg) },
		"IOPressure":             func(m *machine, arg string) (bool, error) { return m.pressure("io", arg) },
		"KernelModuleLoaded":     (*machine).kernelModuleLoaded,
	}
}

// fact answers one condition before its '!'. Where there is no answer it returns the
// fact that makes the condition fail, and why: nothing is started by ignorance.
func (m *machine) fact(c unit.Condition) (bool, error) {
	check := checks[c.Check]
	if check == nil {
		return c.Negate, fmt.Errorf("nothing here knows how to check it")
	}
	ok, err := check(m, c.Arg)
	if err != nil {
		return c.Negate, err
	}
	return ok, nil
}

func (m *machine) stat(p string) (fs.FileInfo, error) { return fs.Stat(m.root, rel(p)) }

func (m *machine) pathExists(p string) (bool, error) {
	_, err := m.stat(p)
	return there(err)
}

func (m *machine) pathIsDirectory(p string) (bool, error) {
	st, err := m.stat(p)
	ok, err := there(err)
	return ok && st.IsDir(), err
}

func (m *machine) pathIsSymbolicLink(p string) (bool, error) {
	st, err := fs.Lstat(m.root, rel(p))
	ok, err := there(err)
	return ok && st.Mode().Type() == fs.ModeSymlink, err
}

func (m *machine) pathIsMountPoint(p string) (bool, error) {
	ok, err := m.mountPoint(p)
	if err != nil {
		return there(err)
	}
	return ok, nil
}

func (m *machine) pathIsReadWrite(p string) (bool, error) {
	ro, err := m.readOnly(p)
	if err != nil {
		return there(err)
	}
	return !ro, nil
}

// directoryNotEmpty does not count hidden files: systemd's tools do not either.
func (m *machine) directoryNotEmpty(p string) (bool, error) {
	if ok, err := m.pathIsDirectory(p); !ok {
		return false, err
	}
	list, err := fs.ReadDir(m.root, rel(p))
	if err != nil {
		_, err := there(err)
		return false, err
	}
	for _, e := range list {
		if e.Name()[0] != '.' {
			return true, nil
		}
	}
	return false, nil
}

func (m *machine) fileNotEmpty(p string) (bool, error) {
	st, err := m.stat(p)
	ok, err := there(err)
	return ok && st.Mode().IsRegular() && st.Size() > 0, err
}

func (m *machine) fileIsExecutable(p string) (bool, error) {
	st, err := m.stat(p)
	ok, err := there(err)
	return ok && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0, err
}

// pathIsEncrypted looks whether the block device of the path is a dm-crypt device
// or stands on such devices only (systemd.unit(5): block level only).
func (m *machine) pathIsEncrypted(p string) (bool, error) {
	major, minor, err := m.device(p)
	if err != nil {
		return there(err)
	}
	if major != 0 {
		return m.encrypted(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor), 0)
	}
	// Some file systems (btrfs) hide their device behind a number of their own; the
	// mount table names it.
	dev := fmt.Sprintf("%d:%d", major, minor)
	for line := range strings.Lines(m.text("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) < 10 || f[2] != dev {
			continue
		}
		for i := 6; i+2 < len(f); i++ {
			if f[i] == "-" && strings.HasPrefix(f[i+2], "/dev/") {
				dir, err := m.blockDir(f[i+2])
				if err != nil {
					return false, err
				}
				return m.encrypted(dir, 0)
			}
		}
	}
	return false, nil // no block device at all
}

// blockDir is the sysfs directory of a device node; /dev/mapper/NAME is a symlink.
func (m *machine) blockDir(node string) (string, error) {
	for range 8 {
		to, err := fs.ReadLink(m.root, rel(node))
		if err != nil {
			return "/sys/class/block/" + path.Base(node), nil
		}
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(node), to)
		}
		node = to
	}
	return "", fmt.Errorf("%s is a loop of symbolic links", node)
}

// maxStack bounds how deep block devices may stand on each other.
const maxStack = 16

func (m *machine) encrypted(dir string, depth int) (bool, error) {
	if depth > maxStack {
		return false, fmt.Errorf("block devices stand on each other more than %d deep", maxStack)
	}
	if strings.HasPrefix(m.text(dir+"/dm/uuid"), "CRYPT-") {
		return true, nil
	}
	if m.exists(dir + "/partition") {
		if to, err := fs.ReadLink(m.root, rel(dir)); err == nil {
			return m.encrypted(path.Dir(path.Join(path.Dir(dir), to)), depth+1)
		}
	}
	slaves, err := fs.ReadDir(m.root, rel(dir+"/slaves"))
	if err != nil || len(slaves) == 0 {
		return false, nil
	}
	for _, s := range slaves {
		if ok, err := m.encrypted(dir+"/slaves/"+s.Name(), depth+1); !ok {
			return false, err
		}
	}
	return true, nil
}

// maxGlobEntries bounds how many directory entries one pattern may look at.
const maxGlobEntries = 1 << 20

func (m *machine) pathExistsGlob(pattern string) (bool, error) {
	patterns := expandBraces(pattern)
	if patterns == nil {
		return false, fmt.Errorf("its braces make more than %d patterns", maxBraces)
	}
	budget := maxGlobEntries
	for _, p := range patterns {
		ok, err := m.globExists(".", strings.Split(strings.Trim(p, "/"), "/"), &budget)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (m *machine) globExists(dir string, parts []string, budget *int) (bool, error) {
	for len(parts) > 0 && !strings.ContainsAny(parts[0], `*?[\`) {
		if parts[0] != "" {
			dir = path.Join(dir, parts[0])
		}
		parts = parts[1:]
	}
	if len(parts) == 0 {
		_, err := fs.Lstat(m.root, dir)
		return err == nil, nil
	}
	list, err := fs.ReadDir(m.root, dir)
	if err != nil {
		return false, nil
	}
	if *budget -= len(list); *budget < 0 {
		return false, fmt.Errorf("the pattern looks at more than %d entries", maxGlobEntries)
	}
	for _, e := range list {
		if !matchName(parts[0], e.Name()) {
			continue
		}
		if ok, err := m.globExists(path.Join(dir, e.Name()), parts[1:], budget); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// matchName is matchGlob with glob(7)'s rule: a leading dot must be written.
func matchName(pattern, name string) bool {
	if name[0] == '.' && pattern[0] != '.' && !strings.HasPrefix(pattern, `\.`) {
		return false
	}
	return matchGlob(pattern, name)
}

// printable makes what a service or a file said fit for a log line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
