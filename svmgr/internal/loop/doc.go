// Package loop joins the deciding core and the acting world: receive one event,
// Step, write it down, perform the actions, arm one timer. It owns the one
// goroutine that may touch the core, the clock, and the record on disk from which
// a killed manager goes on. It refuses to decide and to act.
package loop
