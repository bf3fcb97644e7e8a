package bus

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

// The end of the other side, and one's own, end what waits for it, to read and to write.
func TestQuietEnds(t *testing.T) {
	for _, own := range []bool{true, false} {
		a, b := streams(t)
		read, written := make(chan error, 1), make(chan error, 1)
		go func() { _, err := b.read(); read <- err }() // ends with the stream
		tried := make(chan bool, 1)
		go func() { // ends with the stream
			written <- b.raw.Write(func(fd uintptr) bool {
				for {
					if _, err := transmit(fd, make([]byte, 4096), nil, nil); err != nil {
						select {
						case tried <- true:
						default:
						}
						return !errors.Is(err, unix.EAGAIN)
					}
				}
			})
		}()
		testkit.Receive(t, tried, "there is no room left")
		if own {
			b.close(errClosed)
		} else {
			a.close(errClosed)
		}
		if err := testkit.Receive(t, read, "reading ends"); own && !hungUp(err) || !own && !errors.Is(err, io.EOF) && !hungUp(err) {
			t.Errorf("own %v: reading ends with %v", own, err)
		}
		if err := testkit.Receive(t, written, "writing ends"); own != (err != nil) || own && !hungUp(err) {
			t.Errorf("own %v: writing ends with %v", own, err)
		}
		b.close(errClosed)
		if err := b.raw.Control(func(uintptr) {}); err == nil || !hungUp(err) {
			t.Errorf("own %v: a socket that is closed says %v", own, err)
		}
	}
}

// Who does not read is left when its time is over.
func TestQuietDeadline(t *testing.T) {
	_, b := streams(t)
	if err := b.nc.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := b.raw.Write(func(uintptr) bool { return false }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write without room ends with %v", err)
	}
}
