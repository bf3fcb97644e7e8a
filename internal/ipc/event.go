package ipc

// The kinds of events.
const (
	EventUnit       = "unit"        // a unit changed its state
	EventUnitNew    = "unit-new"    // a unit was loaded
	EventUnitGone   = "unit-gone"   // a unit was forgotten
	EventStatus     = "status"      // status text, main process or counters changed
	EventJobNew     = "job-new"     // a job was queued
	EventJobDone    = "job-done"    // a job ended
	EventReloaded   = "reloaded"    // a new generation is in force
	EventStarted    = "started"     // the boot transaction has ended
	EventDegraded   = "degraded"    // the root supervisor gave something up
	EventShutdown   = "shutdown"    // the ordered stop began
	EventBusName    = "bus-name"    // a bus name is wanted or no longer wanted
	EventDropped    = "dropped"     // Count events were not sent: read faster
	EventServerGone = "server-gone" // the manager ends or re-executes: connect again
)

// EventKinds are all kinds, in the order of the documentation.
var EventKinds = []string{EventUnit, EventUnitNew, EventUnitGone, EventStatus, EventJobNew, EventJobDone,
	EventReloaded, EventStarted, EventDegraded, EventShutdown, EventBusName, EventDropped, EventServerGone}

// Event is something that happened, pushed to subscribers. Which fields are set
// depends on Kind.
type Event struct {
	// Seq grows by one per event of this manager; the server sets it. Events
	// that a filter held back leave gaps, lost ones are told by EventDropped.
	Seq  uint64 `json:"seq"`
	At   Stamp  `json:"at"`
	Kind string `json:"kind"`
	Unit string `json:"unit,omitempty"`
	// From, State and Sub are of EventUnit, and PID of EventStatus.
	From   string `json:"from,omitempty"`
	State  string `json:"state,omitempty"`
	Active string `json:"active,omitempty"`
	Sub    string `json:"sub,omitempty"`
	Cause  *Cause `json:"cause,omitempty"`
	PID    int32  `json:"pid,omitempty"`
	Text   string `json:"text,omitempty"`
	// Job and JobType are of EventJobNew and EventJobDone, and of EventUnit when a job
	// of the unit is under way; the rest of the first two.
	Job     uint32 `json:"job,omitempty"`
	JobType string `json:"job_type,omitempty"`
	Result  string `json:"result,omitempty"`
	Source  string `json:"source,omitempty"`
	// Count is of EventDropped. Of an event that came of several (SubscribeArgs.Merge) it is
	// how many others it stands for; From is that of the first of them.
	Count uint64 `json:"count,omitempty"`
}
