package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// checksLimit is a little less than what the core waits for, so that a check which
// hangs (a dead NFS server) is named.
const checksLimit = 8 * time.Second

// findings makes the checks that the core asks for before a start ([probe]) or a
// restart. It looks at the machine as it is now; it changes nothing.
func (w *World) findings(ctx context.Context, u *unit.Unit, names []string) []core.Finding {
	ctx, cancel := context.WithTimeout(ctx, checksLimit)
	defer cancel()
	var out []core.Finding
	for _, name := range names {
		var text string
		err := within(ctx, func() (err error) {
			text, err = w.check(u, name)
			return err
		})
		f := core.Finding{Name: name, OK: err == nil, Text: text}
		if err != nil {
			f.Text = printable(reason(err))
		}
		out = append(out, f)
	}
	return out
}

func (w *World) check(u *unit.Unit, name string) (string, error) {
	switch name {
	case core.CheckBinary:
		return w.checkPrograms(u, func(p program) error {
			if !p.mode.IsRegular() {
				return fmt.Errorf("%s is no file", p.path)
			}
			return nil
		})
	case core.CheckExecutable:
		id, err := w.whoIs(u)
		if err != nil {
			return "", err
		}
		return w.checkPrograms(u, func(p program) error { return p.executable(id) })
	case core.CheckMemory:
		return w.checkMemory(u, unit.ProbeMinMemory.Of(u))
	case core.CheckRestartMemory:
		return w.checkMemory(u, unit.RestartMinMemory.Of(u))
	case core.CheckIdentity:
		return w.checkIdentity(u)
	case core.CheckMounts:
		return checkMounts(u)
	case core.CheckLimits:
		return w.checkLimits(u)
	}
	return "", fmt.Errorf("there is no check %s", name)
}

// reason is the text of an error for people who see the path already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// program is one that the unit starts with, where the manager sees it.
type program struct {
	path string // as the unit says it
	file string // where it is
	mode fs.FileMode
	exec unit.Exec
}

// checkPrograms looks at every program that the start runs. Those whose failure is
// ignored ("-") are left out, and so is what only an image holds.
func (w *World) checkPrograms(u *unit.Unit, look func(program) error) (string, error) {
	if unit.RootImage.Of(u) != "" {
		return "its programs are in " + unit.RootImage.Of(u), nil
	}
	n := 0
	for _, list := range [][]unit.Exec{unit.ExecCondition.Of(u), unit.ExecStartPre.Of(u), unit.ExecStart.Of(u), unit.ExecStartPost.Of(u)} {
		for _, x := range list {
			if x.IgnoreFailure || x.Shell {
				continue
			}
			root := unit.RootDirectory.Of(u)
			if x.Privileged {
				root = ""
			}
			p, err := seen(u, root, x)
			if err == nil {
				err = look(p)
			}
			if err != nil {
				return "", err
			}
			n++
		}
	}
	return fmt.Sprintf("%d looked at", n), nil
}

// seen finds the program of a command below the root directory, or where a bind
// mount of the unit takes it from.
func seen(u *unit.Unit, root string, x unit.Exec) (program, error) {
	p := program{path: x.Path, exec: x}
	if !strings.Contains(p.path, "/") {
		dirs := DefaultPath
		if own := unit.ExecSearchPath.Of(u); len(own) > 0 {
			dirs = strings.Join(own, ":")
		}
		for _, v := range unit.Environment.Of(u) {
			if list, ok := strings.CutPrefix(v, "PATH="); ok {
				dirs = list
			}
		}
		found, err := findProgram(root, p.path, dirs)
		if err != nil {
			return p, fmt.Errorf("%s is in none of %s", p.path, dirs)
		}
		p.path = found
	}
	p.file = filepath.Join("/", root, p.path)
	longest := 0
	for _, b := range unit.BindMounts.Of(u) {
		if rest, ok := strings.CutPrefix(p.path, b.Target); ok && len(b.Target) > longest && (rest == "" || rest[0] == '/') {
			longest = len(b.Target)
			p.file = filepath.Join(b.Source, rest)
		}
	}
	st, err := os.Stat(p.file)
	if err != nil {
		return p, fmt.Errorf("%s: %w", p.path, unwrapPath(err))
	}
	p.mode = st.Mode()
	return p, nil
}

func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// executable says whether the user may run the program: the permissions of the file
// and of the directories above it, the mount, and the interpreter of a script.
func (p program) executable(id identity) error {
	if p.exec.Privileged || p.exec.NoSetuid {
		id = identity{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	}
	var st unix.Stat_t
	if err := unix.Stat(p.file, &st); err != nil {
		return fmt.Errorf("%s: %w", p.path, err)
	}
	if !mayExecute(&st, id) {
		return fmt.Errorf("%s (mode %04o) is not executable for %s", p.path, st.Mode&0o7777, id)
	}
	for dir := filepath.Dir(p.file); ; dir = filepath.Dir(dir) {
		var d unix.Stat_t
		if err := unix.Stat(dir, &d); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if id.uid != 0 && !mayExecute(&d, id) {
			return fmt.Errorf("%s may not enter %s (mode %04o)", id, dir, d.Mode&0o7777)
		}
		if dir == "/" {
			break
		}
	}
	var fsinfo unix.Statfs_t
	if err := statfs(p.file, &fsinfo); err == nil && fsinfo.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Errorf("%s is on a file system that is mounted noexec", p.path)
	}
	f, err := os.Open(p.file)
	if err != nil {
		return nil // it need not be readable
	}
	defer f.Close()
	head := make([]byte, 256) // as much as the kernel reads (execve(2))
	n, _ := f.Read(head)
	line, script := bytes.CutPrefix(head[:n], []byte("#!"))
	if !script {
		return nil
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return fmt.Errorf("after #! %s names no interpreter", p.path)
	}
	root := strings.TrimSuffix(p.file, p.path) // "" without a root directory
	if _, err := os.Stat(filepath.Join("/", root, words[0])); err != nil {
		return fmt.Errorf("the interpreter of %s, %s: %w", p.path, words[0], unwrapPath(err))
	}
	return nil
}

// String names an identity for people.
func (id identity) String() string {
	if id.name != "" {
		return "user " + id.name
	}
	return fmt.Sprintf("user %d", id.uid)
}

// mayExecute is the rule of path_resolution(7): root needs one x of the three.
func mayExecute(st *unix.Stat_t, id identity) bool {
	switch {
	case id.uid == 0:
		return st.Mode&0o111 != 0
	case id.uid == st.Uid:
		return st.Mode&0o100 != 0
	case id.gid == st.Gid:
		return st.Mode&0o010 != 0
	}
	for _, g := range id.groups {
		if g == st.Gid {
			return st.Mode&0o010 != 0
		}
	}
	return st.Mode&0o001 != 0
}

// whoIs is identify without making a dynamic user: who does not exist yet may do
// what everybody may.
func (w *World) whoIs(u *unit.Unit) (identity, error) {
	if unit.DynamicUser.Of(u) {
		return identity{name: "of its own", uid: 1<<32 - 2, gid: 1<<32 - 2}, nil
	}
	return w.identify(u)
}

// checkIdentity: the user and groups exist, and the manager can become them.
func (w *World) checkIdentity(u *unit.Unit) (string, error) {
	if want := unit.ProbeAssertUID.Of(u); want >= 0 && want != int64(os.Geteuid()) {
		return "", fmt.Errorf("the manager runs as user ID %d, not %d", os.Geteuid(), want)
	}
	id, err := w.whoIs(u)
	switch {
	case err != nil:
		return "", err
	case os.Geteuid() != 0 && id.change:
		return "", fmt.Errorf("only root can start it as %s", id)
	}
	return "it runs as " + id.String(), nil
}

// checkMemory: what the machine, and each slice above the unit, has available.
func (w *World) checkMemory(u *unit.Unit, want unit.Quantity) (string, error) {
	total, have, err := w.senses.machine.memoryNow()
	if err != nil {
		return "", err
	}
	where := ""
	if w.cg.root != "" {
		dir := w.cg.root
		slices, _ := w.placeOf(u)
		for _, s := range append([]string{""}, slices...) {
			dir = filepath.Join(dir, s)
			most, ok := number(dir + "/memory.max")
			used, ok2 := number(dir + "/memory.current")
			if ok && ok2 {
				if left := most - min(used, most); left < have {
					have, where = left, " in "+dir
				}
			}
		}
	}
	need := want.N
	if want.Permille {
		need = total / 1000 * want.N
	}
	text := fmt.Sprintf("%s available%s, %s needed", mebibytes(have), where, mebibytes(need))
	if !want.Infinite && have >= need {
		return text, nil
	}
	return "", errors.New(text)
}

func mebibytes(n uint64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// number reads a file of one number; false when there is none, or "max".
func number(file string) (uint64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}

// memoryNow are the machine's memory and what programs could get of it without
// swapping (proc_meminfo(5), MemAvailable), in bytes.
func (m *machine) memoryNow() (total, available uint64, err error) {
	found := 0
	for line := range strings.Lines(m.text("/proc/meminfo")) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "MemTotal:" && f[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(f[1], 10, 54)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/meminfo: %q", printable(f[1]))
		}
		found++
		if f[0] == "MemTotal:" {
			total = kib << 10
		} else {
			available = kib << 10
		}
	}
	if found != 2 {
		return 0, 0, errors.New("/proc/meminfo does not tell")
	}
	return total, available, nil
}

// checkMounts: the paths that the unit needs are there, and answer.
func checkMounts(u *unit.Unit) (string, error) {
	var paths []string
	paths = append(paths, unit.RequiresMountsFor.Of(u)...)
	if root := unit.RootDirectory.Of(u); root != "" {
		paths = append(paths, root)
	}
	if dir := unit.WorkingDirectory.Of(u); strings.HasPrefix(dir, "/") {
		paths = append(paths, filepath.Join(unit.RootDirectory.Of(u), dir))
	}
	for _, b := range unit.BindMounts.Of(u) {
		if !b.IgnoreMissing {
			paths = append(paths, b.Source)
		}
	}
	for _, p := range paths {
		var st unix.Statfs_t
		if err := statfs(p, &st); err != nil {
			return "", fmt.Errorf("%s: %w", p, unwrapPath(err))
		}
	}
	for _, p := range unit.ReadWritePaths.Of(u) {
		if strings.HasPrefix(p, "-") || strings.HasPrefix(p, "+") {
			continue
		}
		var st unix.Statfs_t
		if err := statfs(p, &st); err != nil {
			return "", fmt.Errorf("%s: %w", p, unwrapPath(err))
		}
		if st.Flags&unix.ST_RDONLY != 0 {
			return "", fmt.Errorf("%s is on a file system that is mounted read-only", p)
		}
		paths = append(paths, p)
	}
	return fmt.Sprintf("%d paths looked at", len(paths)), nil
}

// checkLimits: the resource limits can be set as they are asked for, where infinity is as
// much as there may be (a start is content with the nearest), and there is room for one
// more process in the machine and in each slice above the unit.
func (w *World) checkLimits(u *unit.Unit) (string, error) {
	set := 0
	for _, l := range limitKeys {
		if !l.key.IsSet(u) {
			continue
		}
		set++
		v, s := l.key.Of(u), l.key.Setting()
		if v.Soft > v.Hard {
			return "", fmt.Errorf("%s=: the soft limit %d is above the hard limit %d", s.Name, v.Soft, v.Hard)
		}
		var own unix.Rlimit
		if err := unix.Getrlimit(int(l.resource), &own); err != nil {
			return "", fmt.Errorf("%s=: %w", s.Name, err)
		}
		most := reachable(l.resource, v).Hard
		if most != v.Hard && v.Hard != unix.RLIM_INFINITY {
			return "", fmt.Errorf("%s=%d is above fs.nr_open, which is %d", s.Name, v.Hard, most)
		}
		if most > own.Max && !w.privilege.resources {
			return "", fmt.Errorf("%s=%d is above the manager's own limit of %d", s.Name, v.Hard, own.Max)
		}
	}
	if w.cg.root != "" {
		dir := w.cg.root
		slices, _ := w.placeOf(u)
		for _, s := range append([]string{""}, slices...) {
			dir = filepath.Join(dir, s)
			most, ok := number(dir + "/pids.max")
			used, ok2 := number(dir + "/pids.current")
			if ok && ok2 && used >= most {
				return "", fmt.Errorf("%s has all of its %d tasks", dir, most)
			}
		}
	}
	return fmt.Sprintf("%d limits can be set", set), nil
}
