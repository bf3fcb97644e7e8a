//go:build vm

package scenarios

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/vm"
)

// clockScript sets clocks by Debian's own timedatectl. Every look at a clock is allowed the
// time that an emulated machine takes: minutes and seconds are not compared.
const clockScript = `
check() { n=$1; shift; if out=$("$@" 2>&1); then echo "ok $n"; else echo "FAIL $n: $* gave $? $out"; fi; }
same() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAIL $1: it is '$2', not '$3'"; fi; }
mkdir -p /run/dbus /run/systemd/system # sd_booted(3)
dbus-daemon --system --fork --nopidfile
"$HOSTNAMED" -idle 0 &
for n in $(seq 300); do busctl status org.freedesktop.timedate1 >/dev/null 2>&1 && break; sleep 0.1; done
hour() { date -u +'%F %H'; }
rtc() { echo "$(cat /sys/class/rtc/rtc0/date) $(cut -d: -f1 /sys/class/rtc/rtc0/time)"; }
check set-time timedatectl set-time '2031-02-03 04:05:06 UTC'
same clock "$(hour)" '2031-02-03 04'
same rtc "$(rtc)" '2031-02-03 04'
# The first time zone since boot that the kernel is told must not move the clock.
check set-timezone timedatectl set-timezone Europe/Berlin
same unmoved "$(hour)" '2031-02-03 04'
same link "$(readlink /etc/localtime)" ../usr/share/zoneinfo/Europe/Berlin
same rtc-utc "$(rtc)" '2031-02-03 04'
check local timedatectl set-local-rtc 1
same rtc-local "$(rtc)" '2031-02-03 05'
same clock-local "$(hour)" '2031-02-03 04'
same adjtime "$(tail -n 1 /etc/adjtime)" LOCAL
check utc timedatectl set-local-rtc 0 --adjust-system-clock
same clock-adjusted "$(hour)" '2031-02-03 05'
same shown "$(timedatectl show -p Timezone -p LocalRTC -p NTP -p NTPSynchronized --value | tr '\n' ' ')" 'Europe/Berlin no no no '
same rtc-shown "$(timedatectl show -p RTCTimeUSec --value | cut -c 1-17)" 'Mon 2031-02-03 06'
check relative busctl call org.freedesktop.timedate1 /org/freedesktop/timedate1 org.freedesktop.timedate1 SetTime xbb 7200000000 true false
same clock-relative "$(hour)" '2031-02-03 07'
check hostname hostnamectl hostname "My Big Box"
same kernel-name "$(uname -n)" MyBigBox
same pretty "$(hostnamectl --pretty)" 'My Big Box'
same chassis "$(hostnamectl chassis)" vm
`

// The clocks of a machine are set for real, which no other test does.
func TestClock(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hostnamed")
	if err := vm.Build(t.Context(), "./hostnamed", program); err != nil {
		t.Fatal(err)
	}
	out, err := vm.RunInGuest(t.Context(), vm.Job{Name: "clock", Root: debian(t), Memory: 512, Limit: 5 * time.Minute, Argv: []string{"/bin/bash", "-c", clockScript},
		Files: map[string]string{"hostnamed": program}, Env: []string{"HOSTNAMED=" + vm.GuestFile("hostnamed"), "LC_ALL=C"}})
	if err != nil {
		t.Fatal(err)
	}
	var good int
	for line := range strings.Lines(string(out.Output)) {
		if strings.HasPrefix(line, "ok ") {
			good++
		} else if strings.HasPrefix(line, "FAIL ") {
			t.Error(line)
		}
	}
	if out.Exit != 0 || good < 20 {
		t.Errorf("exit %d, %d of 20 are as they must be\n%s", out.Exit, good, out.Output)
	}
}
