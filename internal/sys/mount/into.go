package mount

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Into is a bind mount into the mount namespace of another process.
type Into struct {
	// PIDFD is the process, PID its number.
	PIDFD, PID int
	// Source is looked up here, Target below the process's root directory.
	Source, Target string
	ReadOnly       bool
	// Make makes the target if it is not there: a directory or an empty file.
	Make bool
}

// Bind does it. What is mounted at the target is replaced where the kernel can do that
// (MOVE_MOUNT_BENEATH), else hidden.
func (b Into) Bind() error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, b.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("%s: %w", b.Source, err)
	}
	defer unix.Close(tree)
	if b.ReadOnly {
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("%s read-only: %w", b.Source, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return fmt.Errorf("%s: %w", b.Source, err)
	}
	proc := fmt.Sprintf("/proc/%d", b.PID)
	root, err := unix.Open(proc+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the root directory of process %d: %w", b.PID, err)
	}
	defer unix.Close(root)
	space, err := unix.Open(proc+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("the mounts of process %d: %w", b.PID, err)
	}
	defer unix.Close(space)
	// While it has not ended the number was its own.
	if err := unix.PidfdSendSignal(b.PIDFD, 0, nil, 0); err != nil {
		return fmt.Errorf("process %d: %w", b.PID, err)
	}
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(space, unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("the mounts of process %d: %w", b.PID, err)
		}
		if err := errors.Join(unix.Fchdir(root), unix.Chroot(".")); err != nil {
			return fmt.Errorf("the root directory of process %d: %w", b.PID, err)
		}
		return b.attach(tree, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	})
}

// attach puts the tree at the target; this thread is where that is.
func (b Into) attach(tree int, dir bool) error {
	target, err := within(b.Target)
	if err == unix.ENOENT && b.Make {
		target, err = b.make(dir)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.Target, err)
	}
	defer unix.Close(target)
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	const beneath = 0x200 // MOVE_MOUNT_BENEATH, linux/mount.h, since Linux 6.5
	var x unix.Statx_t
	if unix.Statx(target, "", unix.AT_EMPTY_PATH, 0, &x) == nil && x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 &&
		unix.MoveMount(tree, "", target, "", flags|beneath) == nil {
		return unix.Unmount(b.Target, unix.MNT_DETACH) // where links lead, as above
	}
	if err := unix.MoveMount(tree, "", target, "", flags); err != nil {
		return fmt.Errorf("mount on %s: %w", b.Target, err)
	}
	return nil
}

// within opens a path of this thread's root directory, whatever links say.
func within(p string) (int, error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return unix.Openat2(root, p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

// make makes the target with the directories above it.
func (b Into) make(dir bool) (int, error) {
	words := strings.Split(strings.Trim(path.Clean(b.Target), "/"), "/")
	at, err := within("/")
	for k, w := range words {
		if err != nil {
			return -1, err
		}
		last := k == len(words)-1
		if last && !dir {
			var fd int
			if fd, err = unix.Openat(at, w, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644); err == nil {
				unix.Close(fd)
			}
		} else {
			err = unix.Mkdirat(at, w, 0o755)
		}
		unix.Close(at)
		if err != nil && err != unix.EEXIST {
			return -1, err
		}
		at, err = within("/" + strings.Join(words[:k+1], "/"))
	}
	return at, err
}

// onThread runs f on a thread that ends with it, and never on the process's first one,
// whose namespaces are those that /proc/PID shows.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onThread(f) // on another one: this is locked
			runtime.UnlockOSThread()
			return
		}
		done <- f() // never unlocked
	}()
	return <-done
}
