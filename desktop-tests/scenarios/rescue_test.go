//go:build vm

package scenarios

import (
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// The recovery entry of Debian's boot loader adds "single" to the kernel command line:
// root's shell on the console with the file systems there and no service, and the end of
// the shell goes on to the default target.
func TestRescue(t *testing.T) {
	k := kernel(t)
	m := boot(t, vm.Spec{Name: "rescue", Kernel: k, Initramfs: ourInitramfs(t, k, false, "virtio_blk", "ext4"), Memory: 768, Limit: 4 * time.Minute,
		Append: []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms["dynamod"], "single", `"systemd.setenv=WORD=a b"`, "systemd.log_level=debug"},
		Disks:  []vm.Drive{{File: debianServer(t, nil), Keep: true}}})
	// What is typed before the end of the question is thrown away.
	if _, err := m.Console.Expect(t.Context(), `(?s)Press Enter for (system )?maintenance.*to continue\): `); err != nil {
		t.Fatal(err)
	}
	typed(t, m, "", "# ")
	for _, q := range [][2]string{
		{"systemctl is-active rescue.target sysinit.target multi-user.target ssh.service cron.service | tr '\\n' ' '", "active active inactive inactive inactive"},
		{"systemctl show-environment | grep -c '^WORD=.*a b'", "1"},
		{"findmnt -n -o OPTIONS / | grep -c '^rw'", "1"},
	} {
		typed(t, m, q[0]+"; echo answered", "(?s)"+q[1]+".*answered")
	}
	typed(t, m, "exit", "debian login: ")
	typed(t, m, "root", `root@debian:~# `)
	typed(t, m, "dynamodctl start default.target; systemctl is-active multi-user.target ssh.service rescue.service | tr '\\n' ' '", "active active inactive")
	typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
	finish(t, m)
}
