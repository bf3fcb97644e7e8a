package bus

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// daemon is a real message bus of the test's own.
type daemon struct {
	t      *testing.T
	socket string
	config string
	cmd    *exec.Cmd
}

const daemonConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	dir := t.TempDir()
	d := &daemon{t: t, socket: filepath.Join(dir, "bus"), config: filepath.Join(dir, "bus.conf")}
	if err := os.WriteFile(d.config, []byte(strings.Replace(daemonConfig, "%s", d.socket, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	d.start()
	t.Cleanup(d.kill)
	return d
}

// start returns when the bus takes connections.
func (d *daemon) start() {
	d.t.Helper()
	os.Remove(d.socket)
	d.cmd = exec.Command("dbus-daemon", "--config-file="+d.config, "--nofork", "--print-address")
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatalf("dbus-daemon (Debian package dbus-daemon): %v", err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		d.t.Fatalf("dbus-daemon says no address: %v", err)
	}
}

func (d *daemon) kill() {
	if d.cmd != nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
		d.cmd = nil
	}
}

// client is godbus' client on the bus.
func (d *daemon) client(t *testing.T) *dbus.Conn {
	t.Helper()
	c, err := dbus.Connect("unix:path=" + d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// streams are the two ends of a connection.
func streams(t testing.TB) (a, b *stream) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	side := func(fd int) *stream {
		file := os.NewFile(uintptr(fd), "pair")
		defer file.Close()
		c, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return newStream(c.(*net.UnixConn))
	}
	return side(fds[0]), side(fds[1])
}
