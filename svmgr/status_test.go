package main

import (
	"slices"
	"testing"
	"time"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// What the console shows is what the mode says, while the machine boots or goes down.
func TestStatusLines(t *testing.T) {
	var lines []string
	s := newStatusLines("yes", func(line string) { lines = append(lines, line) })
	u, _ := unit.Build(unit.Source{Name: "a.service", HasMain: true, Files: []unit.File{{Fragments: []unit.Fragment{{Section: "Unit", Key: "Description", Text: "An \x1b[31mA"}}}}})
	ending := false
	told := func(changes ...core.Publish) []string {
		lines = nil
		stop, ended := make(chan struct{}), make(chan struct{})
		for _, p := range changes {
			s.published(p)
		}
		n := len(s.queue)
		seen := make(chan struct{}, n+1)
		go func() {
			defer close(ended)
			s.run(stop, func(string) (core.UnitView, bool) { seen <- struct{}{}; return core.UnitView{Defined: u}, ending })
		}()
		for range n {
			<-seen
		}
		close(stop)
		<-ended
		return lines
	}
	up := core.Publish{What: core.UnitChanged, Unit: "a.service", From: core.Starting, To: core.Active}
	down := core.Publish{What: core.UnitChanged, Unit: "a.service", From: core.Stopping, To: core.Inactive}
	bad := core.Publish{What: core.UnitChanged, Unit: "a.service", From: core.Starting, To: core.Failed}
	started, failed := "[  OK  ] Started a.service - An [31mA.", "[FAILED] Failed to start a.service - An [31mA.\nSee 'systemctl status a.service' for details."
	for _, c := range []struct {
		mode string
		want []string
	}{{"", []string{started, failed}}, {"no", nil}, {"error", []string{failed}}, {"auto", []string{failed}}} {
		s.set(c.mode)
		if got := told(up, bad); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.mode, got, c.want)
		}
	}
	s.began = s.began.Add(-time.Hour)
	if got := told(up); len(got) != 1 {
		t.Errorf("a boot that takes long, with auto: %q", got)
	}
	s.set("yes")
	// The core publishes both in one step.
	if got := told(bad, core.Publish{What: core.StartupFinished}); !slices.Equal(got, []string{failed}) {
		t.Errorf("the last job of the boot: %q", got)
	}
	if got := told(up); len(got) != 0 {
		t.Errorf("after the boot: %q", got)
	}
	ending = true
	if got := told(down); !slices.Equal(got, []string{"[  OK  ] Stopped a.service - An [31mA."}) {
		t.Errorf("at the end: %q", got)
	}
	for range 2 * statusQueue { // a console that takes nothing holds nobody up
		s.published(up)
	}
}
