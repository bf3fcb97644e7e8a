// Package board is a table of units in shared memory: what the manager writes down of
// each unit for whoever may read a file, also while the manager hangs, is stopped or is
// gone. include/dynamod-board.h says the same in C; a test compares the two.
//
// A header is followed by records of a fixed size. Each of them begins with a sequence
// number, which is odd while it is written (a seqlock): who reads copies the record
// between two looks at the number, and tries again if they differ or are odd. There is
// one writer. Nothing in the file points anywhere, and a reader bounds what it says:
// the file belongs to whoever made it.
package board

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

const (
	// Path is where the manager of a machine has its board.
	Path = "/dev/shm/dynamod"
	// Name is that of the board of any other, in its runtime directory.
	Name = "board"

	magic   = "DYNBOARD"
	version = 1
	// order is 1, 2, 3, 4 in memory on a little-endian machine, as written there.
	order = 0x04030201

	headerSize = 128
	recordSize = 384
	headWords  = headerSize / 8
	recWords   = recordSize / 8
	// maxRecords bounds what a reader believes and a writer makes: 24 MiB.
	maxRecords = 1 << 16
)

// Unknown is a number of bytes or microseconds that nobody has measured.
const Unknown = math.MaxUint64

// Header is what is said about the whole board.
type Header struct {
	// Capacity is the room for records, Used how many of them may be in use, and
	// Total how many units there are: more than fit if it is larger.
	Capacity, Used, Total uint32
	// PID is the manager, Started and Updated are in microseconds since 1970: when
	// the manager began, and when something was written last.
	PID              int32
	Started, Updated int64
	// Ended says that the manager ended on purpose.
	Ended bool
}

// Record is one unit.
type Record struct {
	// Name is the unit's; State, Sub and Cause are words, as dynamodctl shows them.
	Name, State, Sub, Cause string
	// Weight is its share of processor time, 1 to 10000; 0 is idle.
	Weight   uint32
	PID      int32
	Restarts uint32
	// Since is when it came into its state, in microseconds since 1970.
	Since int64
	// Memory in bytes and CPU in microseconds were measured when the record was
	// written; Unknown if they were not.
	Memory, CPU uint64
}

// The layout of a record in bytes, behind its sequence number.
const (
	atName     = 8 // 256
	atState    = 264
	atSub      = 280
	atCause    = 304
	atWeight   = 336
	atPID      = 340
	atRestarts = 344
	atSince    = 352
	atMemory   = 360
	atCPU      = 368
)

// The layout of the header. The sequence number is that of what follows it.
const (
	atMagic    = 0
	atVersion  = 8
	atOrder    = 12
	atHeader   = 16
	atRecord   = 20
	atCapacity = 24
	atPIDs     = 28
	atStarted  = 32
	atSequence = 40
	atUsed     = 48
	atTotal    = 52
	atUpdated  = 56
	atEnded    = 64
)

// put writes a text that ends with a zero byte, cut to n bytes.
func put(b []byte, s string, n int) {
	if len(s) >= n {
		s = s[:n-1]
	}
	copy(b, s)
	clear(b[len(s):n])
}

// text reads one, whatever is there.
func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	s := string(b)
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

func (r *Record) encode(b *[recordSize]byte) {
	put(b[atName:], r.Name, atState-atName)
	put(b[atState:], r.State, atSub-atState)
	put(b[atSub:], r.Sub, atCause-atSub)
	put(b[atCause:], r.Cause, atWeight-atCause)
	native.PutUint32(b[atWeight:], r.Weight)
	native.PutUint32(b[atPID:], uint32(r.PID))
	native.PutUint32(b[atRestarts:], r.Restarts)
	native.PutUint64(b[atSince:], uint64(r.Since))
	native.PutUint64(b[atMemory:], r.Memory)
	native.PutUint64(b[atCPU:], r.CPU)
}

func (r *Record) decode(b []byte) {
	*r = Record{Name: text(b[atName:atState]), State: text(b[atState:atSub]), Sub: text(b[atSub:atCause]), Cause: text(b[atCause:atWeight]),
		Weight: native.Uint32(b[atWeight:]), PID: int32(native.Uint32(b[atPID:])), Restarts: native.Uint32(b[atRestarts:]),
		Since: int64(native.Uint64(b[atSince:])), Memory: native.Uint64(b[atMemory:]), CPU: native.Uint64(b[atCPU:])}
}

// ErrNoBoard says that a file is no board, or none that this program can read.
var ErrNoBoard = errors.New("no board")

// decode reads a header and checks all that reading on depends on.
func (h *Header) decode(b []byte, size int64) error {
	switch {
	case len(b) < headerSize || string(b[atMagic:atMagic+8]) != magic:
		return fmt.Errorf("%w: it does not begin like one", ErrNoBoard)
	case native.Uint32(b[atOrder:]) != order:
		return fmt.Errorf("%w: it is of a machine with another byte order", ErrNoBoard)
	case native.Uint32(b[atVersion:]) != version:
		return fmt.Errorf("%w: it is of version %d, and this program knows %d", ErrNoBoard, native.Uint32(b[atVersion:]), version)
	case native.Uint32(b[atHeader:]) != headerSize || native.Uint32(b[atRecord:]) != recordSize:
		return fmt.Errorf("%w: its records are of %d bytes", ErrNoBoard, native.Uint32(b[atRecord:]))
	}
	*h = Header{Capacity: native.Uint32(b[atCapacity:]), Used: native.Uint32(b[atUsed:]), Total: native.Uint32(b[atTotal:]),
		PID: int32(native.Uint32(b[atPIDs:])), Started: int64(native.Uint64(b[atStarted:])), Updated: int64(native.Uint64(b[atUpdated:])),
		Ended: native.Uint32(b[atEnded:]) != 0}
	if h.Capacity > maxRecords || h.Used > h.Capacity || size < headerSize+int64(h.Capacity)*recordSize {
		return fmt.Errorf("%w: it says that it has %d of %d records, in %d bytes", ErrNoBoard, h.Used, h.Capacity, size)
	}
	return nil
}
