package bus

import (
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// streams are the two ends of a connection.
func streams(t testing.TB) (a, b *stream) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	side := func(fd int) *stream {
		file := os.NewFile(uintptr(fd), "pair")
		defer file.Close()
		c, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return newStream(c.(*net.UnixConn))
	}
	return side(fds[0]), side(fds[1])
}
