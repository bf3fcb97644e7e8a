package core

// The sub-states of a service, grouped as its table uses them.
var (
	svcStarting = []Sub{SubCondition, SubStartPre, SubStart, SubStartPost}
	svcRunning  = []Sub{SubRunning}
	svcReloads  = []Sub{SubReload, SubReloadSignal, SubReloadNotify}
	svcSignals  = []Sub{SubStopWatchdog, SubStopSigterm, SubFinalSigterm}
	svcKills    = []Sub{SubStopSigkill, SubFinalSigkill}
	svcStopping = []Sub{SubStop, SubStopWatchdog, SubStopSigterm, SubStopSigkill, SubStopPost, SubFinalSigterm, SubFinalSigkill}
	svcAlive    = []Sub{SubCondition, SubStartPre, SubStart, SubStartPost, SubRunning, SubReload, SubReloadSignal, SubReloadNotify,
		SubStop, SubStopWatchdog, SubStopSigterm, SubStopSigkill, SubStopPost, SubFinalSigterm, SubFinalSigkill, SubAbandoned, SubExited}
)

// serviceMachine is docs/states.md, "Services".
var serviceMachine = table(machine{name: "service", upSub: SubRunning, limited: true, conditional: true, family: familyService}, []on{
	{InStart, ActBegin, []Sub{SubDead, SubFailed, SubAutoRestart}},
	{InStop, ActAbort, svcStarting},
	{InStop, ActStop, join(svcRunning, []Sub{SubExited}, svcReloads)},
	{InReload, ActReload, []Sub{SubRunning, SubExited}},
	{InSpawned, ActSpawned, svcAlive},
	{InSpawnFailed, ActSpawnFailed, svcAlive},
	{InMainExit, ActMainEnd, svcAlive},
	{InControlExit, ActControlEnd, svcAlive},
	{InEmpty, ActEmpty, svcAlive},
	{InReady, ActReady, []Sub{SubStart, SubRunning, SubReloadSignal, SubReloadNotify}},
	{InReloading, ActReloading, []Sub{SubRunning, SubReloadSignal}},
	{InStopping, ActStopping, join([]Sub{SubStart, SubStartPost}, svcRunning, svcReloads, svcStopping)},
	{InPing, ActPing, join(svcRunning, svcReloads)},
	{InAdopted, ActAdopted, svcAlive},
	{InTimeout, ActStartTimeout, svcStarting},
	{InTimeout, ActReloadTimeout, svcReloads},
	{InTimeout, ActStopTimeout, join([]Sub{SubStop, SubStopPost}, svcSignals)},
	{InTimeout, ActKillTimeout, svcKills},
	{InReadyTimer, ActReadyTimer, []Sub{SubStart}},
	{InWatchdog, ActWatchdog, join(svcRunning, svcReloads)},
	{InRuntimeMax, ActRuntimeMax, join(svcRunning, svcReloads)},
	{InHealthTimer, ActHealthTimer, join(svcRunning, svcReloads)},
	{InHealthResult, ActHealthResult, join(svcRunning, svcReloads)},
	{InStable, ActStable, join(svcRunning, svcReloads)},
	{InStable, ActReadyTimer, []Sub{SubStart}},
	{InOOM, ActOOM, join(svcStarting, svcRunning, svcReloads)},
	{InNameUp, ActNameUp, []Sub{SubStart}},
	{InNameLost, ActNameLost, join(svcRunning, svcReloads)},
})

func join(groups ...[]Sub) []Sub {
	var all []Sub
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}
