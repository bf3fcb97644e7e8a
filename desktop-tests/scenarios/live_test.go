//go:build vm

package scenarios

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

// The live medium boots by its own boot loader into a whole system that can be written;
// by another kernel line it is read-only, and still comes up.
func TestLive(t *testing.T) {
	k := kernel(t)
	root, err := bootable.Tiny{Run: say + `
say "value root=$(grep ' / ' /proc/mounts | tail -1)"
touch /written 2>/dev/null && say "value written=yes" || say "value written=no"
say "value medium=$(grep -c /run/dynamod/live/iso /proc/mounts)"
same id "$(grep -c '^[0-9a-f]\{32\}$' /etc/machine-id)" 1
same failed "$(dynamodctl list | grep -e failed -e blocked -e abandoned | grep -v units,)" ""
say done
kill -TERM 1
`}.Image(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	// So that the ID has a file to lie over.
	root.Files["/etc/machine-id"] = vm.Source{Text: ""}
	dir := t.TempDir()
	iso := filepath.Join(dir, "dynamod-live.iso")
	modules := []string{"sr_mod", "ahci", "isofs", "squashfs", "loop", "overlay"}
	if err := (bootable.LiveISO{Kernel: k, Root: root, Modules: modules}).Write(t.Context(), iso, os.Stderr); err != nil {
		t.Fatal(err)
	}
	t.Run("medium", func(t *testing.T) {
		m := boot(t, vm.Spec{Name: "live/medium", Board: vm.Q35, CD: iso, Memory: 768, Limit: 5 * time.Minute})
		finish(t, m)
		if r := m.Results; r.Value("written") != "yes" || r.Value("medium") != "0" {
			t.Errorf("written: %s, mounts of the medium: %s, root: %s; want yes, 0", r.Value("written"), r.Value("medium"), r.Value("root"))
		}
	})
	t.Run("read-only", func(t *testing.T) {
		m := boot(t, vm.Spec{Name: "live/read-only", Board: vm.Q35, CD: iso, Kernel: k, Memory: 768, Limit: 4 * time.Minute,
			Initramfs: ourInitramfs(t, k, false, modules...), Append: []string{"dynamod.live", "dynamod.overlay=0", "dynamod.live.direct_squash=1", "dynamod.media=LABEL=dynaiso"}})
		finish(t, m)
		if r := m.Results; r.Value("written") != "no" || r.Value("medium") != "1" {
			t.Errorf("written: %s, mounts of the medium: %s, root: %s; want no, 1", r.Value("written"), r.Value("medium"), r.Value("root"))
		}
	})
}
