package ipc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// conn is one connection. Its goroutine reads requests and calls Handle; only it
// begins new tasks. Writing is shared and locked.
type conn struct {
	server *Server
	nc     net.Conn
	peer   Peer
	in     *bufio.Reader
	line   []byte

	ctx    context.Context
	cancel context.CancelFunc
	// tasks are the goroutines of requests that wait and of the subscription.
	tasks sync.WaitGroup
	// sub belongs to subscribers.mu.
	sub *subscription

	writing sync.Mutex

	mu      sync.Mutex
	waiting int
	// active is when the last answer was sent; draining says that no further
	// request shall be read.
	active   time.Time
	draining bool
}

func newConn(s *Server, nc net.Conn, peer Peer) *conn {
	c := &conn{server: s, nc: nc, peer: peer, in: bufio.NewReaderSize(nc, 4096), active: time.Now()}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// run serves the connection until either side has enough of it.
func (c *conn) run() {
	defer c.server.forget(c)
	defer c.peer.close()
	defer c.cancel()
	defer c.nc.Close()
	defer c.tasks.Wait()
	c.converse()
	if halfClosed(c.nc) && !c.isDraining() {
		// It has no more to ask, but still reads (nc -N): what waits may end,
		// and events go on until a write fails or the server closes.
		return
	}
	// What waits gives up, and its answer and the events that are queued may
	// still go out: closing comes after tasks.Wait. A client that is gone or
	// does not read fails those writes.
	c.cancel()
	c.unsubscribe()
}

func (c *conn) converse() {
	c.expect()
	first, err := c.in.Peek(1)
	switch {
	case err != nil:
		c.complain(err)
	case first[0] == 'D':
		c.peer.DM = true
		c.serveDM()
	case first[0] == '{':
		c.serveJSON()
	default:
		c.send(encodeError(nil, Errorf("ParseError", "a conversation begins with '{' (JSON-RPC 2.0) or a DM frame").
			WithHint("see docs/ipc.md, or use dynamodctl")))
	}
}

// expect gives the client IdleTimeout for what comes next.
func (c *conn) expect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline(time.Now().Add(IdleTimeout))
}

// deadline is called with mu held: drain's deadline, which is the past, stays.
func (c *conn) deadline(t time.Time) {
	if !c.draining {
		c.nc.SetReadDeadline(t)
	}
}

// patience extends the deadline of a client that has a reason to be silent, or
// had one lately, and says whether it did.
func (c *conn) patience() bool {
	subs := &c.server.subs
	subs.mu.Lock()
	listens := c.sub != nil && !c.sub.stopped
	subs.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	until := c.active.Add(IdleTimeout)
	if listens || c.waiting > 0 {
		until = now.Add(IdleTimeout)
	}
	if c.draining || !until.After(now) {
		return false
	}
	c.deadline(until)
	return true
}

// drain lets the connection end after the request that it is at. It does not
// wait.
func (c *conn) drain() {
	c.mu.Lock()
	c.nc.SetReadDeadline(time.Unix(1, 0))
	c.draining = true
	c.mu.Unlock()
	c.unsubscribe()
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// readLine reads one line of JSON, without its end.
func (c *conn) readLine() ([]byte, error) {
	if cap(c.line) > 8192 {
		c.line = nil // one big request must not cost 64 KiB for ever
	}
	c.line = c.line[:0]
	c.expect()
	for {
		part, err := c.in.ReadSlice('\n')
		c.line = append(c.line, part...)
		switch {
		case len(c.line) > MaxMessage:
			return nil, Errorf("TooLarge", "the request is larger than %d bytes", MaxMessage)
		case err == nil:
			return c.line[:len(c.line)-1], nil
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(c.line) > 0: // printf '{…}' | nc -U …
			return c.line, nil
		case errors.Is(err, os.ErrDeadlineExceeded) && len(c.line) == 0 && c.patience():
		default:
			return nil, err
		}
	}
}

// complain tells the client why it is left, if it is there to hear it.
func (c *conn) complain(err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
		c.send(encodeError(nil, e))
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.isDraining():
		c.send(encodeError(nil, Errorf("Idle", "no complete request came for %v", IdleTimeout)))
	}
}

func (c *conn) serveJSON() {
	for {
		line, err := c.readLine()
		if err != nil {
			c.complain(err)
			return
		}
		if len(trimSpace(line)) == 0 {
			continue
		}
		call, refusal := parseCall(line)
		if refusal == nil {
			refusal = c.do(call)
		}
		if refusal != nil && !call.silent() {
			if c.send(encodeError(call.id, refusal)) != nil {
				return
			}
			if refusal.Code == CodeParse { // this is no JSON-RPC: do not answer every line of it
				return
			}
		}
	}
}

// do answers a call or says why not.
func (c *conn) do(call call) *Error {
	switch call.verb {
	case VerbDiscover:
		c.answer(call, Discover())
		return nil
	case VerbUnsubscribe:
		c.unsubscribe()
		c.answer(call, nil)
		return nil
	case VerbPing:
		if p := call.args.(*PingArgs).Protocol; p < 0 {
			return Errorf("InvalidArgs", "protocol must not be negative")
		}
	case VerbSubscribe:
		if refusal := checkSubscription(call.args.(*SubscribeArgs)); refusal != nil {
			return refusal
		}
	}
	c.mu.Lock()
	waiting := c.waiting
	c.mu.Unlock()
	if waiting >= MaxWaiting && call.verb != VerbPing && call.verb != VerbCancel {
		return Errorf("TooManyRequests", "%d requests of this connection wait already", waiting).
			WithHint("read their answers first, or use another connection")
	}
	resp, err := c.server.handler.Handle(c.ctx, c.peer, Request{call.verb, call.args})
	if err != nil {
		return c.asError(err)
	}
	switch {
	case call.verb == VerbSubscribe:
		if c.isDraining() {
			return Errorf("Busy", "the manager ends or is replaced; ask its successor")
		}
		sub := c.sub
		seq := c.subscribe(*call.args.(*SubscribeArgs), resp.Visible)
		c.answer(call, &SubscribeResult{seq})
		if c.sub != sub { // a new one, not a new filter for the old one
			c.tasks.Add(1)
			go c.writeEvents(c.sub) // ends by unsubscribe, which run calls
		}
	case resp.Later != nil:
		c.mu.Lock()
		c.waiting++
		c.mu.Unlock()
		c.tasks.Add(1)
		go c.later(call, resp.Later) // ends when Later does, at the latest when c.ctx does
	default:
		if p, ok := resp.Result.(*PingResult); ok {
			p.Protocol = Protocol
		}
		c.answer(call, resp.Result)
	}
	return nil
}

func (c *conn) later(call call, f func(context.Context) (any, error)) {
	defer c.tasks.Done()
	result, err := f(c.ctx)
	c.mu.Lock()
	c.waiting--
	// In one step: a deadline that passes just now must find one or the other.
	c.active = time.Now()
	c.mu.Unlock()
	switch {
	case err == nil:
		c.answer(call, result)
	case !call.silent():
		c.send(encodeError(call.id, c.asError(err)))
	}
}

func (c *conn) answer(call call, result any) {
	if call.silent() {
		return
	}
	line, err := encodeResult(call, result)
	if err != nil {
		c.server.log.Error("an answer cannot be sent", "verb", string(call.verb), "error", err)
		line = encodeError(call.id, c.asError(err))
	}
	c.send(line)
}

// asError gives any error the form of the wire.
func (c *conn) asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case c.server.ctx.Err() != nil && errors.Is(err, context.Canceled):
		return Errorf("Busy", "the manager ends or is replaced; ask its successor")
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf("Timeout", "it took too long")
	}
	return Errorf("Internal", "%v", err)
}

// send writes a whole message. A client that does not read it in time is left:
// its connection is closed, so that its reader and every other writer end too.
func (c *conn) send(p []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(WriteTimeout))
	_, err := c.nc.Write(p)
	if err != nil {
		c.nc.Close()
	}
	c.mu.Lock()
	c.active = time.Now()
	c.mu.Unlock()
	return err
}
