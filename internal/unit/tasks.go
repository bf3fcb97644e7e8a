package unit

import "dynamod/internal/unitname"

// TasksLimit is how many tasks the unit may have: what it says itself, else for all unit
// files but slices 15 % of what there can be (systemd-system.conf(5), DefaultTasksMax=),
// so that a fork bomb in one service leaves room to end it. Native services have no limit
// that they do not ask for.
func TasksLimit(u *Unit) Quantity {
	switch {
	case TasksMax.IsSet(u):
		return TasksMax.Of(u)
	case u.Format == UnitFile && u.Type != unitname.Slice:
		return Quantity{N: 150, Permille: true}
	}
	return Quantity{Infinite: true}
}
