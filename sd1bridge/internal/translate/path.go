package translate

import "dynamod/internal/bus/label"

// The root of all object paths (org.freedesktop.systemd1(5)).
const (
	ManagerPath = "/org/freedesktop/systemd1"
	UnitsPath   = ManagerPath + "/unit"
	JobsPath    = ManagerPath + "/job"
)

// Label escapes a name for use as one element of an object path, Unlabel is the reverse;
// false for what Label never gives.
func Label(name string) string { return label.Escape(name) }

func Unlabel(text string) (string, bool) { return label.Unescape(text) }

// UnitPath is the object path of a unit.
func UnitPath(name string) string { return UnitsPath + "/" + Label(name) }
