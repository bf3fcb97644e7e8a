package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// containerRoot makes a root directory out of this machine's /usr, without its unit
// files, and runs the manager in it as the first process, with nothing on its command
// line, as `docker run` does. $1 is the directory for the root, $2 the programs, $3 the
// services, $4 a directory that outlives it.
const containerRoot = `set -e
mount -t tmpfs root "$1"
cd "$1"
mkdir usr proc run tmp etc dev opt out etc/dynamod
mount --bind /usr usr
mount -t tmpfs none usr/lib/systemd
for d in bin sbin lib lib64; do
	if [ -L /$d ]; then ln -s usr/$d $d; elif [ -d /$d ]; then mkdir $d && mount --bind /$d $d; fi
done
mount -t proc proc proc
mount --bind /dev dev
mount --bind "$2" opt
mount --bind "$3" etc/dynamod
mount --bind "$4" out
exec chroot . /opt/dynamod-svmgr`

// contained is a manager that is the first process of a pid namespace.
type contained struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  strings.Builder
	out  string
	init int // its number outside
}

func contain(t *testing.T, services map[string]string) *contained {
	t.Helper()
	r := prepare(t, services) // for the files only
	c := &contained{t: t, out: t.TempDir()}
	c.cmd = exec.Command("unshare", "--fork", "--kill-child", "--pid", "--mount", "sh", "-c", containerRoot, "sh", t.TempDir(), programs, r.cfg, c.out)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		if t.Failed() {
			t.Logf("it said:\n%s", c.log.String())
		}
	})
	testkit.Eventually(t, "the namespace has its first process", func() bool {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.cmd.Process.Pid))
		c.init, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return c.init > 0
	})
	return c
}

func (c *contained) client() *ipc.Client {
	c.t.Helper()
	var cl *ipc.Client
	testkit.Eventually(c.t, "the control socket answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var err error
		cl, err = ipc.Dial(ctx, fmt.Sprintf("/proc/%d/root/run/dynamod/control.sock", c.init))
		return err == nil
	})
	c.t.Cleanup(func() { cl.Close() })
	return cl
}

// ended waits for the container and returns its exit code.
func (c *contained) ended() int {
	c.t.Helper()
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// zombies counts what the first process has not reaped.
func (c *contained) zombies() (n int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.init))
	for _, pid := range strings.Fields(string(data)) {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); ok && rest[0] == 'Z' {
			n++
		}
	}
	return n
}

func containedServices() map[string]string {
	script := func(name string) string {
		return `trap "echo ` + name + ` stops >>/out/order; exit 0" TERM; >/out/` + name + `; (setsid sleep 0.1 &); while :; do sleep 0.05; done`
	}
	return map[string]string{
		"base.toml": shell("base", script("base"), ""),
		"app.toml":  shell("app", script("app"), "[dependencies]\nrequires = [\"base\"]\n"),
		"job.toml":  "[service]\nname = \"job\"\ntype = \"oneshot\"\nexec = [\"/bin/sh\", \"-c\", \"(setsid sleep 0.1 &); exit 0\"]\n",
	}
}

// As the first process of a container it is one that sd_booted(3) sees, so that systemctl
// works there, reaps orphans, stops everything in order on
// TERM, INT and RTMIN+3, and ends with a code; it makes no call that ends the machine.
func TestContainer(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, sigRTMIN + 3} {
		t.Run(sig.String(), func(t *testing.T) {
			c := contain(t, containedServices())
			cl := c.client()
			testkit.Eventually(t, "both run", func() bool {
				return status(t, cl, "app").State == "active" && status(t, cl, "job").State == "completed"
			})
			if m := cl.Server().Mode; m != "container" || cl.Server().PID != 1 {
				t.Errorf("mode %s, pid %d", m, cl.Server().PID)
			}
			if st, err := os.Stat(fmt.Sprintf("/proc/%d/root/run/systemd/system", c.init)); err != nil || !st.IsDir() {
				t.Errorf("sd_booted(3) looks for a directory: %v", err)
			}
			// A simple service is active when it runs, which is before its trap is set.
			testkit.Eventually(t, "both heed SIGTERM", func() bool {
				_, base := os.Stat(filepath.Join(c.out, "base"))
				_, app := os.Stat(filepath.Join(c.out, "app"))
				return base == nil && app == nil
			})
			testkit.Eventually(t, "orphans are reaped", func() bool { return c.zombies() == 0 })
			if err := syscall.Kill(c.init, sig); err != nil {
				t.Fatal(err)
			}
			if code := c.ended(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if order, _ := os.ReadFile(filepath.Join(c.out, "order")); string(order) != "app stops\nbase stops\n" {
				t.Errorf("they stopped in this order: %q", order)
			}
		})
	}
	t.Run("exit code", func(t *testing.T) {
		c := contain(t, containedServices())
		cl := c.client()
		testkit.Eventually(t, "app runs", func() bool { return status(t, cl, "app").State == "active" })
		if _, err := call[ipc.Done](t, cl, ipc.VerbShutdown, ipc.ShutdownArgs{Kind: "poweroff"}); kindOf(err) != "NotSupported" {
			t.Errorf("poweroff in a container = %v; want NotSupported", err)
		}
		if _, err := call[ipc.Done](t, cl, ipc.VerbShutdown, ipc.ShutdownArgs{Kind: "exit", ExitCode: new(5)}); err != nil {
			t.Fatal(err)
		}
		if code := c.ended(); code != 5 {
			t.Errorf("exit code %d; want 5", code)
		}
	})
}
