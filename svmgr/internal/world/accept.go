package world

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/svmgr/internal/core"
)

// connection waits for the first process of the instance that it was accepted for.
type connection struct {
	fd   int
	addr netip.AddrPort // zero for others than IP
	// socket is the unit that it came in at.
	socket string
}

// maxAccept is how many connections are taken before the other work of the unit
// gets its turn.
const maxAccept = 64

// acceptAll takes what waits and watches again. It runs in the socket's strand,
// because loading an instance reads files.
func (w *World) acceptAll(s *openSocket, l *listener) {
	t := &w.senses.sockets
	for range maxAccept {
		t.mu.Lock()
		if !s.watching || t.units[s.u.Name] != s {
			t.mu.Unlock()
			return
		}
		fd, sa, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		n := s.accepted
		if err == nil {
			s.accepted++
		}
		t.mu.Unlock()
		switch err {
		case nil:
			w.connected(s, n, fd, sa)
			continue
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EAGAIN:
		default:
			// EMFILE and its kind: the connection stays in the queue, and a
			// watch would come back at once. The core hears of it as traffic
			// that it may limit.
			w.log.Error("cannot accept", "unit", s.u.Name, "err", err)
			w.post(core.Readable{Unit: s.u.Name})
			t.mu.Lock()
			s.watching = false
			w.shutEyes(s)
			t.mu.Unlock()
			return
		}
		break
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.watching && t.units[s.u.Name] == s {
		w.openEyes(s)
	}
}

// connected has the instance loaded and hands it to the core.
func (w *World) connected(s *openSocket, n uint64, fd int, peer unix.Sockaddr) {
	refuse := func(err error) {
		w.log.Error("connection refused: its instance cannot be loaded", "unit", s.u.Name, "err", err)
		unix.Close(fd)
	}
	c := &connection{fd: fd, addr: addrOf(peer), socket: s.u.Name}
	instance, source := w.instanceName(n, c), sourceOf(c)
	if w.cfg.Instance == nil {
		refuse(fmt.Errorf("the manager has no loader"))
		return
	}
	u, err := w.cfg.Instance(s.u, instance)
	if err != nil {
		refuse(err)
		return
	}
	t := &w.senses.sockets
	t.mu.Lock()
	old := t.conns[u.Name]
	t.conns[u.Name] = c
	t.mu.Unlock()
	if old != nil {
		unix.Close(old.fd)
	}
	w.keep(u.Name, keptConn+c.socket, fd)
	w.post(core.Accepted{Socket: s.u.Name, Instance: u, Source: source})
}

func addrOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// instanceName is "NR-LOCAL:PORT-REMOTE:PORT" for IP, "NR-CID:PORT" for vsock and
// "NR-PID-UID" for the others, as systemctl shows such instances.
func (w *World) instanceName(n uint64, c *connection) string {
	nr := strconv.FormatUint(n, 10)
	if c.addr.IsValid() {
		local := "?"
		if sa, err := unix.Getsockname(c.fd); err == nil {
			local = addrOf(sa).String()
		}
		// Brackets are no characters of unit names.
		clean := strings.NewReplacer("[", "", "]", "", "%", "_")
		return nr + "-" + clean.Replace(local) + "-" + clean.Replace(c.addr.String())
	}
	if sa, err := unix.Getpeername(c.fd); err == nil {
		if vm, ok := sa.(*unix.SockaddrVM); ok {
			return nr + "-" + strconv.FormatUint(uint64(vm.CID), 10) + ":" + strconv.FormatUint(uint64(vm.Port), 10)
		}
	}
	if cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		return nr + "-" + strconv.Itoa(int(cred.Pid)) + "-" + strconv.FormatUint(uint64(cred.Uid), 10)
	}
	return nr
}

// sourceOf is what counts as one peer.
func sourceOf(c *connection) string {
	if c.addr.IsValid() {
		return c.addr.Addr().String()
	}
	if sa, err := unix.Getpeername(c.fd); err == nil {
		if vm, ok := sa.(*unix.SockaddrVM); ok {
			return "cid:" + strconv.FormatUint(uint64(vm.CID), 10)
		}
	}
	if cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		return "uid:" + strconv.FormatUint(uint64(cred.Uid), 10)
	}
	return ""
}

// giveConnection passes a copy to commands, and the connection itself to the main
// process: when that closes it, the peer sees the end.
func (t *socketTable) giveConnection(c *connection, a core.Spawn, out *passed) error {
	fd := c.fd
	if isMain(a) {
		delete(t.conns, a.Unit.Name)
		out.given = keptConn + c.socket
	} else {
		var err error
		if fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstListenFD); err != nil {
			return fmt.Errorf("pass a connection: %w", err)
		}
	}
	out.fds = append(out.fds, passedFD{fd: fd, at: -1, name: "connection", listen: true})
	out.connection = &fd
	if c.addr.IsValid() {
		out.env = append(out.env, "REMOTE_ADDR="+c.addr.Addr().String(), "REMOTE_PORT="+strconv.Itoa(int(c.addr.Port())))
	}
	return nil
}

// hangUp closes the connection of an instance that is not started.
func (w *World) hangUp(instance string) {
	t := &w.senses.sockets
	t.mu.Lock()
	c := t.conns[instance]
	delete(t.conns, instance)
	t.mu.Unlock()
	if c != nil {
		w.dropKept(instance, keptConn+c.socket)
		unix.Close(c.fd)
	}
}
