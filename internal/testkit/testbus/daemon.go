package testbus

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Open is the policy of a bus on which everybody may do everything.
const Open = `<policy context="default"><allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>`

const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>%s</busconfig>
`

// Daemon is a dbus-daemon without anybody on it, which may end and begin again.
type Daemon struct {
	t testing.TB
	// Socket is the path that it listens at.
	Socket string
	argv   []string
	cmd    *exec.Cmd
}

// NewDaemon is one that does not run yet. rules are put into its configuration, Open for
// instance, and args are further arguments (dbus-daemon(1)). It ends with the test.
func NewDaemon(t testing.TB, rules string, args ...string) *Daemon {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // for callers of another user
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	d := &Daemon{t: t, Socket: filepath.Join(dir, "bus")}
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, d.Socket, rules), 0o644); err != nil {
		t.Fatal(err)
	}
	d.argv = append([]string{"--config-file=" + file, "--nofork", "--print-address"}, args...)
	t.Cleanup(d.Stop)
	return d
}

// Start returns when the bus takes connections.
func (d *Daemon) Start() *Daemon {
	d.t.Helper()
	os.Remove(d.Socket)
	d.cmd = exec.Command("dbus-daemon", d.argv...)
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
	return d
}

// Stop ends it at once, if it runs.
func (d *Daemon) Stop() {
	if d.cmd != nil && d.cmd.Process != nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
	}
	d.cmd = nil
}

// Client is a connection that ends with the test.
func (d *Daemon) Client() *dbus.Conn {
	d.t.Helper()
	c, err := dbus.Connect("unix:path=" + d.Socket)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	return c
}
