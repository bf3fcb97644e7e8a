package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Request is one mount.
type Request struct {
	What, Where, Type, Options string
	// Sloppy tolerates options that the file system does not know: they are left
	// out one by one. ReadWriteOnly does not fall back to a read-only mount.
	Sloppy, ReadWriteOnly bool
}

// Mount carries it out. A type that has a helper of its own (mount.TYPE) is left to
// that: on success the call does not return then.
func Mount(r Request) error {
	if tag, _, ok := strings.Cut(r.What, "="); ok && !strings.Contains(tag, "/") && strings.HasSuffix(strings.ToUpper(tag), "ID") || strings.HasPrefix(r.What, "LABEL=") || strings.HasPrefix(r.What, "PARTLABEL=") {
		return fmt.Errorf("mount %s: finding a device by its tag needs mount(8) or udev's links; write /dev/disk/by-…", r.What)
	}
	o, err := Parse(r.Options)
	if err != nil {
		return fmt.Errorf("mount %s: %w", r.Where, err)
	}
	switch {
	case o.Flags&unix.MS_REMOUNT != 0:
		err = mount(r.What, r.Where, r.Type, o.Flags, o.Data)
	case o.Flags&unix.MS_MOVE != 0:
		err = mount(r.What, r.Where, "", unix.MS_MOVE, "")
	case o.Flags&unix.MS_BIND != 0:
		if err = mount(r.What, r.Where, "", o.Flags&(unix.MS_BIND|unix.MS_REC), ""); err == nil {
			// The other flags take effect by a second call only (mount(2)).
			if rest := o.Flags &^ (unix.MS_BIND | unix.MS_REC | unix.MS_SILENT); rest != 0 {
				err = mount("", r.Where, "", unix.MS_REMOUNT|unix.MS_BIND|rest, "")
			}
		}
	default:
		if helper := "/sbin/mount." + r.Type; r.Type != "" && executable(helper) {
			args := []string{helper, r.What, r.Where}
			if r.Sloppy {
				args = append(args, "-s")
			}
			if r.Options != "" {
				args = append(args, "-o", r.Options)
			}
			return fmt.Errorf("run %s: %w", helper, syscall.Exec(helper, args, os.Environ()))
		}
		err = r.attach(o)
	}
	for _, p := range o.Propagation {
		if err == nil {
			err = mount("", r.Where, "", p, "")
		}
	}
	return err
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// attach mounts a file system of a known type, or tries those of the kernel.
func (r *Request) attach(o Options) error {
	types := []string{r.Type}
	if r.Type == "" || r.Type == "auto" {
		var err error
		if types, err = deviceTypes(); err != nil {
			return err
		}
	}
	var err error
	for _, t := range types {
		if err = r.attachAs(t, o); err == nil {
			return nil
		}
		if len(types) > 1 && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return err
}

func (r *Request) attachAs(fstype string, o Options) error {
	err := mount(r.What, r.Where, fstype, o.Flags, o.Data)
	if r.Sloppy && errors.Is(err, unix.EINVAL) && o.Data != "" {
		// Which option it is the kernel does not say: keep those that work
		// together, from the first on.
		kept := ""
		for _, opt := range Split(o.Data) {
			next := strings.TrimPrefix(kept+","+opt, ",")
			if mount(r.What, r.Where, fstype, o.Flags, next) == nil {
				if unmountErr := Unmount(r.Where, false, false); unmountErr != nil {
					return unmountErr
				}
				kept = next
			}
		}
		o.Data = kept
		err = mount(r.What, r.Where, fstype, o.Flags, o.Data)
	}
	if !r.ReadWriteOnly && o.Flags&unix.MS_RDONLY == 0 && (errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES)) {
		fmt.Fprintf(os.Stderr, "%s is write-protected: mounting it read-only\n", r.What)
		err = mount(r.What, r.Where, fstype, o.Flags|unix.MS_RDONLY, o.Data)
	}
	return err
}

// deviceTypes are the file systems that live on devices and are loaded.
func deviceTypes() ([]string, error) {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return nil, fmt.Errorf("find the file system types: %w", err)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if t, ok := strings.CutPrefix(line, "\t"); ok {
			out = append(out, strings.TrimSpace(t))
		}
	}
	return out, nil
}

func mount(what, where, fstype string, flags uintptr, data string) error {
	for {
		err := unix.Mount(what, where, fstype, flags, data)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("mount %s at %s: %w", what, where, err)
		}
		return nil
	}
}

// Unmount detaches what is at a place; lazy detaches it at once although it is in
// use, force gives up on a server that does not answer (umount(2)).
func Unmount(where string, lazy, force bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	if force {
		flags |= unix.MNT_FORCE
	}
	for {
		err := unix.Unmount(where, flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", where, err)
		}
		return nil
	}
}

// Flags of swapon(2), which x/sys does not have.
const (
	swapPrefer      = 0x8000
	swapDiscard     = 0x10000
	swapDiscardOnce = 0x20000
	swapDiscardPage = 0x40000
)

// SwapOn begins to use a device or file; options as of swapon(8).
func SwapOn(what, options string) error {
	flags := uintptr(0)
	for _, opt := range Split(options) {
		name, value, valued := strings.Cut(opt, "=")
		switch {
		case name == "pri" && valued:
			n, err := strconv.Atoi(value)
			if err != nil || n < -1 || n > 32767 {
				return fmt.Errorf("swapon %s: %s is no priority from -1 to 32767", what, opt)
			}
			if n >= 0 {
				flags = flags&^0x7fff | swapPrefer | uintptr(n)
			}
		case opt == "discard":
			flags |= swapDiscard
		case opt == "discard=once":
			flags |= swapDiscard | swapDiscardOnce
		case opt == "discard=pages":
			flags |= swapDiscard | swapDiscardPage
		case ignored[opt] || strings.HasPrefix(opt, "x-"):
		default:
			return fmt.Errorf("swapon %s: option %s is not known", what, opt)
		}
	}
	real, err := filepath.EvalSymlinks(what)
	if err != nil {
		return fmt.Errorf("swapon: %w", err)
	}
	p, err := unix.BytePtrFromString(real)
	if err != nil {
		return fmt.Errorf("swapon %s: %w", what, err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, uintptr(unsafe.Pointer(p)), flags, 0); errno != 0 {
		return fmt.Errorf("swapon %s: %w", what, errno)
	}
	return nil
}

// SwapOff ends the use of a device or file.
func SwapOff(what string) error {
	p, err := unix.BytePtrFromString(what)
	if err != nil {
		return fmt.Errorf("swapoff %s: %w", what, err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(p)), 0, 0); errno != 0 {
		return fmt.Errorf("swapoff %s: %w", what, errno)
	}
	return nil
}
