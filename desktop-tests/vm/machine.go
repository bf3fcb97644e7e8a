package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/desktop-tests/internal/progress"
)

// Board is the kind of machine.
type Board string

const (
	// Microvm starts fastest and has no screen, no slots for late devices and no
	// firmware that could boot from a disk.
	Microvm Board = "microvm"
	// Q35 is a PC.
	Q35 Board = "q35"
)

// Spec is a machine to be.
type Spec struct {
	// Name is its directory below build/vm.
	Name string
	// Kernel and Initramfs are started directly; without a kernel the firmware
	// boots from the first disk or CD (Q35 only).
	Kernel    *Kernel
	Initramfs string
	// Append goes on the kernel's command line, behind what the console needs.
	Append []string
	// Board is Microvm if empty.
	Board Board
	// CPUs are 1 and Memory 512 MiB if 0. With more, QEMU's emulation now and then runs
	// one processor into code that the kernel is changing on the other ("Oops: int3").
	CPUs, Memory int
	// Disks are vda, vdb, … in this order.
	Disks []Drive
	// CD is an ISO image in a drive (Q35).
	CD string
	// Slots is how many devices can be added while it runs (Q35); see AddDisk.
	Slots int
	// Network gives it an address of 10.0.2.15 and a way out; Forward are its TCP
	// ports that the host can reach (see Port).
	Network bool
	Forward []int
	// Screen gives it a graphics card, a keyboard and a tablet (Q35).
	Screen bool
	// Watchdog gives it hardware that resets it when nobody feeds that (i6300esb). A
	// reset is told as the event WATCHDOG, and ends the machine like a reboot.
	Watchdog bool
	// Reboots lets the guest reboot; else a reboot ends the machine.
	Reboots bool
	// Limit ends the machine, 2 minutes if 0.
	Limit time.Duration
	// Accel is what the machine runs on: see Acceleration. Empty means that.
	Accel Accel
	// Counted has the guest's clock count the instructions that it carries out, at
	// 250 million a second, and go on with the host's only while it has none to do. How
	// long programs compute there does not change with how busy the host is, so that
	// two of them can be compared; what they wait for from outside, as a disk, does.
	// Accel must be TCG, and CPUs 1.
	Counted bool
	// CPU is QEMU's name of a processor; empty means one that every guest can
	// live with: with AVX, llvmpipe's code crashes under emulation.
	CPU string
	// Output, if set, takes what the guest writes into OutputPort.
	Output io.Writer
	// ConsoleOutput, if set, takes what the guest prints there, as it comes.
	ConsoleOutput io.Writer
	// Progress is told what goes on; nil for nobody.
	Progress io.Writer
}

// Drive is a disk.
type Drive struct {
	// File is a raw image.
	File string
	// Keep lets the guest write into the file; else what it writes is lost.
	Keep bool
	// Durable makes writes reach the host only when the guest flushes them, so
	// that Kill is a power cut. Else the host caches, which is faster.
	Durable bool
	// Serial is the disk's serial number, which udev makes into a name.
	Serial string
	// ReadOnly is write protection.
	ReadOnly bool
}

// The guest's ends of the ports, as files. Under udev they are also
// /dev/virtio-ports/dynamod.results and dynamod.output.
const (
	ResultPort = "/dev/vport0p1"
	OutputPort = "/dev/vport0p2"
)

// Machine is a virtual machine that runs, or has run.
type Machine struct {
	Spec    Spec
	Dir     string // build/vm/NAME
	Console *Console
	Results *Results
	QMP     *QMP
	Started time.Time

	result io.Writer
	cmd    *exec.Cmd
	cancel context.CancelCauseFunc
	ctx    context.Context
	ended  chan struct{}
	err    error // of QEMU, once ended is closed
	close  sync.Once
	files  []io.Closer
	reads  sync.WaitGroup
	tell   *progress.Line
}

var machineName = regexp.MustCompile(`^[a-z0-9][a-z0-9./-]*$`)

// Start boots a machine. It ends with ctx, with its limit, or with Close.
func Start(ctx context.Context, s Spec) (*Machine, error) {
	if !machineName.MatchString(s.Name) || strings.Contains(s.Name, "..") {
		return nil, fmt.Errorf("start a machine: bad name %q", s.Name)
	}
	s = s.defaults()
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("start machine %s: %w", s.Name, err)
	}
	if s.Accel == "" {
		accel, err := Acceleration(ctx, s.Progress)
		if err != nil {
			return nil, err
		}
		s.Accel = accel
	}
	dir, err := machineDir(s.Name)
	if err != nil {
		return nil, err
	}
	m := &Machine{Spec: s, Dir: dir, ended: make(chan struct{}), Results: newResults()}
	var stopClock context.CancelFunc
	m.ctx, m.cancel = context.WithCancelCause(ctx)
	m.ctx, stopClock = context.WithTimeoutCause(m.ctx, s.Limit, fmt.Errorf("its time limit of %s is over", s.Limit))
	go func() { // ends with the machine
		<-m.ended
		stopClock()
	}()
	if err := m.start(); err != nil {
		if m.cmd.Process == nil {
			close(m.ended) // there is nobody else to do it
		}
		m.Close()
		return nil, fmt.Errorf("start machine %s: %w", s.Name, err)
	}
	return m, nil
}

func (s Spec) defaults() Spec {
	if s.Board == "" {
		s.Board = Microvm
	}
	if s.CPUs == 0 {
		s.CPUs = 1
	}
	if s.Memory == 0 {
		s.Memory = 512
	}
	if s.Limit == 0 {
		s.Limit = 2 * time.Minute
	}
	return s
}

func (s Spec) check() error {
	if s.Board == Microvm {
		switch {
		case s.Kernel == nil:
			return errors.New("a microvm cannot boot without a kernel")
		case s.CD != "", s.Screen, s.Slots > 0:
			return errors.New("a microvm has no CD drive, no screen and no free slots: take Q35")
		}
	}
	if s.Counted && (s.Accel != TCG || s.CPUs != 1) {
		return errors.New("instructions are counted by TCG only, and with one CPU")
	}
	for _, d := range s.Disks {
		if _, err := os.Stat(d.File); err != nil {
			return err
		}
	}
	if len(s.Forward) > 0 && !s.Network {
		return errors.New("ports to forward, but no network")
	}
	return nil
}

// machineDir makes the directory of a machine, without what a former one of that
// name said. Images that were put there for it stay.
func machineDir(name string) (string, error) {
	top, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(top, "build", "vm", filepath.FromSlash(name))
	for _, pattern := range []string{"*.log", "*.png", "qemu.args"} {
		old, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		for _, f := range old {
			if err := os.Remove(f); err != nil {
				return "", err
			}
		}
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// socketPair is a connection between us and QEMU, which gets its end as a number.
func (m *Machine) socketPair(name string) (ours *os.File, number int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("socketpair: %w", err)
	}
	ours = os.NewFile(uintptr(fds[0]), name)
	theirs := os.NewFile(uintptr(fds[1]), name)
	m.files = append(m.files, ours)
	m.cmd.ExtraFiles = append(m.cmd.ExtraFiles, theirs)
	return ours, 2 + len(m.cmd.ExtraFiles), nil
}

func (m *Machine) start() error {
	m.cmd = exec.CommandContext(m.ctx, "qemu-system-x86_64")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.cmd.WaitDelay = 5 * time.Second
	console, consoleFD, err := m.socketPair("console")
	if err != nil {
		return err
	}
	monitor, monitorFD, err := m.socketPair("qmp")
	if err != nil {
		return err
	}
	results, resultsFD, err := m.socketPair("results")
	if err != nil {
		return err
	}
	output, outputFD, err := m.socketPair("output")
	if err != nil {
		return err
	}
	m.result = results
	m.cmd.Args = append(m.cmd.Args, m.Spec.args(consoleFD, monitorFD, resultsFD, outputFD)...)
	if err := os.WriteFile(filepath.Join(m.Dir, "qemu.args"), []byte(strings.Join(m.cmd.Args, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	consoleLog, err := m.create("console.log")
	if err != nil {
		return err
	}
	resultsLog, err := m.create("results.log")
	if err != nil {
		return err
	}
	outputLog, err := m.create("output.log")
	if err != nil {
		return err
	}
	var out io.Writer = outputLog
	if m.Spec.Output != nil {
		out = io.MultiWriter(outputLog, m.Spec.Output)
	}
	qemuLog, err := m.create("qemu.log")
	if err != nil {
		return err
	}
	m.cmd.Stdout, m.cmd.Stderr = qemuLog, qemuLog
	m.tell = progress.New(m.Spec.Progress, "vm: "+m.Spec.Name)
	m.tell.At(fmt.Sprintf("booting (%s, %s)", m.Spec.Board, m.Spec.Accel))
	var printed io.Writer = consoleLog
	if m.Spec.ConsoleOutput != nil {
		printed = io.MultiWriter(consoleLog, m.Spec.ConsoleOutput)
	}
	m.Console = newConsole(console, printed, m.tell.Note)
	m.Started = time.Now()
	err = m.cmd.Start()
	for _, f := range m.cmd.ExtraFiles {
		f.Close()
	}
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%w: run tools/install-deps.sh vm (it installs qemu-system-x86)", err)
	}
	if err != nil {
		m.tell.Close()
		return err
	}
	// All of these end when QEMU closes its ends of the sockets, at the latest
	// when it is killed.
	m.reads.Go(m.Console.read)
	m.reads.Go(func() { m.Results.read(results, resultsLog, m.tell.At) })
	m.reads.Go(func() { _, _ = io.Copy(out, output) })
	m.QMP = newQMP(monitor)
	go func() {
		err := m.cmd.Wait()
		if cause := context.Cause(m.ctx); cause != nil {
			err = cause
		}
		m.reads.Wait()
		<-m.QMP.gone
		m.err = err
		m.tell.At("ended")
		m.tell.Close()
		close(m.ended)
	}()
	if err := m.QMP.Do("qmp_capabilities", nil, nil); err != nil {
		m.Kill()
		log, _ := os.ReadFile(qemuLog.Name())
		return fmt.Errorf("%w: QEMU said: %s", err, strings.TrimSpace(string(log)))
	}
	return nil
}

func (m *Machine) create(name string) (*os.File, error) {
	f, err := os.Create(filepath.Join(m.Dir, name))
	if err == nil {
		m.files = append(m.files, f)
	}
	return f, err
}

// countShift is how long an instruction of a Counted machine takes, as a power of two of
// ns. It is near what TCG does here: what waits for the host, as for a disk, then takes
// about as long as without counting.
const countShift = 2

func (s Spec) accel() string {
	if s.Counted {
		return string(TCG) // counting is for one thread
	}
	return s.Accel.arg()
}

// args is the command line of QEMU, whose ends of the sockets have these numbers.
func (s Spec) args(console, monitor, results, output int) []string {
	cpu := s.CPU
	if cpu == "" {
		cpu = s.Accel.cpu()
	}
	a := []string{
		"-name", s.Name, "-nodefaults", "-no-user-config", "-display", "none",
		"-accel", s.accel(), "-cpu", cpu, "-smp", strconv.Itoa(s.CPUs), "-m", strconv.Itoa(s.Memory),
	}
	add := func(args ...string) { a = append(a, args...) }
	if s.Counted {
		add("-icount", "shift="+strconv.Itoa(countShift))
	}
	socket := func(id string, fd int) {
		add("-chardev", fmt.Sprintf("socket,id=%s,fd=%d", id, fd))
	}
	if s.Board == Microvm {
		add("-M", "microvm,acpi=on,pcie=on,rtc=on")
	} else {
		add("-M", "q35")
	}
	socket("console", console)
	add("-serial", "chardev:console")
	socket("qmp", monitor)
	add("-mon", "chardev=qmp,mode=control")
	add("-device", "virtio-serial-pci")
	socket("results", results)
	add("-device", "virtserialport,nr=1,chardev=results,name=dynamod.results")
	socket("output", output)
	add("-device", "virtserialport,nr=2,chardev=output,name=dynamod.output")
	add("-device", "virtio-rng-pci")
	if !s.Reboots {
		add("-no-reboot")
	}
	if s.Watchdog {
		add("-device", "i6300esb", "-action", "watchdog=reset")
	}
	for i, d := range s.Disks {
		id := fmt.Sprintf("disk%d", i)
		add("-drive", d.drive(id))
		dev := "virtio-blk-pci,drive=" + id
		if d.Serial != "" {
			dev += ",serial=" + d.Serial
		}
		add("-device", dev)
	}
	if s.CD != "" {
		add("-drive", "if=none,id=cd,media=cdrom,readonly=on,format=raw,file="+comma(s.CD), "-device", "ide-cd,drive=cd")
	}
	for i := range s.Slots {
		add("-device", fmt.Sprintf("pcie-root-port,id=slot%d,chassis=%d", i, i+1))
	}
	if s.Network {
		net := "user,id=net"
		for _, p := range s.Forward {
			net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", p)
		}
		add("-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile=")
	}
	if s.Screen {
		add("-device", "virtio-gpu-pci,xres=1024,yres=768", "-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci")
	}
	if s.Kernel != nil {
		image := s.Kernel.Bz
		if s.Board == Microvm {
			image = s.Kernel.ELF
		}
		line := []string{"console=ttyS0", "reboot=t", "panic=-1"}
		if s.Counted {
			line = append(line, "tsc_early_khz=1000000") // its counter is the same clock, in ns
		} else if khz := hostTSC(); s.Accel == TCG && khz > 0 {
			// The emulated TSC is the host's. When the host is busy the kernel cannot
			// measure it, and a microvm has no other clock: of eight boots under load
			// three hung, of 24 with this none.
			line = append(line, fmt.Sprintf("tsc_early_khz=%d", khz))
		}
		add("-kernel", image, "-append", strings.Join(append(line, s.Append...), " "))
		if s.Initramfs != "" {
			add("-initrd", s.Initramfs)
		}
	}
	return a
}

func (d Drive) drive(id string) string {
	cache := "unsafe"
	if d.Durable {
		cache = "none"
	}
	s := fmt.Sprintf("if=none,id=%s,format=raw,cache=%s,file=%s", id, cache, comma(d.File))
	if !d.Keep && !d.ReadOnly {
		s += ",snapshot=on"
	}
	if d.ReadOnly {
		s += ",readonly=on"
	}
	return s
}

// comma escapes a value among QEMU's options.
func comma(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// Tell sends a line to the guest, which reads it from ResultPort.
func (m *Machine) Tell(line string) error {
	_, err := io.WriteString(m.result, line+"\n")
	return err
}

// Wait waits until the machine is off. The error says why it is, if not by itself.
func (m *Machine) Wait() error {
	<-m.ended
	if m.err != nil {
		return m.ending(m.err)
	}
	return nil
}

// ending kills the machine and says what it was at.
func (m *Machine) ending(err error) error {
	m.Kill()
	<-m.ended
	return fmt.Errorf("machine %s: %w; the console's last lines (all: %s):\n%s",
		m.Spec.Name, err, filepath.Join(m.Dir, "console.log"), m.Console.Tail(15))
}

// Finish waits for the guest's "done", for the end of the machine, and returns what
// went wrong: checks that failed as well.
func (m *Machine) Finish() error {
	if err := m.Results.Wait(m.ctx); err != nil {
		return m.ending(errors.Join(err, m.Results.Failures()))
	}
	err := m.Wait()
	if failed := m.Results.Failures(); failed != nil {
		err = errors.Join(fmt.Errorf("%w\nthe console's last lines (all: %s):\n%s", failed, filepath.Join(m.Dir, "console.log"), m.Console.Tail(15)), err)
	}
	return err
}

// Hush ends the line of progress, for who gives the terminal to something else.
func (m *Machine) Hush() { m.tell.Hush() }

// Kill pulls the plug.
func (m *Machine) Kill() { m.cancel(ErrKilled) }

// ErrKilled is why a machine ended whose plug was pulled.
var ErrKilled = errors.New("killed by its test")

// Close ends the machine if it still runs, and waits for that.
func (m *Machine) Close() {
	m.close.Do(func() {
		m.Kill()
		<-m.ended
		m.closeFiles()
	})
}

func (m *Machine) closeFiles() {
	for _, f := range m.files {
		f.Close()
	}
}

// Screenshot stores what the screen shows in Dir/NAME.png.
func (m *Machine) Screenshot(name string) (string, error) {
	file := filepath.Join(m.Dir, name+".png")
	return file, m.QMP.Do("screendump", map[string]string{"filename": file, "format": "png"}, nil)
}

// PowerButton presses it.
func (m *Machine) PowerButton() error { return m.QMP.Do("system_powerdown", nil, nil) }

// SendKeys presses keys together, by QEMU's names: "ctrl", "alt", "delete".
func (m *Machine) SendKeys(keys ...string) error {
	var list []map[string]string
	for _, k := range keys {
		list = append(list, map[string]string{"type": "qcode", "data": k})
	}
	return m.QMP.Do("send-key", map[string]any{"keys": list}, nil)
}

// AddDisk plugs a disk into a free slot. Its name in the guest is the next free vdX.
func (m *Machine) AddDisk(slot int, d Drive) error {
	if slot >= m.Spec.Slots {
		return fmt.Errorf("machine %s has no slot %d", m.Spec.Name, slot)
	}
	id := fmt.Sprintf("hot%d", slot)
	// drive_add makes what -drive does; QMP has no such command.
	if out, err := m.QMP.Human("drive_add 0 " + d.drive(id)); err != nil || !strings.Contains(out, "OK") {
		return fmt.Errorf("add disk %s: %s: %v", d.File, strings.TrimSpace(out), err)
	}
	args := map[string]string{"driver": "virtio-blk-pci", "drive": id, "id": "dev-" + id, "bus": fmt.Sprintf("slot%d", slot)}
	if d.Serial != "" {
		args["serial"] = d.Serial
	}
	return m.QMP.Do("device_add", args, nil)
}

var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)`)

// Port is the port on 127.0.0.1 by which the host reaches a forwarded port.
func (m *Machine) Port(guest int) (int, error) {
	text, err := m.QMP.Human("info usernet")
	if err != nil {
		return 0, err
	}
	for _, f := range forwarded.FindAllStringSubmatch(text, -1) {
		if f[2] == strconv.Itoa(guest) {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("machine %s: port %d is not forwarded: %s", m.Spec.Name, guest, text)
}

// ModuleRoot is the top of the repository that we are run in.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod above %s", dir)
		}
	}
}
