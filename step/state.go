package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/step/internal/utmp"
)

// machineID writes /etc/machine-id for good: when it is missing or empty a new one,
// when it only lies over the real one in memory (machine-id(5)) that one.
func machineID(s *shell, _ []string) error {
	const file = "/etc/machine-id"
	table, err := s.mountTable()
	if err != nil {
		return err
	}
	_, over := table[file]
	id := strings.TrimSpace(s.text(file))
	if validID(id) && !over {
		return nil
	}
	if !writable(s.at("/etc")) {
		s.say("/etc is read-only; the ID stays as it is")
		return nil
	}
	if id != "" && id != "uninitialized" && !validID(id) {
		s.say("%s has %q, which is no machine ID; a new one takes its place", file, clip(id))
	}
	if !validID(id) {
		if id = strings.TrimSpace(s.text("/run/machine-id")); !validID(id) {
			if id, err = newID(); err != nil {
				return err
			}
		}
	}
	if over {
		// The name can be replaced only while nothing is mounted on it.
		if err := unix.Unmount(s.at(file), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", file, err)
		}
	}
	return replace(s.at(file), []byte(id+"\n"), 0o444)
}

func validID(id string) bool {
	if len(id) != 32 || strings.Trim(id, "0") == "" {
		return false
	}
	return strings.Trim(id, "0123456789abcdef") == ""
}

// newID is a random UUID, version 4, as machine-id(5) asks for.
func newID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make a machine ID: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return hex.EncodeToString(b[:]), nil
}

const (
	seedFile = "/var/lib/dynamod/random-seed"
	seedSize = 512
)

// seedLoad mixes the seed in. It counts as entropy only if the pool has none yet
// (PID 1 may have loaded it before /var was mounted) and if the file can be
// replaced, so that no seed counts twice.
func seedLoad(s *shell, _ []string) error {
	f, err := os.Open(s.at(seedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return seedSave(s, nil) // the first boot
	}
	if err != nil {
		return fmt.Errorf("load the random seed: %w", err)
	}
	defer f.Close()
	seed := make([]byte, seedSize)
	n, err := f.Read(seed)
	if err != nil || n < 32 {
		s.say("%s is too short to be a seed; a new one takes its place", seedFile)
		return seedSave(s, nil)
	}
	_, early := unix.Getrandom(make([]byte, 1), unix.GRND_NONBLOCK)
	replaced := seedSave(s, nil)
	if early == unix.EAGAIN && replaced == nil {
		if err := creditEntropy(seed[:n]); err != nil {
			return err
		}
		return nil
	}
	w, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("load the random seed: %w", err)
	}
	_, err = w.Write(seed[:n])
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("load the random seed: %w", err)
	}
	return replaced
}

// seedSave writes a new seed. random(4).
func seedSave(s *shell, _ []string) error {
	seed := make([]byte, seedSize)
	// Not crypto/rand, which would wait for the pool to be filled: a bad seed
	// does no harm, because it never counts as more than it is.
	f, err := os.Open("/dev/urandom")
	if err != nil {
		return fmt.Errorf("make a random seed: %w", err)
	}
	_, err = f.Read(seed)
	f.Close()
	if err != nil {
		return fmt.Errorf("make a random seed: %w", err)
	}
	if err := os.MkdirAll(s.at("/var/lib/dynamod"), 0o755); err != nil {
		return fmt.Errorf("save the random seed: %w", err)
	}
	return replace(s.at(seedFile), seed, 0o600)
}

// entry is what bootmisc makes.
type entry struct {
	path string
	mode fs.FileMode
	// link is the target of a symlink, file says that it is an empty file.
	link  string
	file  bool
	group string
}

// entries are what programs take for granted after a boot (hier(7), file-hierarchy(7)).
var entries = []entry{
	{path: "/run/lock", mode: 0o777 | fs.ModeSticky},
	{path: "/run/user", mode: 0o755},
	{path: "/run/utmp", mode: 0o664, file: true, group: "utmp"},
	{path: "/tmp", mode: 0o777 | fs.ModeSticky},
	{path: "/tmp/.X11-unix", mode: 0o777 | fs.ModeSticky},
	{path: "/tmp/.ICE-unix", mode: 0o777 | fs.ModeSticky},
	{path: "/var/tmp", mode: 0o777 | fs.ModeSticky},
	{path: "/var/log", mode: 0o755},
	{path: "/var/lib/dynamod", mode: 0o755},
	{path: "/var/run", link: "/run"},
	{path: "/var/lock", link: "/run/lock"},
}

func bootmisc(s *shell, _ []string) error {
	var errs []error
	readOnly := 0
	for _, e := range entries {
		err := s.make(e)
		if errors.Is(err, unix.EROFS) {
			// A live system without an overlay has what it has.
			readOnly++
			continue
		}
		errs = append(errs, err)
	}
	if readOnly > 0 {
		s.say("%d directories and links cannot be made: they lie on a read-only file system", readOnly)
	}
	// Locks of X servers that the last boot did not end.
	if stale, err := fs.Glob(s.tree(), "tmp/.X[0-9]*-lock"); err == nil {
		for _, p := range stale {
			errs = append(errs, os.Remove(s.at(p)))
		}
	}
	errs = append(errs, s.bootRecord(time.Now()))
	return errors.Join(errs...)
}

// make makes one entry; what is there already keeps its owner, and directories
// get their mode.
func (s *shell) make(e entry) error {
	at := s.at(e.path)
	st, err := os.Lstat(at)
	switch {
	case e.link != "":
		if err == nil {
			return nil
		}
		if err := os.Symlink(e.link, at); err != nil {
			return fmt.Errorf("link %s: %w", e.path, err)
		}
		return nil
	case e.file:
		if err == nil {
			return nil
		}
		f, err := os.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, e.mode)
		if err != nil {
			return fmt.Errorf("make %s: %w", e.path, err)
		}
		if gid, ok := s.groupID(e.group); ok {
			err = f.Chown(-1, gid)
		}
		if err == nil {
			err = f.Chmod(e.mode)
		}
		return errors.Join(err, f.Close())
	case err == nil && st.Mode()&fs.ModeSymlink != 0:
		return nil // /var/log may lie elsewhere; nothing is followed in /tmp
	case err == nil && !st.IsDir():
		return fmt.Errorf("make %s: something that is no directory is there", e.path)
	case err != nil:
		if err := os.MkdirAll(at, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", e.path, err)
		}
	}
	if err == nil && e.mode&fs.ModeSticky == 0 {
		return nil // the operator may have made it stricter
	}
	if err := os.Chmod(at, e.mode); err != nil {
		return fmt.Errorf("make %s: %w", e.path, err)
	}
	return nil
}

func (s *shell) groupID(name string) (int, bool) {
	for l := range strings.Lines(s.text("/etc/group")) {
		if f := strings.Split(strings.TrimSpace(l), ":"); len(f) >= 3 && f[0] == name {
			id, err := strconv.Atoi(f[2])
			return id, err == nil
		}
	}
	return 0, false
}

// bootRecord writes the boot into utmp, and into wtmp if the operator keeps one.
func (s *shell) bootRecord(now time.Time) error {
	var up unix.Sysinfo_t
	if err := unix.Sysinfo(&up); err != nil {
		return fmt.Errorf("read the uptime: %w", err)
	}
	release := strings.TrimSpace(s.text("/proc/sys/kernel/osrelease"))
	rec := utmp.BootTime(runtime.GOARCH, release, now.Add(-time.Duration(up.Uptime)*time.Second))
	if rec == nil {
		return nil
	}
	var errs []error
	for _, f := range []struct {
		path string
		how  int
	}{{"/run/utmp", os.O_TRUNC}, {"/var/log/wtmp", os.O_APPEND}} {
		w, err := os.OpenFile(s.at(f.path), os.O_WRONLY|f.how, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			_, err = w.Write(rec)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write the boot record: %w", err))
		}
	}
	return errors.Join(errs...)
}
