// Package ipc is how programs talk to the manager over its control socket: the
// wire types, the verbs, the server and the client. docs/ipc.md describes it for
// strangers, and a test holds that page and the table in verb.go together.
//
// Two encodings share the socket; the first byte of a connection chooses. 'D'
// begins a DM frame: MessagePack as the first dynamod spoke it, byte for byte,
// one request and one reply. '{' begins JSON-RPC 2.0, one object per line, as
// many as the client likes, with events pushed in between. Both end in the same
// Handler.
//
// The package owns limits: what a client may send, how many clients there are,
// how long they may be silent, what happens when they stop reading. It refuses to
// know what a unit is (the wire is not the model: states are words here), who may
// do what (internal/access decides, the Handler asks it), and what a verb does.
package ipc
