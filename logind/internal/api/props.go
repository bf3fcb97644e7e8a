package api

import (
	"math"
	"slices"
	"strconv"

	"github.com/godbus/dbus/v5"

	"dynamod/logind/internal/conf"
	"dynamod/logind/internal/session"
)

// get makes a getter of a view's value.
func get[V, T any](f func(*V) T) func(any) (any, error) {
	return func(o any) (any, error) { return f(o.(*V)), nil }
}

// metadata says what kind of shutdown is under way (org.freedesktop.login1(5),
// PrepareForShutdownWithMetadata).
func metadata(t *session.Transition) map[string]dbus.Variant {
	out := map[string]dbus.Variant{}
	if t != nil && t.What() == "shutdown" {
		kind := t.Verb
		if kind == "poweroff" {
			kind = "power-off"
		}
		out["type"] = dbus.MakeVariant(kind)
	}
	return out
}

func pendingIs(what string) func(*managerView) bool {
	return func(v *managerView) bool { return v.pending != nil && v.pending.What() == what }
}

// getters are what stands behind the properties.
func (s *Server) getters() map[string]func(any) (any, error) {
	m := map[string]func(any) (any, error){
		"Manager.ScheduledShutdown":         get(func(v *managerView) schedule { return v.scheduled }),
		"Manager.DesignatedMaintenanceTime": get(func(*managerView) string { return s.config().Maintenance }),
		"Manager.WallMessage":               get(func(v *managerView) string { return v.wall }),
		"Manager.EnableWallMessages":        get(func(v *managerView) bool { return v.wallOn }),
		"Manager.RemoveIPC":                 get(func(*managerView) bool { return s.config().RemoveIPC }),
		"Manager.LidClosed":                 get(func(v *managerView) bool { return v.lid.Closed }),
		"Manager.Docked":                    get(func(v *managerView) bool { return v.lid.Docked || v.lid.Displays > 1 }),
		"Manager.OnExternalPower":           get(func(*managerView) bool { return s.hardware.External() }),
		"Manager.HoldoffTimeoutUSec":        get(func(*managerView) uint64 { return uint64(s.config().Holdoff) }),
		"Manager.IdleActionUSec":            get(func(*managerView) uint64 { return uint64(s.config().IdleAfter) }),
		"Manager.StopIdleSessionUSec": get(func(*managerView) uint64 {
			if d := s.config().StopIdle; d != 0 {
				return uint64(d)
			}
			return math.MaxUint64
		}),
		"Manager.SleepOperation":       get(func(*managerView) []string { return slices.Clone(s.config().Sleep) }),
		"Manager.BlockInhibited":       get(func(v *managerView) string { return v.inhibited["block"] }),
		"Manager.BlockWeakInhibited":   get(func(v *managerView) string { return v.inhibited["block-weak"] }),
		"Manager.DelayInhibited":       get(func(v *managerView) string { return v.inhibited["delay"] }),
		"Manager.NCurrentInhibitors":   get(func(v *managerView) uint64 { return uint64(v.inhibitors) }),
		"Manager.NCurrentSessions":     get(func(v *managerView) uint64 { return uint64(v.sessions) }),
		"Manager.InhibitorsMax":        get(func(*managerView) uint64 { return uint64(s.config().Inhibitors) }),
		"Manager.SessionsMax":          get(func(*managerView) uint64 { return uint64(s.config().Sessions) }),
		"Manager.InhibitDelayMaxUSec":  get(func(*managerView) uint64 { return uint64(s.config().InhibitDelay) }),
		"Manager.UserStopDelayUSec":    get(func(*managerView) uint64 { return uint64(s.config().UserStopDelay) }),
		"Manager.KillUserProcesses":    get(func(*managerView) bool { return s.config().KillUserProcesses }),
		"Manager.KillOnlyUsers":        get(func(*managerView) []string { return slices.Clone(s.config().KillOnlyUsers) }),
		"Manager.KillExcludeUsers":     get(func(*managerView) []string { return slices.Clone(s.config().KillExclude) }),
		"Manager.RuntimeDirectorySize": get(func(*managerView) uint64 { c := s.config(); n, _ := c.RuntimeSize(memory()); return n }),
		"Manager.RuntimeDirectoryInodesMax": get(func(*managerView) uint64 {
			c := s.config()
			_, n := c.RuntimeSize(memory())
			return n
		}),
		"Manager.NAutoVTs":             get(func(*managerView) uint32 { return s.config().AutoVTs }),
		"Manager.PreparingForShutdown": get(pendingIs("shutdown")),
		"Manager.PreparingForSleep":    get(pendingIs("sleep")),
		"Manager.PreparingForShutdownWithMetadata": get(func(v *managerView) map[string]dbus.Variant {
			m := metadata(v.pending)
			m["preparing"] = dbus.MakeVariant(pendingIs("shutdown")(v))
			return m
		}),
		"Manager.IdleHint":               get(func(v *managerView) bool { return v.idle.hint }),
		"Manager.IdleSinceHint":          get(func(v *managerView) uint64 { return uint64(v.idle.since.Wall) }),
		"Manager.IdleSinceHintMonotonic": get(func(v *managerView) uint64 { return uint64(v.idle.since.Mono) }),

		"Session.Id":                 get(func(v *sessionView) string { return v.ID }),
		"Session.User":               get(func(v *sessionView) owner { return owner{v.UID, userPath(v.UID)} }),
		"Session.Name":               get(func(v *sessionView) string { return v.Session.User }),
		"Session.Timestamp":          get(func(v *sessionView) uint64 { return uint64(v.Created.Wall) }),
		"Session.TimestampMonotonic": get(func(v *sessionView) uint64 { return uint64(v.Created.Mono) }),
		"Session.VTNr":               get(func(v *sessionView) uint32 { return v.VTNr }),
		"Session.Seat": get(func(v *sessionView) named {
			if v.Seat == "" {
				return noSession
			}
			return named{v.Seat, seatPath(v.Seat)}
		}),
		"Session.TTY":        get(func(v *sessionView) string { return v.TTY }),
		"Session.Display":    get(func(v *sessionView) string { return v.Display }),
		"Session.Remote":     get(func(v *sessionView) bool { return v.Remote }),
		"Session.RemoteHost": get(func(v *sessionView) string { return v.RemoteHost }),
		"Session.RemoteUser": get(func(v *sessionView) string { return v.RemoteUser }),
		"Session.Service":    get(func(v *sessionView) string { return v.Service }),
		"Session.Desktop":    get(func(v *sessionView) string { return v.Desktop }),
		"Session.Scope":      get(func(v *sessionView) string { return v.Scope() }),
		"Session.Leader":     get(func(v *sessionView) uint32 { return uint32(v.Leader) }),
		"Session.Audit": get(func(v *sessionView) uint32 {
			if v.Audit == 1<<32-1 {
				return 0
			}
			return v.Audit
		}),
		"Session.Type":                   get(func(v *sessionView) string { return v.Type }),
		"Session.Class":                  get(func(v *sessionView) string { return v.Class }),
		"Session.Active":                 get(func(v *sessionView) bool { return v.active }),
		"Session.State":                  get(func(v *sessionView) string { return v.state }),
		"Session.IdleHint":               get(func(v *sessionView) bool { return v.Idle }),
		"Session.IdleSinceHint":          get(func(v *sessionView) uint64 { return uint64(v.IdleSince.Wall) }),
		"Session.IdleSinceHintMonotonic": get(func(v *sessionView) uint64 { return uint64(v.IdleSince.Mono) }),
		"Session.CanIdle":                get(func(v *sessionView) bool { return v.CanIdle() }),
		"Session.CanLock":                get(func(v *sessionView) bool { return canLock(&v.Session) }),
		"Session.LockedHint":             get(func(v *sessionView) bool { return v.Locked }),

		"Seat.Id": get(func(v *seatView) string { return v.ID }),
		"Seat.ActiveSession": get(func(v *seatView) named {
			if v.Active == "" {
				return noSession
			}
			return named{v.Active, sessionPath(v.Active)}
		}),
		"Seat.CanTTY":                 get(func(v *seatView) bool { return v.VTs }),
		"Seat.CanGraphical":           get(func(v *seatView) bool { return v.Graphical }),
		"Seat.Sessions":               get(func(v *seatView) []named { return v.sessions }),
		"Seat.IdleHint":               get(func(v *seatView) bool { return v.idle.hint }),
		"Seat.IdleSinceHint":          get(func(v *seatView) uint64 { return uint64(v.idle.since.Wall) }),
		"Seat.IdleSinceHintMonotonic": get(func(v *seatView) uint64 { return uint64(v.idle.since.Mono) }),

		"User.UID":                    get(func(v *userView) uint32 { return v.UID }),
		"User.GID":                    get(func(v *userView) uint32 { return v.GID }),
		"User.Name":                   get(func(v *userView) string { return v.Name }),
		"User.Timestamp":              get(func(v *userView) uint64 { return uint64(v.Since.Wall) }),
		"User.TimestampMonotonic":     get(func(v *userView) uint64 { return uint64(v.Since.Mono) }),
		"User.RuntimePath":            get(func(v *userView) string { return s.runtimeDir(v.UID) }),
		"User.Service":                get(func(v *userView) string { return "user@" + strconv.FormatUint(uint64(v.UID), 10) + ".service" }),
		"User.Slice":                  get(func(v *userView) string { return "user-" + strconv.FormatUint(uint64(v.UID), 10) + ".slice" }),
		"User.Display":                get(func(v *userView) named { return v.display }),
		"User.State":                  get(func(v *userView) string { return v.state }),
		"User.Sessions":               get(func(v *userView) []named { return v.sessions }),
		"User.IdleHint":               get(func(v *userView) bool { return v.idle.hint }),
		"User.IdleSinceHint":          get(func(v *userView) uint64 { return uint64(v.idle.since.Wall) }),
		"User.IdleSinceHintMonotonic": get(func(v *userView) uint64 { return uint64(v.idle.since.Mono) }),
		"User.Linger":                 get(func(v *userView) bool { return s.lingers(v.Name) }),
	}
	s.rebootGetters(m)
	for _, name := range conf.Reactions {
		// HandleLidSwitchExternalPower= that is not set is shown as empty, as systemd 257 does;
		// what happens then is HandleLidSwitch=.
		m["Manager."+name] = get(func(*managerView) string { return s.config().Do[name] })
	}
	return m
}

// canLock says that the class of the session has a screen to lock.
func canLock(x *session.Session) bool {
	switch x.Class {
	case "user", "user-early":
		return true
	}
	return false
}
