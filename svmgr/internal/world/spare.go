package world

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// spare is a descriptor that is held only to be given up: what must not fail for
// want of one, because a service could not be killed or its end not be seen, takes
// its number. A start that fails is told and can be tried again; a kill that fails
// would leave a service behind.
type spare struct {
	mu sync.Mutex
	fd int
}

// fill opens it, early, while there are numbers.
func (s *spare) fill() (err error) {
	s.fd, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// spareTries is how often f is tried when somebody else takes the number.
const spareTries = 3

// do runs f, which needs at most one descriptor at a time, and again in place of
// the spare one when there was none left.
func (s *spare) do(f func() error) error {
	err := f()
	if !outOfDescriptors(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for range spareTries {
		if s.fd >= 0 {
			unix.Close(s.fd)
		}
		err = f()
		_ = s.fill() // else it is tried the next time
		if !outOfDescriptors(err) {
			break
		}
	}
	return err
}

// lend gives it up for a while to whoever needs one at a time, and takeBack opens it
// again if that is possible.
func (s *spare) lend() {
	s.mu.Lock()
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

func (s *spare) takeBack() {
	_ = s.fill()
	s.mu.Unlock()
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

func (s *spare) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}
