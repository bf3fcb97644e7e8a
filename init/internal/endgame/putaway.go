package endgame

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/mountinfo"
)

// How long one thing may take. A disk may have much to write; a server that does not
// answer never will.
const (
	patience       = 90 * time.Second
	remotePatience = 5 * time.Second
	// reports is how often people are told what is waited for.
	reports = 2 * time.Second
	// rounds bounds the rounds of unmounting: each but the last must have changed
	// something, and a stack of mounts is as deep as it is.
	rounds = 64
)

// PutAway ends the use of swap space, file systems, and the devices below them. It
// says whether all file systems are clean.
func PutAway(say Say) (clean bool) {
	Sync(say)
	swapsOff(say)
	for range rounds {
		changed := unmountAll(say)
		if detach(say) {
			changed = true
		}
		if !changed {
			break
		}
	}
	clean = leaveReadOnly(say)
	Sync(say)
	return clean
}

// Sync writes everything that waits to be written. It gives up when nothing moves any
// more.
func Sync(say Say) {
	end := make(chan struct{})
	go func() { // ends with sync(2), or with the machine
		unix.Sync()
		close(end)
	}()
	last, still := int64(-1), time.Duration(0)
	for {
		select {
		case <-end:
			return
		case <-time.After(reports):
		}
		left := dirty()
		if left == last {
			still += reports
		} else {
			still = 0
		}
		last = left
		if still >= 5*reports {
			say(2, "writing to the disks does not end: going on without it")
			return
		}
		say(5, "writing to the disks, "+strconv.FormatInt(left, 10)+" kB left")
	}
}

// dirty is how many kB wait to be written, by /proc/meminfo (proc(5)).
func dirty() (kB int64) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "Dirty" || name == "Writeback" {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			kB += n
		}
	}
	return kB
}

var errLate = errors.New("it did not end in its time")

// within does what may never end, and says what it waits for.
func within(limit time.Duration, what string, say Say, f func() error) error {
	end := make(chan error, 1)
	go func() { end <- f() }() // ends with f, or with the machine
	began := time.Now()
	for {
		select {
		case err := <-end:
			return err
		case <-time.After(min(reports, limit)):
		}
		took := time.Since(began)
		if took >= limit {
			return errLate
		}
		say(5, what+": "+strconv.Itoa(int(took.Seconds()))+" s of at most "+strconv.Itoa(int(limit.Seconds()))+" s")
	}
}

func swapsOff(say Say) {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return // a kernel without swap
	}
	swaps, _ := mountinfo.Swaps(b)
	for _, s := range swaps {
		err := within(patience, "ending the use of swap space "+s.Path, say, func() error { return swapOff(s.Path) })
		if err != nil {
			say(4, "swapoff "+s.Path+": "+err.Error())
		}
	}
}

func table(say Say) []mountinfo.Entry {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		say(3, "read what is mounted: "+err.Error())
	}
	return parse(b)
}

// unmountAll unmounts what it can, and says whether that was anything.
func unmountAll(say Say) (changed bool) {
	for _, e := range order(table(say)) {
		if unmount(&e, say) == nil {
			changed = true
		}
	}
	return changed
}

func unmount(e *mountinfo.Entry, say Say) error {
	limit, flags := patience, unix.UMOUNT_NOFOLLOW
	if isRemote(e) {
		limit, flags = remotePatience, flags|unix.MNT_FORCE
	}
	err := within(limit, "unmounting "+e.Point, say, func() error { return unix.Unmount(e.Point, flags) })
	if err == errLate {
		say(3, "unmount "+e.Point+": "+err.Error()+"; it is detached as it is")
		return unix.Unmount(e.Point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	return err
}

// leaveReadOnly makes read-only what could not be unmounted. What cannot even become
// that is detached: its last user was PID 1, and it goes with that.
func leaveReadOnly(say Say) (clean bool) {
	clean = true
	left := readOnly(table(say))
	for i := range left {
		e := &left[i]
		err := within(patience, "making "+e.Point+" read-only", say, func() error {
			return unix.Mount("", e.Point, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
		})
		if err == nil {
			continue
		}
		if i := readOnly(table(say)); !containsPoint(i, e) {
			continue // another mount of the same file system was first
		}
		clean = false
		say(3, "make "+e.Point+" read-only: "+err.Error())
		if e.Point != "/" {
			_ = unix.Unmount(e.Point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
	}
	return clean
}

func containsPoint(list []mountinfo.Entry, e *mountinfo.Entry) bool {
	for i := range list {
		if list[i].ID == e.ID {
			return true
		}
	}
	return false
}
