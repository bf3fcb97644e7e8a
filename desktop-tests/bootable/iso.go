package bootable

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dynamod/desktop-tests/vm"
)

// VolumeID is the label of a live medium: what dynamod.media= is when it is not given.
const VolumeID = "DYNAISO"

// LiveISO is a live system on a CD, DVD or stick.
type LiveISO struct {
	Kernel *vm.Kernel
	// Root is the system.
	Root vm.Image
	// Modules are Drivers if nil.
	Modules []string
	// Append goes on the kernel's command line.
	Append []string
}

// Write makes the ISO image at file, bootable by BIOS, and by EFI where GRUB's modules
// for that are installed.
func (l LiveISO) Write(ctx context.Context, file string, progress io.Writer) error {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".iso-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, d := range []string{"boot/grub", "live"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := l.Root.Make(ctx, "squashfs", filepath.Join(dir, "live/root.squashfs")); err != nil {
		return err
	}
	initramfs := Initramfs{Kernel: l.Kernel, Modules: l.Modules, Shell: true}
	if err := initramfs.Write(ctx, filepath.Join(dir, "boot/initramfs"), progress); err != nil {
		return err
	}
	kernel, err := os.ReadFile(l.Kernel.Bz)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"boot/vmlinuz": kernel, "boot/grub/grub.cfg": []byte(l.menu())} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "grub-mkrescue", "-o", file, dir, "--", "-volid", VolumeID)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("make ISO %s: grub-mkrescue: %w: %s (tools/install-deps.sh vm installs what it needs)", file, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// menu is GRUB's configuration: also on the first serial line, for machines without a
// screen.
func (l LiveISO) menu() string {
	more := strings.Join(l.Append, " ")
	var b strings.Builder
	b.WriteString("serial --unit=0 --speed=115200\nterminal_input console serial\nterminal_output console serial\nset timeout=1\n")
	for _, e := range []struct{ title, line string }{
		{"dynamod live", ""},
		{"dynamod live, medium stays in use", "dynamod.live.direct_squash=1"},
		{"dynamod live, read-only", "dynamod.overlay=0"},
		{"dynamod live, emergency shell", "dynamod.emergency=open"},
	} {
		fmt.Fprintf(&b, "menuentry %q {\n\tlinux /boot/vmlinuz dynamod.live console=tty0 console=ttyS0 rootwait %s %s\n\tinitrd /boot/initramfs\n}\n", e.title, e.line, more)
	}
	return b.String()
}
