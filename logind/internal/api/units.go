package api

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/logind/internal/session"
)

// openUser starts what a user has as long as there is a session: the runtime directory
// and, for sessions that want it, the user's manager (user@.service(5)). A login must be possible without them.
func (s *Server) openUser(uid uint32, manager bool) {
	u := s.core.Users[uid]
	gid := u.GID
	s.later(func() {
		n := strconv.FormatUint(uint64(uid), 10)
		err := s.startForUser("user-runtime-dir@" + n + ".service")
		if errors.Is(err, ErrNoUnit) {
			err = s.makeRuntimeDir(uid, gid)
		}
		s.quietly("make the runtime directory of user "+n, err)
		if manager {
			s.quietly("start the manager of user "+n, s.startForUser("user@"+n+".service"))
		}
		s.handle(session.UserOpened{UID: uid, Manager: manager})
	})
}

// startForUser starts a unit, and remembers whether it has a file.
func (s *Server) startForUser(unit string) error {
	err := s.units.Start(s.ctx, unit)
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, ErrNoUnit) {
		s.absent[unit] = true
	} else {
		delete(s.absent, unit)
	}
	return err
}

func (s *Server) closeUser(uid uint32) {
	s.later(func() {
		n := strconv.FormatUint(uint64(uid), 10)
		s.quietly("stop the manager of user "+n, s.units.Stop(s.ctx, "user@"+n+".service"))
		err := s.units.Stop(s.ctx, "user-runtime-dir@"+n+".service")
		if errors.Is(err, ErrNoUnit) {
			err = s.dropRuntimeDir(uid)
		}
		s.quietly("remove the runtime directory of user "+n, err)
		s.mu.Lock()
		delete(s.absent, "user@"+n+".service")
		delete(s.absent, "user-runtime-dir@"+n+".service")
		s.mu.Unlock()
		s.handle(session.UserClosed{UID: uid})
	})
}

// memory is the machine's, in bytes.
func memory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		panic(fmt.Sprintf("sysinfo: %v", err)) // it has no reason to fail: sysinfo(2)
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

func (s *Server) runtimeDir(uid uint32) string {
	return filepath.Join(s.opts.Root, "run/user", strconv.FormatUint(uint64(uid), 10))
}

// makeRuntimeDir does what user-runtime-dir@.service does where there is none: a file
// system of the user's own, that does not fill the machine's memory.
func (s *Server) makeRuntimeDir(uid, gid uint32) error {
	dir := s.runtimeDir(uid)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var st, up unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s is no directory: %v", dir, err)
	}
	if err := unix.Lstat(filepath.Dir(dir), &up); err != nil {
		return err
	}
	if st.Dev != up.Dev {
		return nil // it is mounted already
	}
	c := s.config()
	bytes, inodes := c.RuntimeSize(memory())
	data := fmt.Sprintf("mode=0700,uid=%d,gid=%d,size=%d,nr_inodes=%d", uid, gid, bytes, inodes)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, data); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

func (s *Server) dropRuntimeDir(uid uint32) error {
	dir := s.runtimeDir(uid)
	if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// open makes a session's scope.
func (s *Server) open(a session.Open) {
	x, h := s.core.Sessions[a.ID], s.held[a.ID]
	if a.Scope == "" || h == nil {
		s.later(func() { s.handle(session.Opened{ID: a.ID}) })
		return
	}
	n := strconv.FormatUint(uint64(x.UID), 10)
	scope := Scope{Name: a.Scope, Description: "Session " + x.ID + " of User " + x.User, Slice: "user-" + n + ".slice", PID: x.Leader, Properties: h.properties}
	wants := []string{"user-runtime-dir@" + n + ".service"}
	if x.WantsManager() {
		wants = append(wants, "user@"+n+".service")
	}
	for _, w := range wants {
		if !s.absent[w] { // the manager would warn of it
			scope.Wants = append(scope.Wants, w)
		}
	}
	leader := h.leader
	s.later(func() {
		err := s.units.Scope(s.ctx, scope)
		// The number was the leader's while it was moved if it is so afterwards.
		if err == nil && ended(leader) {
			err = fmt.Errorf("the leader of session %s has ended", a.ID)
			s.quietly("stop the scope of a dead leader", s.units.Stop(s.ctx, a.Scope))
		}
		text := ""
		if err != nil {
			text = err.Error()
			s.log.Warn("a session has no scope", "session", a.ID, "err", err)
		}
		s.handle(session.Opened{ID: a.ID, Error: text})
	})
}

// abandon leaves what is in a scope alone, or ends it (KillUserProcesses=).
func (s *Server) abandon(id string) {
	scope := "session-" + id + ".scope"
	kill := false
	if x := s.core.Sessions[id]; x != nil {
		kill = s.settings.Kills(x.User)
	}
	s.later(func() {
		if kill {
			s.quietly("stop scope", s.units.Stop(s.ctx, scope))
		} else {
			s.quietly("abandon scope", s.units.Abandon(s.ctx, scope))
		}
	})
}

// scopes are those of all sessions that are there.
func (s *Server) scopes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, x := range s.all() {
		if x.Stage != session.Opening && x.Scope() != "" {
			out = append(out, x.Scope())
		}
	}
	return out
}

// unitGone hears that a unit is inactive.
func (s *Server) unitGone(unit string) {
	if id, ok := strings.CutPrefix(unit, "session-"); ok {
		if id, ok = strings.CutSuffix(id, ".scope"); ok {
			s.handle(session.Emptied{ID: id})
		}
	}
}

// execute carries out a transition of power.
func (s *Server) execute(t session.Transition) {
	var err error
	if t.What() == "sleep" {
		err = s.hardware.Sleep(t.Verb)
	} else if err = s.units.Shutdown(s.ctx, t.Verb); err == nil {
		return // PrepareForShutdown stays true until the end
	}
	if err != nil {
		s.log.Error("a change of power failed", "verb", t.Verb, "err", err)
	}
	s.handle(session.PowerDone{})
}

// prepare tells clients of a transition.
func (s *Server) prepare(a session.Prepare) {
	if a.Transition.What() == "sleep" {
		s.service.Emit(managerPath, managerIface, "PrepareForSleep", a.Begin)
		return
	}
	s.service.Emit(managerPath, managerIface, "PrepareForShutdownWithMetadata", a.Begin, metadata(&a.Transition))
	s.service.Emit(managerPath, managerIface, "PrepareForShutdown", a.Begin)
}
