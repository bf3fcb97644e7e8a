package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/ipc/pid1"
	"dynamod/internal/testkit"
)

// stubborn is a service that a stop does not end for an hour.
var stubborn = map[string]string{"deaf.toml": `[service]
name = "deaf"
exec = ["/bin/bash", "-c", "trap '' TERM; echo deaf; while :; do read -t 1000 <> <(:); done"]
[shutdown]
timeout = "3600s"
`}

// beginStubborn waits until the service hears nothing any more.
func beginStubborn(t *testing.T) (*running, *ipc.Client, int) {
	t.Helper()
	r := begin(t, stubborn)
	c := r.client()
	testkit.Eventually(t, "it is deaf", func() bool {
		logs, err := call[ipc.LogsResult](t, c, ipc.VerbLogs, ipc.LogsArgs{Units: []string{"deaf.service"}})
		return err == nil && len(logs.Lines) > 0
	})
	return r, c, int(status(t, c, "deaf").PID)
}

// A second signal says that nobody waits any more for the orderly end.
func TestSecondSignalKills(t *testing.T) {
	r, c, pid := beginStubborn(t)
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	testkit.Eventually(t, "the service is being stopped", func() bool { return status(t, c, "deaf").State == "stopping" })
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	<-r.exited
	if alive(int32(pid)) {
		t.Error("the service outlived its manager")
	}
}

// A forced exit kills everything at once.
func TestForcedExit(t *testing.T) {
	r, c, pid := beginStubborn(t)
	if _, err := call[ipc.Done](t, c, ipc.VerbShutdown, ipc.ShutdownArgs{Kind: "exit", Force: true, ExitCode: new(4)}); err != nil {
		t.Fatal(err)
	}
	<-r.exited
	if alive(int32(pid)) {
		t.Error("the service outlived its manager")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("it exited with %d", code)
	}
}

// What systemctl and logind have put into the file goes to reboot(2).
func TestRebootArgument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reboot-param")
	if got, err := rebootArgument(path); got != "" || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
	longest := strings.Repeat("x", pid1.MaxArgument)
	for _, x := range []struct {
		text, want string
		wrong      bool
	}{{"recovery\n", "recovery", false}, {"a b", "a b", false}, {"", "", false}, {"one\ntwo\n", "one", false}, {longest + "\n", longest, false}, {longest + "x", "", true}, {"a\x00b\n", "", true}} {
		if err := os.WriteFile(path, []byte(x.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := rebootArgument(path); got != x.want || (err != nil) != x.wrong {
			t.Errorf("%.20q: %.20q, %v", x.text, got, err)
		}
	}
}
