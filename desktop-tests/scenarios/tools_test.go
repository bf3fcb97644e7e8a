//go:build vm

package scenarios

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// tools are what the programs beside systemctl are asked, on the console, as root. While
// busctl monitors, somebody holds on to a unit: under systemd its logind has subscribed for
// everybody, ours has not (docs/systemd1.md).
var tools = strings.Split(strings.TrimSpace(`
systemctl start chain-a.service
sh -c 'systemd-analyze time | sed -E "s/ +[0-9.]+(min|s|ms|us)//g"'
systemd-analyze time nonsense
sh -c 'systemd-analyze blame | awk "{ print \$NF }" | grep -xE "chain-b.service|dbus.service|systemd-udevd.service" | sort'
sh -c 'systemd-analyze critical-chain chain-a.service | sed -E "s/ *[@+][0-9.a-z ]+//g" | head -n 7'
systemd-analyze critical-chain nowhere.service
sh -c 'systemd-analyze plot >/tmp/plot && grep -c "</svg>" /tmp/plot && grep -oE "kernel|Setting up|Active|Activating|Generators|Loading unit files|chain-b.service" /tmp/plot | sort -u'
sh -c 'systemd-analyze dot --order chain-a.service 2>/dev/null | sort'
sh -c 'systemd-analyze dot chain-a.service 2>/dev/null | grep chain-b | sort'
sh -c 'test $(systemd-analyze dump | wc -c) -gt 4000'
systemd-analyze unit-paths
systemd-detect-virt
systemd-detect-virt --container
systemd-detect-virt --vm
systemd-detect-virt --private-users
systemd-detect-virt --chroot
sh -c 'systemd-cgls --no-pager -u cron.service | sed -E "s/[0-9]+ //"'
sh -c 'systemd-cgls --no-pager /system.slice/cron.service | sed -E "s/[0-9]+ //"'
sh -c 'systemd-cgls --no-pager | head -n 1'
systemd-cgls --no-pager -u nowhere.service
sh -c 'systemd-cgtop -1 --batch | awk "{ print \$1 }" | grep -xE "/|system.slice|system.slice/cron.service|user.slice" | sort -u'
sh -c 'busctl tree --list org.freedesktop.systemd1 | grep -xE ".*/(systemd1|unit|job|cron_2eservice|dbus_2esocket|_2d_2eslice)"'
sh -c 'busctl introspect --list org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/dbus_2esocket org.freedesktop.systemd1.Socket | awk "{ print \$1, \$2, \$3 }" | grep -E "Listen|Accept|Timestamp|Exec"'
busctl introspect org.freedesktop.systemd1 /org/freedesktop/systemd1/nowhere
sh -c '(systemd-run --quiet --wait --unit=held sleep infinity &); sleep 2; (timeout 15 busctl monitor org.freedesktop.systemd1 >/tmp/monitored 2>&1 &); sleep 5; systemctl restart cron; sleep 8; systemctl stop held; grep -E "Member=(JobNew|JobRemoved)|cron_2eservice.*Member=PropertiesChanged" /tmp/monitored | grep -oE "Member=[A-Za-z]+" | sort -u'
busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/cron_2eservice org.freedesktop.systemd1.Unit Id ActiveState
busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/cron_2eservice org.freedesktop.DBus.Properties Get ss org.freedesktop.systemd1.Unit SubState
systemd-run --user --quiet --scope sh -c 'sed -E "s/[0-9]+/N/g" /proc/self/cgroup'
systemd-run --user --quiet --wait sh -c 'exit 4'
systemd-run --user --quiet --pty echo hello
systemd-run --quiet --scope --slice=made.slice sh -c 'sed -E "s/[0-9]+/N/g" /proc/self/cgroup'
systemctl --user is-system-running
systemd-notify --booted
systemd-cat echo logged
systemd-inhibit --list --no-legend --what=idle
dpkg-deb --root-owner-group --build /root/hellod /root/hellod.deb
sh -c 'apt-get -qq -o Dpkg::Use-Pty=0 install /root/hellod.deb 2>&1 | grep -vE "Reading|Selecting|Preparing|Unpacking|Notice|^N:|debconf|database"'
systemctl is-enabled hellod.service
systemctl is-active hellod.service
deb-systemd-helper --quiet was-enabled hellod.service
deb-systemd-invoke restart hellod.service
invoke-rc.d hellod stop
systemctl is-active hellod.service
invoke-rc.d hellod start
systemctl is-active hellod.service
sh -c 'apt-get -qq -o Dpkg::Use-Pty=0 reinstall /root/hellod.deb 2>&1 | grep -E "[Ff]ail|[Ee]rror"'
systemctl is-active hellod.service
apt-get -qq -o Dpkg::Use-Pty=0 purge hellod
systemctl is-enabled hellod.service
systemctl is-active hellod.service
sh -c 'ls /etc/systemd/system/multi-user.target.wants/ /var/lib/systemd/deb-systemd-helper-enabled | grep hellod'
sh -c 'mkdir -p /srv/box/bin /srv/box/proc /srv/box/sys /srv/box/dev /srv/box/etc /srv/box/tmp /srv/box/run && cp /usr/bin/busybox /srv/box/bin && ln -s busybox /srv/box/bin/sh'
podman info --format '{{.Host.CgroupManager}} {{.Host.CgroupsVersion}} {{.Host.OCIRuntime.Name}}'
podman run --rm --network none --cgroupns host --rootfs /srv/box /bin/busybox sh -c 'busybox cat /proc/self/cgroup; echo hello; exit 3'
podman run -d --name web --network none --memory 64m --pids-limit 20 --cpus 0.5 --rootfs /srv/box /bin/busybox sleep 1000
sh -c 'systemctl list-units --no-legend --plain "libpod-*" | awk "{ print \$2, \$3, \$4 }"'
sh -c 'systemctl show -p MemoryMax,MemorySwapMax,TasksMax,CPUQuotaPerSecUSec,CPUWeight,Slice,Delegate,Transient,Description,ActiveState libpod-$(podman inspect web --format "{{.Id}}").scope'
sh -c 'cat /sys/fs/cgroup/machine.slice/libpod-$(podman inspect web --format "{{.Id}}").scope/memory.max'
podman exec web /bin/busybox echo inside
podman update --memory 96m web
sh -c 'cat /sys/fs/cgroup/machine.slice/libpod-$(podman inspect web --format "{{.Id}}").scope/memory.max'
podman pause web
podman unpause web
systemctl is-active machine.slice
sh -c 'podman stop -t 1 web 2>/dev/null'
podman rm web
sh -c 'systemctl list-units --all --no-legend --plain "libpod-*" | wc -l'
systemctl --failed --no-legend --plain
`), "\n")

// hellod is a package with a service; its scripts are those that debhelper makes.
var hellod = map[string]vm.Source{
	"/root/hellod/DEBIAN/control":                        {Text: "Package: hellod\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: a service\n"},
	"/root/hellod/usr/lib/systemd/system/hellod.service": {Text: "[Unit]\nDescription=A packaged service\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"},
	"/root/hellod/DEBIAN/postinst": {Perm: 0o755, Text: `#!/bin/sh
set -e
if [ "$1" = "configure" ] || [ "$1" = "abort-upgrade" ] || [ "$1" = "abort-deconfigure" ] || [ "$1" = "abort-remove" ] ; then
	deb-systemd-helper unmask 'hellod.service' >/dev/null || true
	if deb-systemd-helper --quiet was-enabled 'hellod.service'; then
		deb-systemd-helper enable 'hellod.service' >/dev/null || true
	else
		deb-systemd-helper update-state 'hellod.service' >/dev/null || true
	fi
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		if [ -n "$2" ]; then _dh_action=restart; else _dh_action=start; fi
		deb-systemd-invoke $_dh_action 'hellod.service' >/dev/null || true
	fi
fi
`},
	"/root/hellod/DEBIAN/prerm": {Perm: 0o755, Text: `#!/bin/sh
set -e
if [ -z "$DPKG_ROOT" ] && [ "$1" = remove ] && [ -d /run/systemd/system ] ; then
	deb-systemd-invoke stop 'hellod.service' >/dev/null || true
fi
`},
	"/root/hellod/DEBIAN/postrm": {Perm: 0o755, Text: `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ] ; then
	systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = "purge" ]; then
	if [ -x "/usr/bin/deb-systemd-helper" ]; then
		deb-systemd-helper purge 'hellod.service' >/dev/null || true
	fi
fi
`},
}

// knownTools is so many answers of tools that differed when this was last looked at:
// systemd-cgtop takes the group of PID 1, without a trailing init.scope, for the root of
// all, and ours is in the root itself. It may only be turned down.
const knownTools = 1

// What the programs beside systemctl say of the same image under systemd and under
// dynamod: systemd-analyze and its kind, busctl, a package that is installed and purged,
// a user's manager, and podman with its systemd cgroup manager.
func TestTools(t *testing.T) {
	k := kernel(t)
	files := map[string]vm.Source{
		"/root/probe": {Perm: 0o755, Text: "#!/bin/bash\n" + say + "exec >/dev/vport0p2 2>&1\nexport SYSTEMD_PAGER= SYSTEMD_COLORS=0 LC_ALL=C COLUMNS=200\n" +
			"for n in $(seq 300); do busctl status org.freedesktop.systemd1 >/dev/null 2>&1 && break; sleep 0.1; done\n" +
			"echo '@@loaded'; systemctl list-units --all --plain --no-legend\n" + asking(tools)},
		"/etc/systemd/system/chain-a.service": {Text: "[Unit]\nRequires=chain-b.service\nAfter=chain-b.service\n[Service]\nExecStart=/bin/sleep infinity\n"},
		"/etc/systemd/system/chain-b.service": {Text: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 1\n"},
		"/etc/containers/containers.conf":     {Text: "[engine]\ncgroup_manager=\"systemd\"\nevents_logger=\"file\"\nruntime=\"crun\"\n[containers]\nlog_driver=\"k8s-file\"\n"},
		"/etc/containers/storage.conf":        {Text: "[storage]\ndriver=\"vfs\"\nrunroot=\"/run/containers/storage\"\ngraphroot=\"/var/lib/containers/storage\"\n"},
	}
	for name, f := range hellod {
		files[name] = f
	}
	img, err := bootable.Debian{Recipe: debtree.Tools, Files: files}.Image(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	initramfs := ourInitramfs(t, k, false, "virtio_blk", "ext4")
	said := map[string]answers{}
	for _, init := range inits {
		t.Run(init, func(t *testing.T) {
			own := filepath.Join(t.TempDir(), "disk")
			if out, err := exec.CommandContext(t.Context(), "cp", "--sparse=always", disk, own).CombinedOutput(); err != nil {
				t.Fatalf("copy the disk: %v: %s", err, out)
			}
			var output bytes.Buffer
			if dir := os.Getenv("TOOLS_KEEP"); dir != "" { // to look at what a report cuts off
				t.Cleanup(func() {
					if err := os.WriteFile(filepath.Join(dir, init+".txt"), output.Bytes(), 0o644); err != nil {
						t.Error(err)
					}
				})
			}
			m := boot(t, vm.Spec{Name: "tools/" + init, Kernel: k, Initramfs: initramfs, Memory: 1024, Limit: 12 * time.Minute, Output: &output,
				Append: []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms[init]},
				Disks:  []vm.Drive{{File: own, Keep: true}}})
			login(t, m)
			typed(t, m, map[string]string{"systemd": "systemctl is-system-running --wait", "dynamod": "dynamodctl start default.target"}[init]+"; echo settled=$?", "settled=[0-9]+")
			typed(t, m, "./probe; echo probed=$?", "probed=[0-9]+")
			typed(t, m, "echo done >/dev/vport0p1; systemctl poweroff", "")
			finish(t, m)
			said[init] = parseAnswers(output.String())
		})
	}
	if len(said) < 2 {
		return
	}
	if wrong := commands(t, said["systemd"], said["dynamod"]); wrong > knownTools || len(said["systemd"].commands) != len(tools) {
		t.Errorf("%d answers differ, of which %d were known; there were %d of %d", wrong, knownTools, len(said["systemd"].commands), len(tools))
	}
}
