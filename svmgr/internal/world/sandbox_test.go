package world

import (
	"os"
	"strings"
	"testing"

	"dynamod/svmgr/internal/core"
)

// attempt is one proof of a setting from inside: a script that must fail with it and
// succeed without it, and one that must succeed with it.
type attempt struct {
	name     string
	settings []string
	denied   string
	works    string
	// always says that denied cannot be tried without the setting: it would
	// change the machine, or what it looks for is not there.
	always bool
}

// Perl is on every Debian system, and makes any system call.
func perl(nr string, args ...string) string {
	return `perl -e 'exit(syscall(` + strings.Join(append([]string{nr}, args...), ",") + `) < 0 ? 1 : 0)'`
}

var attempts = []attempt{
	// Mounts.
	{name: "PrivateTmp", settings: []string{"PrivateTmp=yes"}, denied: "test -e $T/here", works: "test -w /tmp && touch /tmp/a /var/tmp/b && test $(ls /tmp | wc -l) = 1 && stat -c %a /tmp | grep -qx 1777"},
	{name: "PrivateTmp=disconnected", settings: []string{"PrivateTmp=disconnected"}, denied: "test -e $T/here", works: "touch /tmp/a /var/tmp/b && stat -f -c %T /tmp | grep -qx tmpfs"},
	{name: "ProtectSystem=yes", settings: []string{"ProtectSystem=yes"}, denied: "touch /usr/dynamod-test && rm /usr/dynamod-test", works: "touch /etc/dynamod-test && rm /etc/dynamod-test"},
	{name: "ProtectSystem=full", settings: []string{"ProtectSystem=full"}, denied: "touch /etc/dynamod-test && rm /etc/dynamod-test", works: "touch /var/tmp/dynamod-test && rm /var/tmp/dynamod-test"},
	{name: "ProtectSystem=strict", settings: []string{"ProtectSystem=strict"}, denied: "touch /var/tmp/dynamod-test && rm /var/tmp/dynamod-test", works: "echo x >/dev/null && test -w /dev/shm && touch /dev/shm/x.$$ && rm /dev/shm/x.$$"},
	{name: "ReadWritePaths in strict", settings: []string{"ProtectSystem=strict", "ReadWritePaths=$T"}, denied: "touch /var/tmp/dynamod-test && rm /var/tmp/dynamod-test", works: "touch $T/new && rm $T/new"},
	{name: "strict and PrivateTmp", settings: []string{"ProtectSystem=strict", "PrivateTmp=yes"}, denied: "touch /var/lib/dynamod-test && rm /var/lib/dynamod-test", works: "touch /tmp/x /var/tmp/x"},
	{name: "ProtectHome=yes", settings: []string{"ProtectHome=yes"}, denied: "test -n \"$(ls -A /root)\"", works: "test -d /root && test -d /home"},
	{name: "ProtectHome=read-only", settings: []string{"ProtectHome=read-only"}, denied: "touch /root/dynamod-test && rm /root/dynamod-test", works: "test -n \"$(ls -A /root)\""},
	{name: "ProtectHome=tmpfs", settings: []string{"ProtectHome=tmpfs", "BindReadOnlyPaths=$T:/home/shown"}, denied: "test -n \"$(ls -A /root)\"", works: "test -e /home/shown/here && ! touch /root/x 2>/dev/null"},
	{name: "PrivateDevices", settings: []string{"PrivateDevices=yes"}, denied: "test -e /dev/console || test -e /dev/tty0 || test -e /dev/ttyS0", works: "echo x >/dev/null && test -c /dev/zero -a -c /dev/urandom -a -c /dev/tty -a -L /dev/fd -a -d /dev/pts -a -d /dev/shm && head -c1 /dev/zero >/dev/null && ! touch /dev/x 2>/dev/null"},
	{name: "PrivateDevices: no mknod", settings: []string{"PrivateDevices=yes"}, denied: "mknod $T/node c 1 3 && rm $T/node", works: "true"},
	{name: "ProtectKernelTunables", settings: []string{"ProtectKernelTunables=yes"}, denied: "cat /proc/sys/vm/swappiness >$T/v && cat $T/v >/proc/sys/vm/swappiness", works: "cat /proc/sys/vm/swappiness && ! head -c1 /proc/kallsyms 2>/dev/null | grep -q ."},
	{name: "ProtectKernelTunables: /sys", settings: []string{"ProtectKernelTunables=yes"}, denied: "f=/sys/kernel/mm/transparent_hugepage/defrag; test -e $f || f=/sys/kernel/uevent_seqnum; mount | grep -q ' on /sys type sysfs (rw'", works: "test -r /sys/kernel/uevent_seqnum"},
	{name: "ProtectKernelModules", settings: []string{"ProtectKernelModules=yes"}, denied: perl("175", "0", "0", `""`) + "; test $? = 0 || " + "grep -q '^CapBnd.*[13579bdf]....$' /proc/self/status", works: "true", always: true},
	{name: "ProtectKernelModules: directory", settings: []string{"ProtectKernelModules=yes", "BindPaths=$T:/usr/lib/modules"}, denied: "test -e /usr/lib/modules/here", works: "true", always: true},
	{name: "ProtectKernelLogs", settings: []string{"ProtectKernelLogs=yes"}, denied: "head -c0 /dev/kmsg", works: "test -e /dev/kmsg"},
	{name: "ProtectKernelLogs: syslog", settings: []string{"ProtectKernelLogs=yes"}, denied: perl("103", "10", "0", "0"), works: "true"},
	{name: "ProtectControlGroups", settings: []string{"ProtectControlGroups=yes"}, denied: "mkdir /sys/fs/cgroup/dynamod-test && rmdir /sys/fs/cgroup/dynamod-test", works: "ls /sys/fs/cgroup"},
	{name: "ProtectProc", settings: []string{"ProtectProc=invisible", "User=nobody", "Group=nogroup"}, denied: "test -e /proc/1", works: "test -e /proc/self/status -a -e /proc/meminfo"},
	{name: "ProcSubset", settings: []string{"ProcSubset=pid"}, denied: "test -e /proc/meminfo", works: "test -e /proc/self/status"},
	{name: "ReadOnlyPaths", settings: []string{"ReadOnlyPaths=$T"}, denied: "touch $T/x && rm $T/x", works: "test -e $T/here && touch /tmp/dynamod-test.$$ && rm /tmp/dynamod-test.$$"},
	{name: "ReadOnlyPaths with a hole", settings: []string{"ReadOnlyPaths=$T", "ReadWritePaths=$T/sub"}, denied: "touch $T/x && rm $T/x", works: "touch $T/sub/x && rm $T/sub/x"},
	{name: "ReadOnlyPaths of a file", settings: []string{"ReadOnlyPaths=$T/here"}, denied: "echo x >>$T/here", works: "cat $T/here && touch $T/x && rm $T/x"},
	{name: "a missing path that may be", settings: []string{"ReadOnlyPaths=-/nonexistent $T", "InaccessiblePaths=-/nonexistent"}, denied: "touch $T/x && rm $T/x", works: "true"},
	{name: "InaccessiblePaths", settings: []string{"InaccessiblePaths=$T/sub"}, denied: "test -e $T/sub/in", works: "test -d $T/sub -a -e $T/here"},
	{name: "InaccessiblePaths of a file", settings: []string{"InaccessiblePaths=$T/here"}, denied: "grep -q . $T/here", works: "test -f $T/here"},
	{name: "NoExecPaths", settings: []string{"NoExecPaths=$T", "ExecPaths=$T/sub"}, denied: "$T/prog", works: "$T/sub/prog"},
	{name: "BindPaths", settings: []string{"BindPaths=$T/sub:/srv/dynamod-test"}, denied: "test ! -e /srv/dynamod-test/in", works: "touch /srv/dynamod-test/new && test -e $T/sub/new && rm $T/sub/new"},
	{name: "BindReadOnlyPaths", settings: []string{"BindReadOnlyPaths=$T/sub:$T/other"}, denied: "touch $T/other/x && rm $T/other/x", works: "test -e $T/other/in && touch $T/sub/x && rm $T/sub/x"},
	{name: "a missing bind source that may be", settings: []string{"BindPaths=-/nonexistent:/mnt"}, denied: "false", works: "true", always: true},
	{name: "TemporaryFileSystem", settings: []string{"TemporaryFileSystem=$T"}, denied: "test -e $T/here", works: "touch $T/x"},
	{name: "TemporaryFileSystem, read-only with a bind mount in it", settings: []string{"TemporaryFileSystem=$T:ro,size=1m", "BindPaths=$T/sub"}, denied: "touch $T/x && rm $T/x", works: "test ! -e $T/here -a -e $T/sub/in && touch $T/sub/x && rm $T/sub/x"},
	{name: "TemporaryFileSystem=/", settings: []string{"TemporaryFileSystem=/:ro", "BindReadOnlyPaths=/usr /lib /lib64 /bin /proc"}, denied: "test -e /etc", works: "test -d /usr/bin && ! touch /x 2>/dev/null"},
	{name: "PrivateMounts", settings: []string{"PrivateMounts=yes"}, denied: "mount -t tmpfs none $T/sub && nsenter -t " + ppid + " -m test ! -e $T/sub/in; r=$?; umount $T/sub; exit $r", works: "mount -t tmpfs none $T/sub && test ! -e $T/sub/in"},
	{name: "NoNewPrivileges in a mount namespace", settings: []string{"NoNewPrivileges=yes", "PrivateMounts=yes"}, denied: "grep -q ' / rw,relatime' /proc/self/mountinfo", works: "grep -q 'nosuid' /proc/self/mountinfo", always: true},
	{name: "MountFlags", settings: []string{"MountFlags=slave"}, denied: "mount -t tmpfs none $T/sub && nsenter -t " + ppid + " -m test ! -e $T/sub/in; r=$?; umount $T/sub; exit $r", works: "mount -t tmpfs none $T/sub && test ! -e $T/sub/in"},
	// Privileges.
	{name: "CapabilityBoundingSet", settings: []string{"CapabilityBoundingSet=CAP_CHOWN"}, denied: "mknod $T/node c 1 3 && rm $T/node", works: "touch $T/mine && chown 1 $T/mine && rm -f $T/mine"},
	{name: "CapabilityBoundingSet=~", settings: []string{"CapabilityBoundingSet=~CAP_CHOWN"}, denied: "touch $T/mine && chown 1 $T/mine && rm -f $T/mine", works: "mknod $T/node c 1 3 && rm $T/node"},
	{name: "CapabilityBoundingSet of nothing", settings: []string{"CapabilityBoundingSet="}, denied: "mknod $T/node c 1 3 && rm $T/node", works: "grep -q '^CapBnd:.0000000000000000' /proc/self/status"},
	{name: "AmbientCapabilities", settings: []string{"AmbientCapabilities=CAP_CHOWN", "User=nobody", "Group=nogroup", "PrivateTmp=yes"}, denied: "mknod /tmp/node.$$ c 1 3 && rm /tmp/node.$$", works: "touch /tmp/mine && chown 1 /tmp/mine"},
	{name: "SecureBits", settings: []string{"SecureBits=noroot noroot-locked"}, denied: "mknod $T/node c 1 3 && rm $T/node", works: "test $(id -u) = 0 && grep -q '^CapEff:.0000000000000000' /proc/self/status"},
	{name: "NoNewPrivileges", settings: []string{"NoNewPrivileges=yes"}, denied: "grep -q '^NoNewPrivs:.0' /proc/self/status", works: "grep -q '^NoNewPrivs:.1' /proc/self/status"},
	{name: "Personality", settings: []string{"Personality=x86"}, denied: "test $(uname -m) = x86_64", works: "uname -m | grep -qx 'i[3-6]86'"},
	// System calls.
	{name: "SystemCallFilter", settings: []string{"SystemCallFilter=~@mount", "SystemCallErrorNumber=EPERM"}, denied: "mount -t tmpfs none $T/sub && umount $T/sub", works: "ls /"},
	{name: "SystemCallFilter, allowed list", settings: []string{"SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM"}, denied: "mount -t tmpfs none $T/sub && umount $T/sub", works: "ls / && sleep 0"},
	{name: "SystemCallFilter kills", settings: []string{"SystemCallFilter=~uname"}, denied: "uname", works: "echo x"},
	{name: "SystemCallFilter, an answer of its own", settings: []string{"SystemCallFilter=~uname:EUCLEAN"}, denied: "uname", works: "uname 2>&1 | grep -q 'Structure needs cleaning'"},
	{name: "RestrictAddressFamilies", settings: []string{"RestrictAddressFamilies=AF_UNIX"}, denied: perl("41", "2", "2", "0"), works: perl("41", "1", "2", "0")},
	{name: "RestrictAddressFamilies=~", settings: []string{"RestrictAddressFamilies=~AF_INET AF_INET6"}, denied: perl("41", "10", "2", "0"), works: perl("41", "1", "2", "0")},
	{name: "RestrictNamespaces", settings: []string{"RestrictNamespaces=yes"}, denied: "unshare -u true", works: "true"},
	{name: "RestrictNamespaces, some", settings: []string{"RestrictNamespaces=uts"}, denied: "unshare -i true", works: "unshare -u true"},
	{name: "RestrictRealtime", settings: []string{"RestrictRealtime=yes"}, denied: "chrt -f 1 true", works: `perl -e 'my $p = pack("i", 0); exit(syscall(144, 0, 3, $p) < 0 ? 1 : 0)'`},
	{name: "RestrictSUIDSGID", settings: []string{"RestrictSUIDSGID=yes"}, denied: "chmod u+s $T/prog && chmod u-s $T/prog", works: "chmod 755 $T/prog"},
	{name: "LockPersonality", settings: []string{"LockPersonality=yes"}, denied: "setarch -R true", works: "true"},
	{name: "MemoryDenyWriteExecute", settings: []string{"MemoryDenyWriteExecute=yes"}, denied: `perl -e 'exit(syscall(9,0,4096,7,0x22,-1,0) == -1 ? 1 : 0)'`, works: "ls /"},
	{name: "ProtectClock", settings: []string{"ProtectClock=yes"}, denied: perl("227", "9999", "0"), works: "date", always: true},
	{name: "ProtectHostname", settings: []string{"ProtectHostname=yes"}, denied: "hostname dynamod-test", works: "test \"$(hostname)\" = \"$(cat /proc/sys/kernel/hostname)\"", always: true},
	{name: "SystemCallLog", settings: []string{"SystemCallLog=uname"}, denied: "false", works: "uname", always: true},
	// Namespaces.
	{name: "PrivateNetwork", settings: []string{"PrivateNetwork=yes"}, denied: "test \"$(readlink /proc/self/ns/net)\" = \"$(readlink /proc/" + ppid + "/ns/net)\"", works: "test $(ls /sys/class/net) = lo && test -e /sys/class/net/lo && grep -q lo /proc/net/dev && test $(cat /sys/class/net/lo/flags) = 0x9 && ls /sys/fs/cgroup"},
	{name: "PrivateIPC", settings: []string{"PrivateIPC=yes"}, denied: "test \"$(readlink /proc/self/ns/ipc)\" = \"$(readlink /proc/" + ppid + "/ns/ipc)\"", works: "ipcs"},
	{name: "PrivateUsers", settings: []string{"PrivateUsers=yes"}, denied: "hostname \"$(hostname)\"", works: "test $(id -u) = 0 && test $(stat -c %u /proc/1) = 65534 -o -n 1"},
	{name: "PrivateUsers=identity", settings: []string{"PrivateUsers=identity"}, denied: "hostname \"$(hostname)\"", works: "grep -q '  *0  *0  *65536' /proc/self/uid_map"},
	{name: "PrivateUsers=full", settings: []string{"PrivateUsers=full"}, denied: "hostname \"$(hostname)\"", works: "grep -q '  *0  *0  *4294967295' /proc/self/uid_map"},
	{name: "PrivateUsers of a user", settings: []string{"PrivateUsers=yes", "User=nobody", "Group=nogroup"}, denied: "test $(stat -c %u /usr/bin/su) = 1", works: "test $(id -u) = 65534 && test $(stat -c %u /) = 0", always: true},
	{name: "PrivatePIDs", settings: []string{"PrivatePIDs=yes"}, denied: "test -e /proc/" + ppid + "/ns", works: "test $$ = 1 && test $(ls -d /proc/[0-9]* | wc -l) -le 5"},
	{name: "PrivatePIDs and PrivateUsers", settings: []string{"PrivatePIDs=yes", "PrivateUsers=yes"}, denied: "hostname \"$(hostname)\"", works: "test $$ = 1"},
}

// ppid is replaced by the number of the test process.
const ppid = "@PPID@"

func TestSandboxSettings(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	for _, p := range []string{dir + "/sub", dir + "/other"} {
		if err := os.Mkdir(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	// Others must be able to come here too.
	for p := dir; p != "/tmp" && p != "/"; p = p[:strings.LastIndexByte(p, '/')] {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for p, text := range map[string]string{"/here": "hello\n", "/sub/in": "in\n", "/prog": "#!/bin/sh\nexit 0\n", "/sub/prog": "#!/bin/sh\nexit 0\n"} {
		if err := os.WriteFile(dir+p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t)
	for _, a := range attempts {
		t.Run(a.name, func(t *testing.T) {
			prove(t, r, a, strings.NewReplacer("$T", dir, ppid, itoa(os.Getpid())))
		})
	}
}

// prove makes the attempts.
func prove(t *testing.T, r *rig, a attempt, fill *strings.Replacer) {
	t.Helper()
	try := func(script string, settings []string) *core.Exited {
		t.Helper()
		failed, exit := r.script("a.service", fill.Replace(script), settings...)
		if failed != nil {
			t.Fatalf("the set-up failed at %s: errno %d", failed.Stage, failed.Errno)
		}
		return exit
	}
	var settings []string
	for _, s := range a.settings {
		settings = append(settings, fill.Replace(s))
	}
	if e := try(a.works, settings); e.Code != 0 || e.Signal != 0 {
		t.Errorf("what must work fails: %+v\n%s", e, a.works)
	}
	if e := try(a.denied, settings); e.Code == 0 && e.Signal == 0 {
		t.Errorf("what must fail works:\n%s", a.denied)
	}
	if a.always {
		return
	}
	if e := try(a.denied, nil); e.Code != 0 || e.Signal != 0 {
		t.Errorf("without the setting, it fails too: %+v\n%s", e, a.denied)
	}
}

// quoteScript makes a script fit for a single-quoted word of a command line.
func quoteScript(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`, "%", "%%", "$", "$$").Replace(s)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test proves what root's manager does, and needs root")
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
