// Package frame reads and writes DM frames: the two bytes "DM", the length of the
// payload as a little-endian uint32, and the payload in MessagePack. It owns the
// subset of MessagePack that dynamod speaks, in the smallest form for each value,
// which is what the first dynamod sent, byte for byte.
//
// It is used by PID 1: nothing allocates (but an append that outgrows the
// caller's buffer), nothing recurses, and no length that a peer claims is believed
// before as many bytes are there. It refuses to know what a message means.
package frame
