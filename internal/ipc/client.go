package ipc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Client is one connection to a manager. Its methods may be used by several
// goroutines at once. A client that subscribes should use a connection of its
// own: events that are not read hold up answers.
type Client struct {
	conn   net.Conn
	server PingResult
	// slots bounds how many calls are under way, as the server does.
	slots chan struct{}

	writing sync.Mutex

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]chan reply
	err     error // why the connection ended

	events chan Event
	// done is closed when the reader has ended; err is set by then.
	done chan struct{}
	// closing is closed by Close.
	closing chan struct{}
	once    sync.Once
}

type reply struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// request is a call as the client writes it.
type request struct {
	JSONRPC string `json:"jsonrpc"`
	ID      uint64 `json:"id"`
	Method  Verb   `json:"method"`
	Params  any    `json:"params,omitempty"`
}

// Dial connects to a manager's socket and agrees with it on the version.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to the manager: %w", err)
	}
	return NewClient(ctx, conn)
}

// NewClient speaks over a connection that exists, and owns it.
func NewClient(ctx context.Context, conn net.Conn) (*Client, error) {
	c := &Client{conn: conn, slots: make(chan struct{}, MaxWaiting), waiting: map[uint64]chan reply{},
		events: make(chan Event, 64), done: make(chan struct{}), closing: make(chan struct{})}
	go c.read() // ends when the connection does; Close waits for it
	if err := c.Call(ctx, VerbPing, &PingArgs{Protocol: Protocol}, &c.server); err != nil {
		c.Close()
		return nil, err
	}
	if c.server.Protocol != Protocol {
		c.Close()
		return nil, Errorf("ProtocolMismatch", "the manager speaks version %d of the protocol, this program speaks %d",
			c.server.Protocol, Protocol).WithHint("install dynamodctl and dynamod-svmgr of the same release")
	}
	return c, nil
}

// Server is what the manager told about itself when the connection was made.
func (c *Client) Server() PingResult { return c.server }

// Gone is closed when the connection has ended.
func (c *Client) Gone() <-chan struct{} { return c.done }

// Close ends the connection and everything that waits for it.
func (c *Client) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		close(c.closing)
		err = c.conn.Close()
		<-c.done
	})
	return err
}

// Call asks for a verb and waits for its answer or the end of ctx; in the latter
// case what was asked for goes on. args is the verb's argument type or nil,
// result a pointer to its result type or nil. A refusal is an *Error.
func (c *Client) Call(ctx context.Context, v Verb, args, result any) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return timedOut(ctx, v)
	}
	ch := make(chan reply, 1)
	c.mu.Lock()
	c.lastID++
	id := c.lastID
	c.waiting[id] = ch
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()

	line, err := json.Marshal(request{"2.0", id, v, args})
	if err != nil {
		return fmt.Errorf("encode %s: %w", v, err)
	}
	if len(line)+1 > MaxMessage {
		return Errorf("TooLarge", "the request is larger than %d bytes", MaxMessage)
	}
	if err := c.write(ctx, append(line, '\n')); err != nil {
		// The server may have said why it hung up before it did: the reader
		// has that, and ends by itself because the connection is broken.
		select {
		case <-c.done:
			return c.broken()
		case <-ctx.Done():
			return timedOut(ctx, v)
		}
	}
	select {
	case r := <-ch:
		return c.settle(v, r, result)
	case <-ctx.Done():
		return timedOut(ctx, v)
	case <-c.done:
		select {
		case r := <-ch: // the answer came with the end of the connection
			return c.settle(v, r, result)
		default:
			return c.broken()
		}
	}
}

func (c *Client) settle(v Verb, r reply, result any) error {
	if r.Error != nil {
		return r.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(r.Result, result); err != nil {
		return fmt.Errorf("decode the answer to %s: %w", v, err)
	}
	return nil
}

// write sends one line, all of it or nothing. When ctx ends in the middle of it the
// connection is of no use any more and is closed.
func (c *Client) write(ctx context.Context, line []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(late)
		c.conn.SetWriteDeadline(time.Unix(1, 0)) // an error: it is closed, and the write knows
	})
	n, err := c.conn.Write(line)
	if !stop() {
		<-late
		c.conn.SetWriteDeadline(time.Time{})
	}
	if n == len(line) {
		return nil
	}
	if n > 0 {
		c.conn.Close()
	}
	return err
}

func timedOut(ctx context.Context, v Verb) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e := Errorf("Timeout", "the manager did not answer %s in time", v)
		return fmt.Errorf("%w (%w)", e, ctx.Err())
	}
	return ctx.Err()
}

func (c *Client) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// read distributes what the server sends until the connection ends.
func (c *Client) read() {
	defer close(c.done)
	defer close(c.events)
	in := bufio.NewScanner(c.conn)
	in.Buffer(make([]byte, 4096), MaxMessage+1)
	for in.Scan() {
		var r reply
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			c.end(fmt.Errorf("the manager sent a line that is not JSON: %w", err))
			return
		}
		if r.Method == eventMethod {
			var e Event
			if err := json.Unmarshal(r.Params, &e); err != nil {
				c.end(fmt.Errorf("the manager sent a broken event: %w", err))
				return
			}
			select {
			case c.events <- e:
			case <-c.closing:
			}
			continue
		}
		id, err := strconv.ParseUint(string(r.ID), 10, 64)
		if err != nil {
			if r.Error != nil { // about the connection, not about a request
				c.end(r.Error)
				return
			}
			continue
		}
		c.mu.Lock()
		ch := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	}
	err := in.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	c.end(fmt.Errorf("connection to the manager lost: %w", err))
}

func (c *Client) end(err error) {
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	c.conn.Close()
}

// Subscription is a stream of events.
type Subscription struct {
	c *Client
	// Seq is that of the last event before the stream began.
	Seq uint64
}

// Subscribe begins a stream of events. A second one replaces the first.
func (c *Client) Subscribe(ctx context.Context, args SubscribeArgs) (*Subscription, error) {
	var r SubscribeResult
	if err := c.Call(ctx, VerbSubscribe, &args, &r); err != nil {
		return nil, err
	}
	return &Subscription{c, r.Seq}, nil
}

// Next waits for the next event. An EventDropped tells of events that were not
// sent because this client had not read those before.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	select {
	case e, ok := <-s.c.events:
		if !ok {
			return Event{}, s.c.broken()
		}
		return e, nil
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

// Close ends the stream; the connection goes on.
func (s *Subscription) Close(ctx context.Context) error {
	return s.c.Call(ctx, VerbUnsubscribe, nil, nil)
}

// paged is an answer that knows its next page.
type paged interface{ next() string }

func (m More) next() string { return m.Next }

// Pages calls a paged verb until the last page. ask is the pointer to the
// arguments, after the pointer to the After within it; each gets every page.
func Pages[R any, P interface {
	*R
	paged
}](ctx context.Context, c *Client, v Verb, args any, after *string, each func(P) error) error {
	for {
		var r R
		if err := c.Call(ctx, v, args, &r); err != nil {
			return err
		}
		p := P(&r)
		if err := each(p); err != nil {
			return err
		}
		switch next := p.next(); next {
		case "":
			return nil
		case *after:
			return fmt.Errorf("%s does not get beyond page %q", v, next)
		default:
			*after = next
		}
	}
}

// List fetches all pages of a list.
func (c *Client) List(ctx context.Context, args ListArgs) ([]Unit, error) {
	var all []Unit
	err := Pages(ctx, c, VerbList, &args, &args.After, func(r *ListResult) error {
		all = append(all, r.Units...)
		return nil
	})
	return all, err
}
