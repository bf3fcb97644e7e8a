package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"
)

// Call is one method call: who asks what of which object, and how it is answered.
type Call struct {
	// Path, Interface and Member are as called; Interface is the one found when
	// the caller left it out.
	Path, Interface, Member string
	// Object is what Node.Find returned.
	Object any
	// Args are the arguments, of the method's signature. Descriptors among them
	// are UnixFD and belong to the call: they are closed after Do, unless taken
	// by TakeFD.
	Args []any

	conn *conn
	msg  *message
	out  string
	done bool
}

// Context ends when the caller hangs up or the service ends.
func (c *Call) Context() context.Context { return c.conn.ctx }

// Store copies the arguments into pointers, which must be of their types.
func (c *Call) Store(dest ...any) error {
	if err := dbus.Store(c.Args, dest...); err != nil {
		return Errorf(ErrInvalidArgs, "%s: %v", c.Member, err)
	}
	return nil
}

// TakeFD gives a descriptor among the arguments away: the caller of TakeFD closes
// it from now on.
func (c *Call) TakeFD(fd dbus.UnixFD) int {
	for k, have := range c.msg.fds {
		if have == int(fd) {
			c.msg.fds[k] = -1
			return have
		}
	}
	return -1
}

// Interactive says that the caller is willing to answer questions for a password
// (flag ALLOW_INTERACTIVE_AUTHORIZATION).
func (c *Call) Interactive() bool { return c.msg.Flags&dbus.FlagAllowInteractiveAuthorization != 0 }

// Sender is the caller's unique name on the bus, "" on a private socket.
func (c *Call) Sender() string {
	s, _ := c.msg.Headers[dbus.FieldSender].Value().(string)
	if !c.conn.onBus {
		return ""
	}
	return s
}

// Private says that the call came over a private socket.
func (c *Call) Private() bool { return !c.conn.onBus }

// Caller says who asks. It may have to ask the bus; use it within Do or a Later.
func (c *Call) Caller() (*Caller, error) {
	if !c.conn.onBus {
		return c.conn.peer, nil
	}
	return c.conn.service.callers.of(c.conn, c.Sender())
}

// Reply answers. A call is answered once: by Reply, by an error that Do returns,
// or, if Do returns nil without either, by an empty reply.
func (c *Call) Reply(values ...any) error {
	if c.done {
		panic(fmt.Sprintf("%s.%s is answered twice", c.Interface, c.Member))
	}
	if got := signatureOf(values...); got != c.out {
		panic(fmt.Sprintf("%s.%s answers %q; its signature is %q", c.Interface, c.Member, got, c.out))
	}
	return c.reply(values...)
}

// Encoded are values as they are on the wire, to answer with more than once.
type Encoded struct {
	signature string
	data      []byte
}

// Encode is for values without descriptors.
func Encode(values ...any) (Encoded, error) {
	var e encoder
	if err := e.body(values); err != nil {
		return Encoded{}, fmt.Errorf("encode values: %w", err)
	}
	if len(e.fds) > 0 {
		return Encoded{}, errors.New("encode values: there are descriptors among them")
	}
	return Encoded{signatureOf(values...), slices.Clip(e.b)}, nil
}

// ReplyEncoded is Reply.
func (c *Call) ReplyEncoded(e Encoded) error {
	if e.signature != c.out {
		panic(fmt.Sprintf("%s.%s answers %q; its signature is %q", c.Interface, c.Member, e.signature, c.out))
	}
	return c.answer(nil, e.data)
}

// reply answers with values that are of the method's signature on the wire.
func (c *Call) reply(values ...any) error { return c.answer(values, nil) }

func (c *Call) answer(values []any, encoded []byte) error {
	if c.msg.Flags&dbus.FlagNoReplyExpected != 0 {
		c.done = true
		return nil
	}
	r := c.response(dbus.TypeMethodReply)
	r.Body = values
	if c.out != "" {
		s, err := known(c.out)
		if err != nil {
			panic(err) // the table was checked
		}
		r.Headers[dbus.FieldSignature] = dbus.MakeVariantWithSignature(s, sigSignature)
	}
	if _, err := c.conn.sendEncoded(r, encoded, nil); err != nil {
		return err // the caller gets it, if it is still there
	}
	c.done = true
	return nil
}

func (c *Call) response(t dbus.Type) *dbus.Message {
	h := map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariantWithSignature(c.msg.serial, sigUint32)}
	if s := c.Sender(); s != "" {
		h[dbus.FieldDestination] = dbus.MakeVariantWithSignature(s, sigString)
	}
	return &dbus.Message{Type: t, Flags: dbus.FlagNoReplyExpected, Headers: h}
}

// fail answers with an error.
func (c *Call) fail(err error) {
	if c.done {
		panic(fmt.Sprintf("%s.%s fails after its answer: %v", c.Interface, c.Member, err))
	}
	c.done = true
	if c.msg.Flags&dbus.FlagNoReplyExpected != 0 {
		return
	}
	e := asError(err)
	r := c.response(dbus.TypeError)
	r.Headers[dbus.FieldErrorName] = dbus.MakeVariant(e.Name)
	r.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(""))
	r.Body = []any{e.Text}
	if _, err := c.conn.send(r, nil); err != nil {
		c.conn.service.log.Debug("nobody is there to hear an error", "member", c.Member, "err", err)
	}
}

// later is the error that says that the answer comes later.
type later struct{ f func() error }

func (later) Error() string { return "the answer comes later" }

// Later is what Do returns when answering takes time: f runs on a goroutine of its
// own, answers with Reply or returns an error, and must end when Context does.
func Later(f func() error) error { return later{f} }
