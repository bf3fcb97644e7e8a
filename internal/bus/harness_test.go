package bus

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// streams are the two ends of a connection: one of a private peer, one of a message bus.
func streams(t testing.TB) (a, b *stream) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	side := func(fd int) *net.UnixConn {
		file := os.NewFile(uintptr(fd), "pair")
		defer file.Close()
		c, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*net.UnixConn)
	}
	q, err := quieten(side(fds[1]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return newStream(side(fds[0])), newStream(q)
}

// conn is the socket of a private peer.
func (s *stream) conn() *net.UnixConn { return s.nc.(*net.UnixConn) }
