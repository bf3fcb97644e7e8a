package api

import (
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/sys/replace"
	"dynamod/logind/internal/session"
)

// A state file is lines of KEY=value that libsystemd reads (sd-login(3)). It is always
// replaced by rename: readers watch for that and see no half of it.
type stateFile struct{ b strings.Builder }

func newStateFile() *stateFile {
	f := &stateFile{}
	f.b.WriteString("# This is private data. Do not parse.\n")
	return f
}

// set writes a line; nothing for an empty value. Values come from clients: whatever
// could end the line or mean something else is quoted.
func (f *stateFile) set(key, value string) {
	if value == "" {
		return
	}
	plain := true
	for _, r := range value {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@+,", r)) {
			plain = false
		}
	}
	if !plain {
		var q strings.Builder
		for _, r := range value {
			switch {
			case strings.ContainsRune("\\\"$`", r):
				q.WriteRune('\\')
				q.WriteRune(r)
			case r < ' ' || r == 0x7f: // no name has it
			default:
				q.WriteRune(r)
			}
		}
		value = `"` + q.String() + `"`
	}
	f.line(key, value)
}

func (f *stateFile) line(key, value string) {
	f.b.WriteString(key)
	f.b.WriteByte('=')
	f.b.WriteString(value)
	f.b.WriteByte('\n')
}

func (f *stateFile) list(key string, values []string) {
	if len(values) > 0 {
		f.line(key, strings.Join(values, " ")) // ids and numbers only
	}
}

func (f *stateFile) number(key string, v int64) { f.line(key, strconv.FormatInt(v, 10)) }

func (f *stateFile) flag(key string, v bool) {
	n := int64(0)
	if v {
		n = 1
	}
	f.number(key, n)
}

// save replaces a file if it is to say something new: one event changes an object several
// times, and each file costs more than all the rest of it. s.mu is held.
func (s *Server) save(dir, name string, f *stateFile) {
	path, text := s.run(dir, name), f.b.String()
	sum := maphash.String(s.seed, text)
	if s.saved[path] == sum {
		return
	}
	if err := replace.File(path, text); err != nil {
		delete(s.saved, path)
		s.log.Error("a state file is not written", "err", err)
		return
	}
	s.saved[path] = sum
}

func (s *Server) writeSession(x *session.Session) {
	f := newStateFile()
	f.number("UID", int64(x.UID))
	f.set("USER", x.User)
	f.flag("ACTIVE", s.core.IsActive(x) && x.Stage != session.Closing)
	f.flag("IS_DISPLAY", s.core.DisplayOf(x.UID) == x)
	f.set("STATE", s.core.State(x))
	f.flag("REMOTE", x.Remote)
	f.set("TYPE", x.Type)
	f.set("ORIGINAL_TYPE", x.Original)
	f.set("CLASS", x.Class)
	f.set("SCOPE", x.Scope())
	if h := s.held[x.ID]; h != nil {
		f.set("FIFO", s.fifoPath(x.ID))
	}
	f.set("SEAT", x.Seat)
	f.set("TTY", x.TTY)
	if x.TTY != "" {
		f.set("TTY_VALIDITY", "from-pam") // nobody looks into utmp to check it
	}
	f.set("DISPLAY", x.Display)
	f.set("REMOTE_HOST", x.RemoteHost)
	f.set("REMOTE_USER", x.RemoteUser)
	f.set("SERVICE", x.Service)
	f.set("DESKTOP", x.Desktop)
	if x.VTNr > 0 {
		f.number("VTNR", int64(x.VTNr))
	} else {
		f.number("POSITION", 0) // no seat has places without terminals here
	}
	f.number("LEADER", int64(x.Leader))
	if x.Audit != 0 && x.Audit != 1<<32-1 {
		f.number("AUDIT", int64(x.Audit))
	}
	f.number("REALTIME", x.Created.Wall)
	f.number("MONOTONIC", x.Created.Mono)
	f.set("CONTROLLER", x.Controller)
	if x.Controller != "" {
		f.set("BUS", s.bus)
	}
	var devices []string
	for _, d := range x.Devices() {
		devices = append(devices, fmt.Sprintf("%d:%d", d.ID.Major, d.ID.Minor))
	}
	f.set("DEVICES", strings.Join(devices, " "))
	s.save("sessions", x.ID, f)
}

func (s *Server) writeUser(u *session.User) {
	f := newStateFile()
	f.set("NAME", u.Name)
	f.set("STATE", s.core.UserState(u))
	f.set("STOPPING", map[bool]string{true: "yes", false: "no"}[u.Stopping])
	f.set("GC_MODE", map[bool]string{true: "pin", false: "any"}[u.Pinned])
	f.set("RUNTIME", s.runtimeDir(u.UID))
	if d := s.core.DisplayOf(u.UID); d != nil {
		f.set("DISPLAY", d.ID)
	}
	f.number("REALTIME", u.Since.Wall)
	f.number("MONOTONIC", u.Since.Mono)
	sets := []struct {
		prefix string
		pass   func(*session.Session) bool
	}{
		{"", func(*session.Session) bool { return true }},
		{"ACTIVE_", func(x *session.Session) bool { return x.Stage != session.Closing && s.core.IsActive(x) }},
		{"ONLINE_", func(x *session.Session) bool { return x.Stage != session.Closing }},
	}
	of := map[string][]string{}
	for _, set := range sets {
		for _, x := range newest(s.core.Of(u.UID)) {
			if !set.pass(x) {
				continue
			}
			of[set.prefix+"SESSIONS"] = append(of[set.prefix+"SESSIONS"], x.ID)
			if x.Seat != "" {
				of[set.prefix+"SEATS"] = append(of[set.prefix+"SEATS"], x.Seat)
			}
		}
	}
	// With a session all of them are there, also those that are empty (as systemd 257 has it).
	for _, key := range []string{"SESSIONS", "SEATS", "ACTIVE_SESSIONS", "ONLINE_SESSIONS", "ACTIVE_SEATS", "ONLINE_SEATS"} {
		if len(of["SESSIONS"]) > 0 {
			f.line(key, strings.Join(of[key], " ")) // ids and numbers only
		}
	}
	s.save("users", strconv.FormatUint(uint64(u.UID), 10), f)
}

func (s *Server) writeSeat(seat *session.Seat) {
	f := newStateFile()
	f.flag("IS_SEAT0", seat.ID == "seat0")
	f.flag("CAN_MULTI_SESSION", true)
	f.flag("CAN_TTY", seat.VTs)
	f.flag("CAN_GRAPHICAL", seat.Graphical)
	if x := s.core.Sessions[seat.Active]; x != nil {
		f.set("ACTIVE", x.ID)
		f.number("ACTIVE_UID", int64(x.UID))
	}
	var ids, uids []string
	for _, x := range s.core.OnSeat(seat.ID) {
		ids, uids = append(ids, x.ID), append(uids, strconv.FormatUint(uint64(x.UID), 10))
	}
	f.list("SESSIONS", ids)
	f.list("UIDS", uids)
	s.save("seats", seat.ID, f)
}

// newest puts the sessions of a user in systemd's order, the newest first.
func newest(list []*session.Session) []*session.Session {
	slices.Reverse(list)
	return list
}

func (s *Server) fifoPath(id string) string { return s.run("sessions", id+".ref") }

// remove deletes the files of something that is gone; s.mu is held.
func (s *Server) remove(paths ...string) {
	for _, p := range paths {
		delete(s.saved, p)
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) {
			s.log.Error("a state file is not removed", "err", err)
		}
	}
}
