//go:build vm

package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/internal/testkit"
)

// containerScript runs an init as the first process of namespaces of its own, as container
// managers do (systemd's "The Container Interface"): DIR has up/ and root/, and is in memory.
const containerScript = `set -e
dir=$1 init=$2 group=$3
echo $$ >$group/cgroup.procs
exec unshare -C -m -p -u -i -n --fork --kill-child --propagation private bash -ec '
	cd $0/root
	hostname container
	mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
	mount -t tmpfs -o mode=755 tmpfs run; mount -t tmpfs -o mode=755 tmpfs dev
	mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
	for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 dev/${d%:*} c 1 ${d#*:}; done; mknod -m 666 dev/tty c 5 0
	mount --rbind . .; cd $0/root; mkdir -p mnt; pivot_root . mnt
	exec chroot . /bin/bash -ec "umount -l /mnt; exec env -i container=other PATH=/usr/sbin:/usr/bin $1"
' $dir $init
`

// inside is what runs in a container: WHAT [ARGUMENT].
const inside = bridgeWork + `
say() { echo "$*" >&2; exit 1; }
if [ $1 = units ]; then upto $2; count; exit; fi
$1 >/dev/null || say "FAIL $1" # as it is when it was asked before
a=${EPOCHREALTIME/./}; $1 >/dev/null || say "FAIL $1"; z=${EPOCHREALTIME/./}
echo $((z - a))
`

// container is a running init and what surrounds it.
type container struct{ pid string }

// do runs a part of the work in it and returns the number that it says.
func (c container) do(b *testing.B, args ...string) int {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "nsenter", append([]string{"-a", "-r", "-w", "-t", c.pid, "bash", "-s", "--"}, args...)...)
	cmd.Stdin = strings.NewReader(inside)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%q: %v: %s", args, err, stderr.String())
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		b.Fatalf("%q says %q", args, out)
	}
	return n
}

// cgroup2 is where this machine has that hierarchy.
func cgroup2(b *testing.B) string {
	b.Helper()
	out, err := exec.Command("findmnt", "-nft", "cgroup2", "-o", "TARGET").Output()
	if err != nil {
		b.Fatalf("find a cgroup2 hierarchy, which systemd needs: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// startContainer boots a tree with an init until it says that all has been started.
func startContainer(b *testing.B, tree, side string) container {
	b.Helper()
	dir, group := b.TempDir(), filepath.Join(cgroup2(b), "dynamod-bench-"+side)
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	run := func(args ...string) {
		b.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	up, root := filepath.Join(dir, "up"), filepath.Join(dir, "root")
	must(os.Mkdir(up, 0o755))
	must(os.Mkdir(root, 0o755))
	run("mount", "-t", "tmpfs", "tmpfs", up)
	b.Cleanup(func() { run("umount", up) })
	must(os.Mkdir(filepath.Join(up, "u"), 0o755))
	must(os.Mkdir(filepath.Join(up, "w"), 0o755))
	run("mount", "-t", "overlay", "overlay", "-o", fmt.Sprintf("lowerdir=%s,upperdir=%s/u,workdir=%s/w", tree, up, up), root)
	b.Cleanup(func() { run("umount", root) })
	for name, text := range bridgeUnits {
		must(os.WriteFile(filepath.Join(root, "etc/systemd/system", name), []byte(text), 0o644))
	}
	must(os.WriteFile(filepath.Join(root, "etc/machine-id"), []byte("6e1ab0005eed4bad80000123456789ab\n"), 0o644))
	if side == "dynamod" {
		run("make", "-C", "../..", "install", "DESTDIR="+root)
	}
	must(os.Mkdir(group, 0o755))
	console, err := os.Create(filepath.Join(dir, "console"))
	must(err)
	defer console.Close()
	cmd := exec.Command("bash", "-c", containerScript, "container", dir, bootable.InitPrograms[side], group)
	cmd.Stdout, cmd.Stderr = console, console
	must(cmd.Start())
	b.Cleanup(func() {
		must(os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0o644))
		_ = cmd.Wait() // killed as all others in the group
		testkit.Eventually(b, "the container is gone", func() bool {
			// Groups are busy as long as processes end in them.
			return exec.Command("find", group, "-depth", "-type", "d", "-delete").Run() == nil
		})
	})
	var c container
	testkit.Eventually(b, side+" has started everything", func() bool {
		pids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if c.pid = strings.TrimSpace(string(pids)); c.pid == "" {
			return false
		}
		ctx, cancel := context.WithTimeout(b.Context(), testkit.Patience)
		defer cancel()
		out, _ := exec.CommandContext(ctx, "nsenter", "-a", "-r", "-w", "-t", c.pid, "systemctl", "is-system-running").Output()
		state := strings.TrimSpace(string(out))
		if state == "degraded" {
			b.Fatalf("under %s something has failed: see systemctl --failed in the namespaces of process %s", side, c.pid)
		}
		return state == "running"
	})
	return c
}

// BenchmarkNative asks the same of systemd and of dynamod as BenchmarkBridge, on the processor
// that there is: as the first processes of two containers of one Debian tree, at the same time
// and by turns, so that how busy the host is concerns both. It needs root.
func BenchmarkNative(b *testing.B) {
	tree, err := debtree.Ensure(b.Context(), debtree.Server, os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	at := map[string]container{}
	for _, side := range inits {
		at[side] = startContainer(b, tree, side)
		if n := at[side].do(b, "units", "400"); n != 400 {
			b.Fatalf("%s has %d units, where 400 were asked for", side, n)
		}
	}
	b.Log("\n" + byTurns(b, b.Loop, []string{"nothing", "rounds", "reads", "shows", "lists400"}, func(side, step string) int {
		return at[side].do(b, strings.TrimRight(step, "0123456789"))
	}))
}
