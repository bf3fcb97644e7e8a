// Command guestinit is PID 1 of a test's virtual machine: it prepares the place,
// runs one program as root, tells the host how it ended, and powers off. It is not
// dynamod-init, which would be a poor judge of itself. See vm.RunInGuest.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/desktop-tests/vm/guestjob"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestinit: only as PID 1 of a virtual machine")
		os.Exit(2)
	}
	os.Setenv("PATH", path) // the kernel gives none
	if err := run(); err != nil {
		report("FAIL " + guestjob.Failed + ": " + strings.ReplaceAll(err.Error(), "\n", " | "))
	}
	report("done")
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // a PID 1 that returns is a kernel panic
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// resultPort and outputPort are vm.ResultPort and vm.OutputPort.
const (
	resultPort = "/dev/vport0p1"
	outputPort = "/dev/vport0p2"
)

func run() error {
	if err := mountAll(""); err != nil {
		return err
	}
	var job guestjob.Job
	text, err := os.ReadFile(guestjob.File)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &job); err != nil {
		return fmt.Errorf("%s: %w", guestjob.File, err)
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := openPorts(); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if job.Root != "" {
		if err := enterRoot(job); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte("guest")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := machineID("/etc/machine-id"); err != nil {
		return err
	}
	if err := allControllers("/sys/fs/cgroup"); err != nil {
		return err
	}
	if job.Swap != "" {
		if err := swapOn(job.Swap); err != nil {
			return err
		}
	}
	if len(job.Argv) == 0 {
		report("ok " + guestjob.Failed)
		report("value " + guestjob.Exit + "=0")
		return nil
	}
	return work(job)
}

var results, output *os.File

// report tells the host; before the port is open, the console.
func report(line string) {
	if results == nil {
		fmt.Println("guestinit: " + line)
		return
	}
	_, _ = results.WriteString(line + "\n")
}

// mounts are what every program may expect (hier(7), file-hierarchy(7)).
var mounts = []struct {
	source, at, fs string
	flags          uintptr
	data           string
}{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, ""},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, ""},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "nsdelegate,memory_recursiveprot"},
}

func mountAll(root string) error {
	for _, m := range mounts {
		if err := os.MkdirAll(root+m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, root+m.at, m.fs, m.flags, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.fs, root+m.at, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, root+"/dev/"+name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// loadModules loads in the given order, which has what is needed first.
func loadModules() error {
	list, err := os.ReadFile(guestjob.Modules)
	if err != nil {
		return err
	}
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSpace(path)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

func openPorts() (err error) {
	if results, err = await(resultPort); err != nil {
		return err
	}
	output, err = await(outputPort)
	return err
}

// await opens a device as soon as the kernel has found it.
func await(dev string) (*os.File, error) {
	const patience = 20 * time.Second
	for end := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		f, err := os.OpenFile(dev, os.O_RDWR, 0)
		if err == nil {
			return f, nil
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%w, for %s", err, patience)
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("bring up the loopback: %w", err)
	}
	return nil
}

// enterRoot makes the disk the root directory, as switch_root(8) does, and keeps
// what the job brought along.
func enterRoot(job guestjob.Job) error {
	const at = "/newroot"
	f, err := await(job.Root)
	if err != nil {
		return err
	}
	f.Close()
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(job.Root, at, job.FS, 0, ""); err != nil {
		return fmt.Errorf("mount %s (%s) on %s: %w", job.Root, job.FS, at, err)
	}
	if err := mountAll(at); err != nil {
		return err
	}
	if err := os.MkdirAll(at+guestjob.Files, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(guestjob.Files); err == nil {
		if err := unix.Mount(guestjob.Files, at+guestjob.Files, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keep %s: %w", guestjob.Files, err)
		}
	}
	if err := os.Chdir(at); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// machineID gives the machine a name, as whoever boots first does (machine-id(5)).
func machineID(file string) error {
	text, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(text)); err == nil && id != "" && id != "uninitialized" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte("5eed0000000000000000000000000001\n"), 0o444)
}

// allControllers lets every group below the root have every controller.
func allControllers(root string) error {
	text, err := os.ReadFile(root + "/cgroup.controllers")
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(text)) {
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+"+c), 0); err != nil {
			return fmt.Errorf("enable the controller %s: %w", c, err)
		}
	}
	return nil
}

func swapOn(dev string) error {
	f, err := await(dev)
	if err != nil {
		return err
	}
	f.Close()
	if out, err := exec.Command("mkswap", dev).CombinedOutput(); err != nil {
		return fmt.Errorf("mkswap %s: %w: %s", dev, err, out)
	}
	if out, err := exec.Command("swapon", dev).CombinedOutput(); err != nil {
		return fmt.Errorf("swapon %s: %w: %s", dev, err, out)
	}
	return nil
}

// work runs the program and reaps whatever becomes ours until it has ended.
func work(job guestjob.Job) error {
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	program, err := exec.LookPath(job.Argv[0])
	if err != nil {
		return err
	}
	env := append([]string{"PATH=" + path, "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8"}, job.Env...)
	started := time.Now()
	p, err := os.StartProcess(program, job.Argv, &os.ProcAttr{Dir: job.Dir, Env: env, Files: []*os.File{null, output, output},
		Sys: &unix.SysProcAttr{Setsid: true}}) // PID 1 has neither a session nor a group to give
	if err != nil {
		return err
	}
	for {
		var st unix.WaitStatus
		pid, err := unix.Wait4(-1, &st, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for %s: %w", program, err)
		}
		if pid != p.Pid || !st.Exited() && !st.Signaled() {
			continue
		}
		code := st.ExitStatus()
		if st.Signaled() {
			code = 128 + int(st.Signal())
		}
		report(fmt.Sprintf("value seconds=%.2f", time.Since(started).Seconds()))
		report(fmt.Sprintf("value %s=%d", guestjob.Exit, code))
		return nil
	}
}
