//go:build vm

package world

// What of the sandbox needs a kernel or a machine that developers may not have:
// images, other architectures, security hooks, limits on namespaces.

import (
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rootTree is a directory that can be the root of a process, without /usr.
func rootTree(t *testing.T, dir string) string {
	t.Helper()
	root := dir + "/root"
	for _, d := range []string{"usr", "etc", "tmp", "var/tmp", "proc", "sys", "dev", "run", "mnt"} {
		if err := os.MkdirAll(root+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.Symlink("usr/"+l, root+"/"+l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/etc/inner", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestImagesInAMachine(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	image := dir + "/image"
	text, err := os.ReadFile(os.Getenv("DYNAMOD_TEST_IMAGE")) // of a rootTree, made on the host
	if err == nil {
		err = os.WriteFile(image, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	base := []string{"RootImage=" + image, "BindReadOnlyPaths=/usr"}
	r.succeeds("a.service", "test -e /etc/inner && test ! -e /etc/passwd && touch /etc/new && rm /etc/new", base...)
	r.succeeds("a.service", "test -e /etc/inner && ! touch /etc/new 2>/dev/null && grep -q ' / ext4 ro,nodev' /proc/mounts",
		append(base, "MountAPIVFS=yes", "RootImageOptions=root:ro,nodev")...)
	r.succeeds("a.service", "test -e /mnt/etc/inner && grep -q ' /mnt ext4 ' /proc/mounts", "MountImages="+image+":/mnt")
	r.succeeds("a.service", "! touch /mnt/new 2>/dev/null && grep -q ' /mnt ext4 ro,nosuid' /proc/mounts", "MountImages="+image+":/mnt:ro,nosuid")
	r.succeeds("a.service", "test ! -e /mnt/etc/inner")
	r.succeeds("a.service", "test -e /etc/inner", append(base, "RootImagePolicy=root=verity+unprotected")...)
	// What the kernel's own drivers cannot give is refused, not left out.
	r.refused("mounts", unix.ENOTSUP, append(base, "RootImagePolicy=root=verity")...)
	r.refused("mounts", unix.ENOTSUP, append(base, "RootVerity="+dir+"/verity")...)
	r.refused("mounts", unix.ENOTSUP, append(base, "RootHashSignature="+dir+"/signature")...)
	r.refused("mounts", unix.ENOTSUP, append(base, "RootImageOptions=home:ro")...)
	r.refused("mounts", unix.ENOENT, "RootImage="+dir+"/missing")
	r.refused("mounts", unix.ENOENT, "MountImages="+dir+"/missing:/mnt")
}

func TestBindLogSocketsInAMachine(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	if err := os.MkdirAll("/run/systemd/journal", 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenPacket("unixgram", "/run/systemd/journal/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/run/systemd/journal/socket")
	defer l.Close()
	base := []string{"RootDirectory=" + rootTree(t, dir), "BindReadOnlyPaths=/usr", "MountAPIVFS=yes"}
	r.succeeds("a.service", "test -S /run/systemd/journal/socket", append(base, "BindLogSockets=yes")...)
	r.succeeds("a.service", "test ! -e /run/systemd/journal/socket", append(base, "BindLogSockets=no")...)
}

// elf32 is a program of 32-bit x86 that ends with 0: a header, one segment, and
// exit(2) by the old interrupt.
var elf32 = []byte("\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00\x01\x00\x00\x00\x54\x80\x04\x08\x34\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x34\x00\x20\x00\x01\x00\x00\x00\x00\x00\x00\x00" +
	"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x80\x04\x08\x00\x80\x04\x08\x5b\x00\x00\x00\x5b\x00\x00\x00\x05\x00\x00\x00\x00\x10\x00\x00" +
	"\x31\xdb\x31\xc0\x40\xcd\x80")

func TestOtherArchitecturesInAMachine(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	program := t.TempDir() + "/program"
	if err := os.WriteFile(program, elf32, 0o755); err != nil {
		t.Fatal(err)
	}
	prove(t, r, attempt{settings: []string{"SystemCallArchitectures=native"}, denied: program, works: "true"}, strings.NewReplacer())
	r.succeeds("a.service", program, "SystemCallArchitectures=native x86")
	// A filter must not be got round by the calls of another architecture.
	prove(t, r, attempt{settings: []string{"SystemCallFilter=~exit", "SystemCallErrorNumber=EPERM"}, denied: program, works: "true"}, strings.NewReplacer())
}

func TestRestrictFileSystemsInAMachine(t *testing.T) {
	r := limited(t)
	const reads = "cat /sys/kernel/uevent_seqnum"
	for _, setting := range []string{"~sysfs", "ext4 proc tmpfs cgroup2 pipefs sockfs"} {
		prove(t, r, attempt{settings: []string{"RestrictFileSystems=" + setting}, denied: reads, works: "cat /etc/passwd"}, strings.NewReplacer())
	}
	// The set-up of a process is not spared: it says so, and nothing runs unchecked.
	r.refused("cgroup", unix.EPERM, "RestrictFileSystems=~proc")
	if w := r.Warnings("a.service"); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
}

// Where the kernel gives no namespace, a unit that wants one does not start without
// it, and says what is missing.
func TestNoNamespacesInAMachine(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	for _, c := range []struct{ limit, setting, stage string }{
		{"net", "PrivateNetwork=yes", "namespace"}, {"ipc", "PrivateIPC=yes", "namespace"}, {"user", "PrivateUsers=yes", "user-namespace"},
		{"pid", "PrivatePIDs=yes", "fork"}, {"mnt", "PrivateTmp=yes", "mounts"},
		{"uts", "ProtectHostname=yes", "namespace"}, {"cgroup", "ProtectControlGroups=private", "namespace"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			file := "/proc/sys/user/max_" + c.limit + "_namespaces"
			was, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("0"), 0); err != nil {
				t.Fatal(err)
			}
			failed, exit := r.script("lonely.service", "exit 0", c.setting)
			if err := os.WriteFile(file, was, 0); err != nil {
				t.Fatal(err)
			}
			if failed == nil || failed.Errno != int32(unix.ENOSPC) || failed.Stage != c.stage {
				t.Errorf("%+v, %+v; want a failure at %s, %v", failed, exit, c.stage, unix.ENOSPC)
			}
			r.succeeds("lonely.service", "exit 0", c.setting)
		})
	}
}
