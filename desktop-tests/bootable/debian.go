package bootable

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// DebianLabel is the label of the root file system of a Debian image.
const DebianLabel = "debian"

// InitPrograms are the two that a Debian image boots with, for init= on the kernel
// command line.
var InitPrograms = map[string]string{"systemd": "/usr/lib/systemd/systemd", "dynamod": "/sbin/dynamod-init"}

// Debian is an untouched Debian tree with dynamod beside its own systemd: which of the
// two is PID 1 says init= on the kernel command line. What is laid over it is what an
// installer would write: fstab, host name, machine ID, and a root without a password.
type Debian struct {
	Recipe debtree.Recipe
	// Files go over the rest.
	Files map[string]vm.Source
}

// Image is the system's content, ready to be made into a disk.
func (d Debian) Image(ctx context.Context, progress io.Writer) (vm.Image, error) {
	tree, err := debtree.Ensure(ctx, d.Recipe, progress)
	if err != nil {
		return vm.Image{}, err
	}
	files, err := Programs(ctx, "/usr/sbin")
	if err != nil {
		return vm.Image{}, err
	}
	shadow, err := os.ReadFile(filepath.Join(tree, "etc/shadow"))
	if err != nil {
		return vm.Image{}, err
	}
	open := strings.Replace("\n"+string(shadow), "\nroot:*:", "\nroot::", 1)[1:]
	if open == string(shadow) {
		return vm.Image{}, fmt.Errorf("the shadow file of %s has no locked root", tree)
	}
	files["/etc/shadow"] = vm.Source{Text: open, Perm: 0o640}
	files["/etc/fstab"] = vm.Source{Text: "LABEL=" + DebianLabel + " / ext4 defaults 0 1\n"}
	files["/etc/hostname"] = vm.Source{Text: "debian\n"}
	files["/etc/hosts"] = vm.Source{Text: "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost\n"}
	files["/etc/machine-id"] = vm.Source{Text: "6e1ab0005eed4bad80000123456789ab\n", Perm: 0o444}
	maps.Copy(files, d.Files)
	return vm.Image{Tree: tree, Files: files, Label: DebianLabel}, nil
}
