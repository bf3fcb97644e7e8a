// Package bus is how our daemons speak D-Bus as services: one table of objects,
// interfaces and members answers on a message bus and on private sockets alike.
//
// It owns the stream of messages, the authentication on both sides, the dispatch
// of calls to a table, the standard interfaces (Peer, Introspectable, Properties),
// who a caller is, and polkit. It refuses to know what any object means: there is
// no word of systemd in it.
//
// Encoding and decoding of messages is godbus'. Its connections are not used: they
// have no server side (the private sockets of systemd1 are peer-to-peer), answer
// each call on a goroutine of its own, so that calls overtake each other, and drop
// what is eavesdropped when it is read slowly.
package bus
