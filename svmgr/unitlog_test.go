package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// The log daemon hears what becomes of units, and what the manager says about one, as
// lines of theirs. What it does not take goes where the manager's other lines go.
func TestUnitJournal(t *testing.T) {
	u, _ := unit.Build(unit.Source{Name: "a.service", HasMain: true, Files: []unit.File{{Fragments: []unit.Fragment{{Section: "Unit", Key: "Description", Text: "An \x1b[31mA"}}}}})
	change := func(from, to core.State) core.Publish {
		return core.Publish{What: core.UnitChanged, Unit: "a.service", From: from, To: to}
	}
	started, wrong, stopped := "6 Started a.service - An [31mA.", `3 "went\twrong\nFAKE=1" unit=a.service`, "6 Stopped a.service - An [31mA."
	all, own := []string{started, wrong, stopped}, "level=ERROR msg=\"went\\twrong\\nFAKE=1\" unit=a.service\n"
	for name, c := range map[string]struct {
		mode          mode
		target, level string
		deaf          bool
		journal       []string
		other         string
	}{
		"a machine":         {mode: system, journal: all},
		"a user":            {mode: user, journal: all},
		"errors only":       {mode: system, level: "err", journal: []string{wrong}},
		"nobody listens":    {mode: system, deaf: true, other: own},
		"by choice":         {mode: system, target: "console", other: own},
		"journal by choice": {mode: system, target: "journal", journal: all},
		"a guest":           {mode: standalone, other: own},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			handler, kernel := newKernelLog(&out)
			log := slog.New(handler)
			if _, err := openOwn(t.TempDir()+"/none", kernel, nil, ownKept{LogTarget: c.target, LogLevel: c.level}); err != nil {
				t.Fatal(err)
			}
			j := newUnitJournal(c.mode, kernel)
			kernel.units.Store(j)
			var told []string
			j.send = func(record string) bool {
				if !c.deaf {
					told = append(told, record)
				}
				return !c.deaf
			}
			changes := newUnitChanges(j, log)
			tell := func(p core.Publish) {
				changes.published(p)
				for len(changes.queue) > 0 {
					changes.tell(<-changes.queue, func(string) core.UnitView { return core.UnitView{Defined: u} })
				}
			}
			tell(change(core.Starting, core.Active))
			tell(change(core.Active, core.Active))
			log.Error("went\twrong\nFAKE=1", "unit", "a.service")
			tell(change(core.Stopping, core.Failed))
			tell(change(core.Stopping, core.Inactive))
			var want []string
			for _, line := range c.journal {
				fields := "UNIT=a.service\nOBJECT_SYSTEMD_UNIT=a.service\n"
				if c.mode == user {
					fields = "USER_UNIT=a.service\nOBJECT_SYSTEMD_USER_UNIT=a.service\n"
				}
				want = append(want, fmt.Sprintf("MESSAGE=%s\nPRIORITY=%s\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=dynamod-svmgr\n%s", line[2:], line[:1], fields))
			}
			if got, want := strings.Join(told, "--\n"), strings.Join(want, "--\n"); got != want {
				t.Errorf("the daemon got\n%s\nwant\n%s", got, want)
			}
			if _, got, _ := strings.Cut(out.String(), " "); got != c.other { // the time comes first
				t.Errorf("the manager logged %q; want %q", got, c.other)
			}
		})
	}
}

// A daemon that hangs costs lines, which are counted, and holds nobody up.
func TestUnitChangesAreBounded(t *testing.T) {
	var out bytes.Buffer
	_, kernel := newKernelLog(&out)
	j := newUnitJournal(system, kernel)
	sent := 0
	j.send = func(string) bool { sent++; return true }
	c := newUnitChanges(j, slog.New(slog.NewTextHandler(&out, nil)))
	for range unitQueue + 7 {
		c.published(core.Publish{What: core.UnitChanged, Unit: "a.service", From: core.Starting, To: core.Active})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.run(ctx, func(string) core.UnitView { return core.UnitView{} })
	if sent != unitQueue || !strings.Contains(out.String(), `msg="lines about units were lost" lines=7`) {
		t.Errorf("%d lines were sent; the manager logged %q", sent, out.String())
	}
}
