//go:build vm

package scenarios

import (
	"context"
	"errors"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// mended boots Debian as somebody does who wants to mend it, with more on the kernel
// command line.
func mended(t *testing.T, name string, words ...string) *vm.Machine {
	t.Helper()
	k := kernel(t)
	return boot(t, vm.Spec{Name: name, Kernel: k, Initramfs: ourInitramfs(t, k, false, "virtio_blk", "ext4"), Memory: 768, Limit: 4 * time.Minute,
		Append: append([]string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms["dynamod"]}, words...),
		Disks:  []vm.Drive{{File: debianServer(t, nil), Keep: true}}})
}

// questions types commands, each with what it must print.
func questions(t *testing.T, m *vm.Machine, list [][2]string) {
	t.Helper()
	for _, q := range list {
		typed(t, m, q[0]+"; echo answered", "(?s)"+q[1]+".*answered")
	}
}

// pressed presses Enter until the answer comes. sulogin throws away what was typed before it
// reads, and it reads a moment after its question: that moment nobody sees from outside.
func pressed(t *testing.T, m *vm.Machine, answer string) {
	t.Helper()
	for {
		if err := m.Console.Send("\n"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := m.Console.Expect(ctx, answer)
		cancel()
		if err == nil {
			return
		}
		if !errors.Is(err, context.DeadlineExceeded) || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// Safe mode of a machine with systemd's unit files: a login on the console, the devices,
// the journal and systemctl; what the machine is for is left out, says why, and starts for
// who asks.
func TestSafeMode(t *testing.T) {
	m := mended(t, "safe-mode", "dynamod.safe-mode")
	login(t, m)
	questions(t, m, [][2]string{
		{"dynamodctl boot", "kind: safe"},
		{"echo terminal=$TERM", "terminal=vt220"}, // serial-getty@.service hands agetty what the manager says
		{"test -e /run/nologin || echo users m''ay log in", "users may"},
		{"systemctl is-active sysinit.target getty.target systemd-udevd.service systemd-journald.service multi-user.target ssh.service cron.service | tr '\\n' ' '",
			"active active active active inactive inactive inactive"},
		{"dynamodctl why ssh", "safe mode"},
		{"systemctl start ssh; systemctl is-active ssh.service dbus.service cron.service | tr '\\n' ' '", "active [a-z]+ inactive"},
	})
	typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
	finish(t, m)
}

// The recovery entry of Debian's boot loader adds "single" to the kernel command line:
// root's shell on the console with the file systems there and no service, and the end of
// the shell goes on to the default target.
func TestRescue(t *testing.T) {
	m := mended(t, "rescue", "single", `"systemd.setenv=WORD=a b"`, "systemd.log_level=debug")
	if _, err := m.Console.Expect(t.Context(), `(?s)Press Enter for (system )?maintenance.*to continue\): `); err != nil {
		t.Fatal(err)
	}
	pressed(t, m, "# ")
	questions(t, m, [][2]string{
		{"systemctl is-active rescue.target sysinit.target multi-user.target ssh.service cron.service | tr '\\n' ' '", "active active inactive inactive inactive"},
		{"systemctl show-environment | grep -c '^WORD=.*a b'", "1"},
		{"findmnt -n -o OPTIONS / | grep -c '^rw'", "1"},
	})
	typed(t, m, "exit", "debian login: ")
	typed(t, m, "root", `root@debian:~# `)
	typed(t, m, "dynamodctl start default.target; systemctl is-active multi-user.target ssh.service rescue.service | tr '\\n' ' '", "active active inactive")
	typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
	finish(t, m)
}
