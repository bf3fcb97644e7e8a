package frame

const (
	// HeaderLen is the size of magic and length.
	HeaderLen = 6
	// MaxPayload is the largest payload that either side may send.
	MaxPayload = 65536
)

// Error says what is wrong with bytes that came in.
type Error uint8

const (
	// Garbage is bytes that begin no frame.
	Garbage Error = iota + 1
	// Oversize is a frame that claims to be larger than allowed.
	Oversize
	// Truncated is a payload that ends within a value, or claims more
	// elements than it has bytes.
	Truncated
	// WrongType is a value of another type than the reader expects.
	WrongType
	// OutOfRange is a number that does not fit.
	OutOfRange
	// Trailing is bytes after the end of the message.
	Trailing
	// Unknown is a message or word that the receiver does not know.
	Unknown
	// TooLong is a text above its limit.
	TooLong
	// NoRoom is a message that does not fit into the caller's buffer.
	NoRoom
)

var errorTexts = [...]string{Garbage: "no frame begins here", Oversize: "frame larger than allowed",
	Truncated: "message ends too early", WrongType: "value of the wrong type", OutOfRange: "number out of range",
	Trailing: "bytes after the message", Unknown: "unknown message", TooLong: "text too long", NoRoom: "buffer too small"}

func (e Error) Error() string {
	if int(e) < len(errorTexts) && errorTexts[e] != "" {
		return errorTexts[e]
	}
	return "broken frame"
}

// Next looks for the first frame of p. It returns the payload, which is part of p,
// and how many bytes of p are used up. A nil payload without an error means that
// more bytes are needed; with one, that n bytes were not part of any acceptable
// frame: drop them and call again. After garbage and after a frame that claims
// more than max bytes it goes on at the next "DM"; so a reader whose buffer holds
// HeaderLen+max bytes always makes progress.
func Next(p []byte, max int) (payload []byte, n int, err error) {
	for k := range p {
		if p[k] != 'D' || k+1 < len(p) && p[k+1] != 'M' {
			continue
		}
		if k > 0 {
			return nil, k, Garbage
		}
		if len(p) < HeaderLen {
			return nil, 0, nil
		}
		size := uint32(p[2]) | uint32(p[3])<<8 | uint32(p[4])<<16 | uint32(p[5])<<24
		if uint64(size) > uint64(max) {
			return nil, 2, Oversize
		}
		if len(p) < HeaderLen+int(size) {
			return nil, 0, nil
		}
		end := HeaderLen + int(size)
		return p[HeaderLen:end:end], end, nil
	}
	if len(p) > 0 {
		return nil, len(p), Garbage
	}
	return nil, 0, nil
}

// Begin appends the header of a frame whose length is not known yet. What follows
// is the payload, then End.
func Begin(dst []byte) []byte { return append(dst, 'D', 'M', 0, 0, 0, 0) }

// End writes the length into the header that begins at dst[at].
func End(dst []byte, at int) ([]byte, error) {
	size := len(dst) - at - HeaderLen
	if size < 0 || size > MaxPayload {
		return dst[:at], Oversize
	}
	dst[at+2], dst[at+3], dst[at+4], dst[at+5] = byte(size), byte(size>>8), byte(size>>16), byte(size>>24)
	return dst, nil
}
