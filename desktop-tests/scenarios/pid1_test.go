//go:build vm

package scenarios

import (
	"strconv"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// bootTiny boots a small system from its own disk behind a foreign initramfs.
func bootTiny(t *testing.T, name string, tiny bootable.Tiny, change func(*vm.Spec)) (*vm.Machine, string) {
	t.Helper()
	k := kernel(t)
	disk := tinyDisk(t, tiny)
	s := vm.Spec{Name: name, Kernel: k, Initramfs: foreign(t, k, "ro"), Disks: []vm.Drive{{File: disk, Keep: true}}}
	if change != nil {
		change(&s)
	}
	return boot(t, s), disk
}

// Each signal to PID 1 ends the machine in its way, and the disk is clean after it.
func TestSignals(t *testing.T) {
	const realtimeMin = 34
	for _, c := range []struct {
		name   string
		signal int
		words  string
		halts  bool
	}{
		{"int", 2, "the machine reboots", false},
		{"usr1", 10, "the machine reboots", false},
		{"rtmin3", realtimeMin + 3, "the machine halts", true},
		{"rtmin4", realtimeMin + 4, "the machine powers off", false},
		{"rtmin5", realtimeMin + 5, "the machine reboots", false},
		{"rtmin14", realtimeMin + 14, "the machine powers off", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, disk := bootTiny(t, "signals/"+c.name, bootable.Tiny{Run: say + "say done; kill -" + strconv.Itoa(c.signal) + " 1; sleep 100"}, nil)
			if _, err := m.Console.Expect(t.Context(), c.words); err != nil {
				t.Fatal(err)
			}
			if c.halts {
				if _, err := m.Console.Expect(t.Context(), "reboot: System halted"); err != nil {
					t.Fatal(err)
				}
				m.Close()
			} else {
				finish(t, m)
			}
			needsNoRecovery(t, disk)
		})
	}
}

// Ctrl-Alt-Del is an ordered reboot, not the kernel's.
func TestCtrlAltDel(t *testing.T) {
	m, disk := bootTiny(t, "ctrl-alt-del", bootable.Tiny{Run: say + "say ready; sleep 1000"}, func(s *vm.Spec) { s.Board = vm.Q35 })
	if err := m.Results.WaitLine(t.Context(), "ready"); err != nil {
		t.Fatal(err)
	}
	if err := m.SendKeys("ctrl", "alt", "delete"); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"the ordered stop begins", "the machine reboots"} {
		if _, err := m.Console.Expect(t.Context(), words); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Wait(); err != nil {
		t.Error(err)
	}
	needsNoRecovery(t, disk)
}

// sleeper is a service whose process must live on, whatever becomes of the manager.
var sleeper = map[string]vm.Source{"/etc/dynamod/services/sleeper.toml": {Text: `[service]
name = "sleeper"
exec = ["/bin/sleep", "100000"]

[dependencies]
after = ["basic.target"]
`}}

const managers = say + `
manager() { pidof dynamod-svmgr; }
until s=$(pidof sleep) && dynamodctl status sleeper >/dev/null; do :; done
# another OLD waits until another manager than OLD answers.
another() { until new=$(manager) && [ "$new" != "$1" ] && dynamodctl ping >/dev/null 2>&1; do sleep 1; done; }
`

// A manager that hangs is replaced; killed twenty times it loses no service; nobody
// but it has a descriptor of the channel to PID 1.
func TestManagerReplaced(t *testing.T) {
	m, disk := bootTiny(t, "manager-replaced", bootable.Tiny{Files: sleeper, Run: managers + `
channel=$(readlink /proc/$(manager)/fd/3)
case $channel in socket:*) say ok channel;; *) say "FAIL channel: descriptor 3 of the manager is $channel";; esac
same holders "$(for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null | grep -q -F "$channel" && cat $p/comm; done)" dynamod-svmgr
old=$(manager); kill -STOP $old; another $old
same after-hang "$(pidof sleep)" "$s"
# Five that live less than 30 s are an emergency.
sleep 31
n=0
while [ $n -lt 20 ]; do
	old=$(manager); kill -KILL $old; another $old
	n=$((n+1))
	same after-kill-$n "$(pidof sleep)" "$s"
	[ $((n%4)) = 0 ] && sleep 31
done
check still-active dynamodctl status sleeper
same pid1 "$(cat /proc/1/comm)" dynamod-init
say done
kill -TERM 1
`}, func(s *vm.Spec) { s.Limit = 10 * time.Minute })
	finish(t, m)
	needsNoRecovery(t, disk)
}

// Nonsense on the manager's channel moves PID 1 no further than to another manager.
func TestManagerTalksNonsense(t *testing.T) {
	m, disk := bootTiny(t, "manager-nonsense", bootable.Tiny{Files: map[string]vm.Source{"/bin/nonsense": {Perm: 0o755, Text: `#!/bin/sh
[ -e /run/said ] && exec /usr/lib/dynamod/dynamod-svmgr "$@"
: >/run/said
head -c 300000 /dev/urandom >&3
exec sleep 100000
`}}, Run: say + `
check said test -e /run/said
same pid1 "$(cat /proc/1/comm)" dynamod-init
say done
kill -TERM 1
`}, func(s *vm.Spec) { s.Append = []string{"dynamod.svmgr=/bin/nonsense"}; s.Limit = 4 * time.Minute })
	finish(t, m)
	needsNoRecovery(t, disk)
}

// Each way into the emergency shell leads there, and out of it.
func TestEmergency(t *testing.T) {
	for _, c := range []struct {
		name, run string
		line      []string
		leave     string
		words     string
	}{
		{"command-line", say + "say done; kill -TERM 1", []string{"dynamod.emergency"}, "exit\n", "the manager runs as process"},
		{"usr2", say + "read go </dev/vport0p1; say done; kill -USR2 1; sleep 1000", nil, "kill -TERM 1; exit\n", "the machine powers off"},
		{"no-manager", "", []string{"dynamod.svmgr=/nonexistent/svmgr"}, "reboot -f\n", "Restarting system|reboot: "},
		// One service takes longer than a boot may.
		{"boot-late", say + `until [ -e /run/left ]; do sleep 1; done; same verdict "$(grep -c failed /run/dynamod/boot)" 1; say done; kill -TERM 1`,
			[]string{"dynamod.boot-deadline=30s", "dynamod.boot-action=emergency"}, ">/run/left; exit\n", "the manager runs as process"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tiny := bootable.Tiny{Run: c.run}
			if c.name == "boot-late" {
				tiny.Files = map[string]vm.Source{"/etc/dynamod/services/late.toml": {Text: `[service]
name = "late"
type = "oneshot"
exec = ["/bin/sleep", "100000"]
`}}
			}
			m, _ := bootTiny(t, "emergency/"+c.name, tiny, func(s *vm.Spec) { s.Append = c.line })
			if c.name == "usr2" || c.name == "boot-late" {
				// A getty that is just starting would take the console back.
				if _, err := m.Console.Expect(t.Context(), "tiny login: "); err != nil {
					t.Fatal(err)
				}
			}
			if c.name == "usr2" {
				if err := m.Tell("go"); err != nil {
					t.Fatal(err)
				}
			}
			// sulogin asks for no password where root has none.
			if _, err := m.Console.Expect(t.Context(), `\(dynamod-emergency\)|Press enter for maintenance|Give root password|# $`); err != nil {
				t.Fatal(err)
			}
			typed(t, m, "echo here $((6*7))", "here 42")
			typed(t, m, "cat /proc/1/comm", "dynamod-init")
			typed(t, m, c.leave, c.words)
			if c.run != "" {
				finish(t, m)
			} else if err := m.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What may be broken on a machine does not keep it from booting and going down.
func TestFailureTour(t *testing.T) {
	const end = "\nsay done\nkill -TERM 1\n"
	id := map[string]vm.Source{"/etc/machine-id": {Text: "this is no identity\n"}}
	for _, c := range []struct {
		name   string
		tiny   bootable.Tiny
		change func(*vm.Spec)
	}{
		{"machine-id", bootable.Tiny{Files: id, Run: say + `same id "$(grep -c '^[0-9a-f]\{32\}$' /etc/machine-id)" 1` + end}, nil},
		{"read-only", bootable.Tiny{Files: id, Run: say + `
same id "$(grep -c '^[0-9a-f]\{32\}$' /etc/machine-id)" 1
touch /x 2>/dev/null && say "FAIL read-only: it can be written" || say "ok read-only"
check manager dynamodctl ping` + end}, func(s *vm.Spec) { s.Disks[0].ReadOnly = true }},
		{"full-run", bootable.Tiny{Files: sleeper, Run: managers + `
dd if=/dev/zero of=/run/full bs=64k 2>/dev/null
touch /run/more 2>/dev/null && echo x >/run/more 2>/dev/null && say "FAIL full: there is room" || say "ok full"
check manager dynamodctl ping
check restart dynamodctl restart sleeper` + end}, nil},
		// Nobody to be seen, and no shell for an emergency: PID 1 goes on all the same.
		{"no-console", bootable.Tiny{Files: sleeper, Run: managers + `
same output "$(for n in 0 1 2; do readlink /proc/1/fd/$n; done | sort -u)" /dev/null
check manager dynamodctl ping
rm -f /dev/console # mdev has made one
old=$(manager); kill -USR2 1; another $old
same emergency "$(dmesg | grep -c 'the emergency shell cannot be started')" 1
same kept "$(pidof sleep)" "$s"` + end}, func(s *vm.Spec) {
			s.Initramfs = foreign(t, kernel(t), "ro", "rm root/dev/console", "exec <&- >&- 2>&-")
			s.Limit = 4 * time.Minute // 30 s of them for the next manager
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, disk := bootTiny(t, "failures/"+c.name, c.tiny, c.change)
			finish(t, m)
			needsNoRecovery(t, disk)
		})
	}
}

// A manager that cannot read what the former one wrote down does not guess: the
// services live on, it says what to do, and the emergency shell is there to do it in.
func TestDamagedSnapshot(t *testing.T) {
	m, disk := bootTiny(t, "damaged-snapshot", bootable.Tiny{Files: sleeper, Run: managers + `
if [ -e /run/sleeps ]; then
	check anew dynamodctl status sleeper
	say done
	kill -TERM 1
	exit
fi
# What is told while nobody has the port open is lost.
{ echo ready >&3; read go <&3; } 3<>/dev/vport0p1
echo $s >/run/sleeps
m=$(manager); kill -STOP $m
echo '{"Generation":' >/run/dynamod/state/state.json
kill -KILL $m
`}, nil)
	// A getty that is just starting would take the console back.
	if _, err := m.Console.Expect(t.Context(), "tiny login: "); err != nil {
		t.Fatal(err)
	}
	if err := m.Results.WaitLine(t.Context(), "ready"); err != nil {
		t.Fatal(err)
	}
	if err := m.Tell("go"); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"then remove /run/dynamod/state", `\(dynamod-emergency\)`} {
		if _, err := m.Console.Expect(t.Context(), words); err != nil {
			t.Fatal(err)
		}
	}
	typed(t, m, `[ "$(pidof sleep)" = "$(cat /run/sleeps)" ] && echo lives $((6*7))`, "lives 42")
	// As docs/survival.md has it. The signal goes to all but PID 1 and the shell itself.
	typed(t, m, "kill -KILL -1; rm -r /run/dynamod/state; exit", "the manager runs as process")
	finish(t, m)
	needsNoRecovery(t, disk)
}

// After a power cut during writes the machine boots again, and what was synced is there.
func TestPowerCut(t *testing.T) {
	k := kernel(t)
	disk := tinyDisk(t, bootable.Tiny{Run: say + `
if [ -e /root/synced ]; then
	same synced "$(cat /root/synced)" before
	same id "$(cat /etc/machine-id)" "$(cat /root/id)"
	say done
	kill -TERM 1
else
	cp /etc/machine-id /root/id; echo before >/root/synced; sync
	say writing
	while :; do dd if=/dev/urandom of=/root/big bs=64k count=64 conv=fsync 2>/dev/null; done
fi
`})
	spec := vm.Spec{Name: "power-cut/before", Kernel: k, Initramfs: foreign(t, k, "ro"), Disks: []vm.Drive{{File: disk, Keep: true, Durable: true}}}
	m := boot(t, spec)
	if err := m.Results.WaitLine(t.Context(), "writing"); err != nil {
		t.Fatal(err)
	}
	m.Close()
	spec.Name = "power-cut/after"
	m = boot(t, spec)
	finish(t, m)
	needsNoRecovery(t, disk)
}
