// Package keeper leaves descriptors with somebody who outlives the manager: the
// init that started it, or the service manager above it. When the manager was
// killed, the next one gets them back. What is kept and what it means is the
// world's business; this package carries it there and back.
//
// Init speaks the frames of internal/ipc/pid1 over the socket that dynamod-init
// gave its manager, which also carries heartbeats, exits and shutdowns. Above
// speaks sd_notify(3) with FDSTORE=1 to whoever supervises this manager. Neither
// ever makes its caller wait: what cannot be sent at once waits in a bounded queue,
// and what does not fit there is refused.
package keeper

// Kept are descriptors that were kept for a former manager. Whoever gets them owns
// them.
type Kept struct {
	Unit, Name string
	FDs        []int
}
