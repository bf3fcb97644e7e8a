package world

import (
	"fmt"

	"dynamod/sdnotify"
	"dynamod/svmgr/internal/core"
)

// NotifyFor takes a notification that somebody else makes for a process of a unit.
// Whether it counts is decided as if the process had sent it (NotifyAccess=). An
// error says that it is none, or that the process is not one of the unit.
func (w *World) NotifyFor(unitName string, pid int, state string) error {
	m, err := sdnotify.Parse([]byte(state))
	if err != nil {
		return err
	}
	if m.Barrier || m.FDStore {
		return fmt.Errorf("BARRIER=1 and FDSTORE=1 come with descriptors, which only the process itself can send")
	}
	if len(m.Bad) > 0 {
		return fmt.Errorf("the value of %s cannot be read", printable(m.Bad[0]))
	}
	o, ok := w.runOf(pid)
	if !ok || o.Unit != unitName {
		return fmt.Errorf("process %d does not belong to %s", pid, unitName)
	}
	ev := core.Notified{Unit: o.Unit, Incarnation: o.Incarnation, Run: o.Run, Notification: notification(m)}
	if w.isMainAlready(o, m.MainPID) {
		ev.MainPID = 0
	}
	w.tell(ev)
	return nil
}
