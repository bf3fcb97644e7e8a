package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

var web = []string{
	"db.service | ", "web.service | Requires=db.service;After=db.service;Description=The web", "extra.service | Wants=web.service",
	"guard.toml | service.protected=true", "default.target | AllowIsolate=yes;Wants=guard.service", "alias.service |[Install];Alias=www.service",
}

func names(us []ipc.Unit) string {
	var out []string
	for _, u := range us {
		out = append(out, u.Name+" "+u.State)
	}
	return strings.Join(out, ", ")
}

func TestList(t *testing.T) {
	f := newFake(t, "", web...)
	f.start("web")
	list := func(a ipc.ListArgs) string {
		t.Helper()
		r := do[*ipc.ListResult](f, ipc.VerbList, &a)
		if r.Total != len(r.Units) {
			t.Errorf("total %d of %d", r.Total, len(r.Units))
		}
		return names(r.Units)
	}
	want(t, "lively", list(ipc.ListArgs{Types: []string{"service"}}), "db.service active, web.service active")
	want(t, "all", list(ipc.ListArgs{Types: []string{"service"}, All: true}),
		"alias.service inactive, db.service active, extra.service inactive, guard.service inactive, web.service active")
	want(t, "by name", list(ipc.ListArgs{Units: []string{"extra"}}), "extra.service inactive")
	want(t, "by pattern", list(ipc.ListArgs{Units: []string{"w*"}}), "web.service active")
	want(t, "by state", list(ipc.ListArgs{States: []string{"inactive"}, Types: []string{"target"}}), "default.target inactive")
	want(t, "hint", f.refused("NoSuchUnit", ipc.VerbList, &ipc.ListArgs{Units: []string{"wep"}}).Hint, "did you mean web.service?")
	f.refused("InvalidArgs", ipc.VerbList, &ipc.ListArgs{States: []string{"up"}})
	f.refused("InvalidArgs", ipc.VerbList, &ipc.ListArgs{Units: []string{"["}})
	r := do[*ipc.ListResult](f, ipc.VerbList, &ipc.ListArgs{Units: []string{"web"}}).Units[0]
	want(t, "row", line(r.Description, r.Type, r.Active, r.Sub, r.Load, r.PID > 1000, r.Cause), "The web service active running loaded true request")
}

func TestListPages(t *testing.T) {
	var texts []string
	for k := range ipc.MaxRows + 50 {
		texts = append(texts, fmt.Sprintf("s%04d.service |", k))
	}
	f := newFake(t, "", texts...)
	args := ipc.ListArgs{Types: []string{"service"}, All: true}
	r := do[*ipc.ListResult](f, ipc.VerbList, &args)
	all := 0
	for ; r.Next != ""; r = do[*ipc.ListResult](f, ipc.VerbList, &args) {
		if all += len(r.Units); len(r.Units) < 100 || len(r.Units) > ipc.MaxRows {
			t.Fatalf("a page of %d", len(r.Units))
		}
		want(t, "page", line(r.Next, r.Total, r.Units[0].Name), line(r.Units[len(r.Units)-1].Name, ipc.MaxRows+50, fmt.Sprintf("s%04d.service", all-len(r.Units))))
		args.After = r.Next
	}
	want(t, "in all", all+len(r.Units), fmt.Sprint(ipc.MaxRows+50))
}

// A description of any length is one that lists can show.
func TestLongDescription(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 70000), strings.Repeat("\"", 70000)} {
		f := newFake(t, "", "a.service |", "big.service | Description="+text, "c.service |")
		names := ""
		for after := ""; ; {
			r := do[*ipc.ListResult](f, ipc.VerbList, &ipc.ListArgs{All: true, Page: ipc.Page{After: after}})
			for _, u := range r.Units {
				names += u.Name + " "
			}
			if after = r.Next; after == "" {
				break
			}
		}
		want(t, "all pages", names, "-.mount -.slice a.service big.service c.service system.slice ")
	}
}

// Who has a list or a unit already is told when it is still the same, and only then.
func TestKnown(t *testing.T) {
	f := newFake(t, "", append(web, "counted.service |[Service];IPAccounting=yes;ExecStart=/bin/x")...)
	list := func(known string) *ipc.ListResult {
		return do[*ipc.ListResult](f, ipc.VerbList, &ipc.ListArgs{All: true, Known: known})
	}
	first := list("none")
	again := list(first.Tag)
	want(t, "the same list", line(len(again.Units), again.Tag == first.Tag, again.Total == len(first.Units), again.Next), "0 true true ")
	whole := func(known string) *ipc.UnitResult {
		return do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service", Known: known})
	}
	model := whole("none")
	same := whole(model.Tag)
	want(t, "the same unit", line(len(model.Settings) > 0, len(same.Settings), len(same.Relations), same.Tag == model.Tag, same.Facts.Active), "true 0 0 true inactive")
	f.start("web")
	later := list(first.Tag)
	want(t, "another list", line(len(later.Units), later.Tag != first.Tag), line(len(first.Units), true))
	up := whole(model.Tag)
	want(t, "what changes all the time", line(up.Facts.Active, up.Facts.PID != 0), "active true")
	if (up.Tag == model.Tag) != (len(up.Settings) == 0) {
		t.Errorf("tags %q and %q with %d settings", up.Tag, model.Tag, len(up.Settings))
	}
	bare := func(known string, steps uint64) *ipc.UnitResult {
		return do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service", Bare: true, Known: known, Steps: steps})
	}
	now := bare(up.Tag, 0)
	idle := bare(now.Tag, now.Steps)
	want(t, "nothing has happened", line(now.Facts != nil, idle.Facts == nil, idle.Tag == now.Tag, bare("none", now.Steps).Facts != nil), "true true true true")
	onDisk := func(known string, steps uint64) *ipc.UnitResult {
		return do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service", Unmeasured: true, Known: known, Steps: steps})
	}
	f.files["web.service"] = "enabled" // no event tells of what is on the disk
	files := onDisk(now.Tag, now.Steps)
	want(t, "the disk is looked at", line(files.Facts == nil, files.OnDisk != nil && files.OnDisk.Enabled == "enabled", files.Tag == now.Tag), "true true true")
	proof := do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service", Unmeasured: true, Known: now.Tag, Steps: now.Steps, Paths: true}).OnDisk
	want(t, "what that rests on", line(files.OnDisk.Read, files.OnDisk.Met, proof.Enabled, proof.Read, proof.Met), "[] [] enabled [etc/web.service] [etc]")
	f.paths = maxPaths
	want(t, "too much for an answer", line(len(do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service", Unmeasured: true, Known: now.Tag, Steps: now.Steps, Paths: true}).OnDisk.Read)), "0")
	all := onDisk(now.Tag, 0)
	want(t, "all that is not measured holds, too", line(onDisk(all.Tag, all.Steps).OnDisk != nil), "true")
	want(t, "all but what is measured", line(all.Facts.Enabled, all.Facts.Resources == nil, all.OnDisk == nil, onDisk("none", now.Steps).OnDisk == nil), "enabled true true true")
	counted := func(known string, steps uint64) *ipc.UnitResult {
		return do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "counted.service", Bare: true, Known: known, Steps: steps})
	}
	traffic := counted("none", 0)
	want(t, "traffic changes by itself", line(counted(traffic.Tag, traffic.Steps).Facts != nil), "true")
	do[*ipc.Done](f, ipc.VerbMount, &ipc.MountArgs{Unit: "web.service", Source: "/srv"})
	mounted := bare(now.Tag, now.Steps)
	want(t, "a mount may have failed", line(mounted.Facts != nil), "true")
	f.exit("web.service", 0)
	gone := bare(now.Tag, now.Steps)
	want(t, "something has", line(gone.Facts != nil && gone.Facts.Active == "inactive", onDisk(now.Tag, now.Steps).OnDisk == nil), "true true")
	if unasked := do[*ipc.ListResult](f, ipc.VerbList, &ipc.ListArgs{All: true}); unasked.Tag != "" {
		t.Errorf("a tag %q that nobody asked for", unasked.Tag)
	}
}

// That there are no files of a unit holds as long as there are none, and of that no event
// tells: nobody may go by the steps of such an answer, though others refer to the unit.
func TestKnownWithoutFiles(t *testing.T) {
	f := newFake(t, "", "a.service | Wants=late.service")
	bare := func(known string, steps uint64) *ipc.UnitResult {
		return do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "late.service", Bare: true, Known: known, Steps: steps})
	}
	first := bare("none", 0)
	want(t, "not there", line(first.Facts.Load, first.Steps), "not-found 0")
	f.disk["late.service"] = "late.service |"
	then := bare(first.Tag, first.Steps)
	want(t, "there", line(then.Facts != nil && then.Facts.Load == "loaded"), "true")
}

func TestStatus(t *testing.T) {
	f := newFake(t, "", append(web, "warned.service |", "t.timer |[Timer];OnBootSec=1h;AccuracySec=1us;Unit=web.service", "s.socket |[Socket];ListenStream=/run/x")...)
	f.files["web.service"] = "enabled"
	f.lines = []ipc.LogLine{{Cursor: "1", Unit: "web.service", Text: "hello"}, {Cursor: "2", Unit: "db.service", Text: "no"}}
	f.start("web", "t.timer")
	s := do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "web"})
	want(t, "status", line(s.Name, s.State, s.Enabled, s.Files, s.Cgroup, s.Resources.Memory, s.Result, s.TriggerBy, len(s.Log), s.Log[0].Text),
		"web.service active enabled [/t/web.service] /dynamod/web.service 11 success [t.timer] 1 hello")
	want(t, "processes", line(s.Processes[0].Role, s.Processes[0].PID == s.PID, s.Processes[1].Role), "main true other")
	by := do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{PID: s.PID})
	want(t, "by pid", by.Name, "web.service")
	want(t, "warnings", do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "warned"}).Warnings, "[its old cgroup could not be removed]")
	timer := do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "t.timer"})
	want(t, "timer", line(timer.NextElapse.Mono/1e6, timer.Triggers), "3600 [web.service]")
	want(t, "listens", do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "s.socket"}).Listens, "[ListenStream=/run/x]")
	f.refused("NoUnitForPID", ipc.VerbStatus, &ipc.UnitArgs{PID: 7})
	f.refused("InvalidArgs", ipc.VerbStatus, &ipc.UnitArgs{PID: 7, Unit: "web"})
	f.refused("InvalidArgs", ipc.VerbStatus, &ipc.UnitArgs{})
	f.refused("InvalidArgs", ipc.VerbStatus, &ipc.UnitArgs{Unit: strings.Repeat("x", 300)})
}

func TestNames(t *testing.T) {
	f := newFake(t, "", append(web, "home.mount |[Mount];What=tmpfs;Where=/home")...)
	for typed, full := range map[string]string{"web": "web.service", "web.service": "web.service", "/home": "home.mount",
		"mount:/home": "home.mount", "default.target": "default.target"} {
		want(t, typed, do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: typed}).Name, full)
	}
	for typed, hint := range map[string]string{"wbe": "did you mean web.service?", "default": "did you mean default.target?",
		"zzzzzz": "dynamodctl list --all shows all units; after adding a file: dynamodctl reload"} {
		for _, v := range []ipc.Verb{ipc.VerbStart, ipc.VerbStop, ipc.VerbReset} {
			e := f.refused("NoSuchUnit", v, &ipc.JobArgs{Unit: typed})
			want(t, typed, e.Hint, hint)
		}
		want(t, typed, f.refused("NoSuchUnit", ipc.VerbWhy, &ipc.UnitArgs{Unit: typed}).Hint, hint)
	}
}

// A unit with a file that nothing needed yet is loaded when it is started, and not
// when somebody only looks.
func TestLoadOnDemand(t *testing.T) {
	f := newFake(t, "", web...)
	f.disk["tty@1.service"] = "tty@1.service | Description=a terminal"
	s := do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "tty@1"})
	want(t, "looked at", line(s.Name, s.State, s.Description, f.state("tty@1.service")), "tty@1.service inactive a terminal ")
	f.start("tty@1")
	want(t, "started", f.state("tty@1.service"), "active")
	f.disk["tty@2.service"] = "tty@2.service |"
	want(t, "loaded", do[*ipc.Unit](f, ipc.VerbLoad, &ipc.UnitArgs{Unit: "tty@2"}).State, "inactive")
	f.refused("NoSuchUnit", ipc.VerbLoad, &ipc.UnitArgs{Unit: "tty@3"})
	want(t, "forgotten", f.state("tty@2.service"), "")
}

// Names that somebody thinks of leave nothing behind, however many: units that are
// loaded to be looked at, what only they ask for, and names that stand for nothing.
func TestLookingLeavesNothing(t *testing.T) {
	f := newFake(t, "", web...)
	size := func() (n, used int) {
		f.api.query(func(v core.View) {
			n = v.Graph().Len()
			for i := range graph.Index(n) {
				if v.Known(i) {
					used++
				}
			}
		})
		return n, used
	}
	look := func(k int) {
		name := fmt.Sprintf("tty@%d.service", k)
		f.disk[name] = name + fmt.Sprintf(" | BindsTo=dev-tty%d.device;After=none%d.service;[Service];Slice=a-b%d.slice", k, k, k)
		got := do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: name})
		want(t, name, line(got.Facts.Load, got.Facts.Active), "loaded inactive")
		delete(f.disk, name)
		for _, none := range []string{"x%d.service", "x%d.device", "x-y%d.slice", "x%d.mount", "x%d.target", "x@%d.timer"} {
			if _, err := f.call(alice, ipc.VerbUnit, &ipc.ShowArgs{Unit: fmt.Sprintf(none, k)}); err != nil && ipc.KindOf(err) != "NoSuchUnit" {
				t.Fatal(err)
			}
		}
	}
	look(0)
	n, used := size()
	for k := range 10_000 {
		look(k + 1)
	}
	n2, used2 := size()
	want(t, "indices and names", line(n2, used2), line(n, used))
}

func TestShow(t *testing.T) {
	f := newFake(t, "", "s.socket |[Socket];ListenStream=/run/x;ListenStream=80", "n.toml |service.protected=true", "c.service |ConditionPathExists=!/x;After=s.socket")
	show := func(name string) string {
		var out []string
		for _, s := range do[*ipc.ShowResult](f, ipc.VerbShow, &ipc.ShowArgs{Unit: name}).Settings {
			out = append(out, fmt.Sprintf("[%s]%s=%s@%s", s.Section, s.Key, s.Value, s.Source))
		}
		return strings.Join(out, "\n")
	}
	want(t, "socket", show("s.socket"), "[Unit]DefaultDependencies=no@/t/s.socket:2:21\n[Socket]ListenStream=/run/x@/t/s.socket:4:14\n[Socket]ListenStream=80@/t/s.socket:5:14")
	want(t, "native", show("n"), "[service]protected=yes@/t/n.toml:1:19\n[service]exec=:/bin/n@/t/n.toml:2:15\n[service]name=n@/t/n.toml:4:15\n[dependencies]default=no@/t/n.toml:5:22")
	want(t, "service", show("c"), "[Unit]DefaultDependencies=no@/t/c.service:2:21\n[Unit]ConditionPathExists=!/x@/t/c.service:3:21\n[Unit]After=s.socket@/t/c.service:4:7\n[Service]ExecStart=/bin/x@/t/c.service:7:11")
}

// TestSecurity: what is set closes what is said about it, also when it is set to
// nothing, and the rating is that of the unit as it stands.
func TestSecurity(t *testing.T) {
	f := newFake(t, "", "s.socket |[Socket];ListenStream=/run/x", "c.service |[Service];ProtectSystem=strict;CapabilityBoundingSet=", "bare.service |")
	rate := func(name string) *ipc.SecurityResult {
		return do[*ipc.SecurityResult](f, ipc.VerbSecurity, &ipc.SecurityArgs{Unit: name})
	}
	bare, c := rate("bare"), rate("c")
	want(t, "worst", line(bare.Unit, bare.Word, bare.Findings[0].Setting), "bare.service open User=")
	if c.Score >= bare.Score-2 {
		t.Errorf("%.1f after %.1f", c.Score, bare.Score)
	}
	_, err := f.call(alice, ipc.VerbSecurity, &ipc.SecurityArgs{Unit: "s.socket"})
	want(t, "sockets", ipc.KindOf(err), "InvalidArgs")
	_, err = f.call(alice, ipc.VerbSecurity, &ipc.SecurityArgs{Unit: "none"})
	want(t, "no such unit", ipc.KindOf(err), "NoSuchUnit")
	shown := do[*ipc.ShowResult](f, ipc.VerbShow, &ipc.ShowArgs{Unit: "c"}).Settings
	if !slices.ContainsFunc(shown, func(s ipc.SettingRow) bool { return s.Key == "CapabilityBoundingSet" && s.Value == "" }) {
		t.Errorf("show leaves out what is set to nothing: %v", shown)
	}
}

func TestTree(t *testing.T) {
	f := newFake(t, "", "web.sup |supervisor.strategy=\"one-for-all\"", "a.toml |service.supervisor=\"web\"", "lone.toml |")
	f.start("a")
	var out []string
	for _, r := range do[*ipc.TreeResult](f, ipc.VerbTree, &ipc.TreeArgs{}).Rows {
		out = append(out, line(r.Depth, r.Name, r.Strategy, r.State, r.PID > 0, r.Restarts, r.MaxRestarts))
	}
	want(t, "tree", strings.Join(out, "; "), "0 root one-for-one  false 0 20; 1 web one-for-all  false 0 10; 2 a.service  active true 0 0; 1 lone.service  inactive false 0 0")
	want(t, "below", len(do[*ipc.TreeResult](f, ipc.VerbTree, &ipc.TreeArgs{Root: "web"}).Rows), 2)
	f.refused("InvalidArgs", ipc.VerbTree, &ipc.TreeArgs{Root: "nobody"})
}

func TestDeps(t *testing.T) {
	f := newFake(t, "", web...)
	deps := func(a ipc.DepsArgs) string {
		var out []string
		for _, r := range do[*ipc.DepsResult](f, ipc.VerbDeps, &a).Rows {
			again := ""
			if r.Again {
				again = " again"
			}
			out = append(out, strings.Repeat(">", r.Depth)+r.Unit+" "+strings.Join(r.Relations, "+")+" "+r.Why+again)
		}
		return strings.Join(out, "; ")
	}
	want(t, "own", deps(ipc.DepsArgs{Unit: "web"}), ">db.service requires /t/web.service:3:10; >system.slice requires implicit: Slice=, systemd.resource-control(5)")
	want(t, "all", deps(ipc.DepsArgs{Unit: "extra", Depth: -1, Relations: []string{"wants", "Requires"}}),
		">system.slice requires implicit: Slice=, systemd.resource-control(5); >>-.slice requires ; >web.service wants /t/extra.service:3:7; >>db.service requires ; >>>system.slice requires  again; >>system.slice requires  again")
	want(t, "reverse", deps(ipc.DepsArgs{Unit: "db", Reverse: true, Depth: 2}), ">web.service required-by /t/web.service:3:10; >>extra.service wanted-by ")
	f.refused("InvalidArgs", ipc.VerbDeps, &ipc.DepsArgs{Unit: "web", Relations: []string{"likes"}})
}

func TestJobsAndDryRuns(t *testing.T) {
	f := newFake(t, "", append(web, "slow.service | [Service];Type=notify", "later.service |Requires=slow.service;After=slow.service")...)
	plan := func(v ipc.Verb, a ipc.JobArgs) string {
		t.Helper()
		a.DryRun = true
		var out []string
		for _, p := range do[*ipc.JobResult](f, v, &a).Plan {
			out = append(out, strings.TrimRight(fmt.Sprintf("%s %s (%s %s", p.Type, p.Unit, p.Because, p.Relation), " ")+")")
		}
		return strings.Join(out, "; ")
	}
	want(t, "start", plan(ipc.VerbStart, ipc.JobArgs{Unit: "web"}), "start system.slice (web.service requires); start db.service (web.service requires); start web.service (it was asked for)")
	want(t, "nothing was done", f.state("web.service"), "inactive")
	f.start("extra")
	want(t, "stop", plan(ipc.VerbStop, ipc.JobArgs{Unit: "db"}), "stop web.service (db.service required-by); stop db.service (it was asked for)")
	want(t, "no cascade", plan(ipc.VerbStop, ipc.JobArgs{Unit: "db", NoCascade: true}), "stop db.service (it was asked for)")
	f.refused("InvalidArgs", ipc.VerbStop, &ipc.JobArgs{Unit: "db", Mode: "never"})
	f.refused("InvalidArgs", ipc.VerbStop, &ipc.JobArgs{Unit: "db", Mode: "fail", NoCascade: true})

	r := do[*ipc.JobResult](f, ipc.VerbStop, &ipc.JobArgs{Unit: "db", NoCascade: true, Wait: true})
	want(t, "stopped", line(r.Result, r.Unit.State, f.state("web.service")), "done inactive active")
	r = do[*ipc.JobResult](f, ipc.VerbStart, &ipc.JobArgs{Unit: "db", Wait: true})
	want(t, "started", line(r.Result, r.Unit.State, r.Unit.PID > 0), "done active true")

	job := do[*ipc.JobResult](f, ipc.VerbStart, &ipc.JobArgs{Unit: "later"}).Job
	var out []string
	for _, j := range do[*ipc.JobsResult](f, ipc.VerbJobs, &ipc.JobsArgs{}).Jobs {
		out = append(out, line(j.Type, j.Unit, j.State, j.WaitsFor, j.Source))
	}
	want(t, "jobs", strings.Join(out, "; "), "start later.service waiting [slow.service] operator; start slow.service running [] dependency")
	do[any](f, ipc.VerbCancel, &ipc.CancelArgs{Job: job})
	want(t, "cancelled", do[*ipc.JobsResult](f, ipc.VerbJobs, &ipc.JobsArgs{IDs: []uint32{job}}).Jobs[0].Result, "canceled")
	do[any](f, ipc.VerbCancel, &ipc.CancelArgs{Unit: "slow"})
	want(t, "none", len(do[*ipc.JobsResult](f, ipc.VerbJobs, &ipc.JobsArgs{}).Jobs), 0)
	f.refused("NoSuchJob", ipc.VerbCancel, &ipc.CancelArgs{Unit: "slow"})
	f.refused("NoSuchJob", ipc.VerbCancel, &ipc.CancelArgs{Job: 999})
	f.refused("NoSuchJob", ipc.VerbCancel, &ipc.CancelArgs{Job: job})
	f.advance(2 * time.Minute)
	want(t, "forgotten", len(do[*ipc.JobsResult](f, ipc.VerbJobs, &ipc.JobsArgs{IDs: []uint32{job}}).Jobs), 0)
}

// Statement 13, as clients see it: two starts at once are one job.
func TestStatement13OverTheAPI(t *testing.T) {
	f := newFake(t, "", "slow.service | [Service];Type=notify")
	a := do[*ipc.JobResult](f, ipc.VerbStart, &ipc.JobArgs{Unit: "slow"}).Job
	b := do[*ipc.JobResult](f, ipc.VerbStart, &ipc.JobArgs{Unit: "slow"}).Job
	want(t, "same job", a != 0 && a == b, true)
	want(t, "one process", len(f.procs), 1)
}

func TestProtected(t *testing.T) {
	f := newFake(t, "", web...)
	f.start("guard", "web")
	e := f.refused("Protected", ipc.VerbStop, &ipc.JobArgs{Unit: "guard"})
	want(t, "hint", e.Hint, "--force stops it nevertheless")
	f.refused("Protected", ipc.VerbStop, &ipc.JobArgs{Unit: "guard", DryRun: true})
	f.refused("Protected", ipc.VerbRestart, &ipc.JobArgs{Unit: "guard"})
	do[*ipc.ManyResult](f, ipc.VerbStopAll, &ipc.ManyArgs{})
	want(t, "spared", line(f.state("guard.service"), f.state("web.service")), "active inactive")
	do[*ipc.JobResult](f, ipc.VerbStop, &ipc.JobArgs{Unit: "guard", Force: true})
	want(t, "forced", f.state("guard.service"), "inactive")
}

func TestIsolate(t *testing.T) {
	f := newFake(t, "", append(web, "bare.target |AllowIsolate=yes")...)
	f.start("guard", "web")
	f.refused("NoIsolation", ipc.VerbIsolate, &ipc.JobArgs{Unit: "web"})
	e := f.refused("Protected", ipc.VerbIsolate, &ipc.JobArgs{Unit: "bare.target"})
	want(t, "unit", e.Unit, "guard.service")
	do[*ipc.JobResult](f, ipc.VerbIsolate, &ipc.JobArgs{Unit: "default.target"})
	want(t, "isolated", line(f.state("guard.service"), f.state("web.service")), "active inactive")
	do[*ipc.JobResult](f, ipc.VerbIsolate, &ipc.JobArgs{Unit: "bare.target", Force: true})
	want(t, "forced", f.state("guard.service"), "inactive")
}

func many(r *ipc.ManyResult) string {
	var out []string
	for _, u := range r.Units {
		out = append(out, u.Unit+":"+u.Result+u.Error)
	}
	return strings.Join(out, "; ")
}

func TestMany(t *testing.T) {
	f := newFake(t, "", "a.toml |", "b.toml |service.start=\"manual\"", "on.service |", "off.service |", "guard.toml |service.protected=true")
	f.files["on.service"] = "enabled"
	want(t, "start-all dry", many(do[*ipc.ManyResult](f, ipc.VerbStartAll, &ipc.ManyArgs{DryRun: true})), "a.service:; on.service:")
	want(t, "nothing done", f.state("a.service"), "inactive")
	want(t, "start-all", many(do[*ipc.ManyResult](f, ipc.VerbStartAll, &ipc.ManyArgs{Wait: true})), "a.service:done; on.service:done")
	want(t, "named", many(do[*ipc.ManyResult](f, ipc.VerbStartAll, &ipc.ManyArgs{Units: []string{"off", "guard", "nosuch"}, Wait: true})),
		"guard.service:done; nosuch.service:there is no unit nosuch.service; off.service:done")
	want(t, "stop by pattern", many(do[*ipc.ManyResult](f, ipc.VerbStopAll, &ipc.ManyArgs{Units: []string{"o*", "guard"}, Wait: true})),
		"guard.service:guard.service is protected; use --force if you mean it; off.service:done; on.service:done")
	want(t, "stop-all", many(do[*ipc.ManyResult](f, ipc.VerbStopAll, &ipc.ManyArgs{Wait: true})), "a.service:done")
	want(t, "delete", many(do[*ipc.ManyResult](f, ipc.VerbDeleteAll, &ipc.ManyArgs{Units: []string{"a"}})), "a.service:a.service is not transient: it has files")
}

func TestKillAndFreeze(t *testing.T) {
	f := newFake(t, "", web...)
	f.refused("NoSuchProcess", ipc.VerbKill, &ipc.KillArgs{Unit: "web"})
	f.refused("UnitInactive", ipc.VerbFreeze, &ipc.UnitArgs{Unit: "web"})
	f.start("web")
	do[any](f, ipc.VerbFreeze, &ipc.UnitArgs{Unit: "web"})
	want(t, "frozen", do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "web"}).Frozen, true)
	do[any](f, ipc.VerbThaw, &ipc.UnitArgs{Unit: "web"})
	want(t, "thawed", do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "web"}).Frozen, false)
	f.refused("InvalidArgs", ipc.VerbKill, &ipc.KillArgs{Unit: "web", Signal: "SIGNONE"})
	f.refused("InvalidArgs", ipc.VerbKill, &ipc.KillArgs{Unit: "web", Whom: "him"})
	f.refused("NoSuchProcess", ipc.VerbKill, &ipc.KillArgs{Unit: "web", Whom: "control"})
	f.stubborn["web.service"] = true
	for name, n := range map[string]string{"": "15", "HUP": "1", "SIGUSR1": "10", "9": "9", "RTMIN+3": "37"} {
		f.acts = nil
		do[any](f, ipc.VerbKill, &ipc.KillArgs{Unit: "web", Signal: name, Whom: "main"})
		want(t, name, strings.Contains(fmt.Sprintf("%+v", f.acts[0]), "Signal:"+n+" Queue:false "), true)
	}
	f.acts = nil
	do[any](f, ipc.VerbKill, &ipc.KillArgs{Unit: "web", Signal: "RTMIN+3", Value: new(int32(-4))})
	want(t, "a value", strings.Contains(fmt.Sprintf("%+v", f.acts[0]), "Signal:37 Queue:true Value:-4}"), true)
	f.refused("InvalidArgs", ipc.VerbKill, &ipc.KillArgs{Unit: "web", Signal: "HUP", Value: new(int32(1))})
	do[any](f, ipc.VerbMark, &ipc.MarkArgs{Unit: "web", Add: []string{"needs-restart"}})
	want(t, "marked", strings.Join(do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web"}).Facts.Marks, " "), "needs-restart")
	f.refused("InvalidArgs", ipc.VerbMark, &ipc.MarkArgs{Unit: "web", Add: []string{"needs-nothing"}})
}

// Who holds on to a unit and dies has let go, unless somebody else holds on to it.
func TestHoldersThatDie(t *testing.T) {
	f := newFake(t, "", web...)
	known := func(unit string) (there bool) {
		if err := f.api.query(func(v core.View) { _, there = v.Graph().Lookup(unit) }); err != nil {
			t.Fatal(err)
		}
		return there
	}
	other := root
	other.PID = 600
	for _, unit := range []string{"run-1.service", "run-2.service", "run-3.service"} {
		do[*ipc.JobResult](f, ipc.VerbAdd, &ipc.AddArgs{Unit: unit, Settings: []ipc.Setting{{Section: "Service", Key: "ExecStart", Value: "/bin/true"}}})
		if _, err := f.call(root, ipc.VerbRef, &ipc.UnitArgs{Unit: unit}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.call(other, ipc.VerbRef, &ipc.UnitArgs{Unit: "run-2.service"}); err != nil {
		t.Fatal(err)
	}
	do[any](f, ipc.VerbUnref, &ipc.UnitArgs{Unit: "run-3.service"})
	f.gone[root.PID]()
	f.advance(time.Second)
	if !known("run-2.service") || known("run-1.service") || known("run-3.service") {
		t.Errorf("after the first death: run-1 %v, run-2 %v, run-3 %v", known("run-1.service"), known("run-2.service"), known("run-3.service"))
	}
	f.gone[other.PID]()
	f.advance(time.Second)
	if known("run-2.service") {
		t.Error("after the second: run-2 is there")
	}
}

// The jobs that are told to be made for a request have the types that they were made with,
// though what they go on as may be another by then.
func TestJobsAsTheyWereMade(t *testing.T) {
	f := newFake(t, "", "web.service |[Service];ExecStart=/bin/x", "part.service |[Unit];PartOf=web.service;After=web.service;[Service];ExecStart=/bin/x")
	f.start("web", "part")
	r := do[*ipc.JobResult](f, ipc.VerbRestart, &ipc.JobArgs{Unit: "web.service", Jobs: true})
	types := map[string]string{}
	for _, j := range r.Jobs {
		types[j.Unit] = j.Type
	}
	want(t, "types", line(types), "map[part.service:restart web.service:restart]")
	f.exit("web.service", 0)
	r = do[*ipc.JobResult](f, ipc.VerbRestart, &ipc.JobArgs{Unit: "web.service", Jobs: true})
	want(t, "of one that is down", r.Jobs[0].Type, "restart")
}
