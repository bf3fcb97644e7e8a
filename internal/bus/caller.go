package bus

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Caller is who is at the other end, as the kernel or the bus daemon knows it;
// nothing of it is what the caller says.
type Caller struct {
	UID uint32
	PID int32
	// PIDFD holds on to the process, -1 where kernel or bus give none. It
	// belongs to the Caller; duplicate it to keep it.
	PIDFD int
	// Sender is its unique name on the bus, "" on a private socket.
	Sender string
}

// Alive says that PID is still the process that called. Without a pidfd nobody can
// tell, and the answer is no.
func (c *Caller) Alive() bool {
	return c.PIDFD >= 0 && unix.PidfdSendSignal(c.PIDFD, 0, nil, 0) != unix.ESRCH
}

// Process is PID for who goes by that alone: an error if the process is known to be gone, for
// then the number may be another's.
func (c *Caller) Process() (int32, error) {
	if c.PIDFD >= 0 && !c.Alive() {
		return 0, Errorf(ErrFailed, "The caller, process %d, is gone.", c.PID)
	}
	return c.PID, nil
}

// Cgroup is the caller's cgroup as /proc/PID/cgroup shows it, checked against the
// pidfd after reading: "" and an error if the process is gone.
func (c *Caller) Cgroup() (string, error) {
	data, err := readProc(c.PID, "cgroup")
	if err != nil {
		return "", fmt.Errorf("cgroup of process %d: %w", c.PID, err)
	}
	if !c.Alive() {
		return "", fmt.Errorf("cgroup of process %d: it is gone", c.PID)
	}
	for line := range strings.Lines(data) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(rest, "\n"), nil
		}
	}
	return "", fmt.Errorf("cgroup of process %d: it is in no cgroup2 hierarchy", c.PID)
}

func (c *Caller) close() {
	if c.PIDFD >= 0 {
		unix.Close(c.PIDFD)
		c.PIDFD = -1
	}
}

// peerOf asks the kernel who connected (unix(7), SO_PEERCRED, SO_PEERPIDFD).
func peerOf(nc *net.UnixConn) (*Caller, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Caller{PIDFD: -1}
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			failed = err
			return
		}
		c.UID, c.PID = cred.Uid, cred.Pid
		if pidfd, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			unix.CloseOnExec(pidfd)
			c.PIDFD = pidfd
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, fmt.Errorf("ask who connected: %w", err)
	}
	return c, nil
}

// callers remembers who has which unique name: the bus never gives one twice.
type callers struct {
	mu    sync.Mutex
	known map[string]*Caller
}

// maxCallers bounds what is remembered: whoever left the bus is there too, and its process
// is held on to.
const maxCallers = 64

// credentialsTimeout is how long the bus daemon may take to answer.
const credentialsTimeout = 5 * time.Second

func (k *callers) of(c *conn, sender string) (*Caller, error) {
	if sender == "" {
		return nil, Errorf(ErrAccessDenied, "the sender of the call is not known")
	}
	k.mu.Lock()
	have := k.known[sender]
	k.mu.Unlock()
	if have != nil {
		return have, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, credentialsTimeout)
	defer cancel()
	m, err := c.call(ctx, busName, busPath, busName, "GetConnectionCredentials", sender)
	if err != nil {
		return nil, fmt.Errorf("ask the bus who %s is: %w", sender, err)
	}
	defer m.closeFDs()
	var values map[string]dbus.Variant
	if err := dbus.Store(m.Body, &values); err != nil {
		return nil, fmt.Errorf("ask the bus who %s is: %w", sender, err)
	}
	found := &Caller{PIDFD: -1, Sender: sender}
	// A call that is under way may still look at it when it is not remembered any more:
	// its descriptor is closed when nobody has it any more.
	runtime.SetFinalizer(found, (*Caller).close)
	uid, ok := values["UnixUserID"].Value().(uint32)
	if !ok {
		return nil, Errorf(ErrAccessDenied, "the bus does not know the user of %s", sender)
	}
	found.UID = uid
	if pid, ok := values["ProcessID"].Value().(uint32); ok {
		found.PID = int32(pid)
	}
	if fd, ok := values["ProcessFD"].Value().(dbus.UnixFD); ok {
		for i, have := range m.fds {
			if have == int(fd) {
				found.PIDFD, m.fds[i] = have, -1
			}
		}
	}
	if found.PIDFD < 0 && found.PID > 0 {
		// A bus daemon before 1.15.8 hands no descriptor on. One that is opened
		// by number is the caller's if the caller is still on the bus afterwards.
		if fd, err := unix.PidfdOpen(int(found.PID), 0); err == nil {
			found.PIDFD = fd
			again, err := c.call(ctx, busName, busPath, busName, "GetConnectionUnixProcessID", sender)
			if err != nil {
				return nil, fmt.Errorf("ask the bus who %s is: %w", sender, err)
			}
			again.closeFDs()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if other := k.known[sender]; other != nil {
		return other, nil
	}
	for old := range k.known { // any one
		if len(k.known) < maxCallers {
			break
		}
		delete(k.known, old)
	}
	k.known[sender] = found
	return found, nil
}

// clear forgets all: another bus gives the same names to others.
func (k *callers) clear() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
}

// startTime is field 22 of /proc/PID/stat (proc_pid_stat(5)), in clock ticks since
// boot: with it, polkit knows a process that it cannot hold by pidfd.
func startTime(pid int32) (uint64, error) {
	data, err := readProc(pid, "stat")
	if err != nil {
		return 0, err
	}
	f := strings.Fields(data[strings.LastIndexByte(data, ')')+1:])
	if len(f) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	return strconv.ParseUint(f[19], 10, 64)
}
