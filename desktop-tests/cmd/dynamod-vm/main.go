// Command dynamod-vm boots Debian 13 in a virtual machine and gives its serial console
// to the terminal (`make vm`), or shows dynamod at work there by itself (`make demo`):
//
//	dynamod-vm [-init dynamod|systemd] [-memory MIB] [-append "WORD WORD"]
//	dynamod-vm -demo [-keep]
//
// Nothing is kept of what the machine writes. root has no password.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

func main() {
	init := flag.String("init", "dynamod", "what is PID 1: dynamod or systemd")
	memory := flag.Int("memory", 768, "MiB")
	more := flag.String("append", "", "more for the kernel's command line")
	demo := flag.Bool("demo", false, "show dynamod at work, without hands")
	keep := flag.Bool("keep", false, "after the demo the machine goes on, on this terminal")
	flag.Parse()
	if bootable.InitPrograms[*init] == "" || flag.NArg() > 0 || *demo && *init != "dynamod" || *keep && !*demo {
		fmt.Fprintln(os.Stderr, "usage: dynamod-vm [-init dynamod|systemd] [-memory MIB] [-append WORDS], or dynamod-vm -demo [-keep]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := func() error { return interactive(ctx, *init, *memory, strings.Fields(*more)) }
	if *demo {
		run = func() error { return show(ctx, *keep) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "\ndynamod-vm:", err)
		os.Exit(1)
	}
}

// interactive makes the disk of a small server and gives its console to the terminal.
func interactive(ctx context.Context, init string, memory int, more []string) error {
	spec := vm.Spec{Name: "interactive/" + init, Memory: memory, Limit: 24 * time.Hour, ConsoleOutput: os.Stdout, Network: true,
		Append: append([]string{"quiet", "root=LABEL=" + bootable.DebianLabel, "init=" + bootable.InitPrograms[init]}, more...)}
	dir, err := os.MkdirTemp("", "dynamod-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if spec.Kernel, err = vm.DebianKernel(ctx, os.Stderr); err != nil {
		return err
	}
	img, err := bootable.Debian{Recipe: debtree.Server}.Image(ctx, os.Stderr)
	if err != nil {
		return err
	}
	disk := filepath.Join(dir, "disk")
	if err := img.MakeExt4(ctx, disk); err != nil {
		return err
	}
	spec.Initramfs = filepath.Join(dir, "initramfs")
	initramfs := bootable.Initramfs{Kernel: spec.Kernel, Modules: []string{"virtio_blk", "ext4", "virtio_net"}, Shell: true}
	if err := initramfs.Write(ctx, spec.Initramfs, os.Stderr); err != nil {
		return err
	}
	spec.Disks = []vm.Drive{{File: disk}}
	m, err := vm.Start(ctx, spec)
	if err != nil {
		return err
	}
	defer m.Close()
	fmt.Fprint(os.Stderr, "The serial console; Ctrl-] pulls the plug. Log in as root, without a password.\r\n")
	return interact(m)
}

// leave is the key that ends an interactive machine: Ctrl-].
const leave = 0x1d

// interact hands the terminal to the console until the machine is off.
func interact(m *vm.Machine) error {
	restore, err := raw(int(os.Stdin.Fd()))
	if err != nil {
		return err
	}
	defer restore()
	go func() { // ends with the program
		buf := make([]byte, 256)
		for {
			n, err := os.Stdin.Read(buf)
			text := string(buf[:n])
			if i := strings.IndexByte(text, leave); i >= 0 {
				m.Kill()
				return
			}
			if n > 0 && m.Console.Send(text) != nil || err != nil && !errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				return // the end of a pipe: the machine goes on
			}
		}
	}()
	if err := m.Wait(); err != nil && !errors.Is(err, vm.ErrKilled) {
		return err
	}
	return nil
}

// raw makes a terminal pass every key on (termios(3)); what is none is left alone.
func raw(fd int) (restore func(), err error) {
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}, nil
	}
	t := *old
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return nil, fmt.Errorf("set the terminal up: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, old) }, nil
}

// prompt is root's shell on the machine.
const prompt = `root@debian:~# `
