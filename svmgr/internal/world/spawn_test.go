package world

import (
	"testing"

	"dynamod/svmgr/internal/core"
)

// The three reports of a process that does its work come in their order.
func TestSpawnReportsInOrder(t *testing.T) {
	r := newRig(t)
	run := r.spawn(service(t, "a.service", "ExecStart=/bin/sh -c 'exit 7'"))
	want := []core.Event{core.SpawnDone{Run: run}, core.Exited{Run: run, Code: 7}, core.CgroupEmpty{Unit: "a.service", Incarnation: run}}
	for i, w := range want {
		if got := r.event(); got != w {
			t.Fatalf("event %d = %#v; want %#v", i, got, w)
		}
	}
}

// A program that is not there never counts as started.
func TestSpawnOfMissingProgram(t *testing.T) {
	r := newRig(t)
	run := r.spawn(service(t, "a.service", "ExecStart=/nonexistent/program"))
	failed, exit := r.lifeOf(run)
	if failed == nil || *failed != (core.SpawnFailed{Run: run, Stage: "exec", Errno: 2}) || exit != nil {
		t.Fatalf("got %#v, %#v; want stage exec, ENOENT", failed, exit)
	}
}
