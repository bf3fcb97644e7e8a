//go:build vm

package scenarios

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// inits are the two that the same image boots with.
var inits = []string{"systemd", "dynamod"}

// asked is what an operator types after his login, in one file. Everything but the
// lists is asked of the programs, not of their manager.
const asked = `#!/bin/bash
` + say + `
exec >/dev/vport0p2 2>&1
# Costs, before the questions add theirs.
awk '$1 == "cpu" { printf "value cpu=%.2f\n", ($2+$3+$4+$7+$8)/100 }' /proc/stat >/dev/vport0p1
awk '/^MemTotal/ { t = $2 } /^MemAvailable/ { a = $2 } END { print "value used=" t-a }' /proc/meminfo >/dev/vport0p1
awk '{ gsub(":", "") } /^(VmRSS|RssAnon)/ { print "value pid1." $1 "=" $2 }' /proc/1/status >/dev/vport0p1
say "value manager=$(awk '/^VmRSS/ { print $2 }' /proc/$(pgrep -xo dynamod-svmgr || echo 1)/status)"
say "value handed-over=$(dmesg | sed -n 's/^\[ *\([0-9.]*\)\] dynamod-init: the root file system is.*/\1/p')"
same pid1 "$(cat /proc/1/comm)" "$2"
same login "$(id -un) $(readlink /proc/$PPID/fd/0)" "root /dev/ttyS0"
banner() { exec 3<>/dev/tcp/127.0.0.1/22 && head -c 7 <&3; }
same ssh "$(banner)" SSH-2.0
page() { exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && head -c 15 <&3; }
same nginx "$(page)" "HTTP/1.1 200 OK"
check dbus dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames
check logger logger -p user.notice scenario-was-here
check journal grep -q scenario-was-here <(journalctl --sync; journalctl -q --no-pager)
check root-writable touch /root/written
for p in sshd nginx cron rsyslogd dbus-daemon systemd-udevd systemd-journal agetty; do check running:$p pgrep -x "$p"; done
if [ "$1" = systemd ]; then
	since() { systemctl show -P ActiveEnterTimestampMonotonic "$1"; }
else
	since() { dynamodctl list --all --json "$1" | grep -o '"mono_usec": *[0-9]*' | grep -o '[0-9]*$'; }
fi
say "value multi-user=$(since multi-user.target)"
say "value prompt=$(since serial-getty@ttyS0.service)"
if [ "$1" = systemd ]; then
	say "value failed=$(systemctl list-units --all --state=failed --plain --no-legend | awk '{print $1}' | sort | tr '\n' ' ')"
	say "value timers=$(systemctl list-timers --all --plain --no-legend | grep -o '[^ ]*\.timer' | sort | tr '\n' ' ')"
	say "value active=$(systemctl list-units --state=active --plain --no-legend | awk '{print $1}' | sort | tr '\n' ' ')"
else
	say "value failed=$(dynamodctl list --all --state failed,blocked,abandoned,dormant --json | grep -o '"unit": *"[^"]*"' | cut -d'"' -f4 | sed 's/\\\\/\\/g' | sort | tr '\n' ' ')"
	say "value timers=$(dynamodctl list --all --timers | grep -o '[^ ]*\.timer' | sort | tr '\n' ' ')"
	say "value active=$(dynamodctl list --state active,completed --json | grep -o '"unit": *"[^"]*"' | cut -d'"' -f4 | sed 's/\\\\/\\/g' | sort | tr '\n' ' ')"
	dynamodctl list
	dynamodctl list --all --state failed,blocked,abandoned,dormant
	dynamodctl blame
	dynamodctl jobs
fi
tr '\0' ' ' </proc/$(pgrep -x cron)/environ
ps -eo pid,ppid,rss,time,args
`

func debianServer(t *testing.T, files map[string]vm.Source) string {
	t.Helper()
	img, err := bootable.Debian{Recipe: debtree.Server, Files: files}.Image(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	return disk
}

// typed sends a line to the console and waits for what must come back.
func typed(t *testing.T, m *vm.Machine, line, answer string) {
	t.Helper()
	if err := m.Console.Send(line + "\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Console.Expect(t.Context(), answer); err != nil {
		t.Fatal(err)
	}
}

// login waits for the prompt on the serial console and logs root in.
func login(t *testing.T, m *vm.Machine) {
	t.Helper()
	if _, err := m.Console.Expect(t.Context(), "debian login: "); err != nil {
		t.Fatal(err)
	}
	typed(t, m, "root", `root@debian:~# `)
}

// Debian 13, untouched, boots to its login prompt with its own units, its services
// answer, and it goes down clean; under systemd and under dynamod, of one image. No
// unit may fail under dynamod that does not fail under systemd.
func TestDebian(t *testing.T) {
	k := kernel(t)
	disk := debianServer(t, map[string]vm.Source{"/root/asked": {Text: asked, Perm: 0o755}})
	initramfs := ourInitramfs(t, k, false, "virtio_blk", "ext4")
	results := map[string]*vm.Results{}
	for _, init := range inits {
		t.Run(init, func(t *testing.T) {
			own := filepath.Join(t.TempDir(), "disk")
			if out, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", disk, own).CombinedOutput(); err != nil {
				t.Fatalf("copy the disk: %v: %s", err, out)
			}
			m := boot(t, vm.Spec{Name: "debian/" + init, Kernel: k, Initramfs: initramfs, Memory: 768, Limit: 6 * time.Minute,
				Append: []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms[init]},
				Disks:  []vm.Drive{{File: own, Keep: true}}})
			login(t, m)
			settled, down, comm := "systemctl is-system-running --wait; systemctl is-active default.target", "systemctl poweroff", "systemd"
			if init == "dynamod" {
				settled, down, comm = "dynamodctl start default.target; dynamodctl status default.target | grep -c -w active", "kill -TERM 1", "dynamod-init"
			}
			typed(t, m, settled+"; echo settled=$?", "settled=[0-9]+")
			typed(t, m, "./asked "+init+" "+comm+"; echo asked=$?", "asked=[0-9]+")
			typed(t, m, "echo done >/dev/vport0p1; "+down, "")
			finish(t, m)
			needsNoRecovery(t, own)
			results[init] = m.Results
			costs(t, init, m.Results)
		})
	}
	if t.Failed() {
		return
	}
	sets := map[string][]string{}
	for _, what := range []string{"failed", "timers", "active"} {
		for _, init := range inits {
			sets[init] = strings.Fields(results[init].Value(what))
			t.Logf("%s under %s: %s", what, init, strings.Join(sets[init], " "))
		}
		t.Logf("%s only under systemd: %v; only under dynamod: %v", what, missing(sets["systemd"], sets["dynamod"]), missing(sets["dynamod"], sets["systemd"]))
		switch what {
		case "failed":
			if extra := missing(sets["dynamod"], sets["systemd"]); len(extra) > 0 {
				t.Errorf("these fail under dynamod alone: %v", extra)
			}
		case "timers":
			if gone := missing(sets["systemd"], sets["dynamod"]); len(gone) > 0 || len(sets["dynamod"]) == 0 {
				t.Errorf("timers that dynamod does not have: %v", gone)
			}
		}
	}
}

// costs prints a row for the table of README: what a boot took, from the kernel's
// handing over to the init of the disk.
func costs(t *testing.T, init string, r *vm.Results) {
	t.Helper()
	number := func(name string) float64 {
		n, err := strconv.ParseFloat(r.Value(name), 64)
		if err != nil || n <= 0 {
			t.Errorf("%s under %s: %q is no number", name, init, r.Value(name))
		}
		return n
	}
	begin := number("handed-over")
	t.Logf("COST %-8s multi-user %5.2f s, prompt %5.2f s, processor %5.2f s (kernel's boot too), PID 1 %5.0f kB (%.0f anonymous), manager %5.0f kB, memory in use %6.0f kB",
		init, number("multi-user")/1e6-begin, number("prompt")/1e6-begin, number("cpu"), number("pid1.VmRSS"), number("pid1.RssAnon"), number("manager"), number("used"))
}

// missing is what is in a and not in b.
func missing(a, b []string) (out []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
