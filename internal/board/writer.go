package board

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Writer writes a board. Its methods are called by one goroutine at a time.
type Writer struct {
	path    string
	pid     int32
	started int64
	now     func() int64

	mem   []byte
	words []uint64
	// slots are where units are, free what is unoccupied below used.
	slots    map[string]uint32
	free     []uint32
	used     uint32
	capacity uint32
	// outside are units that found no room.
	outside map[string]bool
}

// Create makes a board at path, in place of what is there, with room for some units;
// it grows with them. pid and started are the manager's; started is in microseconds
// since 1970.
func Create(path string, room int, pid int32, started int64) (*Writer, error) {
	w := &Writer{path: path, pid: pid, started: started, slots: map[string]uint32{}, outside: map[string]bool{},
		now: func() int64 { return time.Now().UnixMicro() }}
	if err := w.make(uint32(min(max(room, 64), maxRecords))); err != nil {
		return nil, err
	}
	return w, nil
}

// make begins a new file with what is on the board. It appears at the path complete;
// who has the old one open sees it end.
func (w *Writer) make(capacity uint32) error {
	f, err := os.CreateTemp(filepath.Dir(w.path), ".board-")
	if err != nil {
		return fmt.Errorf("make board: %w", err)
	}
	defer f.Close()
	fail := func(err error) error {
		os.Remove(f.Name())
		return fmt.Errorf("make board: %w", err)
	}
	size := headerSize + int(capacity)*recordSize
	// Not only a length: a write into a full file system by way of memory kills.
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(size)); err != nil {
		return fail(err)
	}
	mem, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fail(err)
	}
	old := w.mem
	copy(mem, old)
	copy(mem[atMagic:], magic)
	for _, x := range []struct {
		at    int
		value uint32
	}{{atVersion, version}, {atOrder, order}, {atHeader, headerSize}, {atRecord, recordSize}, {atCapacity, capacity}, {atPIDs, uint32(w.pid)}, {atEnded, 0}} {
		native.PutUint32(mem[x.at:], x.value)
	}
	native.PutUint64(mem[atStarted:], uint64(w.started))
	if err = f.Chmod(0o644); err == nil {
		err = os.Rename(f.Name(), w.path)
	}
	if err != nil {
		_ = syscall.Munmap(mem)
		return fail(err)
	}
	if old != nil {
		w.end()
		_ = syscall.Munmap(old)
	}
	w.mem, w.capacity = mem, capacity
	w.words = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mem))), size/8)
	w.head()
	return nil
}

// write replaces words from at+1 on, between two steps of the sequence number at.
func (w *Writer) write(at int, b []byte) {
	seq := w.words[at]
	atomic.StoreUint64(&w.words[at], seq|1)
	for k := 8; k < len(b); k += 8 {
		atomic.StoreUint64(&w.words[at+k/8], native.Uint64(b[k:]))
	}
	atomic.StoreUint64(&w.words[at], (seq|1)+1)
}

// head writes the part of the header that changes.
func (w *Writer) head() {
	var b [32]byte
	native.PutUint32(b[atUsed-atSequence:], w.used)
	native.PutUint32(b[atTotal-atSequence:], uint32(len(w.slots)+len(w.outside)))
	native.PutUint64(b[atUpdated-atSequence:], uint64(w.now()))
	w.write(atSequence/8, b[:])
}

// Put writes a unit down. An error means that the board could not grow; the unit is
// counted and not shown.
func (w *Writer) Put(r Record) (err error) {
	i, ok := w.slots[r.Name]
	if !ok {
		if len(w.free) == 0 && w.used == w.capacity && w.capacity < maxRecords {
			err = w.make(min(2*w.capacity, maxRecords))
		}
		switch n := len(w.free); {
		case n > 0:
			i = w.free[n-1]
			w.free = w.free[:n-1]
		case w.used < w.capacity:
			i = w.used
			w.used++
		default:
			w.outside[r.Name] = true
			w.head()
			return err
		}
		w.slots[r.Name] = i
		delete(w.outside, r.Name)
	}
	var b [recordSize]byte
	r.encode(&b)
	w.write(headWords+int(i)*recWords, b[:])
	w.head()
	return err
}

// Drop takes a unit off the board.
func (w *Writer) Drop(name string) {
	delete(w.outside, name)
	if i, ok := w.slots[name]; ok {
		delete(w.slots, name)
		w.free = append(w.free, i)
		w.write(headWords+int(i)*recWords, make([]byte, recordSize))
	}
	w.head()
}

// end says on the present file that nothing will be written any more.
func (w *Writer) end() {
	b := make([]byte, 32)
	copy(b, w.mem[atSequence:])
	native.PutUint32(b[atEnded-atSequence:], 1)
	w.write(atSequence/8, b)
}

// Close says that the manager has ended on purpose, and leaves the board to be read.
func (w *Writer) Close() {
	w.end()
	_ = syscall.Munmap(w.mem)
	w.mem, w.words = nil, nil
}
