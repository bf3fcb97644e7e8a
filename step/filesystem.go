package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/load/fstab"
	"dynamod/step/internal/disks"
	"dynamod/step/internal/fsck"
)

// checkFilesystem checks the root file system, or the one on a device.
func checkFilesystem(s *shell, args []string) error {
	policy, unknown := fsck.ReadPolicy(s.cmdline())
	for _, w := range unknown {
		s.say("the kernel command line has %s, which is no value of it; the default counts", w)
	}
	var subject fsck.Subject
	var err error
	if len(args) == 0 {
		subject, err = s.rootFilesystem()
	} else {
		subject, err = s.filesystemOn(args[0])
	}
	if err != nil {
		return err
	}
	plan := policy.For(subject)
	if plan.Skipped == "" {
		if path, _ := find(plan.Checker); path == "" {
			plan.Skipped = plan.Checker + " is not installed"
		}
	}
	if plan.Skipped != "" {
		s.say("%s is not checked: %s", subject.Device, plan.Skipped)
		return nil
	}
	unlock, err := s.lockDisk(subject.Device)
	if err != nil {
		s.say("checking without a lock: %v", err)
	}
	code, err := s.run(plan.Checker, plan.Args...)
	unlock()
	if err != nil {
		return err
	}
	verdict, text := fsck.Judge(code)
	s.say("%s: %s", subject.Device, text)
	switch verdict {
	case fsck.Continue:
		return nil
	case fsck.Reboot:
		return s.reboot()
	}
	return fmt.Errorf("%s must not be used: run %s on it by hand", subject.Device, plan.Checker)
}

// rootFilesystem finds the device of / in the kernel's tables; fstab may say
// something else, and only this one matters.
func (s *shell) rootFilesystem() (fsck.Subject, error) {
	table, err := s.mountTable()
	if err != nil {
		return fsck.Subject{}, err
	}
	root, ok := table["/"]
	if !ok {
		return fsck.Subject{}, errors.New("the mount table has no /")
	}
	sub := fsck.Subject{Device: root.source, Type: root.fstype, Writable: !root.readOnly()}
	for line := range strings.Lines(s.text("/sys/dev/block/" + root.device + "/uevent")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			sub.Device = "/dev/" + name // "/dev/root" is no device
		}
	}
	return sub, nil
}

// filesystemOn describes what is on a device: its type from fstab, else from blkid.
func (s *shell) filesystemOn(device string) (fsck.Subject, error) {
	sub := fsck.Subject{Device: device}
	lines, err := s.table()
	if err != nil {
		return sub, err
	}
	if i := slices.IndexFunc(lines, func(l line) bool { return l.what == device }); i >= 0 {
		sub.Type = lines[i].fstype
	}
	real, err := filepath.EvalSymlinks(s.at(device))
	if err != nil {
		return sub, fmt.Errorf("find the device: %w", err)
	}
	if sub.Type == "" {
		ds, err := s.blkid(real)
		if err != nil {
			return sub, err
		}
		for _, d := range ds {
			sub.Type = d.Tags["TYPE"]
		}
	}
	table, err := s.mountTable()
	if err != nil {
		return sub, err
	}
	var st unix.Stat_t
	if err := unix.Stat(real, &st); err != nil {
		return sub, fmt.Errorf("stat %s: %w", real, err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	for _, m := range table {
		if m.device == number && !m.readOnly() {
			sub.Writable = true
		}
	}
	return sub, nil
}

// lockDisk lets one check at a time run on a disk that has to seek; fsck(8), -l,
// uses the same file. The returned function is never nil.
func (s *shell) lockDisk(device string) (unlock func(), err error) {
	unlock = func() {}
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return unlock, fmt.Errorf("stat %s: %w", device, err)
	}
	dir, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))))
	if err != nil {
		return unlock, fmt.Errorf("find the disk of %s: %w", device, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "queue/rotational")); strings.TrimSpace(string(b)) != "1" {
		return unlock, nil
	}
	if err := os.MkdirAll("/run/fsck", 0o755); err != nil {
		return unlock, fmt.Errorf("lock the disk of %s: %w", device, err)
	}
	f, err := os.OpenFile("/run/fsck/"+filepath.Base(dir)+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return unlock, fmt.Errorf("lock the disk of %s: %w", device, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return unlock, fmt.Errorf("lock the disk of %s: %w", device, err)
	}
	return func() { f.Close() }, nil
}

// reboot asks the manager for it and then waits to be stopped with everything
// else: who waits for this step must not go on.
func (s *shell) reboot() error {
	s.say("rebooting")
	code, err := s.run("dynamodctl", "shutdown", "reboot")
	if err == nil && code != 0 {
		err = fmt.Errorf("dynamodctl shutdown reboot ended with %d", code)
	}
	if err != nil {
		return fmt.Errorf("the system must be rebooted, but %w", err)
	}
	for {
		if err := unix.Pause(); err != unix.EINTR {
			return fmt.Errorf("wait for the reboot: %w", err)
		}
	}
}

// blkid asks for what is on the devices, all of them if none is named.
func (s *shell) blkid(devices ...string) ([]disks.Device, error) {
	path, _ := find("blkid")
	if path == "" {
		return nil, fmt.Errorf("run blkid: it is in none of %s: %w", strings.Join(searchPath, ":"), fs.ErrNotExist)
	}
	out, err := exec.Command(path, devices...).Output()
	// blkid(8): 2 when nothing was found.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 2 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", path, err)
	}
	return disks.Parse(string(out)), nil
}

// diskLinks does what udev's rules do for fstab: links by UUID and LABEL.
func diskLinks(s *shell, _ []string) error {
	if _, err := os.Stat(s.at("/run/udev/control")); err == nil {
		s.say("udev runs and makes the links")
		return nil
	}
	ds, err := s.blkid()
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range ds {
		for _, tag := range []string{"UUID", "LABEL", "PARTUUID", "PARTLABEL"} {
			link := fstab.DeviceLink(tag, d.Tags[tag])
			if link == "" {
				continue
			}
			errs = append(errs, s.link(link, d.Path))
		}
	}
	return errors.Join(errs...)
}

// link makes or moves a symlink; the first device that has a name keeps it while
// it is there, because a second one is a copy of it.
func (s *shell) link(name, to string) error {
	at := s.at(name)
	if _, err := os.Stat(at); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	rel, err := filepath.Rel(filepath.Dir(name), to)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	tmp := at + ".new"
	_ = os.Remove(tmp) // of a step that was killed
	if err := os.Symlink(rel, tmp); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := os.Rename(tmp, at); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return nil
}
