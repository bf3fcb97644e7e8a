// Package api is what the manager's clients meet: it implements ipc.Handler. A
// request becomes a core event, a look at the core becomes an answer, what the
// core publishes becomes events.
//
// It owns the access rules of the control socket (each verb passes one gate, in
// access.go), names as people type them, dry runs, the words of `why`, and pages.
// It refuses to decide what happens to units (the core does), to touch processes,
// cgroups or files (Manager does), and to know the wire (internal/ipc does).
//
// Handle runs on the goroutines of connections. It sees the core only within
// Manager.Query, on the loop's goroutine: what it does there is short, touches no
// file, and copies what it needs. Published runs on the loop's goroutine and must
// not call Query.
package api
