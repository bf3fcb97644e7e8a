//go:build vm

package scenarios

import (
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
	"dynamod/desktop-tests/vm/vmtest"
)

// The hardware watchdog is armed, fed while all is well, and resets the machine when a
// service that gates it lives no more.
func TestHardwareWatchdog(t *testing.T) {
	k := kernel(t)
	tiny := bootable.Tiny{
		Files: map[string]vm.Source{"/etc/dynamod/services/mute.toml": {Text: `[service]
name = "mute"
start = "manual"
exec = ["/bin/sleep", "100000"]

[watchdog]
interval = "2s"
gate-hardware = true

[restart]
policy = "no"
`}},
		Run: say + `
until dynamodctl ping >/dev/null; do :; done
dog=/sys/class/watchdog/watchdog0
same state "$(cat $dog/state)" active
same timeout "$(cat $dog/timeout)" 8
sleep 20 # more than twice its time
say lives
dynamodctl start mute
`}
	m := boot(t, vm.Spec{Name: "watchdog", Kernel: k, Initramfs: ourInitramfs(t, k, false, "virtio_blk", "ext4", "i6300esb"), Watchdog: true,
		Append: []string{"root=LABEL=tiny", "dynamod.watchdog=8s"}, Disks: []vm.Drive{{File: tinyDisk(t, tiny)}}})
	if err := m.Results.WaitLine(t.Context(), "lives"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.QMP.WaitEvent("WATCHDOG", time.Minute); err != nil {
		t.Error(err)
	}
	if err := m.Wait(); err != nil {
		t.Error(err)
	}
	vmtest.Checks(t, m.Results)
	if n := len(m.Results.Checks()); n != 2 {
		t.Errorf("%d checks were made", n)
	}
}
