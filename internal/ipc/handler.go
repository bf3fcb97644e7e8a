package ipc

import "context"

// Peer is who is at the other end of a connection, as the kernel says.
type Peer struct {
	PID      int32
	UID, GID uint32
	// Groups are the supplementary groups when the connection was made.
	Groups []uint32
	// PIDFD refers to the process that connected, -1 where the kernel cannot
	// tell (before Linux 6.5). The server closes it with the connection.
	PIDFD int
	// Conn numbers connections; it is never reused.
	Conn uint64
	// DM says that the peer speaks the original's frames.
	DM bool
}

// Request is one call. Args points to the verb's own type (see the table in
// verb.go): *ListArgs for VerbList and so on; it is never nil.
type Request struct {
	Verb Verb
	Args any
}

// Response is what a verb gives back.
type Response struct {
	// Result is a pointer to the verb's result type; nil is sent as {}.
	Result any
	// Later, if set, is called on a goroutine of its own and its answer is
	// sent instead of Result. It is how a request waits without holding up
	// the next one of the same client. ctx ends when the client hangs up or
	// the server closes.
	Later func(ctx context.Context) (any, error)
	// Visible, for VerbSubscribe only, says which units' events the peer may
	// see; nil means all. It is called by whoever calls Publish.
	Visible func(unit string) bool
}

// Handler is what the manager does for a client.
//
// Handle is called for one request of a connection after another, in the order
// in which they were sent, and for several connections at once. It should answer
// soon: what waits for a job belongs in Response.Later. An error that is no
// *Error reaches the client as CodeInternal.
//
// The server answers VerbDiscover and VerbUnsubscribe itself; for VerbPing it
// fills in Protocol, and for VerbSubscribe Seq.
type Handler interface {
	Handle(ctx context.Context, peer Peer, req Request) (Response, error)
}

// HandlerFunc is a Handler made of a function.
type HandlerFunc func(ctx context.Context, peer Peer, req Request) (Response, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, peer Peer, req Request) (Response, error) {
	return f(ctx, peer, req)
}
