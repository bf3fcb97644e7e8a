package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/early"
	"dynamod/init/internal/endgame"
	"dynamod/init/internal/pid1"
	"dynamod/init/internal/rootfs"
	"dynamod/internal/cmdline"
)

// bootMachine is the way from the kernel's first process to the running part. It
// does not come back.
func bootMachine(o options, log *logger) int {
	unix.Umask(0o022)
	_ = os.Chdir("/") // where the kernel starts it anyway
	_, _ = unix.Setsid()
	failed := early.Mounts(true, log.say)
	openKernelLog(log)
	early.Console(log.say)
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		log.say(3, "read the command line: "+err.Error())
	}
	line := cmdline.Parse(string(text))
	for _, w := range o.unknown {
		log.say(6, "the word \""+w+"\" of the command line says nothing to PID 1")
	}
	for _, bad := range o.fromLine(line) {
		log.say(3, "kernel command line: "+bad)
	}
	if failed == nil && rootfs.InMemory() && rootfs.Asked(line) {
		return fromInitramfs(&o, line, log)
	}
	if err := early.Mounts(false, log.say); err != nil && failed == nil {
		failed = err
	}
	if failed != nil {
		return lastResort(&o, line, log, failed.Error())
	}
	early.Places(log.say)
	early.Keyboard(log.say)
	asked, _ := line.Value("systemd.hostname")
	early.Hostname("", asked, func(s string) error { return unix.Sethostname([]byte(s)) }, log.say)
	asked, _ = line.Value("systemd.machine_id")
	early.MachineID("", asked, log.say)
	early.LoadSeed("", log.say)
	early.Loopback(log.say)
	debug.FreeOSMemory()
	serve(o, log)
	return lastResort(&o, line, log, "PID 1 cannot run")
}

// fromInitramfs goes over to the root file system of the command line, where this
// program, or another init, begins anew.
func fromInitramfs(o *options, line cmdline.Line, log *logger) int {
	c, err := rootfs.Read(line)
	if err != nil {
		return lastResort(o, line, log, "kernel command line: "+err.Error())
	}
	rootfs.Modules(log.say)
	if err := rootfs.Mount(&c, log.say); err != nil {
		return lastResort(o, line, log, "no root file system: "+err.Error())
	}
	gone, err := rootfs.Switch(&c, log.say)
	if gone {
		// What the shell would need may have gone with the initramfs; there is
		// what the root file system has.
		return lastResort(o, line, log, "the root file system was entered, but: "+err.Error())
	}
	return lastResort(o, line, log, err.Error())
}

// openKernelLog makes lines go to the kernel's log, all of them: it takes ten in five
// seconds of a program unless it is told otherwise (printk.devkmsg=).
func openKernelLog(log *logger) {
	if log.kmsg >= 0 {
		return
	}
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0)
	fd, err := unix.Open("/dev/kmsg", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		log.say(4, "open /dev/kmsg: "+err.Error())
		return
	}
	log.kmsg = fd
}

// speakUp makes everything appear on the console as well, once: what the kernel shows
// there of its log is left to it.
func (l *logger) speakUp() {
	if l.loud {
		return
	}
	l.loud = true
	b, err := os.ReadFile("/proc/sys/kernel/printk")
	if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
		if n, err := strconv.ParseUint(f[0], 10, 8); err == nil {
			l.shown = uint8(n)
		}
	}
}

// fromLine takes what the kernel command line says, and returns what is wrong with it.
func (o *options) fromLine(line cmdline.Line) (bad []string) {
	note := func(err error) {
		if err != nil {
			bad = append(bad, err.Error())
		}
	}
	if v, ok := line.Value("dynamod.svmgr"); ok {
		if strings.HasPrefix(v, "/") {
			o.manager[0] = v
		} else {
			bad = append(bad, "dynamod.svmgr=\""+v+"\" is no absolute path")
		}
	}
	switch v, _ := line.Value("dynamod.emergency"); v {
	case "open":
		o.cfg.Emergency, o.openShell = true, true
	default:
		on, wrong := line.Switch("dynamod.emergency", false)
		if wrong != "" {
			bad = append(bad, "dynamod.emergency=\""+wrong+"\" is none of yes, no and open")
		}
		o.cfg.Emergency = o.cfg.Emergency || on
	}
	if v, ok := line.Value("dynamod.boot-deadline"); ok {
		err := setDuration(&o.cfg.BootDeadline, "--boot-deadline", v)
		note(err)
		o.cfg.DeadlineFixed = o.cfg.DeadlineFixed || err == nil
	}
	if v, ok := line.Value("dynamod.boot-action"); ok {
		action, err := bootAction(v)
		note(err)
		if err == nil {
			o.cfg.BootAction, o.cfg.ActionFixed = action, true
		}
	}
	if v, ok := line.Value("dynamod.watchdog"); ok {
		note(setDuration(&o.watchdog, "dynamod.watchdog", v))
	}
	if v, ok := line.Value("dynamod.reboot-watchdog"); ok {
		note(setDuration(&o.rebootWatchdog, "dynamod.reboot-watchdog", v))
	}
	if v, ok := line.Value("dynamod.watchdog-device"); ok {
		o.watchdogDevice = v
	}
	return bad
}

// patience is how long a machine that cannot boot shows why, without panic= on the
// command line.
const patience = 10

// lastResort is for a machine that cannot run: a message, the emergency shell if the
// command line asks for it, and then a reboot, because nobody may be there to do it.
func lastResort(o *options, line cmdline.Line, log *logger, why string) int {
	log.speakUp()
	log.say(0, why)
	wait := patience
	if v, ok := line.Value("panic"); ok {
		// A negative number is "at once" (the kernel's kernel-parameters.rst); 0 is
		// "never", but a machine that nobody looks at shall not stand still.
		if n, err := strconv.Atoi(v); err == nil && n != 0 {
			wait = max(n, 0)
		}
	}
	if o.cfg.Emergency {
		// There may be no accounts to ask, and nothing runs that could be guarded.
		if pid, errno := startShell(true); errno != 0 {
			log.about("start a shell", errno)
		} else {
			log.say(1, "emergency: a shell on the console; the machine reboots when it ends")
			for {
				got, err := unix.Wait4(-1, nil, 0, nil)
				if got == pid || err == unix.ECHILD {
					break
				}
			}
			wait = 0
		}
	} else {
		log.say(1, "dynamod.emergency on the kernel command line gives a shell here")
	}
	if wait > 0 {
		log.say(1, "the machine reboots in "+strconv.Itoa(wait)+" s (panic=)")
		time.Sleep(time.Duration(wait) * time.Second)
	}
	unix.Sync()
	endgame.Now(endgame.Reboot, "", log.say)
	for {
		time.Sleep(time.Hour) // reboot(2) failed, and PID 1 must not exit
	}
}

// feedEvery is how often a watchdog with this timeout is fed.
func feedEvery(timeout pid1.Time) pid1.Time { return max(timeout/3, pid1.Second/2) }
