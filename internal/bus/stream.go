package bus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Limits of one message. The specification allows 128 MiB; nothing that we serve
// comes near.
const (
	// MaxMessage bounds a message in bytes, header included.
	MaxMessage = 16 << 20
	// MaxFDs is how many descriptors may come with a message (SCM_MAX_FD of the
	// kernel, unix(7)).
	MaxFDs = 253
	// WriteTimeout is how long a peer may take to read what it is sent.
	WriteTimeout = 30 * time.Second
)

// What may wait for a peer that reads slowly. One that is further behind is left:
// a signal that it did not get would be a lie to it.
const (
	maxQueuedBytes    = 32 << 20
	maxQueuedMessages = 16384
)

// stream reads and writes whole messages on a connected unix socket. One goroutine
// reads, one writes; sending is safe from several and never waits for the peer.
type stream struct {
	nc  *net.UnixConn
	oob []byte

	mu     sync.Mutex
	serial uint32
	out    bytes.Buffer
	queue  []packet
	queued int // bytes
	wake   chan struct{}
	// empty is closed when nothing is queued; nil until somebody waits for that.
	empty chan struct{}
	// pending are who waits for the reply to a serial.
	pending map[uint32]chan<- *message
	failed  error
}

// native is the byte order of this machine, in which messages are sent.
var native = func() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}()

// packet is an encoded message and descriptors of its own.
type packet struct {
	data []byte
	fds  []int
}

func (p *packet) close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}

func newStream(nc *net.UnixConn) *stream {
	return &stream{nc: nc, oob: make([]byte, unix.CmsgSpace(MaxFDs*4)), wake: make(chan struct{}, 1), pending: map[uint32]chan<- *message{}}
}

// message is a message as it came, with the descriptors that came along. They are
// numbered as in the body (UnixFDIndex) and belong to whoever handles the message.
type message struct {
	*dbus.Message
	fds []int
}

func (m *message) closeFDs() {
	for _, fd := range m.fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	m.fds = nil
}

// errProtocol is a peer that does not speak D-Bus.
var errProtocol = errors.New("it does not speak D-Bus")

// read waits for one message.
func (s *stream) read() (*message, error) {
	var head [16]byte
	m := &message{}
	ok := false
	defer func() {
		if !ok {
			m.closeFDs()
		}
	}()
	if err := s.fill(head[:], m); err != nil {
		return nil, err
	}
	var order binary.ByteOrder
	switch head[0] {
	case 'l':
		order = binary.LittleEndian
	case 'B':
		order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: byte order %#x", errProtocol, head[0])
	}
	body, fields := uint64(order.Uint32(head[4:])), uint64(order.Uint32(head[12:]))
	size := 16 + (fields+7)&^7 + body
	if size > MaxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes; at most %d are taken", errProtocol, size, MaxMessage)
	}
	// Grown as it comes: a peer must send what it makes us hold.
	whole := bytes.NewBuffer(make([]byte, 0, min(size, 64<<10)))
	whole.Write(head[:])
	var chunk [16 << 10]byte
	for left := size - 16; left > 0; {
		n := min(left, uint64(len(chunk)))
		if err := s.fill(chunk[:n], m); err != nil {
			return nil, noEOF(err)
		}
		whole.Write(chunk[:n])
		left -= n
	}
	msg, err := decode(whole, m.fds)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProtocol, err)
	}
	m.Message = msg
	ok = true
	return m, nil
}

// decode keeps a panic of the decoder from being ours: the bytes are a stranger's.
func decode(r io.Reader, fds []int) (msg *dbus.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed message: %v", p)
		}
	}()
	// godbus would put the descriptors in itself, and cannot do that in arrays of them.
	if msg, err = dbus.DecodeMessage(r); err != nil {
		return nil, err
	}
	for k, v := range msg.Body {
		if msg.Body[k], err = withFDs(v, fds, 0); err != nil {
			return nil, err
		}
	}
	return msg, nil
}

// maxDepth is how deep values may be nested (D-Bus specification: 32 arrays and 32
// structures, and variants between them).
const maxDepth = 128

// withFDs puts descriptors in the place of their indices, wherever they are in a value.
func withFDs(v any, fds []int, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("a value is nested too deeply")
	}
	one := func(x dbus.UnixFDIndex) (dbus.UnixFD, error) {
		if uint64(x) >= uint64(len(fds)) {
			return -1, fmt.Errorf("descriptor %d of %d", x, len(fds))
		}
		return dbus.UnixFD(fds[x]), nil
	}
	var err error
	switch x := v.(type) {
	case dbus.UnixFDIndex:
		return one(x)
	case []dbus.UnixFDIndex:
		out := make([]dbus.UnixFD, len(x))
		for k := range x {
			if out[k], err = one(x[k]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case dbus.Variant:
		inner, err := withFDs(x.Value(), fds, depth+1)
		return dbus.MakeVariantWithSignature(inner, x.Signature()), err
	case []any:
		for k := range x {
			if x[k], err = withFDs(x[k], fds, depth+1); err != nil {
				return nil, err
			}
		}
	case [][]any:
		for k := range x {
			if _, err = withFDs(x[k], fds, depth+1); err != nil {
				return nil, err
			}
		}
	case []dbus.Variant:
		for k := range x {
			y, err := withFDs(x[k], fds, depth+1)
			if err != nil {
				return nil, err
			}
			x[k] = y.(dbus.Variant)
		}
	case map[string]dbus.Variant:
		for k := range x {
			y, err := withFDs(x[k], fds, depth+1)
			if err != nil {
				return nil, err
			}
			x[k] = y.(dbus.Variant)
		}
	}
	return v, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads exactly len(p) bytes and the descriptors that come with them. The
// sender attaches those of a message to its bytes, and no read here spans two
// messages, so they cannot be mixed up.
func (s *stream) fill(p []byte, m *message) error {
	for len(p) > 0 {
		n, oobn, flags, _, err := s.nc.ReadMsgUnix(p, s.oob)
		if oobn > 0 {
			if e := m.take(s.oob[:oobn]); e != nil && err == nil {
				err = e
			}
		}
		if flags&unix.MSG_CTRUNC != 0 && err == nil {
			err = fmt.Errorf("%w: more than %d descriptors", errProtocol, MaxFDs)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.EOF
		}
		p = p[n:]
	}
	return nil
}

// take keeps the descriptors of a control message (unix(7), SCM_RIGHTS).
func (m *message) take(oob []byte) error {
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for _, c := range cmsgs {
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			continue // credentials and the like
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
		}
		m.fds = append(m.fds, fds...)
	}
	if len(m.fds) > MaxFDs {
		return fmt.Errorf("%w: more than %d descriptors", errProtocol, MaxFDs)
	}
	return nil
}

// errSlow is a peer that does not read what it is sent.
var errSlow = errors.New("it does not read: too much waits for it")

// send queues a message and returns its serial. Descriptors in the body stay the
// caller's. reply, if not nil, gets the answer; it must have room for it.
func (s *stream) send(msg *dbus.Message, reply chan<- *message) (uint32, error) {
	return s.sendEncoded(msg, nil, reply)
}

// sendEncoded is send of a message with a body that is encoded already, if it has one.
func (s *stream) sendEncoded(msg *dbus.Message, body []byte, reply chan<- *message) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return 0, s.failed
	}
	s.out.Reset()
	fds, err := msg.EncodeToWithFDs(&s.out, native)
	if err == nil && len(fds) > 0 {
		// How many descriptors belong to it stands in the header, or the other side
		// takes none of them (D-Bus specification, "Header Fields"). Most messages have
		// none, and counting first costs as much as the message.
		msg.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(len(fds)))
		s.out.Reset()
		fds, err = msg.EncodeToWithFDs(&s.out, native)
	}
	if err != nil {
		return 0, fmt.Errorf("encode message: %w", err)
	}
	if body != nil {
		native.PutUint32(s.out.Bytes()[4:], uint32(len(body)))
	}
	size := s.out.Len() + len(body)
	if size > MaxMessage || len(fds) > MaxFDs {
		return 0, fmt.Errorf("encode message: %d bytes and %d descriptors are too many", size, len(fds))
	}
	if s.queued+size > maxQueuedBytes || len(s.queue) >= maxQueuedMessages {
		s.fail(errSlow)
		return 0, errSlow
	}
	p := packet{data: slices.Concat(s.out.Bytes(), body)}
	if s.out.Cap() > 256<<10 {
		s.out = bytes.Buffer{} // one large answer must not be held for ever
	}
	for _, fd := range fds {
		// It waits in the queue, and the caller may close its own meanwhile.
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			p.close()
			return 0, fmt.Errorf("pass descriptor: %w", err)
		}
		p.fds = append(p.fds, own)
	}
	if s.serial++; s.serial == 0 {
		s.serial = 1
	}
	native.PutUint32(p.data[8:], s.serial)
	if reply != nil {
		s.pending[s.serial] = reply
	}
	s.queue = append(s.queue, p)
	s.queued += size
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return s.serial, nil
}

// written waits until all that was sent is written, or the stream has failed.
func (s *stream) written(ctx context.Context) {
	s.mu.Lock()
	if s.failed != nil || s.queued == 0 {
		s.mu.Unlock()
		return
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
}

// tellEmpty tells those who wait for it that nothing is queued. The caller holds mu.
func (s *stream) tellEmpty() {
	if s.queued == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// forget says that nobody waits for the reply to a serial any more.
func (s *stream) forget(serial uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, serial)
}

// answered gives a reply to who waits for it.
func (s *stream) answered(m *message) bool {
	serial, ok := m.Headers[dbus.FieldReplySerial].Value().(uint32)
	if !ok {
		return false
	}
	s.mu.Lock()
	ch := s.pending[serial]
	delete(s.pending, serial)
	s.mu.Unlock()
	if ch == nil {
		return false
	}
	ch <- m
	return true
}

// fail ends the stream. The caller holds mu.
func (s *stream) fail(err error) {
	if s.failed != nil {
		return
	}
	s.failed = err
	s.nc.Close() // its reader and its writer end
	for k := range s.queue {
		s.queue[k].close()
	}
	s.queue, s.queued = nil, 0
	s.tellEmpty()
	for serial, ch := range s.pending {
		delete(s.pending, serial)
		close(ch)
	}
	close(s.wake)
}

// writeLoop writes what is queued until the stream fails.
func (s *stream) writeLoop() {
	for range s.wake {
		for {
			s.mu.Lock()
			if len(s.queue) == 0 {
				s.mu.Unlock()
				break
			}
			p := s.queue[0]
			s.queue[0] = packet{}
			s.queue = s.queue[1:]
			s.mu.Unlock()
			err := s.write(&p)
			p.close()
			s.mu.Lock()
			s.queued -= len(p.data)
			if err != nil {
				s.queued = 0
				s.fail(fmt.Errorf("write message: %w", err))
			}
			s.tellEmpty()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}
}

func (s *stream) write(p *packet) error {
	if err := s.nc.SetWriteDeadline(time.Now().Add(WriteTimeout)); err != nil {
		return err
	}
	var oob []byte
	if len(p.fds) > 0 {
		oob = unix.UnixRights(p.fds...)
	}
	for data := p.data; len(data) > 0; {
		n, _, err := s.nc.WriteMsgUnix(data, oob, nil)
		if err != nil {
			return err
		}
		data, oob = data[n:], nil
	}
	return nil
}

func (s *stream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail(err)
}
