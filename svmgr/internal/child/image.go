package child

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// image mounts the file system in a file or on a block device, of whichever type
// the kernel finds it to be.
func image(dev, options string, flags uint64) (int, error) {
	readOnly := flags&unix.MOUNT_ATTR_RDONLY != 0
	var s unix.Stat_t
	if err := unix.Stat(dev, &s); err != nil {
		return -1, err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFBLK {
		loop, err := attachLoop(dev, readOnly)
		if err != nil {
			return -1, err
		}
		defer unix.Close(loop.fd) // it clears itself once it is unmounted
		dev = loop.path
	}
	text, err := readFile("/proc/filesystems")
	if err != nil {
		return -1, err
	}
	err = unix.EINVAL
	for len(text) > 0 {
		line := text
		if i := index(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		if line == "" || line[0] != '\t' {
			continue // nodev
		}
		all := "source=" + dev
		if readOnly {
			all += ",ro"
		}
		fd, e := newFS(line[1:], all+","+options, flags)
		if e == nil {
			return fd, nil
		}
		if e != unix.EINVAL {
			err = e
		}
	}
	return -1, err
}

type loopDevice struct {
	fd   int
	path string
}

// attachLoop connects file with a free loop device, which lets go of it by itself
// at the end (loop(4), LO_FLAGS_AUTOCLEAR).
func attachLoop(file string, readOnly bool) (loopDevice, error) {
	mode := unix.O_RDWR
	if readOnly {
		mode = unix.O_RDONLY
	}
	backing, err := unix.Open(file, mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return loopDevice{}, err
	}
	defer unix.Close(backing)
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return loopDevice{}, err
	}
	defer unix.Close(control)
	for range 64 {
		n, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(control), unix.LOOP_CTL_GET_FREE, 0)
		if no != 0 {
			return loopDevice{}, no
		}
		path := "/dev/loop" + itoa(int(n))
		fd, err := unix.Open(path, mode|unix.O_CLOEXEC, 0)
		if err != nil {
			return loopDevice{}, err
		}
		config := unix.LoopConfig{Fd: uint32(backing)}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		if readOnly {
			config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
		}
		_, _, no = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.LOOP_CONFIGURE, uintptr(unsafe.Pointer(&config)))
		if no == 0 {
			return loopDevice{fd, path}, nil
		}
		unix.Close(fd)
		if no != unix.EBUSY { // somebody else was faster
			return loopDevice{}, no
		}
	}
	return loopDevice{}, unix.EBUSY
}
