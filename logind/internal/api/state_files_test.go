package api

import (
	"strings"
	"testing"
)

// stateKeys are those of a state file in their order, but what only some kernels have.
func stateKeys(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if k, _, ok := strings.Cut(line, "="); ok && k != "AUDIT" {
			out = append(out, k)
		}
	}
	return out
}

// The files have the keys that systemd 257's have for a login on a terminal and one
// without a seat, in its order; but no LEADER_FD_SAVED=, for the pidfd of a leader is
// opened anew after a restart.
func TestStateFiles(t *testing.T) {
	r := begin(t)
	if err := r.vts.Show(1); err != nil {
		t.Fatal(err)
	}
	r.server.shown()
	console, err := r.create(r.leader().Process.Pid, 1000, "user", "seat0", 1)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := r.create(r.leader().Process.Pid, 1000, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"sessions/" + console.ID: "UID USER ACTIVE IS_DISPLAY STATE REMOTE TYPE ORIGINAL_TYPE CLASS SCOPE FIFO SEAT TTY TTY_VALIDITY SERVICE VTNR LEADER REALTIME MONOTONIC",
		"sessions/" + remote.ID:  "UID USER ACTIVE IS_DISPLAY STATE REMOTE TYPE ORIGINAL_TYPE CLASS SCOPE FIFO TTY TTY_VALIDITY SERVICE POSITION LEADER REALTIME MONOTONIC",
		"users/1000":             "NAME STATE STOPPING GC_MODE RUNTIME DISPLAY REALTIME MONOTONIC SESSIONS SEATS ACTIVE_SESSIONS ONLINE_SESSIONS ACTIVE_SEATS ONLINE_SEATS",
	} {
		if got := stateKeys(r.read(file)); strings.Join(got, " ") != want {
			t.Errorf("%s: %q; want %q", file, got, want)
		}
	}
	if _, err := r.create(r.leader().Process.Pid, 1001, "background-light", "", 0); err != nil {
		t.Fatal(err)
	}
	if text := r.read("users/1001"); !strings.Contains(text, "\nSEATS=\n") || !strings.Contains(text, "\nACTIVE_SEATS=\nONLINE_SEATS=\n") || !strings.Contains(text, "GC_MODE=pin\n") {
		t.Errorf("without a seat:\n%s", text)
	}
	text := r.read("users/1000")
	for _, line := range []string{"STOPPING=no\n", "GC_MODE=pin\n", "\nSESSIONS=" + remote.ID + " " + console.ID + "\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
}
