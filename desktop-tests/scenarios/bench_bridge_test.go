//go:build vm

package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// bridgeWork are what is asked of systemd, or of dynamod through its bridge, by unmodified
// programs. It is for bash; say tells what failed.
const bridgeWork = `export SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C
count() { systemctl list-units --all --no-legend --plain | wc -l; }
# By one job that wants all: to start 1,600 by name takes systemd minutes here.
upto() {
	{ echo "[Unit]"; for ((i = $(count) + 2; i <= $1; i++)); do echo Wants=fleet@$i.target; done; } >/run/systemd/system/fleet$1.target
	systemctl daemon-reload
	systemctl start fleet$1.target || say "FAIL fleet$1.target does not start"
	# Clients are told of each unit, which goes on for a while: nobody of both is busy with
	# that when something is measured.
	local before now n
	for n in $(seq 60); do before=$(ticks); sleep 3; now=$(ticks); test $((now - before)) -gt 5 || break; done
}
# What PID 1 and the bridge have used of the processor, in hundredths of a second (the
# fields behind the name, proc_pid_stat(5)).
ticks() { local p s sum=0; for p in 1 $(pgrep -x 'dynamod-sd1brid|dynamod-svmgr'); do s=$(</proc/$p/stat); s=(${s##*) }); sum=$((sum + s[11] + s[12])); done; echo $sum; }
nothing() { for n in 1 2 3 4 5 6 7 8 9 10; do systemctl --version; done; }
rounds() { for n in 1 2 3 4 5 6 7 8 9 10; do systemctl start sleeper && systemctl stop sleeper || return; done; }
lists() { for n in 1 2 3 4 5 6 7 8 9 10; do systemctl list-units --all || return; done; }
# 20 clients with 50 reads each.
names="Id Names Description LoadState ActiveState SubState FragmentPath UnitFileState Requires Wants After Before Conflicts ActiveEnterTimestamp ActiveExitTimestamp
InactiveEnterTimestamp InactiveExitTimestamp CanStart CanStop CanReload Job InvocationID ConditionResult NeedDaemonReload CollectMode"
reads() { for n in 1 2 3 4 5 6 7 8 9 10; do
	for u in cron_2eservice ssh_2eservice; do busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/$u org.freedesktop.systemd1.Unit $names $names || return; done
done; }
shows() { for n in 1 2 3 4 5; do systemctl show cron ssh rsyslog nginx dbus cron ssh rsyslog nginx dbus || return; done; }
`

// bridgeScript asks systemd, or dynamod through its bridge, by the same programs for the
// same things. It tells the least of three times in ms, or, with turns on the kernel command
// line, each time in us when it is told what to do: "end" is the end of that.
const bridgeScript = `#!/bin/bash
exec 3<>/dev/vport0p1
say() { echo "$*" >&3; }
case $1 in
systemd) systemctl is-system-running --wait >/dev/null ;;
dynamod) dynamodctl start default.target >/dev/null ;;
esac
for n in $(seq 300); do busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Version >/dev/null 2>&1 && break; sleep 0.1; done
sleep 5 # the boot has settled
ms() {
	local what=$1 least= n a z; shift
	for n in 1 2 3; do
		a=${EPOCHREALTIME/./}; "$@" >/run/bench.log 2>&1 || say "FAIL $what: $(tail -n 3 /run/bench.log | tr '\n' ' ')"; z=${EPOCHREALTIME/./}
		test "$least" && test $least -le $((z - a)) || least=$((z - a))
	done
	say "value $what=$((least / 1000))"
}
rss() { sleep 12; say "value $1=$(awk '/^VmRSS/ { print $2 }' /proc/$(pgrep -xo dynamod-sd1brid || echo 1)/status)"; }
` + bridgeWork + `
turns() {
	local what a z
	while read -r what <&3 && test $what != end; do
		a=${EPOCHREALTIME/./}; $what >/run/bench.log 2>&1 || say "FAIL $what: $(tail -n 3 /run/bench.log | tr '\n' ' ')"; z=${EPOCHREALTIME/./}
		say "value turn$((++turn))=$((z - a))"
	done
}
rss idle
upto 400
say "value units400=$(count)"
if grep -qw turns /proc/cmdline; then
	turns
	rss rss400
	upto 2000
	say "value units2000=$(count)"
	turns
	rss rss2000
else
ms nothing nothing
ms rounds rounds
ms lists400 lists
ms reads reads
ms shows shows
rss rss400
upto 2000
say "value units2000=$(count)"
ms lists2000 lists
rss rss2000
fi
say done
case $1 in
systemd) systemctl poweroff ;;
dynamod) kill -TERM 1 ;;
esac
`

// bridgeUnits are the units that bridgeWork needs.
var bridgeUnits = map[string]string{
	"fleet@.target":   "[Unit]\nDescription=Number %i of the fleet\n",
	"sleeper.service": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep infinity\n",
}

// bridgeSteps are what is measured, and bridgeTitles what that is.
var (
	bridgeSteps  = []string{"nothing", "rounds", "reads", "shows", "lists400", "lists2000"}
	bridgeTitles = map[string]string{"nothing": "10 x systemctl --version", "rounds": "10 x systemctl start and stop", "reads": "1,000 properties read by busctl",
		"shows": "5 x systemctl show of 10 units", "lists400": "10 x list-units of 400", "lists2000": "10 x list-units of 2,000"}
)

// BenchmarkBridge boots one image of Debian 13 with systemd and with dynamod and compares
// what systemctl and busctl take: by time, and by the instructions that are carried out
// (vm.Spec, Counted). Ours must not be slower by either. Where the machines are emulated, time
// says less: on a busy host the same takes twice as long a second later, as the step shows
// that asks nobody (systemctl --version). So both machines are there at once and asked by
// turns. BenchmarkNative has the processor itself.
func BenchmarkBridge(b *testing.B) {
	files := map[string]vm.Source{}
	for name, text := range bridgeUnits {
		files["/etc/systemd/system/"+name] = vm.Source{Text: text}
	}
	image := benchImage(b, debtree.Server, bridgeScript, files)
	b.Run("time", func(b *testing.B) { bridgeByTurns(b, image) })
	image.counted = true
	b.Run("instructions", func(b *testing.B) { countBridge(b, image) })
}

// bridgeByTurns asks for each step as often as b loops.
func bridgeByTurns(b *testing.B, image benched) {
	machines, turn := map[string]*vm.Machine{}, map[string]int{}
	told := map[string]map[string]int{}
	for _, side := range inits {
		machines[side], told[side] = image.start(b, side, "turns"), map[string]int{}
		defer machines[side].Close()
	}
	value := func(side, what string) int {
		b.Helper()
		m := machines[side]
		if err := m.Results.WaitLine(b.Context(), what); err != nil {
			b.Fatal(err)
		}
		n, err := strconv.Atoi(m.Results.Value(what))
		if err != nil {
			b.Fatalf("%s told %q for %s", side, m.Results.Value(what), what)
		}
		return n
	}
	tell := func(side, line string) {
		b.Helper()
		if err := machines[side].Tell(line); err != nil {
			b.Fatal(err)
		}
	}
	var table strings.Builder
	turns := 0
	again := func() bool { // b.Loop is for the first phase, and the second has as many turns
		if b.Loop() {
			turns++
			return true
		}
		return false
	}
	for _, phase := range []struct {
		units int
		steps []string
	}{{400, []string{"nothing", "rounds", "reads", "shows", "lists400"}}, {2000, []string{"lists2000"}}} {
		for _, side := range inits {
			if n := value(side, fmt.Sprint("units", phase.units)); n != phase.units {
				b.Fatalf("%s has %d units, where %d were asked for", side, n, phase.units)
			}
		}
		table.WriteString(byTurns(b, again, phase.steps, func(side, step string) int {
			tell(side, strings.TrimRight(step, "0123456789"))
			turn[side]++
			return value(side, fmt.Sprint("turn", turn[side]))
		}))
		left := turns
		again = func() bool { left--; return left >= 0 }
		for _, side := range inits {
			tell(side, "end")
		}
	}
	for side, m := range machines {
		if err := m.Finish(); err != nil {
			b.Fatal(err)
		}
		for _, what := range []string{"idle", "rss400", "rss2000"} {
			told[side][what] = value(side, what)
		}
	}
	b.Log("\n" + table.String() + resident(b, told["systemd"], told["dynamod"]))
}

// byTurns asks each side for each step while again says so, by turns, and compares the pairs:
// how busy the host is concerns both. Ours may be slower in no more than half of them. It
// returns a table.
func byTurns(b *testing.B, again func() bool, steps []string, ask func(side, step string) (us int)) string {
	b.Helper()
	took := map[string][]int{}
	turns := 0
	for ; again(); turns++ {
		for _, step := range steps {
			sides := slices.Clone(inits)
			if turns%2 == 1 {
				slices.Reverse(sides)
			}
			for _, side := range sides {
				took[side+step] = append(took[side+step], ask(side, step))
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-34s %10s %10s   ratio in pairs: median, quartiles\n", fmt.Sprintf("medians of %d, ms", turns), "systemd", "dynamod")
	for _, step := range steps {
		theirs, ours := took["systemd"+step], took["dynamod"+step]
		ratios := make([]float64, turns)
		for k := range ratios {
			ratios[k] = float64(ours[k]) / float64(theirs[k])
		}
		slices.Sort(ratios)
		slices.Sort(theirs)
		slices.Sort(ours)
		middle := ratios[turns/2]
		fmt.Fprintf(&table, "%-34s %10.1f %10.1f   %.3f, %.3f to %.3f\n", bridgeTitles[step], float64(theirs[turns/2])/1000, float64(ours[turns/2])/1000, middle, ratios[turns/4], ratios[3*turns/4])
		b.ReportMetric(middle, step+"-ratio")
		if step != "nothing" && middle > 1 {
			b.Errorf("%s: %.3f times as long as under systemd", bridgeTitles[step], middle)
		}
	}
	return table.String()
}

// resident are the rows about memory, in KiB; the bridge has a limit.
func resident(b *testing.B, theirs, ours map[string]int) string {
	b.Helper()
	var table strings.Builder
	for _, x := range []struct{ what, title string }{{"idle", "KiB resident at rest"}, {"rss400", "with 400 units"}, {"rss2000", "with 2,000 units"}} {
		fmt.Fprintf(&table, "%-34s %10d %10d\n", x.title, theirs[x.what], ours[x.what])
	}
	rss := ours["rss400"]
	if b.ReportMetric(float64(rss)/1024, "RSS-MB"); rss >= 12<<10 {
		b.Errorf("the bridge has %d KiB with 400 units", rss)
	}
	return table.String()
}

// merged is what counts of a value and what was told before: of memory the most, and of time
// the least, for all else that takes part only adds to it.
func merged(told map[string]int, what string, n int) int {
	before, there := told[what]
	if !there {
		return n
	}
	if slices.Contains(bridgeSteps, what) {
		return min(n, before)
	}
	return max(n, before)
}

// countBridge boots both as often as b loops; the least of all counts, of memory the most.
func countBridge(b *testing.B, image benched) {
	told := map[string]map[string]int{"systemd": {}, "dynamod": {}}
	for b.Loop() {
		for side, r := range image.boot(b, inits...) {
			for _, what := range slices.Concat(bridgeSteps, []string{"idle", "rss400", "rss2000", "units400", "units2000"}) {
				n, err := strconv.Atoi(r.Value(what))
				if err != nil {
					b.Fatalf("%s told %q for %s", side, r.Value(what), what)
				}
				if want, counted := map[string]int{"units400": 400, "units2000": 2000}[what]; counted && n != want {
					b.Fatalf("%s has %d units, where %d were asked for", side, n, want)
				}
				told[side][what] = merged(told[side], what, n)
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-34s %10s %10s\n", "4 ns for each instruction, ms", "systemd", "dynamod")
	for _, step := range bridgeSteps {
		theirs, ours := told["systemd"][step], told["dynamod"][step]
		fmt.Fprintf(&table, "%-34s %10d %10d\n", bridgeTitles[step], theirs, ours)
		b.ReportMetric(float64(ours)/float64(max(theirs, 1)), step+"-ratio")
		if step != "nothing" && ours > theirs {
			b.Errorf("%s: %d ms, and %d ms under systemd", bridgeTitles[step], ours, theirs)
		}
	}
	b.Log("\n" + table.String() + resident(b, told["systemd"], told["dynamod"]))
}
