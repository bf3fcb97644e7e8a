package sim

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/desktop-tests/debtree"
	"dynamod/internal/graph"
	"dynamod/internal/load"
	"dynamod/svmgr/internal/core"
)

// recorded is one request to the real manager and what came of it.
type recorded struct {
	name, verb, unit, mode string
	jobs                   map[string]bool
	done                   [][2]string // unit, result, in order
	end                    map[string]string
}

func readRecording(t *testing.T) (first map[string]string, reqs []*recorded) {
	f, err := os.Open("testdata/gnome.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first = map[string]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		w := strings.Split(sc.Text(), "\t")
		var r *recorded
		if len(reqs) > 0 {
			r = reqs[len(reqs)-1]
		}
		switch w[0] {
		case "request":
			reqs = append(reqs, &recorded{verb: w[1], unit: w[2], mode: w[3], name: w[4],
				jobs: map[string]bool{}, end: map[string]string{}})
		case "first":
			first[w[1]] = w[2]
		case "new":
			r.jobs[w[1]] = true
		case "done":
			r.done = append(r.done, [2]string{w[1], w[2]})
		case "end":
			r.end[w[1]] = w[2]
		}
	}
	return first, reqs
}

// withDropin is a tree with one more directory of unit files, /sim.
type withDropin struct {
	fs.ReadLinkFS
	extra fstest.MapFS
}

func (w withDropin) Open(name string) (fs.File, error) {
	if name == "sim" || strings.HasPrefix(name, "sim/") {
		return w.extra.Open(name)
	}
	return w.ReadLinkFS.Open(name)
}

func (w withDropin) Lstat(name string) (fs.FileInfo, error) {
	if name == "sim" || strings.HasPrefix(name, "sim/") {
		return fs.Stat(w.extra, name)
	}
	return w.ReadLinkFS.Lstat(name)
}

// TestRecordedGNOMESession sends the five recorded requests to the core, with
// the real unit files, in a world where services are what they were when it was
// recorded: oneshots that remain, and conditions hold where units came up.
func TestRecordedGNOMESession(t *testing.T) {
	root, ok := debtree.Cached(debtree.GNOMEUnits)
	if !ok {
		t.Skip("SKIPPED: no Debian tree in the cache; build it with desktop-tests/cmd/debtree gnome-units")
	}
	tree, ok := os.DirFS(root).(fs.ReadLinkFS)
	if !ok {
		t.Fatal("os.DirFS has no links")
	}
	dirs := append([]string{"/sim"}, load.UnitDirs(load.User, load.XDG{})...)
	dropin := "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=\nExecStart=/bin/true\n" +
		"ExecStop=\nExecStopPost=\nExecStartPre=\nExecStartPost=\nExecCondition=\nExecReload=\nRestart=no\nBusName=\n"
	// The session's instance is loaded when it is asked for; here a unit that
	// never runs names it, so that it is in the set from the start.
	extra := fstest.MapFS{"sim/service.d/zz-recorded.conf": {Data: []byte(dropin)},
		"sim/anchor.target": {Data: []byte("[Unit]\nWants=gnome-session-wayland@gnome.target\n")}}
	set, _ := load.Load(load.Config{FS: withDropin{tree, extra}, Mode: load.User, UnitDirs: dirs})
	g, _ := graph.Build(set, graph.Config{Mode: graph.User})
	first, reqs := readRecording(t)
	w := &gnomeWorld{perfect: perfect{c: core.New(set, g, core.Config{User: true, Mounted: []string{"-.mount"}}),
		now: core.Time{Mono: bootedAt, Wall: wallStart}}, unmet: neverUp(first, reqs)}
	w.request(core.Request{Verb: core.VerbStart, Unit: "basic.target", Source: core.SourceBoot})
	for _, u := range sortedKeys(first) {
		if strings.HasPrefix(first[u], "active/") {
			w.request(core.Request{Verb: core.VerbStart, Unit: u, Source: core.SourceBoot})
		}
	}
	for u, s := range first {
		w.compareState(t, "before", u, s)
	}
	for _, r := range reqs {
		w.compare(t, g, r)
	}
}

// neverUp are the units whose start was done but which stayed inactive: their
// conditions did not hold.
func neverUp(first map[string]string, reqs []*recorded) map[string]bool {
	out := map[string]bool{}
	for _, r := range reqs {
		if r.verb != "start" {
			continue
		}
		for _, d := range r.done {
			if d[1] == "done" && r.end[d[0]] == "inactive/dead" && r.name != "logout" {
				out[d[0]] = true
			}
		}
	}
	return out
}

type gnomeWorld struct {
	perfect
	unmet map[string]bool
	id    core.RequestID
	jobs  map[string]bool
	done  [][2]string
}

func (w *gnomeWorld) request(r core.Request) {
	w.id++
	r.ID = w.id
	w.jobs, w.done = map[string]bool{}, nil
	w.now.Mono += 2e9
	w.next = append(w.next, r)
	for len(w.next) > 0 {
		ev := w.next[0]
		w.next = w.next[1:]
		if p, ok := ev.(core.ProbeResult); ok && p.OK && len(p.Held) > 0 {
			ev = w.probed(p)
		}
		w.step(ev)
		for _, a := range w.out {
			if p, ok := a.(core.Publish); ok {
				switch p.What {
				case core.JobNew:
					w.jobs[p.Unit] = true
				case core.JobRemoved:
					w.done = append(w.done, [2]string{p.Unit, p.JobResult.String()})
				}
			}
		}
	}
}

// probed answers a condition check: false for the units that stayed down.
func (w *gnomeWorld) probed(p core.ProbeResult) core.ProbeResult {
	w.c.View().Runs(func(id core.RunID, unit string, _ core.Role, _ core.Stage, _ bool) bool {
		if id == p.Run && w.unmet[unit] {
			for i := range p.Held {
				p.Held[i] = !p.Held[i]
			}
		}
		return true
	})
	return p
}

func (w *gnomeWorld) compareState(t *testing.T, when, unit, want string) {
	t.Helper()
	active, _, _ := strings.Cut(want, "/")
	v, _ := w.c.View().Unit(unit)
	if v.Active.String() != active {
		t.Errorf("%s: %s is %v/%v (%v), recorded %s", when, unit, v.Active, v.Sub, v.Cause.Sentence(unit), want)
	}
}

func (w *gnomeWorld) compare(t *testing.T, g *graph.Graph, r *recorded) {
	verb := core.VerbStart
	if r.verb == "stop" {
		verb = core.VerbStop
	}
	mode, ok := graph.ParseMode(r.mode)
	if !ok {
		t.Fatalf("mode %q", r.mode)
	}
	w.request(core.Request{Verb: verb, Unit: r.unit, Mode: mode, Source: core.SourceDBus})
	only := func(a, b map[string]bool) (out []string) {
		for _, u := range sortedKeys(a) {
			if !b[u] {
				out = append(out, u)
			}
		}
		return out
	}
	if missing := only(r.jobs, w.jobs); len(missing) > 0 {
		t.Errorf("%s: jobs only recorded: %s", r.name, strings.Join(missing, " "))
	}
	if more := only(w.jobs, r.jobs); len(more) > 0 {
		t.Errorf("%s: jobs only ours: %s", r.name, strings.Join(more, " "))
	}
	bySort := func(d [][2]string) []string {
		var out []string
		for _, p := range d {
			out = append(out, fmt.Sprint(p))
		}
		slices.Sort(out)
		return out
	}
	if got, want := bySort(w.done), bySort(r.done); !slices.Equal(got, want) {
		t.Errorf("%s: results differ\nours     %v\nrecorded %v", r.name, got, want)
	}
	w.compareOrder(t, g, r)
	for _, u := range sortedKeys(r.end) {
		w.compareState(t, "after "+r.name, u, r.end[u])
	}
}

// compareOrder: pairs of units that are ordered end their jobs in the recorded
// order. A job that ends with result dependency waits for nobody: systemd fails
// all those that required a failed unit at once, in no order that it promises.
func (w *gnomeWorld) compareOrder(t *testing.T, g *graph.Graph, r *recorded) {
	place := func(d [][2]string) map[string]int {
		out := map[string]int{}
		for i, p := range d {
			if _, twice := out[p[0]]; !twice {
				out[p[0]] = i
			}
		}
		return out
	}
	ours, theirs := place(w.done), place(r.done)
	pairs := 0
	for _, u := range sortedKeys(theirs) {
		i, ok := g.Lookup(u)
		if !ok {
			continue
		}
		for _, e := range g.Edges(i) {
			v := g.Name(e.To)
			a, okA := ours[u]
			b, okB := ours[v]
			c, okC := theirs[v]
			if !e.Rel.Has(graph.After) || !okA || !okB || !okC || r.done[c][1] == "dependency" && r.done[theirs[u]][1] == "dependency" {
				continue
			}
			pairs++
			if (a < b) != (theirs[u] < c) {
				t.Errorf("%s: %s (After %s): our jobs end in the other order", r.name, u, v)
			}
		}
	}
	t.Logf("%s: %d jobs, %d ordered pairs compared", r.name, len(r.done), pairs)
}
