package board

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
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
	mem  []byte
	word *uint64 // in mem
}

// OpenSteps opens the file of a manager.
func OpenSteps(path string) (*StepsReader, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // whatever is there
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() < stepsSize {
		return nil, fmt.Errorf("%s is no file of steps", path)
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, stepsSize, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &StepsReader{mem, (*uint64)(unsafe.Pointer(unsafe.SliceData(mem)))}, nil
}

// Now is the number; 0 if there is none, or none any more. It must not be called after
// Close, or together with it.
func (r *StepsReader) Now() (n uint64) {
	// Who may write the file can cut it short, and memory that is no more in a file faults.
	defer func() {
		if recover() != nil {
			n = 0
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return atomic.LoadUint64(r.word)
}

// Close ends the reading.
func (r *StepsReader) Close() { _ = syscall.Munmap(r.mem) }
