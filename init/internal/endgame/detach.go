package endgame

import (
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// detach takes block devices apart that lie on others: loop devices, and those of the
// device mapper and of md. It says whether any went. One that is in use stays.
func detach(say Say) (changed bool) {
	for _, d := range glob("/sys/block/loop*/loop/backing_file") {
		if name := device(d, 2); onDevice(name, func(fd int) error { return unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0) }) == nil {
			changed = true
		}
	}
	for _, d := range glob("/sys/block/dm-*/dm/name") {
		if name, err := os.ReadFile(d); err == nil && removeMapped(string(name)) == nil {
			changed = true
		}
	}
	for _, d := range glob("/sys/block/md*/md/array_state") {
		const stopArray = 9<<8 | 0x32 // STOP_ARRAY, linux/raid/md_u.h
		if onDevice(device(d, 2), func(fd int) error { return unix.IoctlSetInt(fd, stopArray, 0) }) == nil {
			changed = true
		}
	}
	return changed
}

// glob ignores errors: what cannot be looked at cannot be detached.
func glob(pattern string) []string {
	found, _ := filepath.Glob(pattern)
	return found
}

// device is the name of the block device that a file of sysfs is about.
func device(file string, up int) string {
	for range up {
		file = filepath.Dir(file)
	}
	return "/dev/" + filepath.Base(file)
}

func onDevice(name string, f func(fd int) error) error {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd)
}

// removeMapped is dmsetup(8) remove.
func removeMapped(name string) error {
	for len(name) > 0 && name[len(name)-1] == '\n' {
		name = name[:len(name)-1]
	}
	d := unix.DmIoctl{Version: [3]uint32{4, 0, 0}, Data_size: uint32(unsafe.Sizeof(unix.DmIoctl{})), Data_start: uint32(unsafe.Sizeof(unix.DmIoctl{}))}
	if len(name) == 0 || len(name) >= len(d.Name) {
		return unix.EINVAL
	}
	copy(d.Name[:], name)
	return onDevice("/dev/mapper/control", func(fd int) error {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.DM_DEV_REMOVE, uintptr(unsafe.Pointer(&d))); e != 0 {
			return e
		}
		return nil
	})
}

func swapOff(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(p)), 0, 0); e != 0 {
		return e
	}
	return nil
}
