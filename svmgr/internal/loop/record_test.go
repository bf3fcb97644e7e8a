package loop

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// TestEveryEventIsRecordedOrSaved: a new event must be put into one of two lists.
func TestEveryEventIsRecordedOrSaved(t *testing.T) {
	saved := map[string]bool{"Reloaded": true, "ManagerRestored": true}
	f, err := parser.ParseFile(token.NewFileSet(), "../core/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "event" || fn.Recv == nil {
			continue
		}
		n++
		name := fn.Recv.List[0].Type.(*ast.Ident).Name
		if _, rec := recorded[name]; rec == saved[name] {
			t.Errorf("event %s: recorded %v, saved %v; it must be one of the two", name, rec, saved[name])
		}
	}
	if n < 20 {
		t.Fatalf("only %d events found in event.go", n)
	}
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	period := 3 * time.Second
	for _, ev := range []core.Event{
		core.Exited{Run: 7, Code: 3, Signal: 9, Core: true},
		core.Notified{Unit: "a.service", Incarnation: 4, Run: 5, Notification: core.Notification{Ready: true, Status: "x\ny", WatchdogPeriod: &period}},
		core.ProbeResult{Run: 1, Held: []bool{true, false}, Detail: "why"},
		core.Request{ID: 1 << 60, Verb: core.VerbStop, Unit: "b.service", Mode: graph.Isolate, Wait: true},
		core.Tick{},
	} {
		line, ok, err := encode(nil, core.Time{Mono: 5, Wall: 6}, ev)
		if err != nil || !ok {
			t.Fatalf("encode(%T) = %v, %v", ev, ok, err)
		}
		at, got, err := decode(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil || at != (core.Time{Mono: 5, Wall: 6}) {
			t.Fatalf("decode(%s) = %v, %v", line, at, err)
		}
		again, _, _ := encode(nil, at, got)
		if !bytes.Equal(line, again) {
			t.Errorf("%T came back as %s; want %s", ev, again, line)
		}
	}
}

func small(t *testing.T) (*unit.Set, func() *core.Core, func([]byte) (*core.Core, error)) {
	t.Helper()
	u, ds := unit.Build(unit.Source{Name: "a.service", HasMain: true, Files: []unit.File{{Path: "a.service", Fragments: []unit.Fragment{
		{Section: "Service", Key: "ExecStart", Text: "/bin/true"}, {Section: "Service", Key: "Restart", Text: "always"}}}}})
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	set, _ := unit.NewSet([]*unit.Unit{u}, nil)
	build := func() *graph.Graph { g, _ := graph.Build(set, graph.Config{}); return g }
	return set, func() *core.Core { return core.New(set, build(), core.Config{}) },
		func(data []byte) (*core.Core, error) { return core.Restore(set, build(), core.Config{}, data) }
}

// history is a start, a crash and the restart, with a stop at the end.
var history = []struct {
	at time.Duration
	ev core.Event
}{
	{1 * time.Second, core.Request{ID: 1, Unit: "a.service"}},
	{1 * time.Second, core.SpawnDone{Run: 1}},
	{2 * time.Second, core.Exited{Run: 1, Code: 1}},
	{2 * time.Second, core.CgroupEmpty{Unit: "a.service", Incarnation: 1}},
	{3 * time.Second, core.Tick{}},
	{3 * time.Second, core.SpawnDone{Run: 2}},
	{4 * time.Second, core.Request{ID: 2, Verb: core.VerbStop, Unit: "a.service"}},
}

// TestRecordAtEveryMoment kills the manager after each event and compares what
// comes back with what was.
func TestRecordAtEveryMoment(t *testing.T) {
	for kill := range len(history) + 1 {
		for _, torn := range []bool{false, true} {
			dir := t.TempDir()
			_, fresh, restore := small(t)
			c := fresh()
			rec, err := OpenRecord(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := rec.Save(c); err != nil {
				t.Fatal(err)
			}
			for _, h := range history[:kill] {
				now := core.Time{Mono: h.at, Wall: int64(h.at)}
				c.Step(now, h.ev, nil)
				rec.note(now, h.ev, c, slog.Default())
			}
			if torn { // the kill came in the middle of a write
				if _, err := rec.events.WriteString(`{"Type":"Exi`); err != nil {
					t.Fatal(err)
				}
			}
			rec.close()
			var back *core.Core
			again, _ := OpenRecord(dir)
			ok, err := again.Recover(func(d []byte) (err error) { back, err = restore(d); return err },
				func(now core.Time, ev core.Event) { back.Step(now, ev, nil) })
			if err != nil || !ok {
				t.Fatalf("killed after %d events (torn %v): Recover = %v, %v", kill, torn, ok, err)
			}
			if got, want := back.Snapshot(), c.Snapshot(); !bytes.Equal(got, want) {
				t.Errorf("killed after %d events (torn %v): came back as\n%s\nwant\n%s", kill, torn, got, want)
			}
		}
	}
}

func TestRecordWithoutAnythingToRecover(t *testing.T) {
	rec, err := OpenRecord(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := rec.Recover(nil, nil); ok || err != nil {
		t.Fatalf("Recover = %v, %v; want false, nil", ok, err)
	}
	if rec.Left() {
		t.Fatal("Left() of an empty directory")
	}
	_, fresh, _ := small(t)
	if err := rec.Save(fresh()); err != nil || !rec.Left() {
		t.Fatalf("after Save (%v) Left() = %v; want true", err, rec.Left())
	}
	rec.Remove()
	if rec.Left() {
		t.Fatal("Left() after Remove")
	}
}

func TestRecordRefusesRubbish(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, snapshotFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	rec, _ := OpenRecord(dir)
	if ok, err := rec.Recover(func([]byte) error { return nil }, nil); ok || err == nil {
		t.Fatalf("Recover = %v, %v; want an error", ok, err)
	}
}

// TestRecordSurvivesAFullDisk: what cannot be written is said once, and the next
// success is a whole snapshot.
func TestRecordSurvivesAFullDisk(t *testing.T) {
	dir := t.TempDir()
	_, fresh, restore := small(t)
	c := fresh()
	rec, _ := OpenRecord(dir)
	if err := rec.Save(c); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	rec.events.Close() // every write fails from here on
	for k, h := range history {
		now := core.Time{Mono: h.at, Wall: int64(h.at)}
		c.Step(now, h.ev, nil)
		rec.note(now, h.ev, c, log)
		if k == 0 && !rec.broken {
			t.Fatal("the failed write went unnoticed")
		}
	}
	if n := bytes.Count(said.Bytes(), []byte("cannot be written down")); n != 1 {
		t.Errorf("said %d times; want once:\n%s", n, said.String())
	}
	var back *core.Core
	again, _ := OpenRecord(dir)
	if _, err := again.Recover(func(d []byte) (err error) { back, err = restore(d); return err },
		func(now core.Time, ev core.Event) { back.Step(now, ev, nil) }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Snapshot(), c.Snapshot()) {
		t.Error("after the disk had room again, the state on it is not the state")
	}
}
