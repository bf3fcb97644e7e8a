//go:build vm

package scenarios

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// rootsBattery is what an administrator asks on the serial console. $C is the session of
// "user" on tty1, $S one of hers over ssh, $R root's own.
const rootsBattery = `loginctl
loginctl list-sessions --no-legend
loginctl list-sessions --json=short
loginctl list-users
loginctl list-seats
loginctl session-status $C
loginctl session-status $S
loginctl session-status
loginctl session-status nowhere
loginctl user-status user
loginctl user-status nobody
loginctl user-status nowhere
loginctl seat-status seat0
loginctl seat-status seat9
loginctl show-seat seat9
loginctl show-session -p State --value $C
loginctl lock-session $C
loginctl unlock-session $C
loginctl lock-sessions
loginctl unlock-sessions
loginctl lock-session nowhere
loginctl enable-linger user
ls /var/lib/systemd/linger
loginctl show-user user -p Linger
loginctl disable-linger user
ls /var/lib/systemd/linger
loginctl enable-linger nowhere
loginctl enable-linger user user nowhere
loginctl disable-linger user
loginctl kill-session $S --signal=CONT
loginctl kill-session $S --kill-whom=leader --signal=CONT
loginctl kill-session $S --kill-whom=nonsense
loginctl kill-session nowhere
loginctl kill-session $S --signal=NONSENSE
loginctl kill-user user --signal=CONT
loginctl kill-user nobody
loginctl activate $C
loginctl activate $S
loginctl activate nowhere
loginctl attach seat1 /sys/nowhere
loginctl attach 'bad seat' $TABLET
loginctl attach seat1 $TABLET
cat /etc/udev/rules.d/*-seat*
loginctl list-seats --no-legend
loginctl flush-devices
ls /etc/udev/rules.d
loginctl nonsense
loginctl terminate-session $S
loginctl terminate-session nowhere
loginctl terminate-user nobody
loginctl terminate-seat seat9
for c in PowerOff Reboot Halt Suspend Hibernate HybridSleep SuspendThenHibernate Sleep RebootParameter RebootToFirmwareSetup RebootToBootLoaderMenu RebootToBootLoaderEntry; do echo $c $(busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Can$c); done
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetSession s nowhere
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetSession s self
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetSession
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetSessionByPID u 1
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetUserByPID u 1
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Nonsense
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Inhibit ssss nonsense me because block
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Inhibit ssss idle me because delay
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager SetRebootParameter s "$(printf 'a\001')"
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager PowerOffWithFlags t 1024
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/nowhere org.freedesktop.login1.Session Lock
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session SetBrightness
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session SetBrightness ssu backlight nowhere 1
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session TakeDevice uu 13 64
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session SetIdleHint b true
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session SetLockedHint b true
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session SetType s wayland
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/self org.freedesktop.login1.Session SetClass s greeter
busctl call org.freedesktop.login1 /org/freedesktop/login1/seat/seat0 org.freedesktop.login1.Seat SwitchTo u 99
busctl call org.freedesktop.login1 /org/freedesktop/login1/seat/seat0 org.freedesktop.login1.Seat ActivateSession s nowhere
busctl set-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager EnableWallMessages b false
busctl set-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager IdleHint b false
systemd-inhibit --list
systemd-inhibit --what=sleep --who=me --why=because --mode=delay systemd-inhibit --list
systemd-inhibit --what=idle:handle-lid-switch --mode=block systemd-inhibit --list --no-legend
systemd-inhibit --what=shutdown --mode=block-weak systemd-inhibit --list --no-legend
systemd-inhibit --what=nonsense true
systemd-inhibit --what=idle --mode=delay true
systemd-inhibit --mode=nonsense true
systemd-inhibit sh -c 'exit 7'
systemd-inhibit --what=shutdown --mode=block systemctl poweroff
systemd-inhibit --what=sleep --mode=block systemctl suspend
systemd-inhibit --what=shutdown --mode=block shutdown -r +30
shutdown --show
shutdown -r +30 going away
shutdown --show
shutdown -c
shutdown -c
shutdown --show
shutdown nonsense
shutdown -h 25:61
systemctl reboot --when=+1h
systemctl reboot --when=show
systemctl reboot --when=cancel
systemctl reboot --when=nonsense
machinectl list
hostnamectl
hostnamectl --json=short
hostnamectl hostname
hostnamectl hostname web1
cat /etc/hostname; hostname
hostnamectl hostname "Ada's Machine!"
cat /etc/machine-info /etc/hostname; hostname
hostnamectl --pretty hostname
hostnamectl --transient hostname other
hostnamectl --static hostname 'bad name'
hostnamectl --static hostname $(printf 'x%.0s' {1..70})
hostnamectl icon-name computer-x
hostnamectl icon-name 'bad/name'
hostnamectl chassis laptop
hostnamectl chassis nonsense
hostnamectl deployment test
hostnamectl deployment 'bad value'
hostnamectl location "Rack 3"
cat /etc/machine-info
hostnamectl
hostnamectl chassis ''; hostnamectl icon-name ''; hostnamectl location ''; hostnamectl deployment ''; hostnamectl --pretty hostname ''
ls /etc/machine-info
hostnamectl hostname debian
hostnamectl nonsense
timedatectl
timedatectl show
timedatectl show -p Timezone --value
timedatectl set-timezone Europe/Berlin
readlink /etc/localtime; cat /etc/timezone
timedatectl set-timezone Nowhere/X
timedatectl set-timezone ../../../etc/passwd
timedatectl set-timezone UTC
readlink /etc/localtime
timedatectl list-timezones | grep ^Europe/B
timedatectl set-local-rtc 1
cat /etc/adjtime
timedatectl set-local-rtc 0
cat /etc/adjtime
timedatectl set-ntp true
timedatectl set-ntp false
timedatectl set-time nonsense
timedatectl timesync-status
timedatectl set-time '2030-01-02 03:04:05'; date +%F
timedatectl nonsense
localectl
localectl list-locales
localectl set-locale C.UTF-8
cat /etc/locale.conf
localectl set-locale LANG=C LC_TIME=C.UTF-8
cat /etc/locale.conf
localectl set-locale LANG=nonsense
localectl set-locale NONSENSE=C
localectl set-locale ''
localectl set-keymap us
localectl set-keymap 'bad;map'
localectl --no-convert set-x11-keymap de pc105 nodeadkeys
cat /etc/vconsole.conf /etc/default/keyboard
localectl set-x11-keymap 'x"y'
localectl
localectl list-keymaps | head -3
localectl list-x11-keymap-layouts | head -3
localectl nonsense
ls -ld /run/user/1000; grep -c ' /run/user/1000 tmpfs rw,nosuid,nodev,' /proc/mounts
ls /run/systemd/seats /run/systemd/users
su user -c 'env | grep ^XDG | sort; cat /proc/self/loginuid'
su - user -c 'env | grep "^XDG\|^DBUS" | sort; systemctl --user is-active default.target'
runuser -u user -- env | grep ^XDG
runuser -l user -c 'env | grep ^XDG | sort'
sudo -u user env | grep ^XDG | sort
sudo -i -u user env | grep ^XDG | sort
su nowhere
$SSH 'env | grep "^XDG\|^DBUS" | sort'
$SSH 'cat /proc/self/cgroup'
$SSH 'loginctl session-status'
$SSH 'sleep 1000 >/dev/null 2>&1 & exit 3'
systemd-run --quiet --pipe --wait busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CreateSession uusssssussbssa\(sv\) 1001 0 x tty user-light '' '' 0 '' '' false '' '' 0
class background-light
class background
class user
class user-early
class user-incomplete
class greeter
class lock-screen
class manager
class manager-early
class user-light
class none
loginctl enable-linger other; for i in $(seq 100); do systemctl is-active -q user@1001 && break; sleep 0.2; done; masked /run/systemd/users/1001; loginctl list-users --no-legend; loginctl disable-linger other; for i in $(seq 300); do loginctl user-status other >/dev/null 2>&1 || break; sleep 0.2; done
printf 'E:ID_VENDOR_FROM_DATABASE=Vendor\nE:ID_MODEL_FROM_DATABASE=Model\n' >>/run/udev/data/+dmi:id; systemctl stop systemd-hostnamed; hostnamectl --json=short
login1.test -test.v | sed 's/ (.*//'
loginctl terminate-user user
for i in $(seq 100); do loginctl user-status user >/dev/null 2>&1 || break; sleep 0.2; done; loginctl user-status user
ls /run/user /run/systemd/users
pgrep -u user
`

// usersBattery is what a user may, or may not.
const usersBattery = `id -un; tty | tr -d 0-9
env | grep "^XDG\|^DBUS" | sort
cat /proc/self/cgroup /proc/self/loginuid
loginctl --no-legend
loginctl session-status
loginctl user-status
loginctl seat-status
loginctl show-session self -p Active -p State -p Remote -p Type -p Class
loginctl show-user self -p State -p Display
loginctl lock-session
loginctl lock-session $R
loginctl unlock-session $R
loginctl lock-sessions
loginctl activate
loginctl activate $R
loginctl terminate-session $R
loginctl kill-session $R
loginctl kill-user root
loginctl terminate-user root
loginctl terminate-seat seat0
loginctl attach seat1 $TABLET
loginctl flush-devices
loginctl enable-linger
loginctl disable-linger
loginctl enable-linger root
for c in PowerOff Reboot Halt Suspend Hibernate HybridSleep SuspendThenHibernate Sleep RebootParameter RebootToFirmwareSetup RebootToBootLoaderMenu RebootToBootLoaderEntry; do echo $c $(busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Can$c); done
systemd-inhibit --what=shutdown:sleep --mode=block busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager PowerOff b false
systemd-inhibit --what=shutdown:sleep --mode=block systemctl --no-ask-password suspend
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ScheduleShutdown st reboot 9999999999999999
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CancelScheduledShutdown
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager SetWallMessage sb x true
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager SetRebootParameter s x
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CreateSession uusssssussbssa\(sv\) 0 1 x tty user '' '' 0 '' '' false '' '' 0
busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ReleaseSession s $R
busctl call org.freedesktop.login1 /org/freedesktop/login1/seat/seat0 org.freedesktop.login1.Seat SwitchTo u 1
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/_3$R org.freedesktop.login1.Session TakeControl b true
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/_3$R org.freedesktop.login1.Session SetIdleHint b true
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/auto org.freedesktop.login1.Session SetIdleHint b false
busctl call org.freedesktop.login1 /org/freedesktop/login1/session/auto org.freedesktop.login1.Session SetBrightness
systemd-inhibit --list --no-legend
for w in sleep shutdown idle handle-power-key handle-suspend-key handle-hibernate-key handle-lid-switch handle-reboot-key; do for m in block delay block-weak; do systemd-inhibit --what=$w --mode=$m true >/dev/null 2>&1; echo $w $m $?; done; done
shutdown -r +30
shutdown -c
systemctl reboot --no-ask-password --when=+1h
systemctl reboot --no-ask-password --when=cancel
hostnamectl --no-ask-password hostname web1
hostnamectl --no-ask-password chassis laptop
hostnamectl --json=short
busctl call org.freedesktop.hostname1 /org/freedesktop/hostname1 org.freedesktop.hostname1 GetProductUUID b false
busctl call org.freedesktop.hostname1 /org/freedesktop/hostname1 org.freedesktop.hostname1 GetHardwareSerial
timedatectl --no-ask-password set-timezone Europe/Berlin
timedatectl --no-ask-password set-time '2030-01-02 03:04:05'
timedatectl --no-ask-password set-local-rtc 1
timedatectl --no-ask-password set-ntp true
localectl --no-ask-password set-locale C.UTF-8
localectl --no-ask-password set-x11-keymap de
systemctl --user is-active default.target
systemd-run --user --quiet --pipe --wait id -un
systemd-run --user --quiet --pipe --wait sh -c 'grep processes /proc/self/limits; cat /proc/self/loginuid; umask'
sudo -n id -un
sudo -n env | grep ^XDG | sort
sudo -n cat /proc/self/loginuid
machinectl list
busctl status org.freedesktop.login1 | grep -c '^PID='
`

// batteryScript runs the lines of a file and says what they said.
const batteryScript = `#!/bin/bash
export SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C COLUMNS=200
. /tmp/ids
export R C S TABLET SSH
while IFS= read -r line; do
	printf '@@command %s: %s\n' "$1" "$line"
	timeout 60 bash -c "$line" </dev/null 2>&1
	echo "@@rc $?"
done <"$2"
`

// classScript opens a session of a class for other by a unit with PAMName=, and says what
// it is; then it waits until nothing of that user is left.
const classScript = `#!/bin/bash
if [ "$2" = inside ]; then
	env | grep ^XDG | sort | sed 's/^XDG_SESSION_ID=.*/XDG_SESSION_ID/'
	sed 's/session-.*/session/; s/run-.*service/run/' /proc/self/cgroup
	if [ -n "$XDG_SESSION_ID" ]; then
		masked /run/systemd/sessions/$XDG_SESSION_ID
		loginctl show-session $XDG_SESSION_ID -p Class -p State -p Active -p CanIdle -p CanLock
	fi
	masked /run/systemd/users/1001
	systemctl is-active user@1001 user-runtime-dir@1001
	exit
fi
systemd-run --quiet --pipe --wait -p User=other -p PAMName=class-$1 /usr/bin/class $1 inside
loginctl terminate-user other
for i in $(seq 100); do loginctl show-user other >/dev/null 2>&1 || break; sleep 0.2; done
`

// maskedScript shows a file of /run/systemd without numbers that no two boots share.
const maskedScript = `#!/bin/sh
exec sed -E 's/^(LEADER|AUDIT|REALTIME|MONOTONIC|FIFO|SCOPE|DISPLAY|SESSIONS|ONLINE_SESSIONS|ACTIVE_SESSIONS|LAST_SESSION_TIMESTAMP|SERVICE_JOB)=.*/\1/; /^LEADER_(FD_SAVED|PIDFDID)/d' "$1"
`

// classes are the PAM services of classScript.
var classes = []string{"background-light", "background", "user", "user-early", "user-incomplete", "greeter", "lock-screen", "manager", "manager-early", "user-light", "none"}

const loginProbe = `#!/bin/bash
` + say + `exec >/dev/vport0p2 2>&1
export SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C COLUMNS=200
object() { # NAME SERVICE PATH
	echo "@@unit $1"
	busctl --no-pager --full introspect "$2" "$3" | awk 'NR > 1 { if ($1 !~ /^\./) { at = $1; n = "" } else n = $1; $1 = ""; print at n "=" $0 }'
}
for f in hostname1 timedate1 locale1; do object $f org.freedesktop.$f /org/freedesktop/$f; done
object manager org.freedesktop.login1 /org/freedesktop/login1
object seat org.freedesktop.login1 /org/freedesktop/login1/seat/seat0
object user org.freedesktop.login1 /org/freedesktop/login1/user/_1000
object console org.freedesktop.login1 /org/freedesktop/login1/session/_3$C
object ssh org.freedesktop.login1 /org/freedesktop/login1/session/_3$S
object own org.freedesktop.login1 /org/freedesktop/login1/session/self
kept() { echo "@@unit /run/systemd/$1"; cat /run/systemd/$1 | sed "/^[A-Z_]*SESSIONS=/s/[0-9]\+/N/g; s/^\(ACTIVE\|DISPLAY\)=$C$/\1=C/"; }
kept seats/seat0; kept users/1000
file() { echo "@@unit /run/systemd/sessions/$1"; cat /run/systemd/sessions/$2; }
file console $C; file ssh $S; file root $R; file manager $M
echo "@@unit machine"; sed -n '/MemTotal/s/: */=/p' /proc/meminfo
`

// loginSettings lets root and "user" in without a password, by key over ssh, and has
// the console run the battery in the place of sway.
func loginSettings() map[string]vm.Source {
	files := map[string]vm.Source{
		"/usr/bin/class":                {Text: classScript, Perm: 0o755},
		"/usr/bin/masked":               {Text: maskedScript, Perm: 0o755},
		"/etc/security/limits.d/a.conf": {Text: "user - nproc 4321\n"},
		// Debian's package denies everybody the methods that its other file allows; which of the
		// two counts is up to the order in which the bus finds them in the directory.
		"/usr/share/dbus-1/system.d/systemd-localed-read-only.conf": {Text: "<busconfig>\n</busconfig>\n", Perm: 0o644},
		"/etc/systemd/logind.conf.d/a.conf":                         {Text: "[Login]\nUserStopDelaySec=2\n"},
		"/root/battery.root":                                        {Text: rootsBattery},
		"/usr/share/battery.user":                                   {Text: usersBattery, Perm: 0o644},
		"/usr/bin/battery":                                          {Text: batteryScript, Perm: 0o755},
		"/root/probe":                                               {Text: loginProbe, Perm: 0o755},
		"/etc/skel/.bash_profile":                                   {Text: "[ \"$(tty)\" = /dev/tty1 ] && { setsid -w battery console /usr/share/battery.user >/dev/vport0p2 2>&1; touch /tmp/console.done; sleep 100000; }\n"},
		"/etc/sudoers.d/user":                                       {Text: "user ALL=(ALL) NOPASSWD: ALL\n", Perm: 0o440},
		"/etc/ssh/ssh_config.d/a.conf":                              {Text: "Host *\n\tStrictHostKeyChecking no\n\tUserKnownHostsFile /dev/null\n\tLogLevel ERROR\n\tBatchMode yes\n"},
		"/etc/ssh/sshd_config.d/a.conf":                             {Text: "AuthorizedKeysFile /etc/ssh/keys\n"},
		"/root/waits":                                               {Text: waits},
	}
	for _, c := range classes {
		files["/etc/pam.d/class-"+c] = vm.Source{Text: "account required pam_permit.so\nsession required pam_loginuid.so\nsession optional pam_systemd.so class=" + c + "\n"}
	}
	return files
}

// loginDiffers are lines of login1's objects and files that two boots do not share.
var loginDiffers = []reason{
	{regexp.MustCompile(`(\.|^)(Timestamp(Monotonic)?|IdleSinceHint(Monotonic)?|REALTIME|MONOTONIC|LAST_SESSION_TIMESTAMP|TimeUSec|RTCTimeUSec|BootID)$`), "when it happened, and the name of the boot"},
	{regexp.MustCompile(`(\.|^)(Leader|LEADER|LeaderPIDFDId|LEADER_PIDFDID|LEADER_FD_SAVED|PIDFDId|Audit|AUDIT|Id|Scope|SCOPE|FIFO)$`), "a process of its own, and the number of the session"},
	{regexp.MustCompile(`(\.|^)(Sessions|Display|ActiveSession)$`), "numbers of sessions"},
	{regexp.MustCompile(`^MemTotal$|\.RuntimeDirectory(Size|InodesMax)$`), "the memory, and a tenth of it: two boots of one machine have some pages more or less"},
}

// ofOneBoot is what two boots do not share, and what stands for it.
var ofOneBoot = []struct {
	what *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(` +`), " "},
	// The journal has what happened to be in it.
	{regexp.MustCompile(`(?m)^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d .*\n`), ""},
	// The process that closes a session of PAM has a name of its own (systemd.exec(5)).
	{regexp.MustCompile(`"\(sd-pam\)"|"\(dynamod-pam\)" keep \S+ \S+( "")?`), "(pam)"},
	{regexp.MustCompile(`(?m)^( ?Sessions:)( \*?c?\d+)+$`), "$1 N"},
	// What the kernel finds first has the lower number.
	{regexp.MustCompile(`\binput\d+\b`), "inputN"},
	{regexp.MustCompile(`[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d( [A-Z]{3,4})?|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "MOMENT"},
	{regexp.MustCompile(`\b\d+(us|ms|s|min|h)( \d+(us|ms|s))*( ago| left)?\b`), "SPAN"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`session-c?\d+\.scope`), "session-N.scope"},
	{regexp.MustCompile(`session/(_3|c)\d+`), "session/_3N"},
	{regexp.MustCompile(`([Ss]ession '|XDG_SESSION_ID=|soshusub "|"session":")c?\d+`), "${1}N"},
	{regexp.MustCompile(`(USec|Monotonic|[Ll]eader|pid)(":|=|: )\d+`), "$1${2}N"},
	{regexp.MustCompile(`(?m)^[ |]*[|` + "`" + `]-( ?\d+ )?`), "|-"},
	{regexp.MustCompile(`(?m)^ ?c?\d+ (- |\d+ \w+ (seat0|-) )(\d+ )?`), "N $1"},
	{regexp.MustCompile(` \d+ (systemd-inhibit|systemd-logind|dynamod-logind) `), " N $1 "},
	{regexp.MustCompile(`\n\n+`), "\n"},
}

// loginMayDiffer are answers that are others for a reason.
var loginMayDiffer = map[string]string{
	`root: busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager SetRebootParameter s "$(printf 'a\001')" #1`: "a reboot parameter is printable ASCII here (docs/login1.md)",
	"root: cat /etc/vconsole.conf /etc/default/keyboard #1": "a link at /etc/vconsole.conf stays and is written through (docs/hostname1.md)",
	"root: class manager #1":                                "such a session alone starts no user-runtime-dir@.service (docs/login1.md)",
	"root: class manager-early #1":                          "such a session alone starts no user-runtime-dir@.service (docs/login1.md)",
}

func plainLogin(lines []string) string {
	text := strings.Join(lines, "\n")
	for _, r := range ofOneBoot {
		text = r.what.ReplaceAllString(text, r.to)
	}
	return strings.TrimSpace(text)
}

// What loginctl, hostnamectl, timedatectl, localectl, systemd-inhibit, shutdown, su, sudo
// and ssh say of the same image under systemd and under dynamod: to root, to a user who
// logged in over ssh, and to the one whose session on the console is active.
func TestLogin1(t *testing.T) {
	k := kernel(t)
	// go-systemd's own tests of login1.
	tests := filepath.Join(t.TempDir(), "login1.test")
	compile := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", tests, "github.com/coreos/go-systemd/v22/login1")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := loginSettings()
	files["/usr/bin/login1.test"] = vm.Source{Host: tests, Perm: 0o755}
	img, err := bootable.Sway(t.Context(), os.Stderr, files)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	initramfs := ourInitramfs(t, k, false, bootable.SwayModules...)
	said := map[string]answers{}
	for _, init := range inits {
		t.Run(init, func(t *testing.T) {
			var output bytes.Buffer
			m := boot(t, vm.Spec{Name: "login1/" + init, Kernel: k, Initramfs: initramfs, Board: vm.Q35, Screen: true, Memory: 1024, Limit: 16 * time.Minute, Output: &output,
				Append: []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms[init]},
				Disks:  []vm.Drive{{File: disk}}})
			login(t, m)
			if dir := os.Getenv("LOGIN1_KEEP"); dir != "" { // to look at what a report cuts off
				defer func() {
					if err := os.WriteFile(filepath.Join(dir, init+".txt"), output.Bytes(), 0o644); err != nil {
						t.Error(err)
					}
				}()
			}
			ask := func(line string) {
				t.Helper()
				typed(t, m, "{ "+line+"; }; echo asked=$?", "asked=[0-9]+")
				if err := m.Results.Failures(); err != nil {
					t.Fatal(err)
				}
			}
			ask(`. ./waits; ssh-keygen -q -t ed25519 -N "" -f key; cp key.pub /etc/ssh/keys; chmod 644 /etc/ssh/keys; chmod 666 /dev/vport0p2`)
			ask(`TABLET=$(readlink -f /sys/class/input/event*/device | grep -m1 virtio); echo "R=$XDG_SESSION_ID TABLET=$TABLET SSH='ssh -i /root/key user@localhost'" >/tmp/ids; until_ prompt pgrep -t tty1 agetty`)
			press(t, m, "u", "s", "e", "r", "ret")
			ask(`seq 40 | while read n; do test -e /tmp/console.done && break; sleep 1; done; until_ console test -e /tmp/console.done`)
			ask(`. /tmp/ids; $SSH battery ssh /usr/share/battery.user >/dev/vport0p2 2>&1`)
			ask(`($SSH sleep 10000 &) ; sessions() { loginctl --no-legend | awk '$3 == "user" && $6 == "user" { print ($7 == "tty1" ? "C=" : "S=") $1 }'; }; both() { [ $(sessions | wc -l) = 2 ]; }; until_ sessions both; sessions >>/tmp/ids; loginctl --no-legend | awk '$3 == "user" && $6 == "manager" { print "M=" $1 }' >>/tmp/ids; . /tmp/ids; export C S R M`)
			ask(`./probe; battery root battery.root >/dev/vport0p2 2>&1`)
			typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
			finish(t, m)
			said[init] = parseAnswers(output.String())
			const tests = "root: login1.test -test.v | sed 's/ (.*//' #1"
			if got := strings.Join(said[init].commands[tests], "\n"); !strings.Contains(got, "\nPASS\n") || strings.Contains(got, "FAIL") {
				t.Errorf("go-systemd's tests: %s", got)
			}
		})
	}
	if len(said) < 2 {
		return
	}
	wrong, equal := values(t, said["systemd"], said["dynamod"], loginDiffers)
	if wrong > 0 || equal < 400 {
		t.Errorf("%d values are wrong, %d are equal", wrong, equal)
	}
	differ := 0
	for _, c := range slices.Sorted(maps.Keys(said["systemd"].commands)) {
		want, got := plainLogin(said["systemd"].commands[c]), plainLogin(said["dynamod"].commands[c])
		if why, ok := loginMayDiffer[c]; ok && want != got {
			t.Logf("%s differs: %s", c, why)
		} else if want != got {
			differ++
			t.Errorf("%s\n--- systemd\n%s\n--- dynamod\n%s", c, want, got)
		}
	}
	t.Logf("%d of %d answers differ", differ, len(said["systemd"].commands))
	if n := len(said["systemd"].commands); n < 200 {
		t.Errorf("there were only %d answers", n)
	}
}
