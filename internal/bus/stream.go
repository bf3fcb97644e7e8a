package bus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
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
	nc  endpoint
	raw syscall.RawConn
	oob []byte
	// in is what was read and is not a whole message yet, in the buffer buf; fds are the
	// descriptors that came with it.
	in, buf []byte
	fds     []int

	mu     sync.Mutex
	serial uint32
	// head and out are room for the header and the body of what is sent.
	head, out []byte
	queue     []packet
	// writing says that the writer has taken a message and not written all of it yet.
	writing bool
	queued  int // bytes
	wake    chan struct{}
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

// packet is an encoded message, or the rest of one, and descriptors of its own.
type packet struct {
	data []byte
	fds  []int
}

func (p *packet) close() {
	for _, fd := range p.fds {
		unix.Close(fd)
	}
}

func newStream(nc endpoint) *stream {
	raw, err := nc.SyscallConn()
	if err != nil {
		panic("a connection that is none: " + err.Error()) // it has just been made
	}
	return &stream{nc: nc, raw: raw, oob: make([]byte, unix.CmsgSpace(MaxFDs*4)), wake: make(chan struct{}, 1), pending: map[uint32]chan<- *message{}}
}

// message is a message as it came, with the descriptors that came along. They are
// numbered as in the body (UnixFDIndex) and belong to whoever handles the message.
type message struct {
	*dbus.Message
	serial uint32
	fds    []int
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

// readAhead is the size of the buffer for what comes; it is larger while a larger message
// is coming.
const readAhead = 4096

// read waits for one message.
func (s *stream) read() (*message, error) {
	if err := s.want(16); err != nil {
		return nil, err
	}
	var order binary.ByteOrder
	switch s.in[0] {
	case 'l':
		order = binary.LittleEndian
	case 'B':
		order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: byte order %#x", errProtocol, s.in[0])
	}
	body, fields := uint64(order.Uint32(s.in[4:])), uint64(order.Uint32(s.in[12:]))
	size := 16 + (fields+7)&^7 + body
	if size > MaxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes; at most %d are taken", errProtocol, size, MaxMessage)
	}
	if err := s.want(int(size)); err != nil {
		return nil, noEOF(err)
	}
	m := &message{}
	if err := m.decode(s.in[:size], &s.fds); err != nil {
		m.closeFDs()
		return nil, fmt.Errorf("%w: %w", errProtocol, err)
	}
	s.in = s.in[size:]
	if len(s.in) == 0 {
		if cap(s.buf) > readAhead {
			s.buf = nil // one large message must not be held for ever
		}
		if len(s.fds) > 0 {
			m.closeFDs()
			return nil, fmt.Errorf("%w: %d descriptors of no message", errProtocol, len(s.fds))
		}
	}
	return m, nil
}

// want reads until there are n bytes. The buffer grows as they come: a peer must send what
// it makes us hold.
func (s *stream) want(n int) error {
	for len(s.in) < n {
		if room := max(readAhead, min(n, 2*len(s.in)+readAhead)); room > cap(s.buf) {
			s.buf = make([]byte, room)
		}
		s.in = s.buf[:copy(s.buf[:cap(s.buf)], s.in)]
		got, err := s.fill(s.buf[len(s.in):cap(s.buf)])
		if err != nil {
			return err
		}
		s.in = s.buf[:len(s.in)+got]
	}
	return nil
}

// decode reads a message, to which belong as many of the descriptors as its header says.
func (m *message) decode(data []byte, fds *[]int) (err error) {
	// godbus panics here and there: the bytes are a stranger's.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed message: %v", p)
		}
	}()
	var simple bool
	if m.Message, m.serial, simple = plain(data); !simple {
		// godbus would put the descriptors in itself, and cannot do that in arrays of them.
		if m.Message, err = dbus.DecodeMessage(bytes.NewReader(data)); err != nil {
			return err
		}
		m.serial = m.Message.Serial()
	}
	if n, _ := m.Headers[dbus.FieldUnixFDs].Value().(uint32); n > 0 {
		if uint64(n) > uint64(len(*fds)) {
			return fmt.Errorf("%d descriptors are said to come, and %d came", n, len(*fds))
		}
		m.fds, *fds = slices.Clone((*fds)[:n]), (*fds)[n:]
	}
	if !simple {
		for k, v := range m.Body {
			if m.Body[k], err = withFDs(v, m.fds, 0); err != nil {
				return err
			}
		}
	}
	return nil
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

// fill reads what has come, and the descriptors with it. The sender attaches those of a
// message to its bytes, and no read goes beyond bytes that have some (unix(7)): they come
// in the order of the messages, each of which says how many it has.
func (s *stream) fill(p []byte) (int, error) {
	var n, oobn, flags int
	var err error
	if e := s.raw.Read(func(fd uintptr) bool {
		n, oobn, flags, err = receive(fd, p, s.oob)
		return err != unix.EAGAIN
	}); e != nil {
		return 0, e
	}
	if oobn > 0 {
		if e := s.take(s.oob[:oobn]); e != nil && err == nil {
			err = e
		}
	}
	if flags&unix.MSG_CTRUNC != 0 && err == nil {
		err = fmt.Errorf("%w: more than %d descriptors", errProtocol, MaxFDs)
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return n, err
}

// take keeps the descriptors of a control message (unix(7), SCM_RIGHTS).
func (s *stream) take(oob []byte) error {
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
		s.fds = append(s.fds, fds...)
	}
	// Of two messages at most: what is read may end one and begin the next, and nothing is
	// read before the first of them is taken.
	if len(s.fds) > 2*MaxFDs {
		return fmt.Errorf("%w: more than %d descriptors", errProtocol, 2*MaxFDs)
	}
	return nil
}

// forsake closes descriptors of messages that did not come; only its reader calls it.
func (s *stream) forsake() {
	for _, fd := range s.fds {
		unix.Close(fd)
	}
	s.fds = nil
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
	// The body first, for the header says how long it is and how many descriptors it has.
	var fds []int
	if body == nil && len(msg.Body) > 0 {
		e := encoder{b: s.out[:0]}
		if err := e.body(msg.Body); err != nil {
			return 0, fmt.Errorf("encode message: %w", err)
		}
		body, fds = e.b, e.fds
		if s.out = e.b; cap(s.out) > 256<<10 {
			s.out = nil // one large answer must not be held for ever
		}
		if len(fds) > 0 {
			msg.Headers[dbus.FieldUnixFDs] = dbus.MakeVariant(uint32(len(fds)))
		}
	}
	if s.head == nil {
		s.head = make([]byte, 0, 256)
	}
	h := encoder{b: s.head[:0]}
	if err := h.header(msg, len(body)); err != nil {
		return 0, fmt.Errorf("encode message: %w", err)
	}
	s.head = h.b
	size := len(h.b) + len(body)
	if size > MaxMessage || len(fds) > MaxFDs {
		return 0, fmt.Errorf("encode message: %d bytes and %d descriptors are too many", size, len(fds))
	}
	if s.queued+size > maxQueuedBytes || len(s.queue) >= maxQueuedMessages {
		s.fail(errSlow)
		return 0, errSlow
	}
	var p packet
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
	native.PutUint32(h.b[8:], s.serial)
	if reply != nil {
		s.pending[s.serial] = reply
	}
	n := 0
	if len(fds) == 0 {
		n = s.atOnce(h.b, body)
	}
	if n == size {
		return s.serial, nil
	}
	if p.data = make([]byte, 0, size-n); n < len(h.b) {
		p.data, n = append(p.data, h.b[n:]...), len(h.b)
	}
	p.data = append(p.data, body[n-len(h.b):]...)
	s.queue = append(s.queue, p)
	s.queued += len(p.data)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return s.serial, nil
}

// atOnce writes a message if nothing waits before it and the peer has room: no other
// goroutine need wake up for that. It returns how much of it was written. The caller holds mu.
func (s *stream) atOnce(head, body []byte) (n int) {
	if len(s.queue) > 0 || s.writing {
		return 0
	}
	// The writer finds out why nothing can be written.
	_ = s.raw.Control(func(fd uintptr) { n, _ = transmit(fd, head, body, nil) })
	return n
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
			s.writing = true
			s.mu.Unlock()
			err := s.write(&p)
			p.close()
			s.mu.Lock()
			s.writing = false
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
		var n int
		var err error
		if e := s.raw.Write(func(fd uintptr) bool {
			n, err = transmit(fd, data, nil, oob)
			return err != unix.EAGAIN
		}); e != nil {
			return e
		}
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
