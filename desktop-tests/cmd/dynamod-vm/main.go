// Command dynamod-vm boots Debian 13 in a virtual machine and gives its serial console
// to the terminal (`make vm`), or shows dynamod at work there by itself (`make demo`):
//
//	dynamod-vm [-init dynamod|systemd] [-memory MIB] [-append "WORD WORD"]
//	dynamod-vm -demo
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
	flag.Parse()
	program, ok := bootable.InitPrograms[*init]
	if !ok || flag.NArg() > 0 || *demo && *init != "dynamod" {
		fmt.Fprintln(os.Stderr, "usage: dynamod-vm [-init dynamod|systemd] [-memory MIB] [-append WORDS], or dynamod-vm -demo")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	spec := vm.Spec{Name: "interactive/" + *init, Memory: *memory, Limit: 24 * time.Hour, ConsoleOutput: os.Stdout, Network: true,
		Append: append([]string{"quiet", "root=LABEL=" + bootable.DebianLabel, "init=" + program}, strings.Fields(*more)...)}
	run := interact
	if *demo {
		spec.Name, spec.Limit, spec.Network, run = "demo", 10*time.Minute, false, show
	}
	if err := boot(ctx, spec, run); err != nil {
		fmt.Fprintln(os.Stderr, "\ndynamod-vm:", err)
		os.Exit(1)
	}
}

// boot makes the disk and starts the machine, which ends with run.
func boot(ctx context.Context, spec vm.Spec, run func(context.Context, *vm.Machine) error) error {
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
	return run(ctx, m)
}

// leave is the key that ends an interactive machine: Ctrl-].
const leave = 0x1d

// interact hands the terminal to the console until the machine is off.
func interact(ctx context.Context, m *vm.Machine) error {
	fmt.Fprint(os.Stderr, "The serial console; Ctrl-] pulls the plug. Log in as root, without a password.\r\n")
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

// tour is what the demo types, and what must be in the answer.
var tour = []struct{ line, answer string }{
	{"cat /proc/1/comm", "dynamod-init"},
	{"stty cols 110; export TERM=dumb; dynamodctl status | head -n 20", "(?i)dynamod"},
	{"dynamodctl list --type service", `ssh\.service`},
	{"dynamodctl list --timers", `fstrim\.timer`},
	{"dynamodctl blame | head -n 8", `\.service`},
	{"dynamodctl critical-chain", "the start took"},
	{"kill -SEGV $(pgrep -xo rsyslogd); dynamodctl start rsyslog; dynamodctl why rsyslog; dynamodctl status rsyslog | head -n 12", "rsyslog"},
	{"kill -KILL $(pgrep -xo dynamod-svmgr); until dynamodctl ping 2>/dev/null; do :; done; dynamodctl list --type service 'ssh*' nginx cron", `nginx\.service +active`},
	{"exec 3<>/dev/tcp/127.0.0.1/80; printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' >&3; head -n 2 <&3", "200 OK"},
}

// show boots to the login prompt and takes the tour.
func show(ctx context.Context, m *vm.Machine) error {
	if _, err := m.Console.Expect(ctx, "debian login: "); err != nil {
		return err
	}
	up := time.Since(m.Started)
	if err := m.Console.Send("root\n"); err != nil {
		return err
	}
	if _, err := m.Console.Expect(ctx, prompt); err != nil {
		return err
	}
	for _, s := range tour {
		if err := m.Console.Send(s.line + "\n"); err != nil {
			return err
		}
		// The echo of the line ends with a new line; what comes then is the answer.
		for _, want := range []string{"\n", s.answer, prompt} {
			if _, err := m.Console.Expect(ctx, want); err != nil {
				return fmt.Errorf("after %q: %w", s.line, err)
			}
		}
	}
	if err := m.Console.Send("kill -TERM 1\n"); err != nil {
		return err
	}
	if err := m.Wait(); err != nil {
		return err
	}
	fmt.Printf("\nDebian 13 booted on dynamod to its login prompt in %.1f s (kernel and %s included) and went down clean.\n", up.Seconds(), m.Spec.Accel)
	return nil
}
