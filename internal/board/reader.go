package board

import (
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

var native = binary.NativeEndian

// Snapshot is what a board said at one time. Records are in no order.
type Snapshot struct {
	Header
	Records []Record
	// Torn is how many records could not be read, because they were being written
	// all the time: by a manager that was stopped in the middle of it.
	Torn int
}

// Read reads the board in a file.
func Read(path string) (*Snapshot, error) {
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().Type() != 0 {
		return nil, &fs.PathError{Op: "read board", Path: path, Err: ErrNoBoard}
	}
	s, err := ReadFrom(f, st.Size())
	if err != nil {
		return nil, &fs.PathError{Op: "read board", Path: path, Err: err}
	}
	return s, nil
}

// tries is how often a record is read that is being written. A write takes less than a
// microsecond, so that this is not reached but by a writer that stands still.
const tries = 1000

// ReadFrom reads a board of size bytes. It reads by pread(2) and not through a mapping:
// the owner of the file could make it shorter, which kills who has it mapped.
func ReadFrom(r io.ReaderAt, size int64) (*Snapshot, error) {
	s := &Snapshot{}
	var head [headerSize]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBoard, err)
	}
	ok, err := stable(r, atSequence, func() error {
		_, err := r.ReadAt(head[:], 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		s.Torn++
	}
	if err := s.Header.decode(head[:], size); err != nil {
		return nil, err
	}
	var b [recordSize]byte
	for i := range s.Used {
		at := headerSize + int64(i)*recordSize
		ok, err := stable(r, at, func() error {
			_, err := r.ReadAt(b[:], at)
			return err
		})
		switch {
		case err != nil:
			return nil, err
		case !ok:
			s.Torn++
		case b[atName] != 0:
			var rec Record
			rec.decode(b[:])
			s.Records = append(s.Records, rec)
		}
	}
	return s, nil
}

// stable reads until nothing was written meanwhile; false means that this did not
// happen.
func stable(r io.ReaderAt, at int64, read func() error) (bool, error) {
	var seq [8]byte
	look := func() (uint64, error) {
		_, err := r.ReadAt(seq[:], at)
		return native.Uint64(seq[:]), err
	}
	for range tries {
		before, err := look()
		if err != nil {
			return false, err
		}
		if before%2 == 0 {
			if err := read(); err != nil {
				return false, err
			}
			after, err := look()
			if err != nil {
				return false, err
			}
			if after == before {
				return true, nil
			}
		}
		runtime.Gosched()
	}
	return false, nil
}
