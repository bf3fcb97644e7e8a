package world

import (
	"os"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/pidfd"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// Sockets of socket units outlive a killed manager with its keeper. Where there is
// none, the service that they were passed to may hold them still; else they are bound
// again, and what waited in them is lost.

// keptListener is the name of a socket with the keeper.
func keptListener(spec unit.Listen) string { return keptListen + spec.Kind + "/" + spec.Address }

// socketsAgain opens the sockets of all units that the core believes to listen.
func (w *World) socketsAgain(v core.View) (failed []core.Event) {
	v.Units(func(s core.UnitView) bool {
		if s.Unit != nil && s.Unit.Type == unitname.Service && strings.Contains(s.Name, "@") {
			w.instances = append(w.instances, s.Name)
		}
		return true
	})
	defer func() { w.instances = nil }()
	v.Units(func(s core.UnitView) bool {
		if s.Unit == nil || s.Unit.Type != unitname.Socket || !bound(s) {
			return true
		}
		if err := w.listen(s.Unit); err != nil {
			w.log.Error("cannot listen again after the former manager was killed", "unit", s.Name, "err", err)
			w.warn(s.Name, "it could not listen again after the manager was killed: "+err.Error())
			failed = append(failed, core.Request{Verb: core.VerbStop, Unit: s.Name, Source: core.SourceBindsTo})
		}
		return true
	})
	return failed
}

// bound says that a socket unit has its sockets open.
func bound(s core.UnitView) bool {
	switch s.Sub {
	case core.SubStartPost, core.SubListening, core.SubRunning, core.SubStopPre, core.SubStopPreSigterm, core.SubStopPreSigkill:
		return true
	}
	return false
}

// listener opens one Listen…= line: the socket that a former manager had, or a new
// one.
func (w *World) listener(u *unit.Unit, spec unit.Listen) (*listener, error) {
	for _, fd := range w.keptFor(u.Name, keptListener(spec)) {
		return adoptListener(fd, spec), nil
	}
	if fd := w.lent(u, spec); fd >= 0 {
		return adoptListener(fd, spec), nil
	}
	l, err := openListener(u, spec)
	if err == nil {
		w.keep(u.Name, keptListener(spec), l.fd)
	}
	return l, err
}

// adoptListener describes an open socket as openListener would have.
func adoptListener(fd int, spec unit.Listen) *listener {
	l := &listener{fd: fd, spec: spec}
	switch spec.Kind {
	case "FIFO":
		l.file = spec.Address
	case "MessageQueue":
		l.queue = strings.TrimPrefix(spec.Address, "/")
	case "Stream", "SequentialPacket", "Datagram":
		l.stream = spec.Kind != "Datagram"
		if strings.HasPrefix(spec.Address, "/") {
			l.file = spec.Address
		}
	}
	return l
}

// lent finds the socket at a service that it was passed to, and takes a copy; -1 for
// none. It is asked only by a manager that took over.
func (w *World) lent(u *unit.Unit, spec unit.Listen) int {
	kind, ok := socketTypes[spec.Kind]
	if !ok || !w.tookOver {
		return -1
	}
	want, _, err := parseAddress(spec.Address)
	if err != nil {
		return -1
	}
	s := &openSocket{u: u, listeners: []*listener{{spec: spec, stream: kind != unix.SOCK_DGRAM}}}
	var holders []*process
	w.reg.mu.Lock()
	for _, p := range w.reg.byRun {
		if p.role == core.RoleMain && s.serves(p.group.u) {
			holders = append(holders, p)
		}
	}
	w.reg.mu.Unlock()
	for _, p := range holders {
		dir := "/proc/" + strconv.Itoa(p.pid) + "/fd/"
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			link, err := os.Readlink(dir + e.Name())
			n, nerr := strconv.Atoi(e.Name())
			if err != nil || nerr != nil || !strings.HasPrefix(link, "socket:") {
				continue
			}
			fd, err := pidfd.Copy(p.pidfd, n)
			if err != nil {
				continue // it has closed it, or we may not (ptrace(2))
			}
			if isThat(fd, kind, want) {
				_ = unix.SetNonblock(fd, true) // as ours are; the service may have changed it
				w.keep(u.Name, keptListener(spec), fd)
				return fd
			}
			unix.Close(fd)
		}
	}
	return -1
}

// isThat says that fd listens at the address.
func isThat(fd, kind int, want unix.Sockaddr) bool {
	if t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || t != kind {
		return false
	}
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || (on != 0) != (kind != unix.SOCK_DGRAM) {
		return false
	}
	have, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	switch a := want.(type) {
	case *unix.SockaddrUnix:
		b, ok := have.(*unix.SockaddrUnix)
		return ok && a.Name == b.Name
	case *unix.SockaddrVM:
		b, ok := have.(*unix.SockaddrVM)
		return ok && a.CID == b.CID && a.Port == b.Port
	}
	a, b := addrOf(want), addrOf(have)
	return a.IsValid() && (reflect.DeepEqual(a, b) || a.Addr().IsUnspecified() && b.Addr().IsUnspecified() && a.Port() == b.Port())
}

// firstConnection is the number after those of all instances that are known, so that
// no instance of a former manager is met again: those with processes, those that wait
// for theirs with a kept connection, and all that the core has.
func (w *World) firstConnection(socket string) (first uint64) {
	prefix := strings.TrimSuffix(socket, ".socket") + "@"
	note := func(name string) {
		if n, ok := connectionNumber(name, prefix); ok {
			first = max(first, n+1)
		}
	}
	w.reg.mu.Lock()
	for name := range w.reg.current {
		note(name)
	}
	w.reg.mu.Unlock()
	for _, e := range w.keptNames(keptConn) {
		note(e.Unit)
	}
	w.senses.sockets.mu.Lock()
	for name := range w.senses.sockets.conns {
		note(name)
	}
	w.senses.sockets.mu.Unlock()
	for _, name := range w.instances {
		note(name)
	}
	return first
}

// connectionNumber is the number in the name of an instance that was made for a
// connection.
func connectionNumber(name, prefix string) (uint64, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(strings.TrimSuffix(rest, ".service"), "-")
	n, err := strconv.ParseUint(number, 10, 63)
	return n, err == nil
}
