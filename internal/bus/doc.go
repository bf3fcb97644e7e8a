// Package bus is how our daemons speak D-Bus as services: one table of objects,
// interfaces and members answers on a message bus and on private sockets alike.
//
// It owns the stream of messages, the authentication on both sides, the dispatch
// of calls to a table, the standard interfaces (Peer, Introspectable, Properties),
// who a caller is, and polkit. It refuses to know what any object means: there is
// no word of systemd in it.
//
// A daemon lists its interfaces (Interface), says with a Tree which object has which
// (One for a single object, Node.Find for objects made on demand), and lets a Service
// answer: Join for a message bus, whose Names it takes, ServePrivate for a socket. A
// method that changes something asks Call.Authorize for polkit's leave within a Later,
// because a person may have to answer; after a change Service.Changed and Flush tell
// the properties' new values. Arguments have been checked against the method's
// signature when Do is called, and errors made with Errorf keep their names; a
// property without Set answers Set with PropertyReadOnly.
//
// Encoding and decoding of messages is godbus'. Its connections are not used: they
// have no server side (the private sockets of systemd1 are peer-to-peer), answer
// each call on a goroutine of its own, so that calls overtake each other, and drop
// what is eavesdropped when it is read slowly.
package bus
