package core

// State is dynamod's own vocabulary, the same for all unit types. The mapping
// to other vocabularies is in features.md section 3 and sd1bridge.
type State uint8

const (
	// Inactive → Starting, Blocked, Skipped, Active (units without processes).
	Inactive State = iota
	// Blocked wants to run but a dependency failed or is missing;
	// → Starting when that mends, Inactive on stop or reset.
	Blocked
	// Starting → Active, Completed, Failed, Stopping.
	Starting
	// Active → Reloading, Stopping, Failed, RestartPending, Completed, Inactive.
	Active
	// Reloading → Active, Stopping, Failed.
	Reloading
	// Stopping → Inactive, Failed, RestartPending, Abandoned, Completed, Dormant.
	Stopping
	// Completed is a oneshot that did its work; it satisfies dependents.
	Completed
	// RestartPending → Starting (delay over), Inactive (stop), Failed.
	RestartPending
	// Failed is at rest; → Starting, Inactive (reset).
	Failed
	// Dormant gave up for a while; → Starting when its delay is over.
	Dormant
	// Abandoned could not be killed; → Inactive or Failed when it is gone.
	Abandoned
	// Skipped did not run because a condition was not met; it satisfies.
	Skipped
	numStates
)

var stateNames = [numStates]string{"inactive", "blocked", "starting", "active", "reloading",
	"stopping", "completed", "restart-pending", "failed", "dormant", "abandoned", "skipped"}

func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "state(?)"
}

// AtRest says that nothing is expected to happen by itself.
func (s State) AtRest() bool {
	switch s {
	case Inactive, Blocked, Completed, Failed, Skipped, Active:
		return true
	}
	return false
}

// Up says that processes or the thing itself exist: stop has work to do.
func (s State) Up() bool {
	switch s {
	case Starting, Active, Reloading, Stopping, Abandoned:
		return true
	}
	return false
}

// Sub is systemd's SubState; clients show it.
type Sub uint8

const (
	SubDead Sub = iota
	SubCondition
	SubStartPre
	SubStart
	SubStartPost
	SubRunning
	SubExited
	SubReload
	SubReloadSignal
	SubReloadNotify
	SubStop
	SubStopWatchdog
	SubStopSigterm
	SubStopSigkill
	SubStopPost
	SubFinalSigterm
	SubFinalSigkill
	SubFailed
	SubAutoRestart
	SubActive
	SubStartChown
	SubListening
	SubStopPre
	SubStopPreSigterm
	SubStopPreSigkill
	SubWaiting
	SubElapsed
	SubMounting
	SubMountingDone
	SubMounted
	SubRemounting
	SubUnmounting
	SubRemountingSigterm
	SubRemountingSigkill
	SubUnmountingSigterm
	SubUnmountingSigkill
	SubActivating
	SubActivatingDone
	SubDeactivating
	SubDeactivatingSigterm
	SubDeactivatingSigkill
	SubPlugged
	SubTentative
	SubAbandoned
	numSubs
)

var subNames = [numSubs]string{"dead", "condition", "start-pre", "start", "start-post", "running",
	"exited", "reload", "reload-signal", "reload-notify", "stop", "stop-watchdog", "stop-sigterm",
	"stop-sigkill", "stop-post", "final-sigterm", "final-sigkill", "failed", "auto-restart",
	"active", "start-chown", "listening", "stop-pre", "stop-pre-sigterm", "stop-pre-sigkill",
	"waiting", "elapsed", "mounting", "mounting-done", "mounted", "remounting", "unmounting",
	"remounting-sigterm", "remounting-sigkill", "unmounting-sigterm", "unmounting-sigkill",
	"activating", "activating-done", "deactivating", "deactivating-sigterm",
	"deactivating-sigkill", "plugged", "tentative", "abandoned"}

func (s Sub) String() string {
	if s < numSubs {
		return subNames[s]
	}
	return "sub(?)"
}

// JobResult is how a job ended (org.freedesktop.systemd1(5), JobRemoved).
type JobResult uint8

const (
	JobDone JobResult = iota
	JobCanceled
	JobTimeout
	JobFailed
	JobDependency
	JobSkipped
	JobInvalid
	JobAssert
	JobUnsupported
	JobCollected
	JobOnce
	// JobMerged: the job went into another one of the same unit.
	JobMerged
	numJobResults
)

var jobResultNames = [numJobResults]string{"done", "canceled", "timeout", "failed", "dependency",
	"skipped", "invalid", "assert", "unsupported", "collected", "once", "merged"}

func (r JobResult) String() string {
	if r < numJobResults {
		return jobResultNames[r]
	}
	return "result(?)"
}
