package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func reload(r *ipc.ReloadResult) string {
	return line(r.Generation, r.Applied, "+", r.Added, "-", r.Removed, "~", r.Changed, "!", r.Restart, "x", r.Evicted)
}

func TestDaemonReload(t *testing.T) {
	f := newFake(t, "", web...)
	f.start("web", "extra")
	want(t, "nothing new", reload(do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{DryRun: true})), "7 false + [] - [] ~ [] ! [] x []")
	f.disk["new.service"] = "new.service |"
	f.disk["web.service"] = "web.service |Description=Another web"
	f.disk["alias.service"] = "alias.service |Description=Changed at rest"
	delete(f.disk, "extra.service")
	const diff = "+ [new.service] - [extra.service] ~ [alias.service] ! [web.service] x "
	want(t, "dry", reload(do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{DryRun: true, Evict: true})), "7 false "+diff+"[extra.service]")
	want(t, "nothing was done", f.state("new.service")+f.state("extra.service"), "active")
	var events []string
	f.api.PublishTo(func(e ipc.Event) { events = append(events, e.Kind) })
	want(t, "applied", reload(do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{})), "8 true "+diff+"[]")
	want(t, "told", events[len(events)-1], ipc.EventReloaded)
	s := do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "web"})
	want(t, "the running one wants a restart", line(s.Description, s.NeedsRestart), "Another web true")
	s = do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "extra"})
	want(t, "the one without a file runs on", line(s.State, s.NeedsReload, s.Warnings), "active true [its file is gone: it runs until it is stopped]")
	do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{Evict: true})
	want(t, "evicted", f.state("extra.service"), "inactive")

	f.former = []*Generation{{Set: buildSet(t, web)}}
	want(t, "rollback", reload(do[*ipc.ReloadResult](f, ipc.VerbRollback, &ipc.RollbackArgs{})), "10 true + [] - [new.service] ~ [alias.service web.service] ! [] x []")
	f.former = []*Generation{{Rejected: true, Diags: []diag.Diag{{Severity: diag.Error, Message: "bad line"}}}}
	e := f.refused("ReloadRejected", ipc.VerbRollback, &ipc.RollbackArgs{})
	want(t, "text", line(e.Text, len(e.Diags)), "the new configuration is invalid; nothing was changed: bad line 1")
	f.refuse = Unsupported("reading files")
	f.refused("NotSupported", ipc.VerbDaemonReload, &ipc.ReloadArgs{})
}

// A unit whose limits are new needs no restart for them, as systemd has it (the core puts
// them into force); one with other changes is shown as it was started until it is.
func TestLimitsAreReloaded(t *testing.T) {
	f := newFake(t, "", web...)
	f.disk["web.service"] = "web.service |Description=A web server;[Service];CPUWeight=50"
	do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{})
	f.start("web", "extra")
	weight := func() string {
		for _, s := range do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service"}).Settings {
			if s.Key == "CPUWeight" {
				return s.Value
			}
		}
		return "none"
	}
	want(t, "at first", weight(), "50")
	f.disk["web.service"] = "web.service |Description=A web server"
	want(t, "taken back", reload(do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{})), "9 true + [] - [] ~ [web.service] ! [] x []")
	want(t, "it runs without", weight(), "none")
	want(t, "no restart is wanted", line(do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "web"}).NeedsRestart), "false")
	f.disk["web.service"] = "web.service |Description=A web server;[Service];Environment=A=b;CPUWeight=70"
	want(t, "with more", reload(do[*ipc.ReloadResult](f, ipc.VerbDaemonReload, &ipc.ReloadArgs{})), "10 true + [] - [] ~ [] ! [web.service] x []")
	want(t, "it runs as before", weight(), "none")
}

func TestTransientUnits(t *testing.T) {
	f := newFake(t, "", web...)
	set := []ipc.Setting{{Section: "Unit", Key: "Description", Value: "mine"}}
	add := func(name string, a ipc.AddArgs) *ipc.JobResult {
		t.Helper()
		a.Unit, a.Settings = name, set
		return do[*ipc.JobResult](f, ipc.VerbAdd, &a)
	}
	want(t, "started", add("run-1", ipc.AddArgs{Start: true, Wait: true}).Result, "done")
	want(t, "there", do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "run-1"}).Description, "mine")
	f.refused("Refused", ipc.VerbAdd, &ipc.AddArgs{Unit: "run-1", Settings: set})
	f.refused("Refused", ipc.VerbAdd, &ipc.AddArgs{Unit: "web", Settings: set})
	bad := f.refused("BadUnitSetting", ipc.VerbAdd, &ipc.AddArgs{Unit: "run-2", Settings: []ipc.Setting{{Section: "Unit", Key: "Description", Value: "bad"}}})
	want(t, "why", line(bad.Text, len(bad.Diags)), "run-2.service: it is bad 1")
	f.refused("Refused", ipc.VerbRemove, &ipc.JobArgs{Unit: "web"})
	do[*ipc.JobResult](f, ipc.VerbRemove, &ipc.JobArgs{Unit: "run-1", Wait: true})
	want(t, "gone", f.state("run-1.service"), "")
	add("run-3", ipc.AddArgs{Start: true})
	f.exit("run-3.service", 1)
	want(t, "a failed one stays", f.state("run-3.service"), "failed")
	add("run-4", ipc.AddArgs{Start: true})
	want(t, "delete-all", many(do[*ipc.ManyResult](f, ipc.VerbDeleteAll, &ipc.ManyArgs{Wait: true})), "run-3.service:done; run-4.service:done")
	want(t, "all gone", f.state("run-3.service")+f.state("run-4.service"), "")
}

// A request makes all of its units or none, whatever is wrong with one of them, and
// what was never made does not exist.
func TestAddIsAllOrNothing(t *testing.T) {
	good := []ipc.Setting{{Section: "Unit", Key: "Description", Value: "mine"}}
	bad := []ipc.Setting{{Section: "Unit", Key: "Description", Value: "bad"}}
	timer := []ipc.Setting{{Section: "Timer", Key: "OnActiveSec", Value: "1h"}}
	for _, x := range []struct {
		what, kind string
		args       ipc.AddArgs
	}{
		{"a bad service of a timer", "BadUnitSetting", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "t.service", Settings: bad}}, Start: true, Wait: true}},
		{"a bad second one", "BadUnitSetting", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "t", Settings: good}, {Unit: "u", Settings: bad}}, Start: true}},
		{"a name that is taken", "Refused", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "web", Settings: good}}}},
		{"a name that has a file", "Refused", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "file", Settings: good}}}},
		{"twice the same", "InvalidArgs", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "t.timer", Settings: timer}}}},
		{"no name", "InvalidArgs", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "", Settings: good}}}},
		{"a scope on the side", "InvalidArgs", ipc.AddArgs{Unit: "t.timer", Settings: timer, Aux: []ipc.AddedUnit{{Unit: "t.scope"}}}},
		{"processes for a service", "InvalidArgs", ipc.AddArgs{Unit: "t.service", Settings: good, PIDs: []int32{77}, Start: true}},
		{"a scope of nothing", "InvalidArgs", ipc.AddArgs{Unit: "t.scope", Settings: good, Start: true}},
		{"processes that wait for nothing", "InvalidArgs", ipc.AddArgs{Unit: "t.scope", Settings: good, PIDs: []int32{77}}},
		{"a process that is not there", "NoSuchProcess", ipc.AddArgs{Unit: "t.scope", Settings: good, PIDs: []int32{77, 10000}, Start: true, Wait: true,
			Aux: []ipc.AddedUnit{{Unit: "t.slice", Settings: good}}}},
		{"a start that is refused", "NoSuchUnit", ipc.AddArgs{Unit: "t.service", Settings: append(slices.Clone(good), ipc.Setting{Section: "Unit", Key: "Requires", Value: "nothing.service"}),
			Aux: []ipc.AddedUnit{{Unit: "u.service", Settings: good}}, Start: true, Wait: true}},
		{"and at once", "NoSuchUnit", ipc.AddArgs{Unit: "t.service", Settings: append(slices.Clone(good), ipc.Setting{Section: "Unit", Key: "Requires", Value: "nothing.service"}), Start: true}},
	} {
		f := newFake(t, "", web...)
		f.disk["file.service"] = "file.service |"
		_, err := f.call(root, ipc.VerbAdd, &x.args)
		if kind := ipc.KindOf(err); kind != x.kind {
			t.Errorf("%s: %v (%s), want %s", x.what, err, kind, x.kind)
		}
		for _, name := range []string{"t.timer", "t.service", "u.service", "t.scope", "t.slice", "never.service"} {
			for _, v := range []ipc.Verb{ipc.VerbStatus, ipc.VerbLoad, ipc.VerbStatus} {
				if _, err := f.call(root, v, &ipc.UnitArgs{Unit: name}); ipc.KindOf(err) != "NoSuchUnit" {
					t.Errorf("%s: %s %s: %v", x.what, v, name, err)
				}
			}
			want(t, x.what+": "+name, f.state(name), "")
		}
	}
}

func TestScopes(t *testing.T) {
	f := newFake(t, "", web...)
	res := do[*ipc.JobResult](f, ipc.VerbAdd, &ipc.AddArgs{Unit: "s.scope", PIDs: []int32{77, 78}, Start: true, Wait: true})
	want(t, "started", res.Result, "done")
	f.refused("UnitInactive", ipc.VerbAttach, &ipc.AttachArgs{Unit: "db", PIDs: []int32{79}})
	f.refused("NoSuchUnit", ipc.VerbAttach, &ipc.AttachArgs{Unit: "never", PIDs: []int32{79}})
	f.refused("InvalidArgs", ipc.VerbAttach, &ipc.AttachArgs{Unit: "s.scope"})
	f.refused("Refused", ipc.VerbAttach, &ipc.AttachArgs{Unit: "s.scope", PIDs: []int32{79}, Subgroup: "a"})
	do[any](f, ipc.VerbAttach, &ipc.AttachArgs{Unit: "s.scope", PIDs: []int32{79}})
	f.refused("JobTypeNotApplicable", ipc.VerbAbandon, &ipc.UnitArgs{Unit: "web"})
	sub := func() string { return do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "s.scope"}).Sub }
	want(t, "sub", sub(), "running")
	do[any](f, ipc.VerbAbandon, &ipc.UnitArgs{Unit: "s.scope"})
	do[any](f, ipc.VerbAbandon, &ipc.UnitArgs{Unit: "s.scope"})
	want(t, "sub", sub(), "abandoned")
	want(t, "state", f.state("s.scope"), "active")
	want(t, "calls", f.calls, `[hold s.scope [77 78] attach s.scope "" [79]]`)
	var inc core.RunID
	f.Query(func(c *core.Core) { u, _ := c.View().Unit("s.scope"); inc = u.Incarnation })
	f.Post(core.CgroupEmpty{Unit: "s.scope", Incarnation: inc})
	f.refused("NoSuchUnit", ipc.VerbStatus, &ipc.UnitArgs{Unit: "s.scope"})
}

func TestSetProperty(t *testing.T) {
	f := newFake(t, "", web...)
	set := &ipc.SetPropertyArgs{Unit: "extra", Settings: []ipc.Setting{{Section: "Unit", Key: "Description", Value: "new"}}}
	do[any](f, ipc.VerbSetProperty, set)
	want(t, "in force", do[*ipc.Status](f, ipc.VerbStatus, &ipc.UnitArgs{Unit: "extra"}).Description, "new")
	f.refused("InvalidArgs", ipc.VerbSetProperty, &ipc.SetPropertyArgs{Unit: "extra"})
	set.Unit = "nosuch"
	f.refused("NoSuchUnit", ipc.VerbSetProperty, set)
	set.Unit, f.refuse = "extra", Unsupported("writing drop-ins")
	want(t, "what is missing", f.refused("NotSupported", ipc.VerbSetProperty, set).Text, "writing drop-ins")
}

func TestSystemVerbs(t *testing.T) {
	f := newFake(t, "", web...)
	ping := func() string {
		p := do[*ipc.PingResult](f, ipc.VerbPing, &ipc.PingArgs{})
		return line(p.Program, p.Mode, p.PID, p.Generation, p.State)
	}
	want(t, "ping", ping(), "dynamod-svmgr container 42 7 starting")
	f.Post(core.Request{Verb: core.VerbStart, Unit: "default.target", Source: core.SourceBoot, ID: 99})
	want(t, "booted", ping(), "dynamod-svmgr container 42 7 running")
	do[any](f, ipc.VerbNotify, &ipc.NotifyArgs{Unit: "web", State: "READY=1"})
	do[any](f, ipc.VerbReexec, &ipc.NoArgs{})
	f.refused("InvalidArgs", ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: "explode"})
	f.refused("InvalidArgs", ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: "poweroff", ExitCode: new(1)})
	f.refused("InvalidArgs", ipc.VerbBusName, &ipc.BusNameArgs{})
	f.refuse = Unsupported("kexec needs a kernel")
	f.refused("NotSupported", ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: "kexec"})
	want(t, "still up", ping(), "dynamod-svmgr container 42 7 running")
	f.refuse = nil
	text := do[*ipc.DebugResult](f, ipc.VerbDebugState, &ipc.Page{}).Text
	want(t, "debug", strings.HasPrefix(text, "{\n"), true)
	rest := do[*ipc.DebugResult](f, ipc.VerbDebugState, &ipc.Page{After: "10"}).Text
	want(t, "its next page", rest == text[10:], true)
	do[any](f, ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: "exit", ExitCode: new(3)})
	want(t, "down", ping(), "dynamod-svmgr container 42 7 stopping")
	f.refused("ShuttingDown", ipc.VerbStart, &ipc.JobArgs{Unit: "web"})
	want(t, "calls", strings.Join(f.calls, "; "), "notify web.service 500 READY=1; reexec; shutdown kexec force false exit code its own; shutdown exit force false exit code 3")
}

func TestDBusServiceIsReadyByItsName(t *testing.T) {
	f := newFake(t, "", "bus.service |[Service];Type=dbus;BusName=org.example.Bus")
	f.start("bus")
	want(t, "waits", f.state("bus.service"), "starting")
	do[any](f, ipc.VerbBusName, &ipc.BusNameArgs{Name: "org.example.Bus", Owned: true})
	want(t, "ready", f.state("bus.service"), "active")
	do[any](f, ipc.VerbBusName, &ipc.BusNameArgs{Name: "org.example.Bus"})
	want(t, "lost", f.state("bus.service") != "active", true)
}

func TestBoot(t *testing.T) {
	f := newFake(t, "", "a.service |", "b.service |After=a.service;[Service];Type=notify", "default.target |Wants=a.service b.service;After=a.service b.service")
	f.Post(core.Request{Verb: core.VerbStart, Unit: "default.target", Source: core.SourceBoot, ID: 99})
	f.advance(5e9)
	f.mu.Lock()
	for _, r := range f.runs("b.service") {
		f.step(core.Notified{Unit: "b.service", Incarnation: f.procs[r].Incarnation, Run: r, Notification: core.Notification{Ready: true}})
	}
	f.mu.Unlock()
	b := do[*ipc.BootResult](f, ipc.VerbBoot, &ipc.ListArgs{Types: []string{"service", "target"}})
	var out []string
	for _, u := range b.Units {
		out = append(out, line(u.Unit, (u.Active-u.Activating)/1e6, "after", u.After))
	}
	want(t, "blame", strings.Join(out, "; "), "b.service 5 after a.service; a.service 0 after system.slice; default.target 0 after b.service")
	want(t, "finished", line(b.Manager/1e6, b.Finished/1e6), "90 105")
	// As after a re-execution: this process came when the boot was over.
	f.api.finished.Store(0)
	f.began = 80 * time.Second
	b = do[*ipc.BootResult](f, ipc.VerbBoot, &ipc.ListArgs{Types: []string{"service"}})
	want(t, "from before", line(b.Manager/1e6, b.Finished/1e6), "80 105")
}

func TestStatsProcsLogs(t *testing.T) {
	f := newFake(t, "", append(web, "a.toml |service.supervisor=\"web\"", "web.sup |")...)
	f.start("web", "a")
	var out []string
	for _, s := range do[*ipc.StatsResult](f, ipc.VerbStats, &ipc.StatsArgs{}).Units {
		out = append(out, line(s.Unit, s.Memory, s.PID > 0))
	}
	want(t, "stats", strings.Join(out, "; "), "a.service 9 true; db.service 10 true; web.service 11 true")
	want(t, "one", len(do[*ipc.StatsResult](f, ipc.VerbStats, &ipc.StatsArgs{Units: []string{"extra"}}).Units), 1)
	want(t, "paged", do[*ipc.StatsResult](f, ipc.VerbStats, &ipc.StatsArgs{Page: ipc.Page{After: "db.service"}}).Units[0].Unit, "web.service")
	want(t, "procs", len(do[*ipc.ProcsResult](f, ipc.VerbProcs, &ipc.TreeArgs{}).Units), 3)
	want(t, "of a supervisor", do[*ipc.ProcsResult](f, ipc.VerbProcs, &ipc.TreeArgs{Root: "db"}).Units[0].Unit, "db.service")
	f.refused("NoSuchUnit", ipc.VerbProcs, &ipc.TreeArgs{Root: "nosuch"})
	for k := range ipc.MaxRows + 5 {
		f.lines = append(f.lines, ipc.LogLine{Cursor: fmt.Sprint(k + 1), Unit: []string{"web.service", ""}[k%2], Priority: 3 + k%2, Text: fmt.Sprint(k)})
	}
	page := do[*ipc.LogsResult](f, ipc.VerbLogs, &ipc.LogsArgs{})
	want(t, "first page", line(len(page.Lines), page.Next), "1024 1024")
	want(t, "second", line(len(do[*ipc.LogsResult](f, ipc.VerbLogs, &ipc.LogsArgs{Page: ipc.Page{After: page.Next}}).Lines)), "5")
	page = do[*ipc.LogsResult](f, ipc.VerbLogs, &ipc.LogsArgs{Units: []string{"web"}, Lines: 2})
	want(t, "newest", line(page.Lines[0].Text, page.Lines[1].Text, page.Next), "1026 1028 ")
	want(t, "urgent", len(do[*ipc.LogsResult](f, ipc.VerbLogs, &ipc.LogsArgs{Priority: 2}).Lines), 0)
	f.refused("InvalidArgs", ipc.VerbLogs, &ipc.LogsArgs{Priority: 9})
}

func TestEvents(t *testing.T) {
	f := newFake(t, "", "crash.service |FailureAction=reboot;[Service];Restart=no", "default.target |")
	var out []string
	f.api.PublishTo(func(e ipc.Event) {
		x := line(e.Kind, e.Unit, e.State, e.Active, e.Sub, e.Text, e.JobType, e.Result)
		if e.Cause != nil && e.Cause.Kind != "request" {
			x += " " + e.Cause.Sentence
		}
		out = append(out, strings.Join(strings.Fields(x), " "))
	})
	f.start("crash")
	f.exit("crash.service", 2)
	f.api.ShutdownBegan(core.Reboot)
	x, _ := unit.Build(unit.Source{Name: "x.service", Files: []unit.File{{Fragments: []unit.Fragment{{Section: "Service", Key: "BusName", Text: "org.x"}}}}})
	f.api.Published(core.Time{}, core.Watch{Unit: x, What: core.WatchBusName})
	f.api.Published(core.Time{}, core.Unwatch{Unit: "y.service", What: core.WatchBusName})
	all := strings.Join(out, "\n")
	for _, w := range []string{"job-new crash.service start", "unit crash.service starting activating start", "unit crash.service active active running",
		"job-done crash.service start done", "unit crash.service failed failed failed the main process exited with code 2; its restart policy is no. look at its log: dynamodctl logs crash.service",
		"degraded crash.service reboot the main process", "shutdown reboot", "bus-name x.service org.x wanted",
		"bus-name y.service no longer wanted"} {
		if !strings.Contains(all, w) {
			t.Errorf("no event %q in\n%s", w, all)
		}
	}
	f.Post(core.Request{Verb: core.VerbStart, Unit: "default.target", Source: core.SourceBoot, ID: 99})
	want(t, "started", strings.Contains(strings.Join(out, "\n"), "\nstarted"), true)
}

// A request that waits ends with its client, and a waiter learns how its job ended.
func TestWaiting(t *testing.T) {
	f := newFake(t, "", "slow.service |[Service];Type=notify;Restart=no")
	args := &ipc.JobArgs{Unit: "slow", Wait: true}
	one, _ := f.api.Handle(t.Context(), root, ipc.Request{Verb: ipc.VerbStart, Args: args})
	two, _ := f.api.Handle(t.Context(), root, ipc.Request{Verb: ipc.VerbStart, Args: args})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := one.Later(gone); err != context.Canceled {
		t.Errorf("a client that hung up: %v", err)
	}
	f.exit("slow.service", 1)
	r, err := two.Later(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "result", line(r.(*ipc.JobResult).Result, r.(*ipc.JobResult).Unit.State), "failed failed")
}
