// Command dynamod-image makes what a machine boots from, without root:
//
//	dynamod-image initramfs -o FILE [-modules NAME,NAME] [-shell]
//	dynamod-image disk -o FILE [-fs TYPE] [-table gpt|mbr|none] [-tree DIR] [-label L] [-size MIB]
//	dynamod-image iso -o FILE [-tree DIR]
//
// The kernel is Debian 13's. Without -tree the system is a small one of BusyBox and
// native files, with dynamod as PID 1; a tree of yours (desktop-tests/cmd/debtree
// makes one) gets dynamod's programs and stock services laid over it.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, errUsage), errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "usage: dynamod-image initramfs|disk|iso -o FILE [flags]; -h after the word lists them")
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "dynamod-image:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	out := f.String("o", "", "the file to make")
	modules := f.String("modules", "", "kernel modules, apart by commas; those of common machines if empty")
	shell := f.Bool("shell", true, "initramfs: bring BusyBox, for the emergency shell")
	tree := f.String("tree", "", "the system; a small one if empty")
	fstype := f.String("fs", "ext4", "disk: ext4, btrfs, xfs or squashfs")
	table := f.String("table", "gpt", "disk: gpt, mbr or none")
	label := f.String("label", "dynamod-root", "disk: the file system's and the partition's")
	size := f.Int("size", 0, "disk: the file system's size in MiB; what fits if 0")
	line := f.String("append", "", "iso: more for the kernel's command line")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if *out == "" || f.NArg() > 0 {
		return errUsage
	}
	var names []string
	if *modules != "" {
		names = strings.Split(*modules, ",")
	}
	switch args[0] {
	case "initramfs":
		k, err := vm.DebianKernel(ctx, os.Stderr)
		if err != nil {
			return err
		}
		return bootable.Initramfs{Kernel: k, Modules: names, Shell: *shell}.Write(ctx, *out, os.Stderr)
	case "disk":
		img, err := system(ctx, *tree)
		if err != nil {
			return err
		}
		img.Label, img.Size = *label, *size
		return makeDisk(ctx, img, *fstype, *table, *out)
	case "iso":
		img, err := system(ctx, *tree)
		if err != nil {
			return err
		}
		k, err := vm.DebianKernel(ctx, os.Stderr)
		if err != nil {
			return err
		}
		return bootable.LiveISO{Kernel: k, Root: img, Modules: names, Append: strings.Fields(*line)}.Write(ctx, *out, os.Stderr)
	}
	return errUsage
}

// system is a small one, or a tree with dynamod over it.
func system(ctx context.Context, tree string) (vm.Image, error) {
	if tree == "" {
		return bootable.Tiny{}.Image(ctx, os.Stderr)
	}
	sbin := "/sbin"
	if to, err := os.Readlink(filepath.Join(tree, "sbin")); err == nil {
		sbin = filepath.Join("/", to) // a link cannot be written through
	}
	files, err := bootable.Programs(ctx, sbin)
	return vm.Image{Tree: tree, Files: files}, err
}

func makeDisk(ctx context.Context, img vm.Image, fstype, table, out string) error {
	if table == "none" {
		return img.Make(ctx, fstype, out)
	}
	if table != string(vm.GPT) && table != string(vm.MBR) {
		return fmt.Errorf("-table %s: gpt, mbr or none", table)
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "fs")
	if err := img.Make(ctx, fstype, image); err != nil {
		return err
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	part := vm.Part{UUID: hex.EncodeToString(id[:]), Label: img.Label}
	if err := vm.MakeDisk(vm.Table(table), part, binary.LittleEndian.Uint32(id[:]), image, out); err != nil {
		return err
	}
	if vm.Table(table) == vm.GPT {
		fmt.Printf("root=PARTUUID=%s-%s-%s-%s-%s\n", part.UUID[:8], part.UUID[8:12], part.UUID[12:16], part.UUID[16:20], part.UUID[20:])
	} else {
		fmt.Printf("root=PARTUUID=%08x-01\n", binary.LittleEndian.Uint32(id[:]))
	}
	return nil
}
