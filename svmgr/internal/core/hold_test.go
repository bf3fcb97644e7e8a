package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dynamod/internal/unit"
)

// onDemand are units that were loaded because somebody asked, and that he has looked at.
type onDemand struct {
	*harness
	units []*unit.Unit
}

func (o *onDemand) load(texts ...string) {
	o.Helper()
	var us []*unit.Unit
	for _, text := range texts {
		us = append(us, buildUnit(o.tb, text))
	}
	o.units = append(o.units, us...)
	o.tell(Loaded{Units: us, Hold: true})
}

func (o *onDemand) letGo() {
	o.Helper()
	for _, u := range o.units {
		o.tell(Released{Names: []string{u.Name}})
	}
}

// with is the set of files with the units on demand that are there.
func (o *onDemand) with() (set *unit.Set, names []string) {
	us := append([]*unit.Unit(nil), o.set.Units...)
	for _, u := range o.units {
		if known(o.harness, u.Name) {
			us, names = append(us, u), append(names, u.Name)
		}
	}
	set, _ = unit.NewSet(us, nil)
	return set, names
}

// A unit that came on demand is not forgotten while somebody has it: not by itself, not
// at a reload, not by a new manager. Once that one is gone, it is.
func TestWhatHoldsAUnit(t *testing.T) {
	const x = "x@1.service"
	type row struct {
		name, text string
		// take makes something hold the unit, leave ends that.
		take, leave func(o *onDemand)
	}
	start := func(o *onDemand) { o.start(x) }
	end := func(o *onDemand) { o.exit(x, 0) }
	rows := []row{
		{"runs", "||", start, end},
		{"starts", "|| Type=oneshot", start, end},
		{"stops", "|| TimeoutStopSec=infinity", func(o *onDemand) { o.start(x); o.stop(x); o.is(x, "stopping/stop-sigterm") }, end},
		{"did something that lasts", "|| Type=oneshot; RemainAfterExit=yes", func(o *onDemand) { o.start(x); o.exit(x, 0) }, func(o *onDemand) { o.stop(x) }},
		{"waits for its next start", "|| Restart=always; RestartSec=1h", func(o *onDemand) { o.start(x); o.exit(x, 0); o.is(x, "restart-pending") },
			func(o *onDemand) { o.stop(x) }},
		{"has failed", "||", func(o *onDemand) { o.start(x); o.exit(x, 1); o.is(x, "failed") }, func(o *onDemand) { o.reset(x) }},
		{"has a job that waits", "| After=long.service |", func(o *onDemand) { o.start("long.service"); o.start(x); o.is(x, "inactive") },
			func(o *onDemand) { o.stop(x) }},
		{"a client refers to it", "||", func(o *onDemand) { o.tell(Request{ID: 900, Verb: VerbRef, Unit: x}) },
			func(o *onDemand) { o.tell(Request{ID: 901, Verb: VerbUnref, Unit: x}) }},
		{"descriptors are kept for it", "|| FileDescriptorStoreMax=2; FileDescriptorStorePreserve=yes", func(o *onDemand) {
			o.start(x)
			o.notify(x, Notification{FDStore: 1, FDName: "kept"})
			o.stop(x)
			o.exit(x, 0)
			o.is(x, "inactive")
		}, nil},
		{"a file of the generation asks for it", "||", func(o *onDemand) {
			o.reloadUnits(false, "long.service || Type=oneshot", "f.service | Wants=x@1.service |")
		}, nil},
	}
	for _, how := range []string{"Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "After", "Before", "Conflicts", "OnFailure", "OnSuccess"} {
		text := "||"
		if how == "Upholds" {
			text = "|| Type=oneshot; RemainAfterExit=yes"
		}
		rows = append(rows, row{"what runs has " + how + "=", text, func(o *onDemand) {
			if how == "BindsTo" || how == "Requisite" {
				o.start(x)
			}
			o.load("y@1.service | After=long.target; " + how + "=x@1.service |")
			o.start("y@1.service")
		}, func(o *onDemand) {
			o.stop("y@1.service")
			for _, name := range []string{"y@1.service", x} {
				if u, ok := o.c.View().Unit(name); ok && u.State == Stopping {
					o.exit(name, 0)
				}
			}
			if u, ok := o.c.View().Unit(x); ok && u.State != Inactive {
				o.stop(x)
				if o.state(x) == "stopping" {
					o.exit(x, 0)
				}
			}
		}})
	}
	for _, trigger := range []string{"w@1.timer || [Timer];OnActiveSec=10h;Unit=x@1.service", "w@1.path || [Path];PathExists=/nowhere;Unit=x@1.service",
		"w@1.socket || [Socket];ListenStream=/run/w;Service=x@1.service"} {
		name, _, _ := strings.Cut(trigger, " ")
		rows = append(rows, row{name + " will start it", "||", func(o *onDemand) { o.load(trigger); o.start(name) }, func(o *onDemand) { o.stop(name) }})
	}
	for _, r := range rows {
		for _, way := range []string{"stays", "is reloaded", "gets a new manager"} {
			t.Run(fmt.Sprintf("%s, %s", r.name, way), func(t *testing.T) {
				o := &onDemand{harness: load(t, "long.service || Type=oneshot", "long.target |")}
				o.load("x@1.service " + r.text)
				r.take(o)
				o.letGo()
				switch way {
				case "is reloaded":
					set, names := o.with()
					o.tell(Reloaded{Set: set, OnDemand: names})
				case "gets a new manager":
					o.set, _ = o.with()
					o.rebirth()
				}
				o.advance(10 * time.Minute)
				if !known(o.harness, x) {
					t.Fatal("it was forgotten")
				}
				if r.leave == nil {
					return
				}
				r.leave(o)
				o.advance(10 * time.Minute)
				if known(o.harness, x) {
					t.Errorf("it is there still: %+v", o.view(x))
				}
			})
		}
	}
}
