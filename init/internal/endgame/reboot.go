package endgame

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Kind is how a machine ends.
type Kind uint8

// They have the names of the wire to PID 1.
const (
	Poweroff Kind = iota + 1
	Reboot
	Halt
	Kexec
)

// Now calls reboot(2). argument is for the machine's firmware, with Reboot alone. It
// comes back only if the kernel refuses everything.
func Now(kind Kind, argument string, say Say) {
	switch kind {
	case Halt:
		say(5, "the machine halts")
		call(unix.LINUX_REBOOT_CMD_HALT, "", say)
	case Kexec:
		if b, err := os.ReadFile("/sys/kernel/kexec_loaded"); err == nil && len(b) > 0 && b[0] == '1' {
			say(5, "the next kernel starts")
			call(unix.LINUX_REBOOT_CMD_KEXEC, "", say)
		}
		say(3, "no kernel is loaded for kexec (kexec -l): the machine reboots")
	case Reboot:
	default:
		say(5, "the machine powers off")
		call(unix.LINUX_REBOOT_CMD_POWER_OFF, "", say)
		say(3, "power off failed: the machine halts")
		call(unix.LINUX_REBOOT_CMD_HALT, "", say)
	}
	say(5, "the machine reboots")
	if argument != "" {
		call(unix.LINUX_REBOOT_CMD_RESTART2, argument, say)
	}
	call(unix.LINUX_REBOOT_CMD_RESTART, "", say)
}

func call(cmd uintptr, argument string, say Say) {
	var p *byte
	if argument != "" {
		var err error
		if p, err = unix.BytePtrFromString(argument); err != nil {
			say(3, "the argument of reboot(2) has a zero byte in it and is left out")
			cmd = unix.LINUX_REBOOT_CMD_RESTART
		}
	}
	magic1, magic2 := uintptr(unix.LINUX_REBOOT_MAGIC1), uintptr(unix.LINUX_REBOOT_MAGIC2)
	if _, _, e := unix.Syscall6(unix.SYS_REBOOT, magic1, magic2, cmd, uintptr(unsafe.Pointer(p)), 0, 0); e != 0 {
		say(2, "reboot(2): "+e.Error())
	}
}
