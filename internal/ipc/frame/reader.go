package frame

// Reader takes a payload apart. After its first error every method gives a zero
// value, so that a caller may look at Err once, at the end. Texts are parts of the
// payload.
type Reader struct {
	p   []byte
	off int
	err Error
}

// NewReader begins to read a payload.
func NewReader(p []byte) Reader { return Reader{p: p} }

// Err is what went wrong, nil if nothing did.
func (r *Reader) Err() error {
	if r.err == 0 {
		return nil
	}
	return r.err
}

// Fail makes e the reader's error unless it has one.
func (r *Reader) Fail(e Error) {
	if r.err == 0 {
		r.err = e
	}
}

// End is Err, or Trailing when the payload is not used up.
func (r *Reader) End() error {
	if r.err == 0 && r.off != len(r.p) {
		r.err = Trailing
	}
	return r.Err()
}

// Type is what the next value is.
type Type uint8

const (
	None Type = iota // the end, or an error
	Nil
	Bool
	Int
	Str
	Map
	Array
	Other // floats, binaries, extensions: only Skip takes them
)

// Peek says what comes next.
func (r *Reader) Peek() Type {
	if r.err != 0 || r.off >= len(r.p) {
		return None
	}
	switch b := r.p[r.off]; {
	case b < 0x80, b >= 0xe0, b >= 0xcc && b <= 0xd3:
		return Int
	case b < 0x90, b == 0xde, b == 0xdf:
		return Map
	case b < 0xa0, b == 0xdc, b == 0xdd:
		return Array
	case b < 0xc0, b >= 0xd9 && b <= 0xdb:
		return Str
	case b == 0xc0:
		return Nil
	case b == 0xc2, b == 0xc3:
		return Bool
	}
	return Other
}

func (r *Reader) left() int { return len(r.p) - r.off }

// take returns the next n bytes, nil after an error.
func (r *Reader) take(n int) []byte {
	if r.err != 0 {
		return nil
	}
	if n > r.left() {
		r.err = Truncated
		return nil
	}
	b := r.p[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// number reads n bytes, most significant first.
func (r *Reader) number(n int) uint64 {
	var v uint64
	for _, b := range r.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *Reader) expect(t Type) (byte, bool) {
	switch got := r.Peek(); {
	case got == t:
		b := r.p[r.off]
		r.off++
		return b, true
	case got == None:
		r.Fail(Truncated)
	default:
		r.Fail(WrongType)
	}
	return 0, false
}

// Nil takes a nil if there is one and says so.
func (r *Reader) Nil() bool {
	if r.Peek() != Nil {
		return false
	}
	r.off++
	return true
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	b, ok := r.expect(Bool)
	return ok && b == 0xc3
}

// integer reads a number as its 64 bits and whether they are negative.
func (r *Reader) integer() (v uint64, negative bool) {
	b, ok := r.expect(Int)
	switch {
	case !ok:
		return 0, false
	case b < 0x80:
		return uint64(b), false
	case b >= 0xe0:
		return uint64(int64(int8(b))), true
	case b <= 0xcf:
		return r.number(1 << (b - 0xcc)), false
	}
	n := 1 << (b - 0xd0)
	v = r.number(n)
	shift := 64 - 8*n
	s := int64(v<<shift) >> shift
	return uint64(s), s < 0
}

// Uint reads a number of at most max.
func (r *Reader) Uint(max uint64) uint64 {
	v, negative := r.integer()
	if negative || v > max {
		r.Fail(OutOfRange)
	}
	if r.err != 0 {
		return 0
	}
	return v
}

// Int reads a number between min and max.
func (r *Reader) Int(min, max int64) int64 {
	v, negative := r.integer()
	s := int64(v)
	if !negative && s < 0 || s < min || s > max {
		r.Fail(OutOfRange)
	}
	if r.err != 0 {
		return 0
	}
	return s
}

// Str reads a text of at most max bytes.
func (r *Reader) Str(max int) []byte {
	b, ok := r.expect(Str)
	if !ok {
		return nil
	}
	n := uint64(b & 0x1f)
	if b >= 0xd9 {
		n = r.number(1 << (b - 0xd9))
	}
	switch {
	case r.err != 0:
		return nil
	case n > uint64(r.left()):
		r.err = Truncated
		return nil
	case n > uint64(max):
		r.err = TooLong
		return nil
	}
	return r.take(int(n))
}

// Map reads the head of a map: how many pairs of key and value follow.
func (r *Reader) Map() int { return r.head(Map, 0x80, 0xde, 2) }

// Array reads the head of an array: how many values follow.
func (r *Reader) Array() int { return r.head(Array, 0x90, 0xdc, 1) }

func (r *Reader) head(t Type, fix, long byte, per uint64) int {
	b, ok := r.expect(t)
	if !ok {
		return 0
	}
	n := uint64(b - fix)
	if b >= long {
		n = r.number(2 << (b - long))
	}
	// Each value takes a byte at least: what claims more is a lie, and the
	// caller may size things by the answer.
	if r.err == 0 && n*per > uint64(r.left()) {
		r.err = Truncated
	}
	if r.err != 0 {
		return 0
	}
	return int(n)
}

// Skip steps over one value, however it is nested. It counts what is still to
// come instead of calling itself, so that no depth can exhaust the stack.
func (r *Reader) Skip() {
	for todo := uint64(1); todo > 0 && r.err == 0; todo-- {
		switch r.Peek() {
		case None:
			r.Fail(Truncated)
		case Nil, Bool:
			r.off++
		case Int:
			r.integer()
		case Str:
			r.Str(len(r.p))
		case Map:
			todo += 2 * uint64(r.Map())
		case Array:
			todo += uint64(r.Array())
		case Other:
			r.skipOther()
		}
	}
}

func (r *Reader) skipOther() {
	b := r.p[r.off]
	r.off++
	var n uint64
	switch {
	case b >= 0xc4 && b <= 0xc6: // binaries
		n = r.number(1 << (b - 0xc4))
	case b >= 0xc7 && b <= 0xc9: // extensions: length, type, bytes
		n = r.number(1<<(b-0xc7)) + 1
	case b == 0xca:
		n = 4
	case b == 0xcb:
		n = 8
	case b >= 0xd4 && b <= 0xd8: // extensions of a fixed size
		n = 1<<(b-0xd4) + 1
	default: // 0xc1 is not used
		r.Fail(WrongType)
		return
	}
	if n > uint64(r.left()) {
		r.Fail(Truncated)
		return
	}
	r.off += int(n)
}
