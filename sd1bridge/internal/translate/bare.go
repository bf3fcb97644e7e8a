package translate

import (
	"math"
	"strings"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// anyPolicy is the policy for images that none says (systemd.image-policy(7)), as
// systemd 257 shows it.
const anyPolicy = "root=verity+signed+encrypted+unprotected+absent:usr=verity+signed+encrypted+unprotected+absent:home=encrypted+unprotected+absent:" +
	"srv=encrypted+unprotected+absent:tmp=encrypted+unprotected+absent:var=encrypted+unprotected+absent"

// bare are the values of settings that a unit does not have, where they are not the
// default that counts: recorded from systemd 257, with the reason where one is known.
var bare = map[string]any{
	"CPUQuotaPeriodUSec": uint64(infinity), // there is no quota to have a period
	"NUMAPolicy":         int32(-1),
	"TimerSlackNSec":     uint64(50_000), // the kernel's, prctl(2), PR_SET_TIMERSLACK
	"LogLevelMax":        int32(-1),
	"IOSchedulingClass":  int32(2), // ioprio_set(2): best effort follows from no class
	"TTYPath":            "",
	"Backlog":            uint32(math.MaxInt32),
	"RootImagePolicy":    anyPolicy, "MountImagePolicy": anyPolicy, "ExtensionImagePolicy": anyPolicy,
}

// derived are values that follow from other settings of the unit.
func derived(u *unit.Unit, s *unit.Setting, sig string, m Machine) (any, bool) {
	own := strings.ToUpper(u.Type.String()[:1]) + u.Type.String()[1:]
	from := func(name string) (any, bool) {
		row, ok := unit.LookupDirective(own, name)
		if !ok {
			return nil, false
		}
		return Setting(u, row, sig, m)
	}
	// A unit that was not found is as it was before any file was read: nothing that
	// follows from its commands has been worked out.
	if u.Load == unit.NotFound && u.Type == unitname.Service {
		switch s.DBus {
		case "Type", "OOMPolicy":
			return "", sig == "s"
		case "StandardOutput":
			return "inherit", sig == "s"
		case "TimeoutStartUSec":
			return uint64(90_000_000), sig == "t" // DefaultTimeoutStartSec=
		}
	}
	switch s.DBus {
	case "StandardOutput":
		if u.Name == "-.mount" { // nothing is ever run to mount it
			return "null", sig == "s"
		}
	case "TasksMax":
		return fromQuantity(s, unit.TasksLimit(u), sig, m)
	case "RestartKillSignal":
		return from("KillSignal") // systemd.kill(5)
	case "TimeoutAbortUSec":
		return from("TimeoutStopSec") // systemd.service(5)
	case "KeyringMode":
		if own != "Service" && sig == "s" {
			return "shared", true // "private" is the default of services alone, systemd.exec(5)
		}
	case "FileDescriptorName":
		return u.Name, sig == "s" // systemd.socket(5)
	case "IgnoreOnIsolate": // systemd.unit(5)
		switch u.Type {
		case unitname.Mount, unitname.Automount, unitname.Swap, unitname.Slice, unitname.Scope, unitname.Device:
			return true, sig == "b"
		}
	case "SetLoginEnvironment":
		return unit.User.Of(u) != "", sig == "b" // systemd.exec(5)
	}
	v, ok := bare[s.DBus]
	return v, ok
}
