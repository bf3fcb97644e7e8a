package upstream

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynamod/internal/testkit"
)

// An answer is kept only if all that it rests on was watched, and was quiet, from before the
// question until after the answer.
func TestDisk(t *testing.T) {
	const steps = 7
	yes := fileState{enabled: "enabled"}
	for name, c := range map[string]struct {
		// meanwhile happens between question and answer.
		meanwhile func(d *disk, dir string)
		// late is by how much the question is older.
		late time.Duration
		more bool // the answer rests on more than those before
		none bool // the answer does not say on what
		want bool
	}{
		"nothing happens":        {want: true},
		"a file comes":           {meanwhile: func(_ *disk, dir string) { write(t, dir+"/units/new") }},
		"one comes, and goes":    {meanwhile: func(_ *disk, dir string) { write(t, dir+"/units/new"); remove(t, dir+"/units/new") }},
		"one comes elsewhere":    {meanwhile: func(_ *disk, dir string) { write(t, dir+"/new") }, want: true},
		"another answer":         {meanwhile: func(d *disk, dir string) { d.heard("b", steps, yes, d.ask("b"), below(dir, "units"), nil) }, want: true},
		"another rests on more":  {meanwhile: func(d *disk, dir string) { d.heard("b", steps, yes, d.ask("b"), below(dir, "other"), nil) }},
		"all is forgotten":       {meanwhile: func(d *disk, _ string) { d.forget() }},
		"it rests on more":       {more: true},
		"it does not say so":     {none: true},
		"it was asked long ago":  {late: believed},
		"there are many others":  {meanwhile: func(d *disk, _ string) { crowd(d, maxDisk-1) }, want: true},
		"there are too many now": {meanwhile: func(d *disk, _ string) { crowd(d, maxDisk) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"units", "other"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			read, met := below(dir, "units"), below(dir, "none")
			now := time.Now()
			d := &disk{now: func() time.Time { return now }, idle: time.Hour}
			defer d.forget()
			known := func() bool { _, ok := d.holds("a", steps); return ok }
			// What was made a moment ago is in doubt.
			testkit.Eventually(t, "an answer is kept", func() bool {
				now = time.Now()
				d.heard("a", steps, yes, d.ask("a"), read, met)
				return known()
			})
			if _, ok := d.holds("a", steps+1); ok {
				t.Error("it holds for other steps")
			}
			if _, ok := d.holds("b", steps); ok {
				t.Error("it holds for another unit")
			}
			asked := d.ask("a")
			if !asked.again || !asked.watching {
				t.Fatalf("%+v: it was asked before", asked)
			}
			asked.when = asked.when.Add(-c.late)
			if later := now.Add(believed); c.late > 0 {
				d.now = func() time.Time { return later }
				if d.ask("a").again {
					t.Error("it is watched for who asks once a second")
				}
				d.now = func() time.Time { return now }
			}
			if c.meanwhile != nil {
				c.meanwhile(d, dir)
			}
			if c.more {
				read = append(read, below(dir, "other")...)
			}
			if c.none {
				read, met = nil, nil
			}
			d.heard("a", steps, yes, asked, read, met)
			if known() != c.want {
				t.Errorf("it holds: %v, want %v", known(), c.want)
			}
		})
	}
}

// Nobody watches what is not asked for any more.
func TestDiskRests(t *testing.T) {
	dir := t.TempDir()
	d := &disk{now: time.Now, idle: time.Millisecond}
	d.heard("a", 1, fileState{}, d.ask("a"), below(dir, "."), nil)
	testkit.Eventually(t, "all is forgotten", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.by == nil && d.fs == nil
	})
}

// below is a path as the manager tells it.
func below(dir, name string) []string {
	return []string{strings.TrimPrefix(filepath.Join(dir, name), "/")}
}

func crowd(d *disk, n int) {
	for k := range n {
		name := fmt.Sprint("other", k)
		d.heard(name, 1, fileState{}, d.ask(name), nil, nil)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
