// Package autofs speaks the kernel's automount protocol, version 5, for direct
// mounts: Documentation/filesystems/autofs.rst and autofs-mount-control.rst of the
// kernel, linux/auto_fs.h, linux/auto_dev-ioctl.h. It holds no state of its own and
// decides nothing.
package autofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnavailable means that the kernel has no autofs or this process may not use it.
var ErrUnavailable = errors.New("automounts are not available here: the kernel's autofs (CONFIG_AUTOFS_FS, /dev/autofs) is missing or not permitted")

// Kind is what a packet is about.
type Kind int32

const (
	// Missing: somebody waits for the file system to be mounted.
	Missing Kind = 5
	// Expire: the file system is idle and shall be unmounted.
	Expire Kind = 6
)

// Packet is one message of the kernel. Each must be answered by Ready or Fail.
type Packet struct {
	Kind          Kind
	Token         uint32
	UID, GID, PID uint32
}

// PacketSize is the longest message (struct autofs_v5_packet).
const PacketSize = 304

const minPacket = 4 + 4 + 4 + 4 + 8 + 4*4 + 4

// Parse reads one message.
func Parse(b []byte) (Packet, error) {
	if len(b) < minPacket {
		return Packet{}, fmt.Errorf("read an autofs packet: %d bytes are too short", len(b))
	}
	u := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	if v := u(0); v != 5 {
		return Packet{}, fmt.Errorf("read an autofs packet: protocol version %d", v)
	}
	p := Packet{Kind: Kind(u(4)), Token: u(8), UID: u(24), GID: u(28), PID: u(32)}
	if p.Kind != Missing && p.Kind != Expire {
		return Packet{}, fmt.Errorf("read an autofs packet: type %d is none of a direct mount", p.Kind)
	}
	return p, nil
}

// MountDirect puts an autofs over a directory. pipe is the end that the kernel
// writes to; processes of the group pgrp see through it.
func MountDirect(source, where string, pipe, pgrp int, extra string) error {
	data := fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,direct", pipe, pgrp)
	if extra != "" {
		data += "," + extra
	}
	if strings.IndexByte(data, 0) >= 0 {
		return fmt.Errorf("mount autofs at %s: %w", where, unix.EINVAL)
	}
	switch err := unix.Mount(source, where, "autofs", 0, data); err {
	case nil:
		return nil
	case unix.ENODEV, unix.EPERM:
		return fmt.Errorf("mount autofs at %s: %w: %w", where, ErrUnavailable, err)
	default:
		return fmt.Errorf("mount autofs at %s: %w", where, err)
	}
}

// Device is the number of the autofs at a path: what lies on top is not looked at,
// so it must be taken from mountinfo when there is something.
func Device(major, minor uint32) uint32 {
	return minor&0xff | major<<8 | (minor&^0xff)<<12
}

// header is struct autofs_dev_ioctl; arg is its union.
type header struct {
	major, minor, size uint32
	fd                 int32
	arg                [8]byte
}

const (
	cmdOpenMount = 0x74
	cmdReady     = 0x76
	cmdFail      = 0x77
	cmdSetPipe   = 0x78
	cmdCatatonic = 0x79
	cmdTimeout   = 0x7a
	cmdExpire    = 0x7c
)

// Control is /dev/autofs.
type Control struct{ fd int }

// OpenControl opens /dev/autofs. The kernel is asked to load the module if it has none:
// by fsopen(2), which wants a file system of that name.
func OpenControl() (*Control, error) {
	fd, err := unix.Open("/dev/autofs", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		if fs, wrong := unix.Fsopen("autofs", unix.FSOPEN_CLOEXEC); wrong == nil {
			unix.Close(fs)
		}
		fd, err = unix.Open("/dev/autofs", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open /dev/autofs: %w: %w", ErrUnavailable, err)
	}
	return &Control{fd}, nil
}

// Close closes it; descriptors of mounts stay open.
func (c *Control) Close() { unix.Close(c.fd) }

func (c *Control) call(what string, cmd uintptr, fd int32, arg [8]byte, path string) (header, error) {
	const size = unsafe.Sizeof(header{})
	n := size
	if path != "" {
		n += uintptr(len(path)) + 1
	}
	buf := make([]byte, n)
	h := (*header)(unsafe.Pointer(&buf[0]))
	*h = header{major: 1, minor: 1, size: uint32(n), fd: fd, arg: arg}
	copy(buf[size:], path)
	// _IOWR(0x93, cmd, struct autofs_dev_ioctl)
	number := uintptr(3)<<30 | size<<16 | 0x93<<8 | cmd
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), number, uintptr(unsafe.Pointer(h)))
		runtime.KeepAlive(buf)
		if errno == unix.EINTR && cmd != cmdExpire {
			continue
		}
		if errno != 0 {
			return *h, fmt.Errorf("autofs %s: %w", what, errno)
		}
		return *h, nil
	}
}

func word(n uint32) (a [8]byte) {
	binary.NativeEndian.PutUint32(a[:], n)
	return a
}

// OpenMount gives a descriptor for the autofs with that number at path, even if
// something is mounted on top of it.
func (c *Control) OpenMount(path string, dev uint32) (int, error) {
	h, err := c.call("open "+path, cmdOpenMount, -1, word(dev), path)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(int(h.fd))
	return int(h.fd), nil
}

// Ready lets those who wait go on.
func (c *Control) Ready(fd int, token uint32) error {
	_, err := c.call("ready", cmdReady, int32(fd), word(token), "")
	return err
}

// Fail gives those who wait an error.
func (c *Control) Fail(fd int, token uint32, errno unix.Errno) error {
	a := word(token)
	binary.NativeEndian.PutUint32(a[4:], uint32(-int32(errno)))
	_, err := c.call("fail", cmdFail, int32(fd), a, "")
	return err
}

// Catatonic makes the mount answer everybody with an error and forget its pipe.
func (c *Control) Catatonic(fd int) error {
	_, err := c.call("catatonic", cmdCatatonic, int32(fd), [8]byte{}, "")
	return err
}

// SetPipe gives a catatonic mount a new pipe; the caller's process group becomes the
// one that sees through it.
func (c *Control) SetPipe(fd, pipe int) error {
	_, err := c.call("set pipe", cmdSetPipe, int32(fd), word(uint32(pipe)), "")
	return err
}

// SetTimeout says after how much idleness Expire finds something; it counts seconds.
func (c *Control) SetTimeout(fd int, d time.Duration) error {
	var a [8]byte
	binary.NativeEndian.PutUint64(a[:], uint64((d+time.Second-1)/time.Second))
	_, err := c.call("timeout", cmdTimeout, int32(fd), a, "")
	return err
}

// Expire looks for something idle. If there is, the kernel sends an Expire packet and
// the call returns when that was answered. EAGAIN means that nothing is idle.
func (c *Control) Expire(fd int) error {
	_, err := c.call("expire", cmdExpire, int32(fd), word(0), "")
	return err
}
