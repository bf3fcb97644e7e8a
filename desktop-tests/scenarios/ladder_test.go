//go:build vm

package scenarios

import (
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
	"dynamod/desktop-tests/vm/vmtest"
)

// ladder is what happens in each boot of one disk. The service confirm, which must be up,
// fails until /root/fixed is there.
const ladder = say + `
[ -e /root/step ] || echo 1 >/root/step
step=$(cat /root/step)
next() { echo $((step+1)) >/root/step; sync; }
count() { cat /var/lib/dynamod/boot-attempts; }
is() { dynamodctl boot | sed -n "s/^ *$1: *//p"; }
# What follows the verdict is written after it.
good() { until [ "$(is verdict)" = good ] && [ "$(count)" = 0 ] && [ "$(cat /root/status-g7)" != pending ] && [ "$(cat /run/dynamod/boot)" != pending ]; do sleep 1; done; }
failed() { until dynamodctl status confirm | grep -q failed; do sleep 1; done; }
down() { next; say done; kill -TERM 1; sleep 1000; }
case $step in
1) # not good: counted, and a power cut changes nothing
	failed
	same count-1 "$(count)" 1
	same kind-1 "$(is kind)" full
	same status-1 "$(cat /root/status-g7)" pending
	check missed sh -c 'dynamodctl boot | grep -q "confirm.service is failed"'
	next; say cut; sleep 1000;;
2) # ended in order while pending: no failure
	failed
	same count-2 "$(count)" 2
	down;;
3) # the manager hangs: PID 1 calls the boot failed, and reboots
	failed
	same count-3 "$(count)" 2
	printf 'deadline = "%ss"\ndeadline-action = "reboot"\n' $(($(cut -d. -f1 /proc/uptime)+4)) >/tmp/more
	cp /etc/dynamod/boot.toml /tmp/boot.toml
	sed '/^grace/r /tmp/more' /tmp/boot.toml >/etc/dynamod/boot.toml
	check reload dynamodctl reload
	cp /tmp/boot.toml /etc/dynamod/boot.toml
	next; say done
	kill -STOP $(pidof dynamod-svmgr); sleep 1000;;
4)
	failed
	same count-4 "$(count)" 3
	same status-4 "$(cat /root/status-g7)" pending
	next; say cut; sleep 1000;;
5) # three failed: safe mode, which is good without what it leaves out
	good
	same kind-5 "$(is kind)" safe
	same count-5 "$(count)" 0
	same status-5 "$(cat /root/status-g7)" failed
	check why sh -c 'dynamodctl why plain | tr "\n" " " | grep -q "left out in safe mode"'
	check told sh -c 'dynamodctl status | grep -q "3 boots in a row have failed: safe mode"'
	check kernel-log sh -c 'dmesg | grep -q "3 boots in a row have failed"'
	same not-started "$(pidof sleep | wc -w)" 0
	check by-hand dynamodctl start plain
	touch /root/fixed
	down;;
6) # good: what follows is done once
	good
	same kind-6 "$(is kind)" full
	same count-6 "$(count)" 0
	same init-6 "$(cat /run/dynamod/boot)" ok
	same status-6 "$(cat /root/status-g7)" ok
	until [ -e /root/confirmed ]; do sleep 1; done
	same on-success "$(cat /root/confirmed)" "a b"
	printf '[service]\nname = "broken"\nexec = ["/bin/false"]\n' >/etc/dynamod/services/broken.toml
	echo 3 >/var/lib/dynamod/boot-attempts
	down;;
7) # the configuration that booted well, whatever is on disk
	good
	same kind-7 "$(is kind)" rollback
	same count-7 "$(count)" 0
	same broken "$(dynamodctl status broken | grep -c 'nothing has happened yet')" 1
	rm /etc/dynamod/services/broken.toml
	echo nonsense >/var/lib/dynamod/boot-attempts
	down;;
8) # nonsense is 0, and the files on disk are as they were
	good
	same kind-8 "$(is kind)" full
	same count-8 "$(count)" 0
	echo 4 >/var/lib/dynamod/boot-attempts
	down;;
9) # the shell has been left
	good
	same kind-9 "$(is kind)" emergency
	same count-9 "$(count)" 0
	down;;
esac
`

// Boots that fail one after another lead down the ladder, and one that is good up again.
func TestBootLadder(t *testing.T) {
	k := kernel(t)
	disk := tinyDisk(t, bootable.Tiny{Files: map[string]vm.Source{
		// No oneshot: without units that count a boot is good when its jobs are over.
		"/etc/dynamod/services/scenario.toml": {Text: "[service]\nname = \"scenario\"\nexec = [\"/bin/sh\", \"-c\", '''" + ladder + "''']\n\n[restart]\npolicy = \"temporary\"\n\n[dependencies]\nafter = [\"basic.target\"]\n"},
		"/etc/dynamod/boot.toml": {Text: `[boot]
success = ["confirm"]
grace = "1s"
safe-mode = ["scenario"]
on-success = [["/bin/sh", "-c", "echo a b >>/root/confirmed"]]

[boot.generation]
id-from = "test.generation"
status-file = "/root/status-{id}"
`},
		"/etc/dynamod/services/confirm.toml": {Text: `[service]
name = "confirm"
type = "oneshot"
exec = ["/bin/sh", "-c", "test -e /root/fixed"]

[restart]
policy = "temporary"

[dependencies]
after = ["basic.target"]
`},
		"/etc/dynamod/services/plain.toml": {Text: `[service]
name = "plain"
exec = ["/bin/sleep", "100000"]

[dependencies]
after = ["basic.target"]
`},
	}})
	for step := 1; step <= 9; step++ {
		m := boot(t, vm.Spec{Name: "ladder/" + string(rune('0'+step)), Kernel: k, Initramfs: foreign(t, k, "ro"), Limit: 4 * time.Minute,
			Append: []string{"test.generation=g7"}, Disks: []vm.Drive{{File: disk, Keep: true, Durable: true}}})
		switch step {
		case 1, 4:
			if err := m.Results.WaitLine(t.Context(), "cut"); err != nil {
				t.Fatal(err)
			}
			m.Close()
			vmtest.Checks(t, m.Results)
			continue
		case 3:
			for _, words := range []string{"boot: failed, not complete after", "the machine reboots"} {
				if _, err := m.Console.Expect(t.Context(), words); err != nil {
					t.Fatal(err)
				}
			}
		case 9:
			for _, words := range []string{"4 boots in a row have failed: the emergency shell", `\(dynamod-emergency\)|# $`} {
				if _, err := m.Console.Expect(t.Context(), words); err != nil {
					t.Fatal(err)
				}
			}
			typed(t, m, "exit\n", "the manager runs as process")
		}
		finish(t, m)
	}
	needsNoRecovery(t, disk)
}
