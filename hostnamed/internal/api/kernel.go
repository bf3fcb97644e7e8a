package api

import (
	"context"
	"time"

	"dynamod/internal/sys/virt"
)

// Kernel is what of the machine is not in files, and what no test may touch: its name and
// its clocks. Tests have one of their own, always.
type Kernel interface {
	// Uname is uname(2).
	Uname() (Uname, error)
	// SetHostname is sethostname(2).
	SetHostname(name string) error
	// Virt is what the system runs in.
	Virt() virt.Found
	// CID is the address for vsock(7), host.NoCID if there is none.
	CID() uint32

	// Now is the system's clock.
	Now() time.Time
	// SetClock sets it.
	SetClock(t time.Time) error
	// SetZone tells the kernel the time zone, in minutes west of Greenwich, without a change
	// of the clock.
	SetZone(minutesWest int) error
	// ReadRTC is what the hardware clock shows, as a time in UTC with the clock's fields.
	ReadRTC() (time.Time, error)
	// WriteRTC makes it show the fields of a time.
	WriteRTC(shown time.Time) error
	// LoadKeys gives the console a keymap, and another one to toggle to unless "" (loadkeys(1)).
	// Both have been checked to be installed ones.
	LoadKeys(keymap, toggle string) error
	// MaxError is the kernel's estimate of the clock's error, in microseconds (adjtimex(2)).
	MaxError() (int64, error)
}

// Uname are the fields of uname(2) that are shown.
type Uname struct{ Sysname, Node, Release, Version string }

// Units is what is asked of the service manager. Every call ends in bounded time.
type Units interface {
	// Look says whether there is a service that may be started, and whether it runs.
	Look(ctx context.Context, unit string) (exists, active bool, err error)
	// Enable makes it start at boot, and Start starts it; Disable and Stop undo that.
	Enable(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	// Restart begins a restart and does not wait for its end.
	Restart(ctx context.Context, unit string) error
	// SetEnvironment makes services that are started from now on have variables, instead of
	// those that are named.
	SetEnvironment(ctx context.Context, set, unset []string) error
}
