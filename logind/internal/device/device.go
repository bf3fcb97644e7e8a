// Package device touches what a seat has: it finds the devices of udev's database, opens
// and mutes them, changes their ACLs, and handles virtual terminals. It decides nothing:
// that is the part of logind/internal/session.
package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/acl"
	"dynamod/internal/sys/uevent"
	"dynamod/logind/internal/session"
)

// Tags of udev that mean something here (sd-login(3), udev(7)).
const (
	seatTag    = "seat"
	masterTag  = "master-of-seat"
	uaccessTag = "uaccess"
)

// ErrNoDevice says that there is no such device, or none that a session may take.
var ErrNoDevice = errors.New("there is no such device")

// ErrNoPath says that nothing is at a path below /sys.
var ErrNoPath = errors.New("there is no such path in /sys")

// Node is a character device that a session may take.
type Node struct {
	ID   session.DeviceID
	Kind session.DeviceKind
	// Seat is that of udev's ID_SEAT, Path the node below the root.
	Seat, Path string
	// render is a node of a GPU that shows nothing: it has no master.
	render bool
}

// Machine is the machine below a root directory.
type Machine struct {
	root string
	db   uevent.Database
	now  func() time.Time
	// sleeping are the settings of sleep.
	sleeping func() *Sleeping

	// attend says that Ctrl+Alt+Shift+Esc is heard, by follower.
	mu       sync.Mutex
	attend   bool
	follower *Follower
}

// New is for a machine whose /sys, /dev and /run are below root.
func New(root string) *Machine {
	return &Machine{root: root, now: time.Now, sleeping: func() *Sleeping { return &asDocumented }, db: uevent.Database{Sys: filepath.Join(root, "sys"), Run: filepath.Join(root, "run/udev")}}
}

// Find looks for a device by its number. Screens, input devices and raw HID devices are
// what a session may take; everything else (a foreign terminal, uinput, a disk) is
// ErrNoDevice, whatever its node's permissions say.
func (m *Machine) Find(id session.DeviceID) (Node, error) {
	number := strconv.FormatUint(uint64(id.Major), 10) + ":" + strconv.FormatUint(uint64(id.Minor), 10)
	_, dev, ok := m.db.Char(number)
	if !ok {
		return Node{}, ErrNoDevice
	}
	name := strings.TrimPrefix(dev.Props["DEVNAME"], "/dev/")
	n := Node{ID: id, Seat: seatOf(&dev), Path: filepath.Join(m.root, "dev", name)}
	numbered := func(prefix string) bool {
		rest, ok := strings.CutPrefix(name, prefix)
		_, err := strconv.ParseUint(rest, 10, 16)
		return ok && err == nil
	}
	switch sub := dev.Props["SUBSYSTEM"]; {
	case sub == "drm" && numbered("dri/card"):
		n.Kind = session.DRM
	case sub == "drm" && numbered("dri/renderD"):
		n.Kind, n.render = session.DRM, true
	case sub == "input" && numbered("input/event"):
		n.Kind = session.Input
	case sub == "hidraw" && numbered("hidraw"):
		n.Kind = session.Hidraw
	default:
		return Node{}, ErrNoDevice
	}
	return n, nil
}

// seatOf is the seat that udev assigns a device to; seat0 has all the others.
func seatOf(dev *uevent.Device) string {
	if s := dev.Props["ID_SEAT"]; s != "" {
		return s
	}
	return "seat0"
}

// Requests of ioctl(2): include/uapi/drm/drm.h, linux/input.h, linux/hidraw.h.
const (
	drmSetMaster  = 0x641e
	drmDropMaster = 0x641f
	evRevoke      = 0x40044591
	hidRevoke     = 0x4004480d
)

// Open opens a device. What it gives works until Mute.
func (n Node) Open() (*os.File, error) {
	f, err := n.open()
	if err != nil || n.Kind != session.Hidraw {
		return f, err
	}
	// Linux before 6.12 cannot take a raw HID device away again: then it is not given.
	err = unix.IoctlSetInt(int(f.Fd()), hidRevoke, 0)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("%s cannot be revoked: %w", n.Path, err)
	}
	return n.open()
}

// openQuietly opens a device that Go's poller is to leave alone: it would wake us at each
// move of a mouse. The file does not block all the same, which is what clients expect.
func openQuietly(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.SetNonblock(fd, true); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Quiet takes a descriptor that was kept over a restart from Go's poller, and leaves it as
// its other holders know it: not blocking.
func Quiet(f *os.File) (*os.File, error) {
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var out *os.File
	err2 := raw.Control(func(p uintptr) {
		var fd int
		if fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return
		}
		// NewFile looks at the flag, to decide whether the poller takes it.
		if err = unix.SetNonblock(fd, false); err == nil {
			out = os.NewFile(uintptr(fd), f.Name())
			err = unix.SetNonblock(fd, true)
		}
	})
	return out, errors.Join(err, err2)
}

func (n Node) open() (*os.File, error) {
	f, err := openQuietly(n.Path)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(st.Rdev) != n.ID.Major || unix.Minor(st.Rdev) != n.ID.Minor {
		f.Close()
		return nil, fmt.Errorf("%s is another device: %w", n.Path, ErrNoDevice)
	}
	return f, nil
}

// Mute makes all descriptors of an open file useless: those that were passed on too.
func (n Node) Mute(f *os.File) error {
	var err error
	switch {
	case n.render: // it shows nothing and hears nothing
	case n.Kind == session.DRM:
		// EINVAL is a file that is not master.
		if err = unix.IoctlSetInt(int(f.Fd()), drmDropMaster, 0); err == unix.EINVAL {
			err = nil
		}
	case n.Kind == session.Input:
		err = unix.IoctlSetInt(int(f.Fd()), evRevoke, 0)
	default:
		err = unix.IoctlSetInt(int(f.Fd()), hidRevoke, 0)
	}
	if err == unix.ENODEV {
		err = nil // it was unplugged
	}
	if err != nil {
		return fmt.Errorf("mute %s: %w", n.Path, err)
	}
	return nil
}

// Wake makes a muted device work again: the file that was given, or a new one.
func (n Node) Wake(f *os.File) (*os.File, error) {
	if n.Kind != session.DRM {
		return n.open()
	}
	if !n.render {
		if err := unix.IoctlSetInt(int(f.Fd()), drmSetMaster, 0); err != nil {
			return f, fmt.Errorf("become master of %s: %w", n.Path, err)
		}
	}
	return f, nil
}

// Screen says that the device works after Open only once it was woken: nobody else may be
// its master then.
func (n Node) Screen() bool { return n.Kind == session.DRM && !n.render }

// Access lets a user have the devices of a seat for whoever sits there, and the one from
// before no longer; -1 is nobody. With from -2 every user named in a list loses it.
func (m *Machine) Access(seat string, from, to int64) error {
	nodes, err := m.uaccess(seat)
	if err != nil {
		return err
	}
	var wrong []error
	for _, path := range nodes {
		if err := access(path, func(uid uint32) bool { return from == -2 || int64(uid) == from }, to); err != nil && !errors.Is(err, os.ErrNotExist) {
			wrong = append(wrong, fmt.Errorf("%s: %w", path, err))
		}
	}
	return errors.Join(wrong...)
}

// Correct lets a user, or with -1 nobody, have one node, and those of from no longer. A
// node that is gone is no error.
func (m *Machine) Correct(node string, from []int64, to int64) error {
	if err := access(node, func(uid uint32) bool { return slices.Contains(from, int64(uid)) }, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", node, err)
	}
	return nil
}

func access(path string, drop func(uid uint32) bool, to int64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFCHR && t != unix.S_IFBLK {
		return errors.New("it is no device")
	}
	var add *uint32
	if to >= 0 {
		uid := uint32(to)
		add = &uid
	}
	return acl.Give(fd, drop, add)
}

// shared is the node of a device that has the tag; "" is none.
func (m *Machine) shared(dev *uevent.Device) string {
	name := strings.TrimPrefix(dev.Props["DEVNAME"], "/dev/")
	if !dev.Has(uaccessTag) || name == "" || !filepath.IsLocal(name) {
		return ""
	}
	return filepath.Join(m.root, "dev", name)
}

// uaccess are the nodes of a seat with the tag, and those of drivers that are not loaded
// yet (udev(7), OPTIONS static_node=), which are seat0's.
func (m *Machine) uaccess(seat string) ([]string, error) {
	var out []string
	err := m.db.Tagged(uaccessTag, func(_ string, dev uevent.Device) {
		if node := m.shared(&dev); node != "" && seatOf(&dev) == seat {
			out = append(out, node)
		}
	})
	if err != nil || seat != "seat0" {
		return out, err
	}
	dir := filepath.Join(m.db.Run, "static_node-tags", uaccessTag)
	links, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	for _, l := range links {
		to, err := os.Readlink(filepath.Join(dir, l.Name()))
		if name, ok := strings.CutPrefix(to, "/dev/"); err == nil && ok && filepath.IsLocal(name) {
			out = append(out, filepath.Join(m.root, "dev", name))
		}
	}
	return out, err
}
