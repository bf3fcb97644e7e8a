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
shows() { systemctl show cron ssh rsyslog nginx dbus cron ssh rsyslog nginx dbus; }
`

// bridgeScript asks systemd, or dynamod through its bridge, by the same programs for the
// same things, and tells the least of three times in ms, for both have the machine's one
// processor to themselves: what is measured is what all processes need that take part.
const bridgeScript = `#!/bin/bash
` + say + `
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
rss idle
upto 400
say "value units400=$(count)"
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
		"shows": "systemctl show of 10 units", "lists": "10 x list-units of 400", "lists400": "10 x list-units of 400", "lists2000": "10 x list-units of 2,000"}
)

// BenchmarkBridge boots one image of Debian 13 with systemd and with dynamod and compares
// what systemctl and busctl take: by time, and by the instructions that are carried out
// (vm.Spec, Counted). Ours must not be slower by either. The speed of the machine that all
// this is emulated on changes from minute to minute, by which the time does and the count
// does not: both are booted several times, by turns, and the least of all boots of each is
// compared.
func BenchmarkBridge(b *testing.B) {
	files := map[string]vm.Source{}
	for name, text := range bridgeUnits {
		files["/etc/systemd/system/"+name] = vm.Source{Text: text}
	}
	image := benchImage(b, debtree.Server, bridgeScript, files)
	b.Run("time", func(b *testing.B) { compareBridge(b, image) })
	image.counted = true
	b.Run("instructions", func(b *testing.B) { compareBridge(b, image) })
}

func compareBridge(b *testing.B, image benched) {
	told := map[string][]int{} // by side and what
	boots := 0
	for b.Loop() {
		sides := slices.Clone(inits)
		if boots%2 == 1 {
			slices.Reverse(sides)
		}
		boots++
		for side, r := range image.boot(b, sides...) {
			for _, what := range slices.Concat(bridgeSteps, []string{"idle", "rss400", "rss2000", "units400", "units2000"}) {
				n, err := strconv.Atoi(r.Value(what))
				if err != nil {
					b.Fatalf("%s told %q for %s", side, r.Value(what), what)
				}
				if want, counted := map[string]int{"units400": 400, "units2000": 2000}[what]; counted && n != want {
					b.Fatalf("%s has %d units, where %d were asked for", side, n, want)
				}
				told[side+what] = append(told[side+what], n)
			}
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-46s %10s %10s   (each boot)\n", fmt.Sprintf("the least of three in each of %d boots, ms", boots), "systemd", "dynamod")
	for _, step := range bridgeSteps {
		theirs, ours := told["systemd"+step], told["dynamod"+step]
		fmt.Fprintf(&table, "%-46s %10d %10d   %v %v\n", bridgeTitles[step], slices.Min(theirs), slices.Min(ours), theirs, ours)
		b.ReportMetric(float64(slices.Min(ours))/float64(max(slices.Min(theirs), 1)), step+"-ratio")
		if step != "nothing" && slices.Min(ours) > slices.Min(theirs) {
			b.Errorf("%s: %d ms, and %d ms under systemd", bridgeTitles[step], slices.Min(ours), slices.Min(theirs))
		}
	}
	most := func(what string) (theirs, ours int) {
		return slices.Max(told["systemd"+what]), slices.Max(told["dynamod"+what])
	}
	for _, x := range []struct{ what, title string }{{"idle", "KiB resident at rest, at most"}, {"rss400", "with 400 units"}, {"rss2000", "with 2,000 units"}} {
		theirs, ours := most(x.what)
		fmt.Fprintf(&table, "%-46s %10d %10d\n", x.title, theirs, ours)
	}
	_, rss := most("rss400")
	if b.ReportMetric(float64(rss)/1024, "RSS-MB"); rss >= 12<<10 {
		b.Errorf("the bridge has %d KiB with 400 units", rss)
	}
	b.Log("\n" + table.String())
}
