package frame

import "math"

// Form is the "kind" of an envelope.
type Form uint8

const (
	Request Form = iota + 1
	Event
	Response
)

// Envelope is what every message has: {"id": n, "kind": …, "body": …}. The body
// is a variant: its bare name, or {name: fields}.
type Envelope struct {
	ID        uint64
	Form      Form
	InReplyTo uint64
	Variant   []byte
	// Fields is the value beside the name, nil if there is none.
	Fields []byte
}

// maxName bounds the names of variants and fields; no message has longer ones.
const maxName = 64

// Open reads an envelope. It is as lenient as the original's decoder about the
// order of keys, about keys that it does not know and about arrays in the place
// of maps, and strict about everything else. What it has understood is filled in
// even if it fails, so that an answer can be addressed.
func Open(payload []byte) (Envelope, error) {
	var e Envelope
	r := NewReader(payload)
	seen := 0
	n, named := r.Entries()
	for i := range n {
		part := i
		if named {
			part = envelopePart(r.Key())
		}
		if part > 2 {
			r.Skip()
			continue
		}
		if seen&(1<<part) != 0 {
			r.Fail(Unknown) // twice the same key: which one is meant?
		}
		seen |= 1 << part
		switch part {
		case 0:
			e.ID = r.Uint(math.MaxUint64)
		case 1:
			e.form(&r)
		case 2:
			e.body(&r)
		}
	}
	if seen != 7 {
		r.Fail(Truncated)
	}
	return e, r.End()
}

func envelopePart(key []byte) int {
	switch string(key) {
	case "id":
		return 0
	case "kind":
		return 1
	case "body":
		return 2
	}
	return 3
}

func (e *Envelope) form(r *Reader) {
	if r.Peek() == Str {
		switch string(r.Key()) {
		case "Request":
			e.Form = Request
		case "Event":
			e.Form = Event
		default:
			r.Fail(Unknown)
		}
		return
	}
	if r.Map() != 1 || string(r.Key()) != "Response" {
		r.Fail(Unknown)
		return
	}
	found := false
	n, named := r.Entries()
	for i := range n {
		if named && string(r.Key()) != "in_reply_to" || !named && i > 0 {
			r.Skip()
			continue
		}
		e.InReplyTo, found = r.Uint(math.MaxUint64), true
	}
	if !found {
		r.Fail(Truncated)
	}
	e.Form = Response
}

func (e *Envelope) body(r *Reader) {
	if r.Peek() == Str {
		e.Variant = r.Key()
		return
	}
	if r.Map() != 1 {
		r.Fail(Unknown)
		return
	}
	e.Variant = r.Key()
	from := r.off
	r.Skip()
	e.Fields = r.p[from:r.off:r.off]
}

// Entries opens a map, or an array that has only the values of one, in the order
// in which the message declares them.
func (r *Reader) Entries() (n int, named bool) {
	if r.Peek() == Array {
		return r.Array(), false
	}
	return r.Map(), true
}

// Key reads the name of a variant or field.
func (r *Reader) Key() []byte { return r.Str(maxName) }

// BeginMessage appends the head of a frame and of its envelope; one value, the
// body, must follow, and End.
func BeginMessage(dst []byte, e *Envelope) []byte {
	dst = AppendMap(Begin(dst), 3)
	dst = AppendUint(AppendStr(dst, "id"), e.ID)
	dst = AppendStr(dst, "kind")
	switch e.Form {
	case Response:
		dst = AppendStr(AppendMap(dst, 1), "Response")
		dst = AppendUint(AppendStr(AppendMap(dst, 1), "in_reply_to"), e.InReplyTo)
	case Event:
		dst = AppendStr(dst, "Event")
	default:
		dst = AppendStr(dst, "Request")
	}
	return AppendStr(dst, "body")
}
