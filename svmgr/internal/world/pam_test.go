package world

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/testkit"
	"dynamod/svmgr/internal/core"
)

// A session of PAM is opened by the helper that can, under the user's name, and by none for
// a command that keeps the manager's identity. Where there is no such helper the unit
// starts without, and says so.
func TestPAMName(t *testing.T) {
	needRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *Config) { c.PAMChild = []string{self, pamChildArg} })
	without := newRig(t)
	run := func(r *rig, prefix string, user string) string {
		t.Helper()
		lines := []string{"PAMName=systemd-user", "Environment=PAM=none", "ExecStart=" + prefix + "/bin/sh -c 'echo \"$$PAM.\"'"}
		if user != "" {
			lines = append(lines, "User="+user)
		}
		u := service(t, "p.service", lines...)
		before := len(r.output())
		failed, exit := r.lifeOf(r.spawn(u))
		if failed != nil || exit == nil || exit.Code != 0 {
			t.Fatalf("%+v, %+v", failed, exit)
		}
		return strings.Join(r.output()[before:], "\n")
	}
	for _, x := range []struct {
		prefix, user, want string
	}{{"", "0", "1:systemd-user root ."}, {"", "daemon", "1:systemd-user daemon ."}, {"", "", "1:none."}, {"+", "daemon", "1:none."}, {"!", "daemon", "1:none."}} {
		if got := run(r, x.prefix, x.user); got != x.want {
			t.Errorf("%s%s: %q; want %q", x.prefix, x.user, got, x.want)
		}
	}
	if got := run(without, "", "0"); got != "1:none." || !slices.ContainsFunc(without.Warnings("p.service"), func(s string) bool { return strings.HasPrefix(s, "PAMName= has no effect: ") }) {
		t.Errorf("%q, %q", got, without.Warnings("p.service"))
	}
}

// The process that closes a session is not taken for the daemon that a command has left
// behind: it too has no parent in the unit then.
func TestSessionIsNoMain(t *testing.T) {
	needRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := adopter(t)
	r.cfg.PAMChild = []string{self, pamChildArg}
	u, inc := r.forks("sleep 60 & echo $!", "PAMName=kept", "User=0")
	run := r.adopts(u, inc, 0)
	if e := until[core.MainPID](r); !e.Found {
		t.Fatalf("%+v", e)
	}
	testkit.Eventually(t, "its number", func() bool { return len(r.output()) == 1 })
	if pid, ok := r.PID(run); !ok || fmt.Sprint("1:", pid) != r.output()[0] {
		t.Errorf("process %d is main, the shell started %v", pid, r.output())
	}
	r.kill(u, inc)
}
