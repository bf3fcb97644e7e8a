//go:build vm

package scenarios

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
	"dynamod/desktop-tests/vm/vmtest"
)

// The kernel, the initramfs, the ports and the power-off work at all.
func TestSmoke(t *testing.T) {
	accel, err := vm.Acceleration(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := vm.Smoke(t.Context(), accel, time.Minute, os.Stderr); err != nil {
		t.Fatal(err)
	}
}

func debian(t *testing.T) string {
	t.Helper()
	image, err := vm.DebianImage(t.Context(), debtree.Minimal, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// The acting half of the manager, where all controllers of cgroup v2 are real. On
// the machines of developers they are not.
func TestWorld(t *testing.T) {
	child := filepath.Join(t.TempDir(), "child")
	if err := vm.Build(t.Context(), "./svmgr/child", child); err != nil {
		t.Fatal(err)
	}
	// A file system for RootImage=: all but /usr.
	image := filepath.Join(t.TempDir(), "image")
	tree := map[string]vm.Source{"/etc/inner": {Text: "x"}}
	for _, dir := range []string{"usr", "tmp", "var/tmp", "proc", "sys", "dev", "run", "mnt"} {
		tree["/"+dir] = vm.Source{Dir: true}
	}
	for _, link := range []string{"bin", "lib", "lib64", "sbin"} {
		tree["/"+link] = vm.Source{Link: "usr/" + link}
	}
	if err := (vm.Image{Files: tree, Size: 16}).MakeExt4(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	vmtest.GoTest(t, vm.Job{Name: "world", CPUs: 2, Root: debian(t), Swap: 64, Scratch: []int{64}, Memory: 1024, Limit: 10 * time.Minute,
		// What a machine loads when somebody asks for it; here is nobody who would.
		Modules: []string{"autofs4", "overlay", "loop", "bfq"},
		Files:   map[string]string{"child": child, "image": image},
		Env:     []string{"DYNAMOD_TEST_CHILD=" + vm.GuestFile("child"), "DYNAMOD_TEST_IMAGE=" + vm.GuestFile("image")}},
		"svmgr/internal/world")
}

// What logind does with terminals and input devices, where both are real.
func TestLogindDevices(t *testing.T) {
	vmtest.GoTest(t, vm.Job{Name: "logind-devices", Memory: 512, Limit: 4 * time.Minute, Modules: []string{"evdev", "uinput", "uhid", "hid-generic"}},
		"logind/internal/device")
}
