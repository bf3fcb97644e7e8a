package config_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/testkit"
)

var busybox = debtree.Recipe{Name: "busybox", Suite: "trixie", Arch: debtree.Minimal.Arch, Method: debtree.Unpack,
	Packages: []string{"busybox-static"}, Revision: 1}

// busyboxTree is a root file system with BusyBox, what is installed, and nothing else.
func busyboxTree(t *testing.T) string {
	t.Helper()
	from := debian(t, busybox)
	root := t.TempDir()
	for _, d := range []string{"bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "var/lib", "var/log"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyTree(t, filepath.Join(from, "usr/bin/busybox"), filepath.Join(root, "bin/busybox"))
	list, err := exec.Command(filepath.Join(root, "bin/busybox"), "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for applet := range strings.FieldsSeq(string(list)) {
		if applet != "busybox" {
			if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("bin", filepath.Join(root, "sbin")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"usr", "etc"} {
		if out, err := exec.Command("cp", "-dR", filepath.Join(installed, d), root).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v %s", d, err, out)
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\ntty:x:5:\nutmp:x:43:\n",
		"etc/shadow": "root::19000:0:99999:7:::\n", "etc/hostname": "tiny\n",
		"etc/sysctl.d/net.conf": "net.ipv4.ip_forward = 1\n",
		"etc/dynamod/services/hello.toml": "[service]\nname = \"hello\"\ndescription = \"A first service\"\nexec = [\"/bin/sh\", \"-c\", \"echo hello from $$; exec sleep 100000\"]\n\n" +
			"[dependencies]\nafter = [\"basic.target\"]\n",
	} {
		mode := os.FileMode(0o644)
		if name == "etc/shadow" {
			mode = 0o600
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// pty is the console of a container.
type pty struct {
	master *os.File
	slave  string
	mu     sync.Mutex
	said   bytes.Buffer
}

func openPTY(t *testing.T) *pty {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(m.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(m.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{master: m, slave: fmt.Sprintf("/dev/pts/%d", n)}
	// Held open: without anybody at the other end, reads fail.
	hold, err := os.OpenFile(p.slave, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends when the pty is closed
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := m.Read(buf)
			p.mu.Lock()
			p.said.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		hold.Close()
		m.Close()
		<-done
	})
	return p
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// expect waits for a text that comes after what has been expected already.
func (p *pty) expect(t *testing.T, text string) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("the console says %q", text), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		i := bytes.Index(p.said.Bytes(), []byte(text))
		if i < 0 {
			return false
		}
		if got := p.said.Next(i + len(text)); bytes.Contains(got, []byte("\x1b]")) {
			t.Errorf("a program asks the terminal, which waits for an answer here: %q", got)
		}
		return true
	})
}

func (p *pty) send(t *testing.T, line string) {
	t.Helper()
	if _, err := p.master.WriteString(line); err != nil {
		t.Fatal(err)
	}
}

// A tree of BusyBox and native files boots with the manager as its first process:
// the steps of early boot run, a getty asks for a name, one can log in, and TERM ends
// all of it in order.
func TestBusyBoxBootsToLogin(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	root := busyboxTree(t)
	console := openPTY(t)
	script := `set -e
mount --make-rprivate /
mount --bind ` + root + ` ` + root + `
cd ` + root + `
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=755 dev dev
for n in null:1:3 zero:1:5 random:1:8 urandom:1:9 tty:5:0; do IFS=:; set -- $n; unset IFS; mknod -m 666 dev/$1 c $2 $3; done
mkdir dev/pts
touch dev/console
mount --bind ` + console.slave + ` dev/console
exec env -i PATH=/sbin:/bin:/usr/bin TERM=vt220 chroot . /usr/lib/dynamod/dynamod-svmgr
`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS |
		syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the manager
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the console also said:\n%s\nthe manager said:\n%s", console.text(), log.String())
		}
	})
	console.expect(t, "tiny login:")
	console.send(t, "root\n")
	console.expect(t, "# ")
	ask := func(command, want string) {
		t.Helper()
		// The echo of the command must not be taken for its answer.
		console.send(t, "echo BEGIN; "+command+"; echo E''ND\n")
		console.expect(t, "BEGIN\r\n")
		if want != "" {
			console.expect(t, want)
		}
		console.expect(t, "END\r\n")
	}
	ask("cat /proc/1/comm", "dynamod-svmgr")
	ask("hostname", "tiny")
	ask("dynamodctl status hello", "running")
	ask("grep -c 127.0.0.1 /proc/net/fib_trie", "")
	ask("cat /proc/sys/net/ipv4/ip_forward", "1")
	ask("stat -c '%a %s' /var/lib/dynamod/random-seed", "600 512")
	ask("stat -c %a /run/lock", "1777")
	ask("wc -c /etc/machine-id", "33")
	ask("test -c /dev/full && echo mdev made it", "mdev made it")
	ask("logger marked; until grep -c marked /var/log/messages; do :; done", "1")
	ask("dynamodctl list | grep -c -e failed -e blocked -e abandoned", "0")
	console.send(t, "exit\n")
	console.expect(t, "tiny login:")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := testkit.Receive(t, ended, "the container ends"); err != nil {
		t.Errorf("the container ended with %v", err)
	}
	for _, bad := range []string{"ERROR", "panic", "failed"} {
		if strings.Contains(log.String(), bad) {
			t.Errorf("the manager's log has %q", bad)
		}
	}
}
