package rootfs

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Places of a live system; /run goes along to the root file system.
const (
	liveDir    = "/run/dynamod/live"
	liveISO    = liveDir + "/iso"
	liveMemory = liveDir + "/memory"
	liveSquash = liveDir + "/squash"
	liveWrites = liveDir + "/writes"
)

// mount makes the live system's root file system.
func (l *Live) mount(c *Config, say Say) error {
	d, err := find(l.Media, c.Wait, say)
	if err != nil {
		return err
	}
	pause(c.Delay, say)
	if err := os.MkdirAll(liveDir, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{liveISO, liveMemory, liveSquash, liveWrites} {
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			return err
		}
	}
	file, err := l.squashfs(&d, say)
	if err != nil {
		return err
	}
	loop, err := attach(file)
	if err != nil {
		return errors.New("make " + file + " a device: " + err.Error())
	}
	at := newRoot
	if l.Overlay {
		at = liveSquash
	}
	if err := unix.Mount(loop, at, "squashfs", unix.MS_RDONLY, ""); err != nil {
		return errors.New("mount " + l.Squashfs + " as squashfs: " + why(err, "squashfs"))
	}
	if !l.Overlay {
		say(6, "the live system is read-only")
		return nil
	}
	if err := unix.Mount("tmpfs", liveWrites, "tmpfs", 0, "mode=0755,size=50%"); err != nil {
		return errors.New("make memory for what the live system writes: " + err.Error())
	}
	for _, dir := range []string{"/upper", "/work"} {
		if err := os.Mkdir(liveWrites+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", newRoot, "overlay", 0, "lowerdir="+liveSquash+",upperdir="+liveWrites+"/upper,workdir="+liveWrites+"/work"); err != nil {
		return errors.New("make the live system writable: " + why(err, "overlay"))
	}
	say(6, "what the live system writes stays in memory")
	return nil
}

// squashfs is the file that becomes the root: on the medium, or a copy in memory.
func (l *Live) squashfs(d *device, say Say) (string, error) {
	if l.Size > 0 {
		from, err := os.Open(d.file())
		if err != nil {
			return "", err
		}
		defer from.Close()
		return intoMemory(io.NewSectionReader(from, l.Offset, l.Size), l.Size, say)
	}
	var err error
	types := []string{"iso9660", "udf"}
	if t := d.system.Type; t != "" && t != "iso9660" {
		types = []string{t}
	}
	for _, t := range types {
		if err = unix.Mount(d.file(), liveISO, t, unix.MS_RDONLY, ""); err == nil {
			break
		}
		err = errors.New("mount the medium " + d.file() + " as " + t + ": " + why(err, t))
	}
	if err != nil {
		return "", err
	}
	name := filepath.Join(liveISO, l.Squashfs)
	if !l.Copy {
		if _, err := os.Stat(name); err != nil {
			return "", missing(l, d)
		}
		return name, nil
	}
	from, err := os.Open(name)
	if err != nil {
		return "", missing(l, d)
	}
	defer from.Close()
	st, err := from.Stat()
	if err != nil {
		return "", err
	}
	var have unix.Sysinfo_t
	if unix.Sysinfo(&have) == nil && uint64(st.Size()) > have.Freeram*uint64(have.Unit)/2 {
		say(4, "there is too little memory for a copy of "+l.Squashfs+": the medium must stay")
		return name, nil
	}
	copied, err := intoMemory(from, st.Size(), say)
	if err != nil {
		return "", err
	}
	from.Close()
	if err := unix.Unmount(liveISO, 0); err != nil {
		say(4, "unmount the medium: "+err.Error())
	}
	return copied, nil
}

func missing(l *Live, d *device) error {
	return errors.New("the medium " + d.file() + " (" + d.system.Label + ") has no " + l.Squashfs + "; dynamod.squashfs= says where it is")
}

func intoMemory(from io.Reader, size int64, say Say) (string, error) {
	if err := unix.Mount("tmpfs", liveMemory, "tmpfs", 0, "mode=0700,size="+strconv.FormatInt(size+1<<20, 10)); err != nil {
		return "", errors.New("make memory for the live system: " + err.Error())
	}
	name := liveMemory + "/root.squashfs"
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	n, err := io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err == nil && n != size {
		err = errors.New("the medium ends early")
	}
	if err != nil {
		return "", errors.New("copy the live system into memory: " + err.Error())
	}
	say(6, "the live system is in memory, the medium may go")
	return name, nil
}

// attach makes a file a block device, which goes with its last user.
func attach(file string) (string, error) {
	backing, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(backing)
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(control)
	n, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
	if err != nil {
		return "", err
	}
	name := "/dev/loop" + strconv.Itoa(n)
	loop, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(loop)
	cfg := unix.LoopConfig{Fd: uint32(backing)}
	cfg.Info.Flags = unix.LO_FLAGS_READ_ONLY
	copy(cfg.Info.File_name[:len(cfg.Info.File_name)-1], file)
	return name, unix.IoctlLoopConfigure(loop, &cfg)
}
