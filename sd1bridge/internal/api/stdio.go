package api

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
)

// maxStdio bounds the units whose descriptors are held.
const maxStdio = 512

// stdio are the descriptors that clients want as the standard input, output and error
// of units (systemd-run(1), --pty and --pipe). The manager finds them
// by /proc/PID/fd of this process. They are held while the unit is up.
type stdio struct {
	mu sync.Mutex
	by map[string][]int
}

// standard says whether a property is one of the three, and which setting it is.
func standard(property string) (setting, open string) {
	switch property {
	case "StandardInputFileDescriptor":
		return "StandardInput", "file:"
	case "StandardOutputFileDescriptor":
		return "StandardOutput", "append:"
	case "StandardErrorFileDescriptor":
		return "StandardError", "append:"
	}
	return "", ""
}

// takeStdio takes a descriptor of the call for a unit.
func (m *made) takeStdio(c *bus.Call, section, property string, value any) error {
	setting, open := standard(property)
	fd, ok := value.(dbus.UnixFD)
	if !ok || section != "Service" {
		return badProperty(property)
	}
	own := c.TakeFD(fd)
	if own < 0 {
		return bus.Errorf(bus.ErrInvalidArgs, "The descriptor of %s is used twice.", property)
	}
	m.stdio = append(m.stdio, own)
	m.lines = append(m.lines, ipc.Setting{Section: section, Key: setting,
		Value: open + "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(own)})
	return nil
}

// drop closes what was taken for a unit that is not made.
func (m *made) drop() {
	for _, fd := range m.stdio {
		unix.Close(fd)
	}
	m.stdio = nil
}

// hold keeps the descriptors of a unit until release.
func (s *stdio) hold(m *made) error {
	if len(m.stdio) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.by) >= maxStdio || s.by[m.name] != nil {
		return bus.Errorf(bus.ErrLimitsExceeded, "Too many descriptors are held.")
	}
	s.by[m.name], m.stdio = m.stdio, nil
	return nil
}

// release closes the descriptors of a unit.
func (s *stdio) release(unit string) {
	s.mu.Lock()
	fds := s.by[unit]
	delete(s.by, unit)
	s.mu.Unlock()
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// ended says whether an event tells that a unit is down.
func ended(e ipc.Event) bool {
	return e.Kind == ipc.EventUnitGone || e.Kind == ipc.EventUnit && strings.Contains(" inactive failed ", " "+e.Active+" ")
}
