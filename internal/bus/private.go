package bus

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
)

// MaxPeers is how many peers a private socket serves at a time; further ones wait
// in the socket's backlog.
const MaxPeers = 256

// ServePrivate answers peers that connect to l, one to one and without a bus in
// between, until the Service is closed. Who is not allowed by uid is left before a
// message is read. The listener is closed in the end.
func (s *Service) ServePrivate(l *net.UnixListener, allowed func(uid uint32) bool) error {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	guid := hex.EncodeToString(id[:])
	stop := make(chan struct{})
	defer close(stop)
	go func() { // ends with this function
		select {
		case <-s.ctx.Done():
		case <-stop:
		}
		l.Close()
	}()
	free := make(chan struct{}, MaxPeers)
	for {
		select {
		case free <- struct{}{}:
		case <-s.ctx.Done():
			return nil
		}
		nc, err := l.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, os.ErrClosed) {
				return fmt.Errorf("accept: %w", err)
			}
			s.log.Warn("a peer could not be taken", "err", err) // out of descriptors: they free up
			<-free
			continue
		}
		if !s.begin() {
			nc.Close()
			return nil
		}
		go func() { // ends with the peer or with Close
			defer s.ended.Done()
			defer func() { <-free }()
			s.servePeer(nc, guid, allowed)
		}()
	}
}

// begin counts a connection that Close is to wait for; false when it has ended.
func (s *Service) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.ended.Add(1)
	return true
}

func (s *Service) servePeer(nc *net.UnixConn, guid string, allowed func(uid uint32) bool) {
	defer nc.Close()
	peer, err := peerOf(nc)
	if err != nil {
		s.log.Warn("a peer was left", "err", err)
		return
	}
	defer peer.close()
	if err := accept(nc, peer.UID, guid, allowed); err != nil {
		if !hungUp(err) {
			s.log.Warn("a peer was left", "uid", peer.UID, "pid", peer.PID, "err", err)
		}
		return
	}
	c := s.newConn(newStream(nc))
	c.peer = peer
	if err := s.serve(c); !hungUp(err) {
		s.log.Warn("a peer was left", "uid", peer.UID, "pid", peer.PID, "err", err)
	}
}

// serve adds the connection and runs it to its end.
func (s *Service) serve(c *conn) error {
	c.add()
	s.ended.Add(1)
	go func() { // ends with the stream
		defer s.ended.Done()
		c.writeLoop()
	}()
	return c.run()
}
