package board

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// StepsName is the file in a manager's runtime directory that says how much has happened.
const StepsName = "steps"

// Steps is a number that a manager moves before anything of what happens can be seen from
// outside. Who was told something together with this number knows that it still holds
// while the number in the file is the same, and need not ask. Each manager begins with a
// number that no other had, so that a file of a former one proves nothing.
type Steps struct{ word *uint64 }

// stepsSize is that of the file: one page, which a mapping has anyway.
const stepsSize = 4096

// NewSteps counts in memory of its own, for a manager without a file.
func NewSteps() *Steps {
	// 52 bits: whoever reads the protocol with floating-point numbers has them exactly. Some
	// are left for counting.
	return &Steps{word: new(1 + rand.Uint64()>>12)}
}

// CreateSteps counts in a file at path, in place of what is there. If it cannot, nothing is
// there afterwards: the number of a manager that was killed would stand for ever, and what
// that one told with it.
func CreateSteps(path string) (*Steps, error) {
	s, err := createSteps(path)
	if err != nil {
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return nil, fmt.Errorf("make steps: %w", err)
	}
	return s, nil
}

func createSteps(path string) (*Steps, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".steps-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Not only a length: a write into a full file system by way of memory kills.
	if err = syscall.Fallocate(int(f.Fd()), 0, 0, stepsSize); err == nil {
		var mem []byte
		if mem, err = syscall.Mmap(int(f.Fd()), 0, stepsSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err == nil {
			s := &Steps{word: (*uint64)(unsafe.Pointer(unsafe.SliceData(mem)))}
			atomic.StoreUint64(s.word, *NewSteps().word)
			if err = os.Rename(f.Name(), path); err == nil {
				return s, nil
			}
			_ = syscall.Munmap(mem)
		}
	}
	os.Remove(f.Name())
	return nil, err
}

// Step moves the number. It may be called by several goroutines.
func (s *Steps) Step() {
	for { // what has ended stays so
		if n := atomic.LoadUint64(s.word); n == 0 || atomic.CompareAndSwapUint64(s.word, n, n+1) {
			return
		}
	}
}

// Now is the number, 0 after the end.
func (s *Steps) Now() uint64 { return atomic.LoadUint64(s.word) }

// End says that the manager ends: nothing that it told is known to hold any more.
func (s *Steps) End() { atomic.StoreUint64(s.word, 0) }

// StepsReader reads a manager's number.
type StepsReader struct {
	f   *os.File
	raw syscall.RawConn
}

// OpenSteps opens the file of a manager.
func OpenSteps(path string) (*StepsReader, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // whatever is there
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &StepsReader{f, raw}, nil
}

// Now is the number; 0 if there is none, or none any more. It reads by pread(2), as
// ReadFrom does. That hardly ever waits, for the file is in memory: Go's scheduler is not
// told of it, which would wake up the thread that looks after calls that take long.
func (r *StepsReader) Now() uint64 {
	var b [8]byte
	n, errno := uintptr(0), syscall.EINTR
	for errno == syscall.EINTR {
		if err := r.raw.Control(func(fd uintptr) {
			n, _, errno = syscall.RawSyscall6(syscall.SYS_PREAD64, fd, uintptr(unsafe.Pointer(&b)), uintptr(len(b)), 0, 0, 0)
		}); err != nil {
			return 0
		}
	}
	if errno != 0 || n != uintptr(len(b)) {
		return 0
	}
	return native.Uint64(b[:])
}

// Close ends the reading.
func (r *StepsReader) Close() { r.f.Close() }
