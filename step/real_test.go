package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// program is dynamod-step as it is installed.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dynamod-step-test-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "dynamod-step")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic("build dynamod-step: " + err.Error())
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// inTree runs a script in namespaces of its own, with a root file system that is a
// tmpfs: the machine's programs are there to be read, /etc, /var, /run and /dev are
// empty. step is the program. Needs root.
func inTree(t *testing.T, files map[string]string, script string) (out string, code int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	top := t.TempDir()
	prelude := `set -e
mount --make-rprivate /
T=` + top + `/root
mkdir $T
mount -t tmpfs -o mode=755 tree $T
cd $T
mkdir -p proc sys dev etc run var/lib var/log tmp usr/local/sbin
for d in bin sbin lib lib64; do
	if [ -L /$d ]; then cp -d /$d $d; elif [ -d /$d ]; then mkdir $d; mount --bind /$d $d; fi
done
for d in /usr/*; do [ $d = /usr/local ] || { mkdir -p .$d; mount --bind $d .$d; }; done
mount -t tmpfs run run
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs dev dev
for n in null:1:3 zero:1:5 random:1:8 urandom:1:9; do IFS=:; set -- $n; unset IFS; mknod -m 666 dev/$1 c $2 $3; done
cp ` + program + ` usr/local/sbin/step
cp -a ` + top + `/files/. .
cp ` + top + `/script run/script
exec chroot . /bin/sh -e /run/script
`
	for name, text := range files {
		at := filepath.Join(top, "files", name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(at, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.MkdirAll(filepath.Join(top, "files"), 0o755)
	if err := os.WriteFile(filepath.Join(top, "script"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", prelude)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID}
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return b.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("run the script: %v", err)
	}
	return b.String(), 0
}

func succeeds(t *testing.T, files map[string]string, script string, says ...string) {
	t.Helper()
	out, code := inTree(t, files, script)
	if code != 0 {
		t.Errorf("the script ended with %d:\n%s", code, out)
	}
	for _, s := range says {
		if !strings.Contains(out, s) {
			t.Errorf("nothing says %q:\n%s", s, out)
		}
	}
}

func fails(t *testing.T, files map[string]string, script string, says ...string) {
	t.Helper()
	out, code := inTree(t, files, script+"\necho the step succeeded")
	if code != 1 || strings.Contains(out, "the step succeeded") {
		t.Errorf("the script ended with %d; want 1:\n%s", code, out)
	}
	for _, s := range says {
		if !strings.Contains(out, s) {
			t.Errorf("nothing says %q:\n%s", s, out)
		}
	}
}

func TestLoopback(t *testing.T) {
	succeeds(t, nil, `! grep -q 127.0.0.1 /proc/net/fib_trie
step loopback
grep -q 127.0.0.1 /proc/net/fib_trie
step loopback`)
}

func TestHostname(t *testing.T) {
	succeeds(t, map[string]string{"etc/hostname": "# the name\nbox-1.example\n"}, "step hostname; uname -n", "box-1.example")
	succeeds(t, map[string]string{}, "echo '(none)' >/proc/sys/kernel/hostname; step hostname; uname -n", "localhost")
	succeeds(t, map[string]string{}, "echo given >/proc/sys/kernel/hostname; step hostname; uname -n", "given")
	fails(t, map[string]string{"etc/hostname": "-bad name\n"}, "step hostname", `"-bad name" is no host name`)
}

func TestSysctl(t *testing.T) {
	files := map[string]string{
		"etc/sysctl.d/10.conf": "net.ipv4.ip_forward = 1\nnet.ipv4.conf.*.rp_filter=2\n-net.ipv4.conf.lo.rp_filter\nnet.no.such=1\n",
		"etc/sysctl.conf":      "net.ipv4.tcp_syncookies=0\n",
	}
	succeeds(t, files, `echo 0 >/proc/sys/net/ipv4/conf/lo/rp_filter
step sysctl
cd /proc/sys/net/ipv4
test $(cat ip_forward) = 1
test $(cat tcp_syncookies) = 0
test $(cat conf/default/rp_filter) = 2
test $(cat conf/lo/rp_filter) = 0`, "has no setting net/no/such")
	fails(t, map[string]string{"etc/sysctl.d/a.conf": "net.ipv4.ip_forward=much\nnet.ipv4.tcp_syncookies=0\n"},
		"step sysctl || { test $(cat /proc/sys/net/ipv4/tcp_syncookies) = 0 && exit 1; }", "/etc/sysctl.d/a.conf:1", "invalid argument")
	succeeds(t, map[string]string{"etc/sysctl.d/a.conf": "-net.ipv4.ip_forward=much\n"}, "step sysctl", "does not matter")
}

func TestModules(t *testing.T) {
	files := map[string]string{
		"etc/modules":               "dynamod_none a=1 b=2\n",
		"usr/local/sbin/modprobe":   "#!/bin/sh\necho modprobe \"$@\"\n",
		"etc/modules-load.d/x.conf": "dynamod-other\n",
	}
	// Not every kernel has modules; this /proc says that it does.
	modular := "mount -t tmpfs proc /proc; echo quiet modules_load=dynamod_third >/proc/cmdline; touch /proc/modules; "
	succeeds(t, files, modular+"step modules", "modprobe dynamod_third", "modprobe dynamod_none a=1 b=2", "modprobe dynamod-other")
	files["usr/local/sbin/modprobe"] = "#!/bin/sh\nexit 1\n"
	fails(t, files, modular+"step modules", "load module dynamod-other (/etc/modules-load.d/x.conf:1)", "load module dynamod_none (/etc/modules:1)")
	succeeds(t, files, "mount -t tmpfs proc /proc; step modules", "no modules; 2 are listed")
}

func TestRemount(t *testing.T) {
	succeeds(t, nil, "mount -o remount,ro /; ! touch /x 2>/dev/null; step remount; touch /x")
	succeeds(t, map[string]string{"etc/fstab": "tree / tmpfs noatime,x-systemd.growfs,nofail 0 0\n"},
		"mount -o remount,ro /; step remount; touch /x; grep ' / rw,.*noatime' /proc/self/mountinfo")
	succeeds(t, map[string]string{"etc/fstab": "tree / tmpfs ro 0 0\n"}, "touch /x; step remount; ! touch /y 2>/dev/null")
	fails(t, map[string]string{"etc/fstab": "tree / tmpfs size=nonsense 0 0\n"}, "step remount", "remount / with rw,size=nonsense")
}

func TestMounts(t *testing.T) {
	table := "tmpfs /a tmpfs defaults 0 0\ntmpfs /b tmpfs nofail 0 0\ntmpfs /c tmpfs noauto 0 0\n//x/y /d cifs defaults 0 0\n"
	fails(t, map[string]string{"etc/fstab": table}, "step mounts", "fstab asks for it: /a", "/b is not mounted, which its line")
	succeeds(t, map[string]string{"etc/fstab": table}, "mkdir /a; mount /a; step mounts")
	succeeds(t, nil, "step mounts")
}

func TestMachineID(t *testing.T) {
	check := "grep -Eq '^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$' /etc/machine-id; test $(stat -c %a /etc/machine-id) = 444; "
	succeeds(t, nil, "step machine-id; "+check+"cp /etc/machine-id /run/x; step machine-id; cmp /etc/machine-id /run/x")
	for _, old := range []string{"", "uninitialized\n", "nonsense\n", strings.Repeat("0", 32) + "\n"} {
		succeeds(t, map[string]string{"etc/machine-id": old}, "step machine-id; "+check)
	}
	// What PID 1 laid over it in memory is written down, and nothing lies over it then.
	id := "0123456789abcdef0123456789abcdef\n"
	succeeds(t, map[string]string{"etc/machine-id": "", "run/machine-id": id},
		"mount --bind /run/machine-id /etc/machine-id; step machine-id; ! grep /etc/machine-id /proc/self/mountinfo; cmp /etc/machine-id /run/machine-id")
	succeeds(t, nil, "mount -o remount,ro /; step machine-id; test ! -e /etc/machine-id", "read-only")
}

func TestRandomSeed(t *testing.T) {
	succeeds(t, nil, `f=/var/lib/dynamod/random-seed
step seed-load
test $(stat -c %s:%a $f) = 512:600
cp $f /run/one
step seed-load
! cmp -s $f /run/one
cp $f /run/two
step seed-save
! cmp -s $f /run/two
echo short >$f
step seed-load
test $(stat -c %s:%a $f) = 512:600`, "too short")
}

func TestBootmisc(t *testing.T) {
	files := map[string]string{"etc/group": "root:x:0:\nutmp:x:43:\n", "var/log/wtmp": "", "tmp/.X0-lock": "1\n", "tmp/kept": "x"}
	script := `step bootmisc
test $(stat -c %a /run/lock) = 1777
test $(stat -c %a /tmp) = 1777
test $(stat -c %a /tmp/.X11-unix) = 1777
test $(stat -c %a:%g /run/utmp) = 664:43
test "$(readlink /var/run)" = /run
test -s /run/utmp -a -s /var/log/wtmp
test ! -e /tmp/.X0-lock -a -e /tmp/kept
who -b /run/utmp
step bootmisc`
	succeeds(t, files, script, "system boot")
	// What somebody laid into /tmp is not followed.
	succeeds(t, map[string]string{"etc/secret": "x"}, "ln -s /etc /tmp/.X11-unix; step bootmisc; test $(stat -c %a /etc) = 755")
}

func TestDiskLinks(t *testing.T) {
	blkid := "#!/bin/sh\ncat <<'E'\n/dev/zero: LABEL=\"my data\" UUID=\"12-34\" TYPE=\"vfat\"\n/dev/null: UUID=\"12-34\"\nE\n"
	succeeds(t, map[string]string{"usr/local/sbin/blkid": blkid}, `step disk-links
test "$(readlink /dev/disk/by-uuid/12-34)" = ../../zero
test "$(readlink '/dev/disk/by-label/my\x20data')" = ../../zero
step disk-links`)
	succeeds(t, map[string]string{"usr/local/sbin/blkid": blkid, "run/udev/control": ""}, "step disk-links; test ! -e /dev/disk", "udev runs")
	fails(t, map[string]string{"usr/local/sbin/blkid": "#!/bin/sh\nexit 4\n"}, "step disk-links", "exit status 4")
}

func TestGetty(t *testing.T) {
	files := map[string]string{"usr/local/sbin/agetty": "#!/bin/sh\necho \"$0 $@\"\n"}
	succeeds(t, files, "step getty ttyS0", "/usr/local/sbin/agetty --noclear --keep-baud ttyS0")
	fails(t, files, "step getty /dev/sda", "is no terminal below /dev")
}

// A file system on a real device, broken for real, by its real checker.
func TestFsck(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", image, "8m").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v %s", err, out)
	}
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	// Others on this machine take loop devices too, at the same time.
	const pre = `mknod /dev/loop-control c 10 237
for try in 1 2 3 4 5 6 7 8 9; do
	dev=$(losetup -f)
	test -e $dev || mknod $dev b 7 ${dev#/dev/loop}
	losetup $dev /run/image && break
done
losetup $dev | grep -q /run/image
trap 'losetup -d $dev' EXIT
`
	with := map[string]string{"run/image": string(data)}
	succeeds(t, with, pre+"step fsck $dev", "clean")
	// Wrong counts in the superblock are mended, which is no failure.
	succeeds(t, with, "debugfs -w -R 'set_super_value free_blocks_count 1' /run/image 2>/dev/null\ndebugfs -w -R 'set_super_value state 2' /run/image 2>/dev/null\n"+pre+"step fsck $dev\ne2fsck -fn $dev", "errors were corrected")
	// A directory entry that leads nowhere needs a human.
	broken := "debugfs -w -R 'clri <2>' /run/image 2>/dev/null\ndebugfs -w -R 'set_super_value state 2' /run/image 2>/dev/null\n"
	fails(t, with, broken+pre+"step fsck $dev", "uncorrected", "must not be used")
	// The types of fstab and the reboot: the checker is a script here.
	tab := map[string]string{"etc/fstab": "/dev/zero /x odd defaults 0 2\n", "usr/local/sbin/fsck.odd": "#!/bin/sh\necho odd \"$@\"; exit 8\n"}
	fails(t, tab, "step fsck /dev/zero", "odd -a /dev/zero", "could not do its work")
	tab["usr/local/sbin/fsck.odd"] = "#!/bin/sh\nexit 3\n"
	fails(t, tab, "step fsck /dev/zero", "rebooting", "must be rebooted, but")
	tab["usr/local/sbin/dynamodctl"] = "#!/bin/sh\necho asked \"$@\"; kill -9 $PPID\n"
	out, code := inTree(t, tab, "step fsck /dev/zero || echo killed while waiting")
	if code != 0 || !strings.Contains(out, "asked shutdown reboot") || !strings.Contains(out, "killed while waiting") {
		t.Errorf("reboot: %d, %s", code, out)
	}
	delete(tab, "usr/local/sbin/fsck.odd")
	succeeds(t, tab, "step fsck /dev/zero", "fsck.odd is not installed")
	succeeds(t, nil, "step fsck", "not checked: it is mounted read-write")
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "usage"}, {[]string{"--help"}, 0, "loopback"}, {[]string{"nonsense"}, 2, `no step "nonsense"`},
		{[]string{"getty"}, 2, "getty TTY"}, {[]string{"loopback", "x"}, 2, "usage"}, {[]string{"--version"}, 0, "dynamod-step"},
	} {
		var b bytes.Buffer
		if code := run(c.args, &shell{root: t.TempDir(), out: &b}); code != c.code || !strings.Contains(b.String(), c.says) {
			t.Errorf("%v: %d, %q; want %d, %q", c.args, code, b.String(), c.code, c.says)
		}
	}
}

// The manual has every step.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../docs/man/dynamod-step.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range steps {
		if !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), st.name) {
			t.Errorf("docs/man/dynamod-step.8 does not explain %s", st.name)
		}
	}
}
