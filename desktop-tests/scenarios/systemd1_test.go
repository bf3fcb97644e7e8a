//go:build vm

package scenarios

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// probedUnits are units of all types that a Debian server has.
var probedUnits = strings.Fields(`cron.service nginx.service ssh.service rsyslog.service dbus.service systemd-udevd.service systemd-timesyncd.service
getty@tty1.service serial-getty@ttyS0.service systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.service
systemd-sysctl.service systemd-remount-fs.service systemd-random-seed.service systemd-modules-load.service systemd-user-sessions.service
systemd-udev-trigger.service kmod-static-nodes.service apt-daily.service apt-daily-upgrade.service rescue.service emergency.service fstrim.service
dpkg-db-backup.service modprobe@configfs.service nowhere.service
dbus.socket ssh.socket systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-initctl.socket syslog.socket
apt-daily.timer apt-daily-upgrade.timer systemd-tmpfiles-clean.timer fstrim.timer dpkg-db-backup.timer
multi-user.target basic.target sysinit.target local-fs.target network.target rescue.target graphical.target sockets.target timers.target getty.target
shutdown.target swap.target
systemd-ask-password-console.path systemd-ask-password-wall.path
-.mount dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount tmp.mount proc-sys-fs-binfmt_misc.automount
-.slice system.slice user.slice system-getty.slice init.scope dev-vda.device dev-ttyS0.device`)

// battery are commands that leave the machine as it was, and as root.
var battery = strings.Split(strings.TrimSpace(`
systemctl is-active cron
systemctl is-active cron nowhere nginx
systemctl is-enabled cron getty@.service systemd-tmpfiles-setup.service nowhere.service
systemctl is-failed cron
systemctl is-failed nowhere
systemctl is-system-running
systemctl get-default
systemctl cat cron
systemctl cat nowhere
systemctl status nowhere
systemctl list-unit-files --no-legend cron.service ssh.service getty@.service
systemctl list-unit-files --type=timer --no-legend
systemctl list-units --type=timer,path,automount --all --no-legend --plain
systemctl list-sockets --no-legend --all
systemctl list-jobs
systemctl list-dependencies --plain cron.service
systemctl list-dependencies --plain --reverse dbus.socket
systemctl list-dependencies --plain --after cron.service
systemctl show -p Id,ActiveState,UnitFileState,CanReload cron.service nginx.service
systemctl start nowhere
systemctl stop nowhere
systemctl restart nowhere
systemctl reload cron
systemctl reload nowhere
systemctl start 'bad name'
systemctl start cron
systemctl --no-block start cron
systemctl stop cron
systemctl is-active cron
systemctl try-restart cron
systemctl is-active cron
systemctl start cron
systemctl restart cron
systemctl reload-or-restart cron
systemctl kill -s CONT cron
systemctl kill nowhere
systemctl mask fstrim.timer
systemctl is-enabled fstrim.timer
systemctl start fstrim.timer
systemctl unmask fstrim.timer
systemctl is-enabled fstrim.timer
systemctl disable fstrim.timer
systemctl enable fstrim.timer
systemctl enable fstrim.timer
systemctl reenable fstrim.timer
systemctl preset fstrim.timer
systemctl enable nowhere
systemctl disable nowhere
systemctl mask --runtime fstrim.timer
systemctl unmask --runtime fstrim.timer
systemctl enable --now fstrim.timer
systemctl set-default rescue
systemctl get-default
systemctl set-default nowhere
systemctl set-default graphical.target
systemctl set-environment AAA=bbb
systemctl show-environment
systemctl unset-environment AAA
systemctl set-environment 1=2
systemctl set-property cron.service CPUWeight=50
systemctl show -p CPUWeight,DropInPaths cron.service
systemctl cat cron.service
systemctl revert cron.service
systemctl daemon-reload
systemctl show -p CPUWeight,DropInPaths cron.service
systemctl reset-failed
systemctl reset-failed nowhere
systemctl start rescue.target --job-mode=nonsense
systemctl isolate cron.service
systemctl start systemd-update-utmp-runlevel.service shutdown.target
systemctl freeze nowhere
systemctl list-timers --no-legend nowhere.timer
systemctl add-wants multi-user.target fstrim.timer
systemctl revert nowhere.service
systemctl cancel 4711
systemctl whoami 1
systemctl log-level warning
systemctl log-level
systemctl log-level info
systemctl log-level nonsense
systemd-run --wait --collect sh -c 'exit 3'
systemd-run --scope --quiet true
systemd-run --unit=scenario-a --quiet sleep 1000
systemctl is-active scenario-a
systemctl show -p Description,Transient,UnitFileState,FragmentPath scenario-a
systemctl stop scenario-a
systemctl is-active scenario-a
systemd-run --on-active=1h --unit=scenario-b --quiet true
systemctl is-active scenario-b.timer
systemctl stop scenario-b.timer
systemd-run --pty --quiet echo hello
systemd-run --pipe --quiet echo hello
systemd-run -p Nonsense=1 true
busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Nonsense
busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager GetUnit u 1
busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager GetUnit s nowhere.service
runuser -u nobody -- systemctl is-active cron
runuser -u nobody -- systemctl stop cron
runuser -u nobody -- systemctl daemon-reload
deb-systemd-helper --quiet was-enabled cron.service
deb-systemd-invoke restart cron.service
invoke-rc.d cron status
systemd-analyze --version
systemctl daemon-reexec
systemctl is-active cron
`), "\n")

func probe() string {
	var b strings.Builder
	b.WriteString("#!/bin/bash\n" + say + "exec >/dev/vport0p2 2>&1\nexport SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C COLUMNS=200\n")
	// The bridge may still be on its way to the bus.
	b.WriteString("for n in $(seq 300); do busctl status org.freedesktop.systemd1 >/dev/null 2>&1 && break; sleep 0.1; done\n")
	for _, u := range probedUnits {
		fmt.Fprintf(&b, "echo '@@unit %s'; systemctl show --all -- '%s'\n", u, u)
	}
	b.WriteString("echo '@@unit manager'; systemctl show --all\n")
	b.WriteString("echo '@@failed'; systemctl list-units --failed --plain --no-legend\n")
	b.WriteString("echo '@@loaded'; systemctl list-units --all --plain --no-legend\n")
	b.WriteString(asking(battery))
	// The costs of a round trip, and of listing.
	b.WriteString(`ms() { local a=$EPOCHREALTIME; "$@" >/dev/null 2>&1; local z=$EPOCHREALTIME; echo $(( (${z/./} - ${a/./}) / 1000 )); }
rounds() { for i in $(seq 20); do systemctl stop cron; systemctl start cron; done; }
lists() { for i in $(seq 10); do systemctl list-units --all; done; }
reads() { for i in $(seq 10); do systemctl show cron nginx ssh rsyslog dbus; done; }
say "value rounds=$(ms rounds)"
say "value lists=$(ms lists)"
say "value reads=$(ms reads)"
say "value rss=$(awk '/^VmRSS/ { print $2 }' /proc/$(pgrep -xo dynamod-sd1brid || echo 1)/status)"
`)
	return b.String()
}

// asking runs commands and tells parseAnswers what they said.
func asking(commands []string) string {
	var b strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&b, "cat <<'@@'\n@@command %s\n@@\ntimeout 60 %s </dev/null; echo \"@@rc $?\"\n", c, c)
	}
	return b.String()
}

// answers are what one machine said: properties by unit, commands in order, the units
// that are loaded and those that failed.
type answers struct {
	units    map[string]map[string]string
	commands map[string][]string
	loaded   map[string]bool
	failed   []string
}

func parseAnswers(text string) answers {
	a := answers{units: map[string]map[string]string{}, commands: map[string][]string{}, loaded: map[string]bool{}}
	unit, command, n, list := "", "", map[string]int{}, ""
	var lines []string
	for _, line := range strings.Split(strings.ReplaceAll(text, "\r", ""), "\n") {
		switch {
		case strings.HasPrefix(line, "@@unit "):
			unit = line[len("@@unit "):]
			a.units[unit] = map[string]string{}
		case strings.HasPrefix(line, "@@command "):
			unit, list, command, lines = "", "", line[len("@@command "):], nil
			n[command]++
			command = fmt.Sprintf("%s #%d", command, n[command])
		case line == "@@failed", line == "@@loaded":
			unit, list = "", line
		case strings.HasPrefix(line, "@@rc "):
			a.commands[command] = append(lines, line[2:])
		case list != "":
			if f := strings.Fields(line); len(f) > 0 && list == "@@loaded" {
				a.loaded[f[0]] = true
			} else if len(f) > 0 {
				a.failed = append(a.failed, f[0])
			}
		case unit != "":
			if k, v, ok := strings.Cut(line, "="); ok {
				if old, had := a.units[unit][k]; had {
					v = old + "\n" + v
				}
				a.units[unit][k] = v
			}
		default:
			lines = append(lines, line)
		}
	}
	return a
}

// reason is why properties of a name may differ.
type reason struct {
	name *regexp.Regexp
	why  string
}

// legitimate are the properties that two boots of the same system do not share, with
// the reason why; everything else must be equal.
var legitimate = []reason{
	{regexp.MustCompile(`Timestamp(Monotonic)?$`), "when it happened"},
	{regexp.MustCompile(`^(ExecMainPID|MainPID|ControlPID|InvocationID|ControlGroupId|NextElapseUSec.*|LastTriggerUSec.*|WatchdogTimestamp.*)$`), "a run of its own"},
	{regexp.MustCompile(`^(Memory(Current|Peak|Swap.*|Available|ZSwap.*)|CPUUsageNSec|TasksCurrent|IO(Read|Write).*|IP.*(Bytes|Packets)|EffectiveMemory.*|EffectiveTasksMax)$`), "what is used at the moment"},
	{regexp.MustCompile(`^(Timers(Monotonic|Calendar))$`), "the next moment is in it"},
	// docs/systemd1.md: not to a log daemon, which may be what is broken.
	{regexp.MustCompile(`^LogTarget$`), "where the manager logs"},
	{regexp.MustCompile(`^(Version|Features|NJobs|NInstalledJobs|NNames|Progress|Environment|ControlGroup)$`), "what the manager is"},
}

// found are mounts that PID 1 makes on a machine before any manager runs (docs/pid1.md):
// they came without a job and with its options, and systemd tells of a mount that it finds
// the same as we do.
var (
	found  = strings.Fields("dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount")
	byAJob = regexp.MustCompile(`^(ConditionResult|AssertResult|ExecMount|Options)$`)
)

var (
	pids   = regexp.MustCompile(`(pid|start_time|stop_time)=[^;]*`)
	moment = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|[0-9a-f]{32}|run-p\d+-i\d+|\b\d+(\.\d+)?(ms|s|us|min|h)\b( ago)?|\b\d+(\.\d+)?[KMG]\b`)
)

// invocation is what systemd-run says if it asks for the unit before that has ended.
var invocation = regexp.MustCompile(`; invocation ID: [0-9a-f]{32}`)

// manager is who tells what has become of a unit.
var manager = regexp.MustCompile(`\bdynamod-svmgr\[\d+\]`)

func sameValue(property, a, b string) bool {
	if strings.HasPrefix(property, "Exec") {
		a, b = pids.ReplaceAllString(a, "$1"), pids.ReplaceAllString(b, "$1")
	}
	fields := func(s string) []string { // lists of units have no order
		f := strings.Fields(s)
		if property == "SystemCallFilter" { // the libseccomp of that systemd does not know these yet
			f = slices.DeleteFunc(f, func(w string) bool { return w == "file_getattr" || w == "file_setattr" })
		}
		slices.Sort(f)
		return f
	}
	return a == b || slices.Equal(fields(a), fields(b))
}

// both says whether a unit is loaded on both machines, or on neither: systemd loads what
// is needed and forgets it again, dynamod keeps what it has seen, so that each knows
// relations to units that the other does not have.
//
// Units of dynamod, also those that have systemd's names, need what they need; and scopes of
// sessions are made by the login daemon of the machine.
func both(a, b answers, unit string) bool {
	return a.loaded[unit] == b.loaded[unit] && !strings.HasPrefix(unit, "dynamod-") && !slices.Contains(replaced, unit) && !strings.HasPrefix(unit, "session-")
}

var replaced = strings.Fields("systemd-logind.service systemd-hostnamed.service systemd-timedated.service systemd-localed.service systemd-journald.service")

var unitLike = regexp.MustCompile(`^[^\s/=]+\.(service|socket|target|timer|path|mount|automount|swap|slice|scope|device)$`)

// shared are the words of a list of units without those that one machine alone has.
func shared(a, b answers, text string) (string, bool) {
	var out []string
	for _, w := range strings.Fields(text) {
		if in, err := strconv.Unquote(w); err == nil { // one with an escape is quoted
			w = in
		}
		if !unitLike.MatchString(w) {
			return text, false
		}
		if both(a, b, w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, " "), true
}

// The ratchet: so many values and answers differed when this was last looked at. It may
// only be turned down.
const (
	knownValues   = 0
	knownCommands = 2
)

// What systemctl and its family say of the same image under systemd and under dynamod.
func TestSystemd1(t *testing.T) {
	k := kernel(t)
	disk := debianServer(t, map[string]vm.Source{"/root/probe": {Text: probe(), Perm: 0o755}})
	initramfs := ourInitramfs(t, k, false, "virtio_blk", "ext4")
	said := map[string]answers{}
	results := map[string]*vm.Results{}
	for _, init := range inits {
		t.Run(init, func(t *testing.T) {
			own := filepath.Join(t.TempDir(), "disk")
			if out, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", disk, own).CombinedOutput(); err != nil {
				t.Fatalf("copy the disk: %v: %s", err, out)
			}
			var output bytes.Buffer
			if dir := os.Getenv("SYSTEMD1_KEEP"); dir != "" { // to look at what a report cuts off
				t.Cleanup(func() {
					if err := os.WriteFile(filepath.Join(dir, init+".txt"), output.Bytes(), 0o644); err != nil {
						t.Error(err)
					}
				})
			}
			m := boot(t, vm.Spec{Name: "systemd1/" + init, Kernel: k, Initramfs: initramfs, Memory: 768, Limit: 15 * time.Minute, Output: &output,
				Append: []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms[init]},
				Disks:  []vm.Drive{{File: own, Keep: true}}})
			login(t, m)
			settled := "systemctl is-system-running --wait"
			if init == "dynamod" {
				settled = "dynamodctl start default.target"
			}
			typed(t, m, settled+"; echo settled=$?", "settled=[0-9]+")
			typed(t, m, "./probe; echo probed=$?", "probed=[0-9]+")
			typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
			finish(t, m)
			said[init], results[init] = parseAnswers(output.String()), m.Results
		})
	}
	if len(said) < 2 {
		return
	}
	t.Logf("failed: %v under systemd, %v under dynamod", said["systemd"].failed, said["dynamod"].failed)
	if wrong, equal := values(t, said["systemd"], said["dynamod"], legitimate); wrong > knownValues || equal < 5000 {
		t.Errorf("%d values are wrong, of which %d were known; %d are equal", wrong, knownValues, equal)
	}
	if wrong := commands(t, said["systemd"], said["dynamod"]); wrong > knownCommands || len(said["systemd"].commands) < len(battery)-5 {
		t.Errorf("%d commands differ, of which %d were known; there were %d", wrong, knownCommands, len(said["systemd"].commands))
	}
	for _, what := range []string{"rounds", "lists", "reads", "rss"} {
		t.Logf("%s: %s ms (KB) under systemd, %s under dynamod", what, results["systemd"].Value(what), results["dynamod"].Value(what))
	}
}

// values compares properties and tells the sums and what is wrong, by property.
func values(t *testing.T, theirs, ours answers, legitimate []reason) (total, equal int) {
	different := 0
	wrong := map[string][]string{}
	for _, unit := range slices.Sorted(maps.Keys(theirs.units)) {
		have := ours.units[unit]
		for _, p := range slices.Sorted(maps.Keys(theirs.units[unit])) {
			want := theirs.units[unit][p]
			got, there := have[p]
			if w, ok := shared(theirs, ours, want); ok && there {
				if g, ok := shared(theirs, ours, got); ok && g != got || w != want {
					want, got = w, g
				}
			}
			switch {
			case there && sameValue(p, want, got):
				equal++
			case strings.HasPrefix(p, "Limit") && have["LoadState"] == "not-found":
				different++ // what the manager itself has: a program without a unit has no limits
			case slices.Contains(found, unit) && byAJob.MatchString(p):
				different++
			case strings.HasSuffix(unit, ".device") && (p == "ConditionResult" || p == "AssertResult"):
				different++ // whether a job waited for it or it was there before
			case slices.ContainsFunc(legitimate, func(r reason) bool { return r.name.MatchString(p) }):
				different++
			default:
				if !there {
					got = "(not there)"
				}
				total++
				wrong[p] = append(wrong[p], fmt.Sprintf("%s: %.200q; systemd has %.200q", unit, got, want))
			}
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(wrong), func(a, b string) int { return len(wrong[b]) - len(wrong[a]) }) {
		t.Logf("%s is wrong %d times:\n\t%s", p, len(wrong[p]), strings.Join(wrong[p][:min(len(wrong[p]), 4)], "\n\t"))
	}
	t.Logf("%d values are equal, %d legitimately different, %d wrong", equal, different, total)
	return total, equal
}

// commands compares what was answered and tells the sum and what is wrong.
func commands(t *testing.T, theirs, ours answers) (wrong int) {
	plain := func(command string, lines []string) string {
		var kept []string
		for _, l := range lines {
			// A comment of a file says who wrote it.
			if strings.HasPrefix(command, "systemctl cat") && strings.HasPrefix(l, "# ") && !strings.HasPrefix(l, "# /") {
				continue
			}
			l = manager.ReplaceAllString(invocation.ReplaceAllString(l, ""), "systemd[1]")
			words := strings.Fields(l)
			list := strings.HasPrefix(command, "systemctl list-dependencies") || strings.HasPrefix(command, "systemctl list-sockets")
			if list && slices.ContainsFunc(words, func(w string) bool { return unitLike.MatchString(w) && !both(theirs, ours, w) }) {
				continue
			}
			kept = append(kept, l)
		}
		return moment.ReplaceAllString(strings.Join(kept, "\n"), "…")
	}
	for _, c := range slices.Sorted(maps.Keys(theirs.commands)) {
		want, got := plain(c, theirs.commands[c]), plain(c, ours.commands[c])
		if want == got {
			continue
		}
		wrong++
		t.Logf("%s\n--- systemd\n%s\n--- dynamod\n%s", c, want, got)
	}
	t.Logf("%d of %d commands say something else", wrong, len(theirs.commands))
	return wrong
}
