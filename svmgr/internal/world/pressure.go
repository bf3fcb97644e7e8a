package world

import (
	"encoding/base64"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
)

// pressureWindow is the window over which the threshold of MemoryPressureThresholdSec= is
// counted (systemd.resource-control(5)).
const pressureWindow = 2_000_000 // µs

// watchesPressure says that the unit's processes are told about memory pressure. With
// "auto" they are where its memory is measured; a kernel without PSI has no such file.
func watchesPressure(dir string, u *unit.Unit) bool {
	switch unit.MemoryPressureWatch.Of(u) {
	case "yes":
	case "auto":
		if !unit.MemoryAccounting.Of(u) {
			return false
		}
	default:
		return false
	}
	return dir != "" && unix.Access(dir+"/memory.pressure", unix.F_OK) == nil
}

// pressureEnvironment is the protocol of systemd.resource-control(5),
// MemoryPressureWatch=: where to watch, and what to write there first.
func pressureEnvironment(dir string, u *unit.Unit) []string {
	if unit.MemoryPressureWatch.Of(u) == "no" {
		return []string{"MEMORY_PRESSURE_WATCH=/dev/null"}
	}
	if !watchesPressure(dir, u) {
		return nil
	}
	trigger := fmt.Sprintf("some %d %d\x00", unit.MemoryPressureThresholdSec.Of(u).Microseconds(), pressureWindow)
	return []string{"MEMORY_PRESSURE_WATCH=" + dir + "/memory.pressure", "MEMORY_PRESSURE_WRITE=" + base64.StdEncoding.EncodeToString([]byte(trigger))}
}

// showPressure lets the unit's user write the trigger.
func (w *World) showPressure(dir string, u *unit.Unit) error {
	if unit.User.Of(u) == "" && !unit.DynamicUser.Of(u) || !watchesPressure(dir, u) || os.Geteuid() != 0 {
		return nil
	}
	id, err := w.identify(u)
	if err != nil {
		return nil // the start fails for it, and says so
	}
	return os.Chown(dir+"/memory.pressure", int(id.uid), int(id.gid))
}
