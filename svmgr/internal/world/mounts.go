package world

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/mount"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// isTableStage says that a run changes the kernel's mount or swap table.
func isTableStage(s core.Stage) bool {
	switch s {
	case core.StageMount, core.StageUnmount, core.StageRemount, core.StageSwapOn, core.StageSwapOff:
		return true
	}
	return false
}

// tableCommand is what changes the table for a mount or swap unit: mount(8) and its
// kind, or the helper's own calls where those are not installed. It also prepares
// the mount point. systemd.mount(5), systemd.swap(5).
func (w *World) tableCommand(a core.Spawn) (unit.Exec, error) {
	u := a.Unit
	var tool string
	var args []string
	switch a.Stage {
	case core.StageMount:
		if err := prepareMountPoint(u); err != nil {
			return unit.Exec{}, err
		}
		tool, args = "mount", mountArgs(u, unit.MountOptions.Of(u))
	case core.StageRemount:
		tool, args = "mount", mountArgs(u, strings.TrimSuffix("remount,"+unit.MountOptions.Of(u), ","))
	case core.StageUnmount:
		tool, args = "umount", []string{whereOf(u), "-c"}
		if unit.LazyUnmount.Of(u) {
			args = append(args, "-l")
		}
		if unit.ForceUnmount.Of(u) {
			args = append(args, "-f")
		}
	case core.StageSwapOn:
		tool, args = "swapon", swapOnArgs(u)
	case core.StageSwapOff:
		tool, args = "swapoff", []string{unit.What.Of(u)}
	}
	// A variable in What= is no variable.
	x := unit.Exec{NoEnvExpand: true}
	if path := utility(tool); path != "" {
		x.Path, x.Argv = path, append([]string{path}, args...)
		return x, nil
	}
	x.Path = w.cfg.Child[0]
	if !strings.HasPrefix(x.Path, "/") {
		return x, fmt.Errorf("%s is not installed and the helper %s has no absolute path: %w", tool, x.Path, unix.ENOENT)
	}
	x.Argv = append(append(append([]string{}, w.cfg.Child...), tool), args...)
	return x, nil
}

// utility finds a program of util-linux; "" when it is missing. Those of busybox do
// not know the options, so that the kernel is called instead.
func utility(name string) string {
	path, err := findProgram("", name, DefaultPath)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil && strings.HasPrefix(filepath.Base(real), "busybox") {
		return ""
	}
	return path
}

func mountArgs(u *unit.Unit, options string) []string {
	args := []string{unit.What.Of(u), whereOf(u)}
	if unit.SloppyOptions.Of(u) {
		args = append(args, "-s")
	}
	if unit.ReadWriteOnly.Of(u) {
		args = append(args, "-w")
	}
	if t := unit.MountType.Of(u); t != "" {
		args = append(args, "-t", t)
	}
	if options != "" {
		args = append(args, "-o", options)
	}
	return args
}

func swapOnArgs(u *unit.Unit) []string {
	var options []string
	prioritised := false
	for _, o := range mount.Split(unit.MountOptions.Of(u)) {
		prioritised = prioritised || strings.HasPrefix(o, "pri=")
		options = append(options, o)
	}
	// systemd.swap(5): Priority= counts when Options= has no pri=.
	if p := unit.SwapPriority.Of(u); !prioritised && unit.SwapPriority.IsSet(u) && p >= 0 {
		options = append(options, "pri="+strconv.FormatInt(int64(p), 10))
	}
	args := []string{"--fixpgsz"}
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	return append(args, unit.What.Of(u))
}

// prepareMountPoint makes what has to be there: the mount point, the source of a bind
// mount, the directories of an overlay.
func prepareMountPoint(u *unit.Unit) error {
	where, what := whereOf(u), unit.What.Of(u)
	if where == "" || what == "" {
		return fmt.Errorf("the mount has no What= or no Where=: %w", unix.EINVAL)
	}
	mode := fs.FileMode(unit.DirectoryMode.Of(u))
	options := mount.Split(unit.MountOptions.Of(u))
	file := false
	if isBind(options) {
		st, err := os.Stat(what)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := os.MkdirAll(what, mode); err != nil {
				return fmt.Errorf("make the source of a bind mount: %w", err)
			}
		case err == nil:
			file = !st.IsDir()
		}
	}
	if unit.MountType.Of(u) == "overlay" {
		for _, o := range options {
			name, dir, _ := strings.Cut(o, "=")
			if name == "upperdir" || name == "workdir" {
				if err := os.MkdirAll(strings.Trim(dir, `"`), mode); err != nil {
					return fmt.Errorf("make a directory of an overlay: %w", err)
				}
			}
		}
	}
	st, err := os.Lstat(where)
	switch {
	case errors.Is(err, fs.ErrNotExist) && file:
		if err := os.MkdirAll(filepath.Dir(where), mode); err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
		f, err := os.OpenFile(where, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
		return f.Close()
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(where, mode); err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
	case err == nil && st.Mode().Type() == fs.ModeSymlink:
		// systemd.mount(5), Where=: it would be another place than the unit's.
		return fmt.Errorf("the mount point %s is a symbolic link: %w", where, unix.ELOOP)
	}
	return nil
}

func isBind(options []string) bool {
	for _, o := range options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}

// whereOf is the mount point of a mount or automount unit.
func whereOf(u *unit.Unit) string {
	if p := unit.Where.Of(u); p != "" {
		return filepath.Clean(p)
	}
	p, err := unitname.ToPath(u.Name)
	if err != nil {
		return ""
	}
	return p
}
