package main

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/early"
	"dynamod/init/internal/endgame"
	"dynamod/init/internal/pid1"
	ipc "dynamod/internal/ipc/pid1"
)

// endKinds are the kinds that end in reboot(2).
var endKinds = map[ipc.Shutdown]endgame.Kind{ipc.Poweroff: endgame.Poweroff, ipc.Reboot: endgame.Reboot,
	ipc.Halt: endgame.Halt, ipc.Kexec: endgame.Kexec}

// The end of a machine is a program of its own, this one again, but in memory: PID 1
// holds descriptors of services and, after an upgrade, a deleted file as its program,
// and each of those keeps a file system from becoming clean. These words begin it.
const (
	endWord      = "--end="
	endArgument  = "--end-argument="
	endWatchdog  = "--end-watchdog="
	endMagicName = "dynamod-init (end)"
)

// goDown is the end of a machine. It does not come back.
func goDown(r *runner, end *pid1.End) int {
	r.log.speakUp()
	argument := string(end.Argument)
	if end.Urgency == ipc.Immediate && end.Kind != ipc.SoftReboot {
		unix.Sync()
		endgame.Now(endKinds[end.Kind], argument, r.log.say)
		return stand()
	}
	if err := early.SaveSeed(""); err != nil && !os.IsNotExist(err) {
		r.log.say(4, "save a random seed: "+err.Error())
	}
	if end.Kind == ipc.SoftReboot {
		softReboot(r)
	}
	kind := endKinds[end.Kind]
	last := r.opts.rebootWatchdog
	if kind == endgame.Kexec {
		last = r.dog.kexec
	}
	if err := r.dog.leave(kind == endgame.Halt, last); err != nil {
		r.log.say(4, "prepare the watchdog for the end: "+err.Error())
	}
	args := []string{endMagicName, endWord + strconv.Itoa(int(kind)), endArgument + argument, endWatchdog + strconv.Itoa(r.dog.fd)}
	if r.dog.fd >= 0 {
		_, _ = unix.FcntlInt(uintptr(r.dog.fd), unix.F_SETFD, 0)
	}
	err := execCopy(args)
	r.log.say(4, "the end runs from the root file system, which keeps that busy: "+err.Error())
	closeFiles()
	return putAway(kind, argument, r.log)
}

// execCopy runs a copy of this program from memory; it comes back only with an error.
func execCopy(args []string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	fd, err := unix.MemfdCreate("dynamod-init", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // Linux before 6.3
		fd, err = unix.MemfdCreate("dynamod-init", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return err
	}
	copied := os.NewFile(uintptr(fd), "copy")
	defer copied.Close()
	if _, err := io.Copy(copied, self); err != nil {
		return err
	}
	// What Ctrl-Alt-Del sends must not end PID 1 before it can take signals again:
	// Go leaves these two ignored when they come ignored.
	signal.Ignore(unix.SIGINT, unix.SIGHUP)
	return syscall.Exec("/proc/self/fd/"+strconv.Itoa(fd), args, nil)
}

// closeFiles closes what PID 1 may hold of services and would keep a file system
// from becoming read-only: files that are open for writing.
func closeFiles() {
	for fd := 3; fd < pid1.MaxKept+256; fd++ {
		var st unix.Stat_t
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY && unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			unix.Close(fd)
		}
	}
}

// isEnd says whether the program was begun by goDown.
func isEnd(args []string) bool { return len(args) == 3 && strings.HasPrefix(args[0], endWord) }

// runEnd is what goDown has begun.
func runEnd(args []string, log *logger) int {
	signal.Ignore()
	openKernelLog(log)
	log.speakUp()
	n, _ := strconv.Atoi(strings.TrimPrefix(args[0], endWord))
	return putAway(endgame.Kind(n), strings.TrimPrefix(args[1], endArgument), log)
}

func putAway(kind endgame.Kind, argument string, log *logger) int {
	if endgame.PutAway(log.say) {
		log.say(6, "all file systems are clean")
	}
	endgame.Now(kind, argument, log.say)
	return stand()
}

// stand is for a kernel that does not even reboot: PID 1 must not exit.
func stand() int {
	for {
		time.Sleep(time.Hour)
	}
}

// softReboot begins user space anew: this program as it now lies on the disk, with
// what the manager knew thrown away. It comes back only if that fails, for a reboot.
func softReboot(r *runner) {
	self, err := os.Readlink("/proc/self/exe")
	if err == nil {
		self = strings.TrimSuffix(self, " (deleted)")
		if err = forget(r.opts.run); err == nil {
			_ = r.dog.leave(true, 0)
			r.log.say(5, "user space begins anew")
			signal.Ignore(unix.SIGINT, unix.SIGHUP)
			err = syscall.Exec(self, []string{self}, []string{"HOME=/", "TERM=linux"})
		}
	}
	r.log.say(2, "soft reboot: "+err.Error()+"; the machine reboots")
}

// forget removes what the manager and PID 1 knew; the live system's own files are the
// root file system.
func forget(run string) error {
	dir, err := os.ReadDir(run)
	if err != nil {
		return err
	}
	for _, e := range dir {
		if e.Name() != "live" {
			err = errors.Join(err, os.RemoveAll(run+"/"+e.Name()))
		}
	}
	return err
}
