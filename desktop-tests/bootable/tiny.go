package bootable

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"

	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// Tiny is a system of BusyBox and native files: no systemd, no udev. Root has no
// password.
type Tiny struct {
	// Run is a line of shell that a service runs when basic.target is up; "" for none.
	Run string
	// Files go over the rest.
	Files map[string]vm.Source
}

// Image is the system's content, ready to be made into a disk.
func (t Tiny) Image(ctx context.Context, progress io.Writer) (vm.Image, error) {
	tree, err := debtree.Ensure(ctx, debtree.BusyBox, progress)
	if err != nil {
		return vm.Image{}, err
	}
	files, err := Programs(ctx, "/bin")
	if err != nil {
		return vm.Image{}, err
	}
	busybox := filepath.Join(tree, "usr/bin/busybox")
	list, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return vm.Image{}, fmt.Errorf("ask BusyBox for its names: %w", err)
	}
	files["/bin/busybox"] = vm.Source{Host: busybox, Perm: 0o755}
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" && files["/bin/"+applet].Host == "" {
			files["/bin/"+applet] = vm.Source{Link: "busybox"}
		}
	}
	files["/sbin"] = vm.Source{Link: "bin"}
	for name, text := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\ntty:x:5:\nutmp:x:43:\n", "/etc/hostname": "tiny\n",
	} {
		files[name] = vm.Source{Text: text}
	}
	files["/etc/shadow"] = vm.Source{Text: "root::19000:0:99999:7:::\n", Perm: 0o600}
	for _, d := range []string{"dev", "proc", "root", "run", "sys", "tmp", "var/lib", "var/log", "mnt"} {
		files["/"+d] = vm.Source{Dir: true}
	}
	if t.Run != "" {
		name, text := service("scenario", t.Run)
		files[name] = vm.Source{Text: text}
	}
	maps.Copy(files, t.Files)
	return vm.Image{Files: files}, nil
}
