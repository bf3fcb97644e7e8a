package device

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of ioctl_console(2), and their values (linux/vt.h, linux/kd.h).
const (
	kdSetMode   = 0x4b3a
	kdSetKbMode = 0x4b45
	vtSetMode   = 0x5602
	vtGetState  = 0x5603
	vtRelDisp   = 0x5605
	vtActivate  = 0x5606

	kdText, kdGraphics        = 0, 1
	kXlate, kUnicode          = 1, 3
	kOff                      = 4
	vtAuto, vtProcess         = 0, 1
	vtAckAcquire              = 2
	relSignal                 = syscall.Signal(35) // Go keeps what is below to itself
	acqSignal                 = syscall.Signal(36)
	maxVT                     = 63
	statesOfVTs               = 16 // VT_GETSTATE tells of so many
	noOwner            uint32 = 1<<32 - 1
)

// setMode is struct vt_mode.
type setMode struct {
	mode, wait      int8
	rel, acq, freed int16
}

// Terminals are the machine's virtual terminals.
type Terminals struct {
	root string
	// The kernel asks the thread that has called VT_SETMODE, and takes the terminal for
	// an ordinary one again when that thread has ended: all calls are made on one thread
	// that does not end before Close.
	calls chan func()
	done  chan struct{}
	// heard is closed when no more signals are.
	heard   chan struct{}
	signals chan os.Signal

	mu   sync.Mutex
	held map[uint32]*heldVT
	rest *os.File // of ReserveVT=
}

type heldVT struct {
	file *os.File
	// owner is whose it was, noOwner if that is not known.
	owner uint32
}

// NewTerminals begins to hear the kernel's questions: leave is asked before the terminal
// in front is hidden, and ends with Leave; shown is told when one of ours is in front.
func NewTerminals(root string, leave, shown func()) *Terminals {
	t := &Terminals{root: root, calls: make(chan func()), done: make(chan struct{}), heard: make(chan struct{}), signals: make(chan os.Signal, 64), held: map[uint32]*heldVT{}}
	signal.Notify(t.signals, relSignal, acqSignal)
	go func() { // ends with Close
		runtime.LockOSThread()
		defer close(t.done)
		for f := range t.calls {
			f()
		}
	}()
	go func() { // ends with Close
		defer close(t.heard)
		for s := range t.signals {
			if s == relSignal {
				leave()
			} else {
				t.acknowledge()
				shown()
			}
		}
	}()
	return t
}

// Close lets go of all terminals; they stay as they are, for the next one.
func (t *Terminals) Close() {
	signal.Stop(t.signals)
	close(t.signals)
	<-t.heard // who hears a signal may call
	close(t.calls)
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.held {
		h.file.Close()
	}
	if t.rest != nil {
		t.rest.Close()
	}
}

func (t *Terminals) do(f func() error) error {
	ch := make(chan error, 1)
	t.calls <- func() { ch <- f() }
	return <-ch
}

func (t *Terminals) open(vt uint32) (*os.File, error) {
	if vt > maxVT {
		return nil, fmt.Errorf("there is no terminal %d", vt)
	}
	path := filepath.Join(t.root, "dev/tty"+strconv.FormatUint(uint64(vt), 10))
	return openQuietly(path)
}

// Take makes a terminal one whose keys and pixels are its session's alone, and whose
// switches the kernel asks about.
func (t *Terminals) Take(vt, uid uint32) error {
	return t.do(func() error {
		f, err := t.open(vt)
		if err != nil {
			return err
		}
		h := &heldVT{f, noOwner}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err == nil && st.Uid != uid {
			h.owner = st.Uid
			err = f.Chown(int(uid), -1)
			if err != nil {
				f.Close()
				return fmt.Errorf("give terminal %d to user %d: %w", vt, uid, err)
			}
		}
		fd := int(f.Fd())
		err = errors.Join(named("K_OFF", unix.IoctlSetInt(fd, kdSetKbMode, kOff)), named("KD_GRAPHICS", unix.IoctlSetInt(fd, kdSetMode, kdGraphics)),
			named("VT_PROCESS", vtMode(fd, setMode{mode: vtProcess, rel: int16(relSignal), acq: int16(acqSignal)})))
		if err != nil {
			t.back(h)
			f.Close()
			return fmt.Errorf("take terminal %d: %w", vt, err)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if old := t.held[vt]; old != nil {
			old.file.Close()
		}
		t.held[vt] = h
		return nil
	})
}

func named(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func vtMode(fd int, m setMode) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), vtSetMode, uintptr(unsafe.Pointer(&m))); e != 0 {
		return e
	}
	return nil
}

// Give makes a terminal that was taken an ordinary one again.
func (t *Terminals) Give(vt uint32) error {
	t.mu.Lock()
	h := t.held[vt]
	delete(t.held, vt)
	t.mu.Unlock()
	if h == nil {
		return nil
	}
	return t.do(func() error {
		defer h.file.Close()
		return t.back(h)
	})
}

func (t *Terminals) back(h *heldVT) error {
	fd := int(h.file.Fd())
	keys := kUnicode
	if data, err := os.ReadFile(filepath.Join(t.root, "sys/module/vt/parameters/default_utf8")); err == nil && strings.TrimSpace(string(data)) == "0" {
		keys = kXlate
	}
	err := errors.Join(named("KD_TEXT", unix.IoctlSetInt(fd, kdSetMode, kdText)), named("keyboard mode", unix.IoctlSetInt(fd, kdSetKbMode, keys)),
		named("VT_AUTO", vtMode(fd, setMode{mode: vtAuto})))
	if h.owner != noOwner {
		err = errors.Join(err, h.file.Chown(int(h.owner), -1))
	}
	return err
}

// Leave lets the kernel hide a terminal that was taken.
func (t *Terminals) Leave(vt uint32) error {
	t.mu.Lock()
	h := t.held[vt]
	t.mu.Unlock()
	if h == nil {
		return fmt.Errorf("terminal %d was not taken", vt)
	}
	return t.do(func() error { return named("VT_RELDISP", unix.IoctlSetInt(int(h.file.Fd()), vtRelDisp, 1)) })
}

// acknowledge tells the kernel that its terminal being in front was noticed.
func (t *Terminals) acknowledge() {
	vt, err := t.Shown()
	if err != nil {
		return // Shown is asked again by who is told
	}
	t.mu.Lock()
	h := t.held[vt]
	t.mu.Unlock()
	if h != nil {
		// The kernel does not wait for it, and takes no harm from its absence.
		_ = t.do(func() error { return unix.IoctlSetInt(int(h.file.Fd()), vtRelDisp, vtAckAcquire) })
	}
}

// Shown is the terminal in front.
func (t *Terminals) Shown() (uint32, error) {
	data, err := os.ReadFile(filepath.Join(t.root, "sys/class/tty/tty0/active"))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(data)), "tty"), 10, 32)
	return uint32(n), err
}

// Show brings a terminal to the front, now or when who has the one in front lets it go.
func (t *Terminals) Show(vt uint32) error {
	f, err := t.open(0)
	if err != nil {
		return fmt.Errorf("switch terminals: %w", err)
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), vtActivate, int(vt)); err != nil {
		return fmt.Errorf("switch to terminal %d: %w", vt, err)
	}
	return nil
}

// Busy says that somebody has a terminal open. The kernel tells of the first 15; of
// others it is said that they are.
func (t *Terminals) Busy(vt uint32) (bool, error) {
	if vt == 0 || vt >= statesOfVTs {
		return true, nil
	}
	// Not terminal 0: that is the one in front, which would be in use by us then.
	other := uint32(1)
	if vt == other {
		other = 2
	}
	f, err := t.open(other)
	if err != nil {
		return true, err
	}
	defer f.Close()
	var state struct{ active, signal, state uint16 }
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), vtGetState, uintptr(unsafe.Pointer(&state))); e != 0 {
		return true, fmt.Errorf("VT_GETSTATE: %w", e)
	}
	t.mu.Lock()
	reserved := t.rest != nil && strings.HasSuffix(t.rest.Name(), "/tty"+strconv.FormatUint(uint64(vt), 10))
	t.mu.Unlock()
	return state.state&(1<<vt) != 0 && !reserved, nil
}

// Reserve keeps a terminal open, so that nobody who looks for a free one gets it; 0 ends
// that (logind.conf(5), ReserveVT=).
func (t *Terminals) Reserve(vt uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rest != nil {
		t.rest.Close()
		t.rest = nil
	}
	if vt == 0 {
		return nil
	}
	f, err := t.open(vt)
	if err != nil {
		return fmt.Errorf("reserve terminal %d: %w", vt, err)
	}
	t.rest = f
	return nil
}
