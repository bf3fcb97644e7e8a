package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

// A state file is written when it has something new to say, and only then; one of a name
// that was there before is written anew.
func TestFilesAreWrittenForChanges(t *testing.T) {
	r := begin(t)
	l := r.leader()
	c, err := r.create(l.Process.Pid, 1000, "user", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "nobody wrote this anew\n"
	user := filepath.Join(r.root, "run/systemd/users/1000")
	first := r.read("users/1000")
	if err := os.WriteFile(user, []byte(mark), 0o644); err != nil {
		t.Fatal(err)
	}
	r.server.handle(session.SetLocked{ID: c.ID, Locked: true}) // no file tells it
	r.server.handle(session.SetIdle{ID: c.ID, Idle: true})     // neither
	if got := r.read("users/1000"); got != mark {
		t.Errorf("without a change it was written:\n%s", got)
	}
	r.server.handle(session.Terminate{ID: c.ID})
	testkit.Eventually(t, "the user is gone", func() bool { return r.read("users/1000") == "" })
	again := r.leader()
	if _, err := r.create(again.Process.Pid, 1000, "user", "", 0); err != nil {
		t.Fatal(err)
	}
	if got := r.read("users/1000"); !strings.Contains(got, "NAME=ada\n") || first == "" {
		t.Errorf("after a new login it says:\n%s", got)
	}
}
