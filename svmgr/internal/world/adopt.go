package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/sys/proc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// performAdopt finds a main process that the manager did not start itself: the one
// in PIDFile=, the one that MAINPID= named, or by guessing. It must be a process of
// the unit; its number is held by a pidfd before that is checked.
func (w *World) performAdopt(a core.Adopt) {
	if a.Def != nil {
		w.pool.do(a.Unit, func() { w.join(a) })
		return
	}
	w.probe(a.Run, func(ctx context.Context) {
		found := false
		defer func() {
			if ctx.Err() == nil {
				w.post(core.MainPID{Unit: a.Unit, Incarnation: a.Incarnation, Run: a.Run, Found: found})
			}
		}()
		g := w.groupOf(a.Unit, a.Incarnation)
		if g == nil {
			return
		}
		if _, _, ok := w.pidOf(a.Run); ok {
			found = true // by a former manager, which did not live to tell
			return
		}
		var err error
		switch file := unit.PIDFile.Of(g.u); {
		case a.PID != 0:
			err = w.adopt(g, a.Run, int(a.PID))
		case file != "":
			pid, ok := w.awaitPIDFile(ctx, g.u, g)
			if !ok {
				return
			}
			err = w.adopt(g, a.Run, pid)
		case !unit.GuessMainPID.Of(g.u):
			err = errors.New("there is no PIDFile= and GuessMainPID= is off")
		default:
			var pid int
			if pid, err = w.guessMain(g); err == nil {
				err = w.adopt(g, a.Run, pid)
			}
		}
		if err != nil {
			w.log.Info("no main process was found", "unit", a.Unit, "err", err)
			return
		}
		found = true
	})
}

// currentGroup is the unit's present incarnation.
func (w *World) currentGroup(name string) *group {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return w.reg.current[name]
}

// adopt registers pid as the process of run, if it is one of the group.
func (w *World) adopt(g *group, run core.RunID, pid int) error {
	if pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("process %d cannot be a service", pid)
	}
	fd, err := pidfd.Open(pid)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	fail := func(err error) error {
		unix.Close(fd)
		return err
	}
	if !w.isMember(g, pid) {
		return fail(fmt.Errorf("process %d is none of the service", pid))
	}
	w.reg.forking.RLock()
	defer w.reg.forking.RUnlock()
	if o, ok := w.ownerByPID(pid); ok {
		return fail(fmt.Errorf("process %d is known as run %d already", pid, o.Run))
	}
	// Members are not checked against a zombie; whoever lives now is what was
	// checked, because fd holds on to it.
	if err := pidfd.Signal(fd, 0); err != nil {
		return fail(fmt.Errorf("process %d: %w", pid, err))
	}
	p := &process{run: run, role: core.RoleMain, stage: core.StageStart, group: g, pid: pid, pidfd: fd, status: -1, told: true, adopted: true}
	w.register(p)
	if w.ledger != nil {
		w.ledger.ran(w, p, nil)
	}
	if err := w.supervise(p); err != nil {
		w.forget(p)
		return fail(fmt.Errorf("watch process %d: %w", pid, err))
	}
	return nil
}

// guessMain is the one process of the group whose parent is not in it. Two of them
// are no answer.
func (w *World) guessMain(g *group) (int, error) {
	members := w.members(g)
	in := map[int]bool{}
	for _, pid := range members {
		in[pid] = true
	}
	main := 0
	for _, pid := range members {
		if _, ok := w.ownerByPID(pid); ok {
			continue // a command of ours that still runs
		}
		st, err := proc.StatOf(pid)
		if err != nil || st.State == 'Z' || st.State == 'X' || in[st.Parent] || w.closesSession(pid) {
			continue
		}
		if main != 0 {
			return 0, fmt.Errorf("processes %d and %d could both be it: set PIDFile=", main, pid)
		}
		main = pid
	}
	if main == 0 {
		return 0, errors.New("no process is left")
	}
	return main, nil
}

// closesSession says that a process is the one that closes the session of PAMName= after the
// command that it was opened for; also if its program was replaced meanwhile.
func (w *World) closesSession(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && len(w.cfg.PAMChild) > 0 && strings.TrimSuffix(exe, " (deleted)") == w.cfg.PAMChild[0]
}

// maxPIDFile bounds what is read of a PID file.
const maxPIDFile = 64

// awaitPIDFile waits until the unit's PID file names a process of the group.
func (w *World) awaitPIDFile(ctx context.Context, u *unit.Unit, g *group) (pid int, ok bool) {
	file := unit.PIDFile.Of(u)
	if file == "" || g == nil {
		w.log.Error("there is no PID file to wait for", "unit", u.Name)
		return 0, false
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(w.runDir(), file) // systemd.service(5): below /run
	}
	const mask = unix.IN_CLOSE_WRITE | unix.IN_MODIFY | unix.IN_ATTRIB
	said := ""
	ok = w.senses.paths.until(ctx, file, mask, func() bool {
		n, err := w.readPIDFile(file)
		if err == nil {
			if !w.isMember(g, n) {
				err = fmt.Errorf("process %d is none of the service", n)
			} else {
				pid = n
				return true
			}
		}
		if text := err.Error(); text != said && !errors.Is(err, os.ErrNotExist) {
			said = text
			w.log.Info("the PID file is not good yet", "unit", u.Name, "file", file, "err", err)
		}
		return false
	})
	return pid, ok
}

// runDir is where relative PID files are.
func (w *World) runDir() string {
	if w.cfg.User {
		if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
			return d
		}
	}
	return "/run"
}

// readPIDFile reads a number. A file that an unprivileged user owns must not be
// reached by a symbolic link of somebody else (systemd.service(5), PIDFile=), and
// one in a directory that everybody may write to must belong to root or to us.
func (w *World) readPIDFile(file string) (int, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, errors.New("it is no regular file")
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	trusted := owner == 0 || int(owner) == os.Geteuid()
	if link, err := os.Lstat(file); err == nil && link.Mode().Type() == os.ModeSymlink && !trusted {
		if link.Sys().(*syscall.Stat_t).Uid != owner {
			return 0, errors.New("it is reached by a symbolic link of another user")
		}
	}
	if dir, err := os.Stat(filepath.Dir(file)); err == nil && dir.Mode().Perm()&0o002 != 0 && !trusted {
		return 0, errors.New("it lies in a directory that everybody may write to, and belongs to an unprivileged user")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPIDFile))
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	pid, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 31)
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%q is no process number", printable(string(line)))
	}
	return int(pid), nil
}
