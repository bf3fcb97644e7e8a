package ipc

import "time"

// Limits of the protocol. docs/ipc.md names them; a test compares.
const (
	// MaxMessage bounds a DM frame's payload and a JSON line in both
	// directions.
	MaxMessage = 65536
	// MaxPerUser is how many connections one uid may have, MaxConnections how
	// many all but root may have together; root's own MaxPerUser come on top,
	// so that nobody can lock the operator out.
	MaxPerUser     = 32
	MaxConnections = 96
	// MaxWaiting is how many requests of one connection may wait for a job.
	MaxWaiting = 16
	// MaxQueued is how many events may wait for a client to read them.
	MaxQueued = 256
	// MaxMerged is how many may wait for one that subscribed with Merge, if it is root or the
	// manager's own user: it has at most one for what a unit is, besides those of jobs.
	MaxMerged = 16384
	// MaxRows is how many rows a handler needs to put on a page at most; more
	// never fit into MaxMessage.
	MaxRows = 1024
	// IdleTimeout is how long a client may take for its next request, or to
	// finish one that it began. Who waits for a job or for events is not idle.
	IdleTimeout = 30 * time.Second
	// WriteTimeout is how long a client may take to read an answer.
	WriteTimeout = 10 * time.Second
	// DMGrace is how long the answer to a start, stop or restart by DM frame
	// waits for the job, so that a failure is told: the original's clients
	// wait 10 s.
	DMGrace = 5 * time.Second
)

// SocketPath is where the system's manager listens.
const SocketPath = "/run/dynamod/control.sock"
