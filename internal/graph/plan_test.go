package graph

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestPlan has a case for each rule of systemd.unit(5) and systemctl(1).
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name  string
		units string // lines of sketch, split by ";"
		state string // "a=active b=job:start b=irreversible:stop"
		req   string // "start a" or "start a in fail"
		want  string
	}{
		// What a start pulls in.
		{"requires", "a:Requires=b;b:", "", "start a", "a/start b/start"},
		{"wants", "a:Wants=b;b:", "", "start a", "a/start b/start"},
		{"upholds", "a:Upholds=b;b:", "", "start a", "a/start b/start"},
		{"binds to", "a:BindsTo=b;b:", "", "start a", "a/start b/start"},
		{"requisite", "a:Requisite=b;b:", "", "start a", "a/start b/verify-active"},
		{"requisite that is up", "a:Requisite=b;b:", "b=active", "start a", "a/start"},
		{"requisite and wants", "a:Requisite=b,Wants=b;b:", "", "start a", "a/start b/start"},
		{"part of pulls in nothing", "a:PartOf=b;b:", "", "start a", "a/start"},
		{"after pulls in nothing", "a:After=b;b:", "", "start a", "a/start"},
		{"triggers pulls in nothing", "a:Triggers=b;b:", "", "start a", "a/start"},
		{"deep", "a:Requires=b;b:Wants=c;c:Requires=d;d:", "", "start a", "a/start b/start c/start d/start"},
		{"what is up is left out", "a:Requires=b;b:", "b=active", "start a", "a/start"},
		{"and what it has lost too", "a:Requires=b;b:Requires=c;c:", "b=active", "start a", "a/start"},
		{"the anchor stays", "a:Requires=b;b:", "a=active b=active", "start a", "a/start"},
		{"a failed one starts again", "a:Requires=b;b:", "b=failed", "start a", "a/start b/start"},
		{"one on its way is joined", "a:Requires=b;b:", "b=activating b=job:start", "start a", "a/start b/start+merges"},
		{"one on its way without a job", "a:Requires=b;b:", "b=activating", "start a", "a/start b/start"},

		// What cannot be had.
		{"requires the missing", "a:Requires=b", "", "start a", "NoSuchUnit"},
		{"wants the missing", "a:Wants=b", "", "start a", "a/start"},
		{"requires the masked", "a:Requires=b;b:Masked", "", "start a", "UnitMasked"},
		{"wants what requires the missing", "a:Wants=b;b:Requires=c,Wants=d;d:", "", "start a", "a/start"},
		{"itself missing", "a:Requires=b", "", "start b", "NoSuchUnit"},
		{"stop of the missing", "a:Requires=b", "", "stop b", "NoSuchUnit"},
		{"stop of the missing that runs", "a:Requires=b", "a=active b=active", "stop b", "a/stop b/stop"},
		{"masked", "a:Masked", "", "start a", "UnitMasked"},
		{"stop of the masked", "a:Masked", "a=active", "stop a", "a/stop"},
		{"no reload", "a:", "a=active", "reload a", "JobTypeNotApplicable"},
		{"no stop", "a:NoStop", "a=active", "stop a", "JobTypeNotApplicable"},
		{"refuses start", "a:RefuseManualStart", "", "start a", "OnlyByDependency"},
		{"refuses start, not stop", "a:RefuseManualStart", "a=active", "stop a", "a/stop"},
		{"refuses stop", "a:RefuseManualStop", "", "stop a", "OnlyByDependency"},
		{"refuses restart", "a:RefuseManualStop", "", "restart a", "OnlyByDependency"},
		{"refuses, but by dependency", "a:Requires=b;b:RefuseManualStart", "", "start a", "a/start b/start"},

		// Conflicts.
		{"conflict stops", "a:Conflicts=b;b:", "b=active", "start a", "a/start b/stop"},
		{"conflict the other way", "a:;b:Conflicts=a", "b=active", "start a", "a/start b/stop"},
		{"no conflict with what is down", "a:Conflicts=b;b:", "", "start a", "a/start"},
		{"the stopped takes along", "a:Conflicts=b;b:;c:Requires=b", "b=active c=active", "start a", "a/start b/stop c/stop"},
		{"both required", "a:Requires=b,Requires=c;b:Conflicts=c;c:", "", "start a", "TransactionJobsConflicting"},
		{"only one required", "a:Requires=b,Wants=c;b:Conflicts=c;c:", "", "start a", "a/start b/start"},
		{"the conflicting is wanted", "a:Wants=b,Requires=c;b:Conflicts=c;c:", "", "start a", "a/start c/start"},
		{"neither required", "a:Wants=b,Wants=c;b:Conflicts=c;c:", "", "start a", "a/start b/start"},
		{"required and conflicting", "a:Requires=b,Conflicts=b;b:", "", "start a", "TransactionJobsConflicting"},

		// Stop.
		{"stop of a requirement", "a:Requires=b;b:", "a=active b=active", "stop b", "a/stop b/stop"},
		{"stop of a wanted one", "a:Wants=b;b:", "a=active b=active", "stop b", "b/stop"},
		{"stop of a requisite", "a:Requisite=b;b:", "a=active b=active", "stop b", "a/stop b/stop"},
		{"stop of what is bound to", "a:BindsTo=b;b:", "a=active b=active", "stop b", "a/stop b/stop"},
		{"stop of the whole", "a:PartOf=b;b:", "a=active b=active", "stop b", "a/stop b/stop"},
		{"stop of the part", "a:PartOf=b;b:", "a=active b=active", "stop a", "a/stop"},
		{"stop of the requiring", "a:Requires=b;b:", "a=active b=active", "stop a", "a/stop"},
		{"stop passed on", "a:PropagatesStopTo=b;b:", "a=active b=active", "stop a", "a/stop b/stop"},
		{"stop passed on twice", "a:PropagatesStopTo=b;b:PropagatesStopTo=c;c:", "a=active b=active c=active", "stop a", "a/stop b/stop c/stop"},
		{"stop passed on only from the anchor", "a:;b:Requires=a,PropagatesStopTo=c;c:", "a=active b=active c=active", "stop a", "a/stop b/stop"},
		{"stop in a chain", "a:;b:Requires=a;c:PartOf=b", "a=active b=active c=active", "stop a", "a/stop b/stop c/stop"},
		{"stop ends at what is down", "a:;b:Requires=a;c:Requires=b", "a=active c=active", "stop a", "a/stop"},
		{"stop of what goes already", "a:;b:Requires=a", "a=deactivating b=deactivating", "stop a", "a/stop b/stop"},

		// Restart and reload.
		{"restart", "a:;b:Requires=a", "a=active b=active", "restart a", "a/restart b/restart"},
		{"restart leaves the stopped alone", "a:;b:PartOf=a", "a=active", "restart a", "a/restart"},
		{"restart of the inactive starts", "a:Requires=b;b:", "", "restart a", "a/restart b/start"},
		{"restart needs what the dependents need", "a:;b:Requires=a,Requires=c;c:", "a=active b=active", "restart a", "a/restart b/restart c/start"},
		{"try-restart of the inactive", "a:", "", "try-restart a", "a/nop"},
		{"try-restart", "a:;b:Requires=a", "a=active b=active", "try-restart a", "a/restart b/restart"},
		{"restart passes a stop on", "a:PropagatesStopTo=b;b:", "a=active b=active", "restart a", "a/restart b/stop"},
		{"unless it is started too", "a:Requires=b,PropagatesStopTo=b;b:", "a=active b=active", "restart a", "a/restart b/restart"},
		{"reload", "a:CanReload,PropagatesReloadTo=b;b:CanReload", "a=active b=active", "reload a", "a/reload b/reload"},
		{"reload passes over the stopped", "a:CanReload,PropagatesReloadTo=b;b:CanReload", "a=active", "reload a", "a/reload"},
		{"reload passes over who cannot", "a:CanReload,PropagatesReloadTo=b;b:", "a=active b=active", "reload a", "a/reload"},
		{"reload-or-start of the running", "a:CanReload", "a=active", "reload-or-start a", "a/reload"},
		{"reload-or-start of the stopped", "a:CanReload,Requires=b;b:", "", "reload-or-start a", "a/start b/start"},
		{"try-reload of the stopped", "a:CanReload", "", "try-reload a", "a/nop"},
		{"verify-active", "a:Requires=b;b:", "", "verify-active a", "a/verify-active"},
		{"reset is alone", "a:Requires=b;b:", "a=failed", "reset a", "a/reset"},

		// Modes and installed jobs.
		{"replace", "a:", "a=job:stop a=active", "start a", "a/start+replaces"},
		{"fail", "a:", "a=job:stop a=active", "start a in fail", "TransactionIsDestructive"},
		{"fail with what merges", "a:", "a=job:start", "start a in fail", "a/start+merges"},
		{"start joins a restart", "a:", "a=active a=job:restart", "start a", "a/restart+merges"},
		{"reload joins a start", "a:CanReload", "a=activating a=job:start", "reload a", "a/reload+merges"},
		{"irreversible", "a:", "a=active a=irreversible:stop", "start a", "TransactionIsDestructive"},
		{"irreversible against its like", "a:", "a=active a=irreversible:stop", "start a in replace-irreversibly", "TransactionIsDestructive"},
		{"irreversible, but the same way", "a:", "a=active a=irreversible:stop", "stop a", "a/stop+merges"},
		{"fail spares the wanted", "a:Wants=b;b:Conflicts=c;c:", "c=active", "start a in fail", "a/start"},
		{"replace does not", "a:Wants=b;b:Conflicts=c;c:", "c=active", "start a", "a/start b/start c/stop"},
		{"fail stops what is required to stop", "a:Conflicts=c;c:", "c=active", "start a in fail", "a/start c/stop"},
		{"ignore-dependencies", "a:Requires=b,Conflicts=c;b:;c:", "c=active", "start a in ignore-dependencies", "a/start"},
		{"ignore-requirements", "a:Requires=b;b:", "", "start a in ignore-requirements", "a/start"},
		{"isolate", "a:AllowIsolate,Requires=b;b:;c:;d:IgnoreOnIsolate;e:NoStop", "c=active d=active e=active", "start a in isolate", "a/start b/start c/stop"},
		{"isolate keeps what is needed", "a:AllowIsolate,Requires=b;b:", "a=active b=active", "start a in isolate", "a/start"},
		{"isolate flushes", "a:AllowIsolate;b:;c:IgnoreOnIsolate", "b=job:start c=job:start", "start a in isolate", "a/start b/stop+replaces flush:c"},
		{"isolate not allowed", "a:", "", "start a in isolate", "NoIsolation"},
		{"isolate of a stop", "a:AllowIsolate", "", "stop a in isolate", "InvalidArgs"},
		{"flush", "a:;b:", "b=job:start", "start a in flush", "a/start flush:b"},
		{"triggering", "a:;b:Triggers=a;c:Triggers=a", "a=active b=active", "stop a in triggering", "a/stop b/stop"},
		{"triggering a start", "a:", "", "start a in triggering", "InvalidArgs"},
		{"restart-dependencies", "a:;b:Requires=a;c:PartOf=a", "a=active b=active", "start a in restart-dependencies", "a/start b/restart"},

		// Cycles.
		{"wanted cycle", "a:Requires=b,After=b;b:Wants=c,After=c;c:After=a", "", "start a", "a/start b/start drop:c"},
		{"required cycle", "a:Requires=b,After=b;b:Requires=a,After=a", "", "start a", "TransactionOrderIsCyclic"},
		{"required cycle at boot", "a:Requires=b;b:Requires=c,After=c;c:After=b;d:", "", "boot a", "a/start drop:b,c"},
		{"cycle not in the transaction", "a:After=b;b:After=a", "", "start a", "a/start"},
		{"cycle with an installed job", "a:After=b;b:After=a", "b=job:start", "start a", "TransactionOrderIsCyclic"},
		{"what hangs on the dropped goes too", "a:Wants=b,After=b;b:After=a,Requires=c;c:;d:", "", "start a", "a/start drop:b"},
		{"stop and start do not form a cycle", "a:Conflicts=b,After=b;b:After=a", "b=active", "start a", "a/start b/stop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := sketch(t, strings.Split(c.units, ";")...)
			p := g.up()
			for word := range strings.FieldsSeq(c.state) {
				name, state, _ := strings.Cut(word, "=")
				if kind, typ, ok := strings.Cut(state, ":"); ok {
					jt, _ := ParseJobType(typ)
					p.jobs[name] = JobInfo{Type: jt, Irreversible: kind == "irreversible"}
					continue
				}
				for s := range activeStates {
					if s.String() == state {
						p.active[name] = s
					}
				}
			}
			words := strings.Fields(c.req)
			u, _ := g.Lookup(words[1])
			req := Request{Unit: u, Manual: true}
			if words[0] == "boot" {
				req.NeverRefuse = true
			} else {
				req.Type, _ = ParseJobType(words[0])
			}
			if len(words) > 2 {
				req.Mode, _ = ParseMode(words[3])
			}
			if got := outcome(g, req, p); got != c.want {
				t.Errorf("%s: got %q; want %q", c.req, got, c.want)
			}
		})
	}
}

// outcome writes a plan or the kind of the error.
func outcome(g *Graph, req Request, p Present) string {
	plan, err := g.Plan(req, p)
	var pe *PlanError
	if errors.As(err, &pe) {
		return pe.Kind.String()
	}
	var out, dropped []string
	for _, j := range plan.Jobs {
		s := g.Name(j.Unit) + "/" + j.Type.String()
		if j.Merges {
			s += "+merges"
		}
		if j.Replaces {
			s += "+replaces"
		}
		out = append(out, s)
	}
	for _, i := range plan.Flushed {
		out = append(out, "flush:"+g.Name(i))
	}
	for _, d := range plan.Dropped {
		if d.Cause == SoftCycle || d.Cause == HardCycle {
			dropped = append(dropped, g.Name(d.Unit))
		}
	}
	if dropped != nil {
		out = append(out, "drop:"+strings.Join(dropped, ","))
	}
	return strings.Join(out, " ")
}

func TestPlanErrorsSayWhy(t *testing.T) {
	for _, c := range []struct{ units, req, want string }{
		{"a:Requires=b;b:Requires=c", "a", "unit c not found; required by b, required by a"},
		{"a:Requires=b,After=b;b:Requires=a,After=a", "a",
			"ordering cycle of required jobs: a/start waits for b/start, which waits for a"},
		{"a:Requires=b,Requires=c;b:Conflicts=c;c:", "a", "c would have to be started and stopped at once; the start of b stops it"},
	} {
		g := sketch(t, strings.Split(c.units, ";")...)
		_, err := g.Plan(Request{Unit: lookup(g, c.req)}, g.up())
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v; want %s", c.units, err, c.want)
		}
	}
}

func TestDroppedSaysWhy(t *testing.T) {
	g := sketch(t, "a:Wants=b,After=b", "b:After=a")
	plan, err := g.Plan(Request{Unit: 0}, g.up())
	if err != nil || len(plan.Dropped) != 1 {
		t.Fatal(plan, err)
	}
	if got, want := plan.Dropped[0].Message, "b/start, pulled in by a is dropped to break the ordering cycle a → b → a"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// TestWaits: systemd.unit(5), "Before=, After=".
func TestWaits(t *testing.T) {
	for _, c := range []struct {
		a    JobType
		rel  Rel
		b    JobType
		want bool
	}{
		{Start, After, Start, true},
		{Start, Before, Start, false},
		{Start, Requires, Start, false},
		{Stop, After, Stop, false},
		{Stop, Before, Stop, true},
		{Start, After, Stop, true},
		{Start, Before, Stop, true},
		{Stop, After, Start, false},
		{Stop, Before, Start, false},
		{Restart, Before, Restart, true},
		{Restart, After, Restart, false},
		{Start, After, Restart, true},
		{Start, Before, Restart, true},
		{Reload, After, Start, true},
		{VerifyActive, After, Start, true},
		{Start, After, Nop, false},
		{Nop, After, Start, false},
		{Start, After, Reset, false},
	} {
		if got := Waits(c.a, c.rel, c.b); got != c.want {
			t.Errorf("Waits(%s, %s, %s) = %v", c.a, c.rel, c.b, got)
		}
	}
	for a := range jobTypes {
		for b := range jobTypes {
			for _, rel := range []Rel{Before, After} {
				if Waits(a, rel, b) && Waits(b, rel.Inverse(), a) {
					t.Errorf("%s and %s (%s) wait for each other", a, b, rel)
				}
				if ordered(a) && ordered(b) && !Waits(a, rel, b) && !Waits(b, rel.Inverse(), a) {
					t.Errorf("%s and %s (%s) are not ordered", a, b, rel)
				}
			}
		}
	}
}

func TestMerge(t *testing.T) {
	want := map[string]string{
		"start+verify-active": "start", "start+restart": "restart", "start+reload": "reload-or-start",
		"verify-active+reload": "reload", "verify-active+restart": "restart", "reload+restart": "restart",
		"start+reload-or-start": "reload-or-start", "reload+reload-or-start": "reload-or-start",
		"start+try-restart": "restart", "verify-active+try-restart": "try-restart", "reload+try-restart": "try-restart",
		"start+stop": "", "verify-active+stop": "", "stop+reload": "", "stop+restart": "", "stop+reload-or-start": "",
		"stop+try-restart": "stop", "stop+try-reload": "stop", "start+try-reload": "reload-or-start",
		"start+nop": "start", "stop+nop": "stop", "reload+try-reload": "reload",
	}
	for a := range jobTypes {
		for b := range jobTypes {
			got, ok := merge(a, b)
			back, ok2 := merge(b, a)
			if ok != ok2 || ok && got != back {
				t.Errorf("%s+%s = %s, but the other way %s", a, b, got, back)
			}
			if w, listed := want[fmt.Sprintf("%s+%s", a, b)]; listed {
				if ok != (w != "") || ok && got.String() != w {
					t.Errorf("%s+%s = %s %v; want %q", a, b, got, ok, w)
				}
				delete(want, fmt.Sprintf("%s+%s", a, b))
			}
			if a == b && (!ok || got != a) {
				t.Errorf("%s with itself gives %s", a, got)
			}
			for c := range jobTypes { // the order of merging does not matter
				l, okl := merge3(a, b, c)
				r, okr := merge3(b, c, a)
				if okl && okr && l != r {
					t.Errorf("%s, %s, %s merge to %s or %s", a, b, c, l, r)
				}
			}
		}
	}
	for w := range want {
		t.Errorf("not tried: %s", w)
	}
}

func merge3(a, b, c JobType) (JobType, bool) {
	m, ok := merge(a, b)
	if !ok {
		return 0, false
	}
	return merge(m, c)
}

func TestNames(t *testing.T) {
	for ty := range jobTypes {
		if got, ok := ParseJobType(ty.String()); !ok || got != ty {
			t.Errorf("job type %d: %q", ty, ty)
		}
	}
	for m := range modes {
		if got, ok := ParseMode(m.String()); !ok || got != m {
			t.Errorf("mode %d: %q", m, m)
		}
	}
	for s := range activeStates {
		if strings.Contains(s.String(), "(") {
			t.Errorf("state %d has no name", s)
		}
	}
	for k := range errorKinds {
		if strings.Contains(k.DBus(), "(") {
			t.Errorf("error kind %d has no name", k)
		}
	}
	for c := range dropCauses {
		if strings.Contains(c.String(), "(") {
			t.Errorf("cause %d has no name", c)
		}
	}
	for r := Rel(1); r <= SliceOf; r <<= 1 {
		if r.Inverse() == r || r.Inverse().Inverse() != r || r.String() == "invalid" {
			t.Errorf("relation %s, inverse %s", r, r.Inverse())
		}
	}
	for r, text := range ruleText {
		if rule(r) != ruleFile && text == "" {
			t.Errorf("rule %d has no text", r)
		}
	}
}
