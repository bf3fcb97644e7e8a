package api

import (
	"os"
	"strconv"
	"strings"

	"dynamod/internal/sys/pidfd"
	"dynamod/logind/internal/session"
)

// restore takes over what a logind before this one left: sessions whose leader lives, as
// its cgroup shows. The files of others are removed, so that nobody sees them.
func (s *Server) restore() {
	entries, err := os.ReadDir(s.run("sessions"))
	if err != nil {
		s.log.Error("sessions from before are not known", "err", err)
		return
	}
	var ids []string
	for _, e := range entries {
		if id := e.Name(); !strings.HasPrefix(id, ".") && !strings.HasSuffix(id, ".ref") {
			ids = append(ids, id)
		}
	}
	for _, id := range s.activeFirst(ids) {
		x, ok := s.readSession(id)
		if ok {
			if fd, err := pidfd.Open(int(x.Leader)); err == nil {
				// Looked at after the descriptor was opened: the number was the
				// leader's then.
				if cgroup := s.opts.Cgroup(x.Leader); strings.Contains(cgroup, "/"+place(&x)) {
					s.takeOver(x, os.NewFile(uintptr(fd), "leader"))
					continue
				}
				closeFD(fd)
			}
		}
		s.log.Info("a session from before has ended", "session", id)
		s.mu.Lock()
		s.remove(s.run("sessions", id), s.fifoPath(id))
		s.mu.Unlock()
	}
	users, err := os.ReadDir(s.run("users"))
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range users {
		uid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil || s.core.Users[uint32(uid)] == nil {
			s.remove(s.run("users", e.Name()))
		}
	}
}

// activeFirst brings those sessions to the front that were active. On a seat without
// terminals the first one that is known is the active one, and stays it.
func (s *Server) activeFirst(ids []string) []string {
	var active, others []string
	for _, id := range ids {
		data, err := os.ReadFile(s.run("sessions", id))
		if err == nil && parseState(string(data))["ACTIVE"] == "1" {
			active = append(active, id)
		} else {
			others = append(others, id)
		}
	}
	return append(active, others...)
}

// place is the unit whose cgroup the leader of a session is in.
func place(x *session.Session) string {
	if scope := x.Scope(); scope != "" {
		return scope
	}
	return "user@" + strconv.FormatUint(uint64(x.UID), 10) + ".service"
}

func closeFD(fd int) { os.NewFile(uintptr(fd), "").Close() }

// takeOver makes a session known again that others have been told of.
func (s *Server) takeOver(x session.Session, leader *os.File) {
	u, err := s.account(strconv.FormatUint(uint64(x.UID), 10))
	gid := u.GID
	if err != nil || !u.Listed {
		gid = x.UID
	}
	devices := s.keptOf(x.ID)
	s.mu.Lock()
	s.arriving = &held{leader: leader, keep: true}
	s.locked(session.Restore{GID: gid, Session: x, Devices: devices})
	s.mu.Unlock()
	s.followFIFO(x.ID)
}

// readSession reads what writeSession wrote.
func (s *Server) readSession(id string) (session.Session, bool) {
	data, err := os.ReadFile(s.run("sessions", id))
	if err != nil {
		return session.Session{}, false
	}
	v := parseState(string(data))
	number := func(key string) int64 {
		n, err := strconv.ParseInt(v[key], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	if v["CONTROLLER"] != "" {
		s.mu.Lock()
		s.bus = v["BUS"]
		s.mu.Unlock()
	}
	x := session.Session{ID: id, Controller: v["CONTROLLER"], UID: uint32(number("UID")), User: v["USER"], Leader: int32(number("LEADER")), Audit: uint32(number("AUDIT")),
		Created: session.Now{Wall: number("REALTIME"), Mono: number("MONOTONIC")},
		Service: v["SERVICE"], Type: v["TYPE"], Original: v["ORIGINAL_TYPE"], Class: v["CLASS"], Desktop: v["DESKTOP"], Seat: v["SEAT"], VTNr: uint32(number("VTNR")), TTY: v["TTY"],
		Display: v["DISPLAY"], Remote: v["REMOTE"] == "1", RemoteHost: v["REMOTE_HOST"], RemoteUser: v["REMOTE_USER"]}
	return x, v["UID"] != "" && x.Leader > 0 && x.Class != "" && v["STATE"] != "closing"
}

// parseState reads what a stateFile has.
func parseState(text string) map[string]string {
	v := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && !strings.HasPrefix(line, "#") {
			v[key] = unquote(value)
		}
	}
	return v
}

// unquote is the reverse of what stateFile.set does.
func unquote(v string) string {
	if len(v) < 2 || v[0] != '"' {
		return v
	}
	var b strings.Builder
	for i := 1; i < len(v)-1; i++ {
		if v[i] == '\\' && i+1 < len(v)-1 {
			i++
		}
		b.WriteByte(v[i])
	}
	return b.String()
}
