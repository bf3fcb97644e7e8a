package ipc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Server serves the control socket. Each connection has a goroutine that reads
// its requests, one for each request that waits, and one that writes events if it
// subscribed; the server knows them all and Close waits for them.
type Server struct {
	handler Handler
	log     *slog.Logger

	// ctx ends when the server does; Later and Handle get one below it.
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu        sync.Mutex
	listeners []*net.UnixListener
	conns     map[*conn]struct{}
	perUser   map[uint32]int
	nextConn  uint64
	closing   bool
	refused   uint64

	subs subscribers
}

// NewServer makes a server. log may be nil.
func NewServer(h Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{handler: h, log: log, conns: map[*conn]struct{}{}, perUser: map[uint32]int{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections until the server is closed, and then returns nil. It
// may be called for several listeners. The server owns the listener.
func (s *Server) Serve(l *net.UnixListener) error {
	l.SetUnlinkOnClose(false)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		l.Close()
		return nil
	}
	s.listeners = append(s.listeners, l)
	s.all.Add(1)
	s.mu.Unlock()
	defer s.all.Done()
	var pause time.Duration
	for {
		c, err := l.AcceptUnix()
		switch {
		case err == nil:
			if pause > 0 {
				s.log.Info("the control socket accepts connections again")
			}
			pause = 0
			s.admit(c)
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
		case isShortage(err):
			// The connection stays in the backlog, so the socket is ready at
			// once again: without a pause this would be a busy loop.
			if pause == 0 {
				s.log.Error("cannot accept connections on the control socket for now", "error", err)
			}
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		default:
			return fmt.Errorf("accept on the control socket: %w", err)
		}
	}
}

func isShortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) ||
		errors.Is(err, unix.ENOBUFS)
}

// admit serves a connection or says why not.
func (s *Server) admit(nc *net.UnixConn) {
	peer, err := peerOf(nc)
	if err != nil {
		s.log.Warn("a client without credentials was refused", "error", err)
		nc.Close()
		return
	}
	if refusal := s.serveConn(nc, peer); refusal != nil {
		// The buffer of a new connection is empty, so that it takes this at once. A
		// deadline would be too short for a machine that is busy enough.
		if raw, err := nc.SyscallConn(); err == nil {
			raw.Write(func(fd uintptr) bool {
				unix.Write(int(fd), encodeError(nil, refusal))
				return true
			})
		}
		nc.Close()
		peer.close()
	}
}

// serveConn begins to serve a connection, which it then owns with peer's pidfd.
func (s *Server) serveConn(nc net.Conn, peer Peer) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := 0
	for uid, n := range s.perUser {
		if uid != 0 {
			users += n
		}
	}
	var why string
	switch {
	case s.closing:
		return Errorf("Busy", "the manager ends or is replaced; ask its successor")
	case s.perUser[peer.UID] >= MaxPerUser:
		why = fmt.Sprintf("user %d has %d connections already", peer.UID, MaxPerUser)
	case peer.UID != 0 && users >= MaxConnections:
		why = fmt.Sprintf("there are %d connections of users already", MaxConnections)
	}
	if why != "" {
		// One line per power of two: a flood must not flood the log.
		if s.refused++; s.refused&(s.refused-1) == 0 {
			s.log.Warn("connection refused", "reason", why, "pid", peer.PID, "uid", peer.UID, "refused_so_far", s.refused)
		}
		return Errorf("TooManyConnections", "%s", why).WithHint("close a connection, or use one for many requests")
	}
	s.perUser[peer.UID]++
	s.nextConn++
	peer.Conn = s.nextConn
	c := newConn(s, nc, peer)
	s.conns[c] = struct{}{}
	s.all.Add(1)
	go c.run() // ends with its connection, which Close closes
	return nil
}

// forget is the last thing that a connection's goroutine does.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	if s.perUser[c.peer.UID]--; s.perUser[c.peer.UID] == 0 {
		delete(s.perUser, c.peer.UID)
	}
	s.mu.Unlock()
	s.all.Done()
}

// closeGrace is how long Close lets answers go out that are being written.
const closeGrace = time.Second

// Close stops accepting, lets every connection finish the answer it is at, ends
// requests that wait, and returns when no goroutine of the server is left. It must
// not be called from within Handle.
func (s *Server) Close() {
	s.stop()
}

// HandOver does what Close does and returns the listeners, still open and with
// whoever connected meanwhile in their queue, for the program that comes next.
// They are close-on-exec.
func (s *Server) HandOver() ([]*os.File, error) {
	s.mu.Lock()
	listeners := s.listeners
	s.mu.Unlock()
	var files []*os.File
	for _, l := range listeners {
		f, err := l.File()
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("hand over the control socket: %w", err)
		}
		files = append(files, f)
	}
	s.stop()
	return files, nil
}

func (s *Server) stop() {
	s.Publish(Event{Kind: EventServerGone})
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		s.all.Wait()
		return
	}
	s.closing = true
	s.cancel()
	for _, l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()
	hard := time.AfterFunc(closeGrace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.nc.Close()
		}
	})
	s.all.Wait()
	hard.Stop()
}
