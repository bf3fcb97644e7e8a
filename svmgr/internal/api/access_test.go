package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// argsOn are arguments of a verb that are about one unit wherever that is possible.
func argsOn(v ipc.Verb, name string) any {
	switch v {
	case ipc.VerbPing:
		return &ipc.PingArgs{}
	case ipc.VerbList, ipc.VerbBoot:
		return &ipc.ListArgs{All: true}
	case ipc.VerbStatus, ipc.VerbWhy, ipc.VerbFreeze, ipc.VerbThaw, ipc.VerbLoad, ipc.VerbRef, ipc.VerbUnref:
		return &ipc.UnitArgs{Unit: name}
	case ipc.VerbShow, ipc.VerbUnit:
		return &ipc.ShowArgs{Unit: name}
	case ipc.VerbSecurity:
		return &ipc.SecurityArgs{Unit: name}
	case ipc.VerbTree, ipc.VerbProcs:
		return &ipc.TreeArgs{}
	case ipc.VerbDeps:
		return &ipc.DepsArgs{Unit: name}
	case ipc.VerbJobs:
		return &ipc.JobsArgs{}
	case ipc.VerbLogs:
		return &ipc.LogsArgs{}
	case ipc.VerbStats:
		return &ipc.StatsArgs{}
	case ipc.VerbSubscribe:
		return &ipc.SubscribeArgs{}
	case ipc.VerbStartAll, ipc.VerbStopAll, ipc.VerbDeleteAll:
		return &ipc.ManyArgs{Units: []string{name}}
	case ipc.VerbCancel:
		return &ipc.CancelArgs{Unit: name}
	case ipc.VerbMount:
		return &ipc.MountArgs{Unit: name, Source: "/usr"}
	case ipc.VerbMark:
		return &ipc.MarkArgs{Unit: name}
	case ipc.VerbKill:
		return &ipc.KillArgs{Unit: name}
	case ipc.VerbAdd:
		return &ipc.AddArgs{Unit: name, Start: true}
	case ipc.VerbAttach:
		return &ipc.AttachArgs{Unit: name, PIDs: []int32{1234}}
	case ipc.VerbAbandon:
		return &ipc.UnitArgs{Unit: name}
	case ipc.VerbStored:
		return &ipc.StoredArgs{Unit: name}
	case ipc.VerbClean:
		return &ipc.CleanArgs{Unit: name}
	case ipc.VerbSetProperty:
		return &ipc.SetPropertyArgs{Unit: name, Settings: []ipc.Setting{{Section: "Unit", Key: "Description", Value: "x"}}}
	case ipc.VerbNotify:
		return &ipc.NotifyArgs{Unit: name, State: "READY=1"}
	case ipc.VerbBusName:
		return &ipc.BusNameArgs{Name: "org.x", Owned: true}
	case ipc.VerbEnvironment, ipc.VerbManager, ipc.VerbBootHealth:
		return &ipc.NoArgs{}
	case ipc.VerbSetManager:
		return &ipc.ManagerArgs{}
	case ipc.VerbSetEnviron:
		return &ipc.EnvironmentArgs{Set: []string{"A=b"}}
	case ipc.VerbDaemonReload:
		return &ipc.ReloadArgs{}
	case ipc.VerbBootMark:
		return &ipc.BootMarkArgs{Verdict: "good"}
	case ipc.VerbRollback:
		return &ipc.RollbackArgs{}
	case ipc.VerbShutdown:
		return &ipc.ShutdownArgs{Kind: "poweroff"}
	case ipc.VerbDebugState, ipc.VerbDynamicUsers:
		return &ipc.Page{}
	case ipc.VerbDiscover, ipc.VerbUnsubscribe, ipc.VerbReexec:
		return &ipc.NoArgs{}
	}
	return &ipc.JobArgs{Unit: name}
}

// served are the verbs that the server answers by itself.
var served = map[ipc.Verb]bool{ipc.VerbDiscover: true, ipc.VerbUnsubscribe: true}

func (f *fake) fingerprint() string {
	s := ""
	f.Query(func(c *core.Core) { s = string(c.Snapshot()) })
	return s + strings.Join(f.calls, "|") + fmt.Sprint(f.gen)
}

// Statement 25: no verb bypasses the check. Every verb of the protocol is asked
// about a unit that may not even be seen: nothing happens, nothing is told, and
// what names the unit is logged.
func TestStatement25NoVerbBypassesTheCheck(t *testing.T) {
	const hidden = "[[rule]]\neffect=\"deny\"\nservices=[\"secret*\"]\nrights=[\"query\"]\n"
	for _, v := range ipc.Verbs() {
		if served[v] {
			continue
		}
		t.Run(string(v), func(t *testing.T) {
			f := newFake(t, hidden, append(web, "secret.toml |", "secret.socket |[Socket];ListenStream=/s",
				"open.service |Wants=secret.service;After=secret.service", "sneaky.service |[Install];Alias=x.service")...)
			f.lines = []ipc.LogLine{{Cursor: "1", Unit: "secret.service", Text: "secret"}}
			f.start("secret", "open")
			before := f.fingerprint()
			f.logs.Reset()
			r, err := f.call(alice, v, argsOn(v, "secret"))
			if v == ipc.VerbSubscribe {
				resp, _ := f.api.Handle(t.Context(), alice, ipc.Request{Verb: v, Args: argsOn(v, "")})
				if resp.Visible == nil || resp.Visible("secret.service") || !resp.Visible("web.service") {
					t.Error("events of the hidden unit are visible")
				}
			}
			told, _ := json.Marshal(r)
			if strings.Contains(string(told), "secret.so") || strings.Contains(strings.ReplaceAll(string(told), "secret.service", "secret"), `"text":"secret"`) {
				t.Errorf("it tells of the hidden unit: %s", told)
			}
			if err == nil && strings.Contains(string(told), "secret") && !strings.Contains(string(told), "may not") {
				t.Errorf("it tells of the hidden unit: %s", told)
			}
			if f.fingerprint() != before {
				t.Error("something was done")
			}
			switch v {
			case ipc.VerbPing, ipc.VerbList, ipc.VerbTree, ipc.VerbJobs, ipc.VerbLogs, ipc.VerbStats, ipc.VerbProcs, ipc.VerbBoot, ipc.VerbSubscribe, ipc.VerbEnvironment, ipc.VerbManager, ipc.VerbDynamicUsers, ipc.VerbBootHealth: // no units in it
				if err != nil {
					t.Errorf("filtered, not refused: %v", err)
				}
				return
			case ipc.VerbStartAll, ipc.VerbStopAll, ipc.VerbDeleteAll:
				if u := r.(*ipc.ManyResult).Units[0]; u.Job != 0 || !strings.Contains(u.Error, "may not") {
					t.Errorf("row %+v", u)
				}
			default:
				if ipc.KindOf(err) != "AccessDenied" {
					t.Errorf("error %v", err)
				}
			}
			log := f.logs.String()
			for _, word := range []string{"uid=1000", "verb=" + string(v), "target="} {
				if !strings.Contains(log, word) {
					t.Errorf("the log lacks %s: %s", word, log)
				}
			}
		})
	}
}

// Whoever may only look cannot change anything, with no verb.
func TestDefaultRulesLetUsersOnlyLook(t *testing.T) {
	for _, v := range ipc.Verbs() {
		if served[v] {
			continue
		}
		f := newFake(t, "", web...)
		f.start("web")
		before := f.fingerprint()
		_, err := f.call(alice, v, argsOn(v, "web"))
		looks := len(v.Rights()) == 0 || len(v.Rights()) == 1 && v.Rights()[0] == ipc.RightQuery
		switch v {
		case ipc.VerbStartAll, ipc.VerbStopAll, ipc.VerbDeleteAll: // rows say no
		default:
			if looks != (err == nil) {
				t.Errorf("%s: %v", v, err)
			}
		}
		if f.fingerprint() != before {
			t.Errorf("%s changed something", v)
		}
	}
}

// Every verb of the protocol is served or answered by the server.
func TestEveryVerbIsServed(t *testing.T) {
	for _, v := range ipc.Verbs() {
		if _, ok := table[v]; ok == served[v] {
			t.Errorf("%s: in the table %v, served by the server %v", v, ok, served[v])
		}
	}
	f := newFake(t, "")
	f.refused("NoSuchVerb", "dance", &ipc.NoArgs{})
}

func TestGrants(t *testing.T) {
	f := newFake(t, "[[rule]]\nusers=[1000]\nservices=[\"web\", \"tty@*\"]\nrights=[\"start\",\"stop\"]\n[[rule]]\ngroups=[50]\nservices=[\"db\"]\nrights=[\"reload\",\"stop\"]\n", append(web, "friend.service |[Install];Alias=webb.service")...)
	f.disk["tty@1.service"] = "tty@1.service |"
	ask := func(v ipc.Verb, name string) string {
		_, err := f.call(alice, v, argsOn(v, name))
		return ipc.KindOf(err)
	}
	want(t, "granted", ask(ipc.VerbStart, "web"), "")
	want(t, "started", f.state("web.service"), "active")
	want(t, "its dependency too", f.state("db.service"), "active")
	want(t, "an instance", ask(ipc.VerbStart, "tty@1"), "")
	want(t, "another one", ask(ipc.VerbStart, "extra"), "AccessDenied")
	want(t, "needs both rights", ask(ipc.VerbRestart, "db"), "AccessDenied")
	want(t, "by group", ask(ipc.VerbStop, "db"), "")
	want(t, "not the system", ask(ipc.VerbIsolate, "web"), "AccessDenied")
	for _, mode := range []string{"isolate", "flush", "replace-irreversibly"} {
		_, err := f.call(alice, ipc.VerbStart, &ipc.JobArgs{Unit: "web", Mode: mode})
		want(t, mode, ipc.KindOf(err), "AccessDenied")
	}
	r, err := f.call(alice, ipc.VerbStopAll, &ipc.ManyArgs{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "stop-all stops what may be stopped", many(r.(*ipc.ManyResult)), "tty@1.service:")
	// A job belongs to its unit.
	slow := newFake(t, "", "slow.service |[Service];Type=notify")
	slow.start("slow")
	id := do[*ipc.JobsResult](slow, ipc.VerbJobs, &ipc.JobsArgs{}).Jobs[0].ID
	_, err = slow.call(alice, ipc.VerbCancel, &ipc.CancelArgs{Job: id})
	want(t, "cancel", ipc.KindOf(err), "AccessDenied")
}

// An alias is no way around a rule, before and after the unit is loaded.
func TestAliasesDoNotBypass(t *testing.T) {
	rules := "[[rule]]\nusers=[1000]\nservices=[\"www\"]\nrights=[\"start\"]\n"
	f := newFake(t, rules)
	f.disk["real.service"] = "real.service |"
	f.disk["www.service"] = "real.service |" // the loader resolves the alias
	_, err := f.call(alice, ipc.VerbStart, &ipc.JobArgs{Unit: "www"})
	if err == nil && f.state("real.service") == "active" {
		t.Error("a right on a name was a right on another unit")
	}
}

func TestRulesAreReloaded(t *testing.T) {
	f := newFake(t, "", web...)
	resp, _ := f.api.Handle(t.Context(), alice, ipc.Request{Verb: ipc.VerbSubscribe, Args: &ipc.SubscribeArgs{}})
	want(t, "before", resp.Visible("web.service"), true)
	f.setRules("[[rule]]\neffect=\"deny\"\nusers=[1000]\nrights=[\"query\"]\n")
	want(t, "after, the same subscription", resp.Visible("web.service"), false)
	r, err := f.call(alice, ipc.VerbList, &ipc.ListArgs{All: true})
	if err != nil || len(r.(*ipc.ListResult).Units) != 0 {
		t.Errorf("%+v %v", r, err)
	}
	f.api.access.File = writeRules(t, "[[rules]]")
	if len(f.api.ReloadAccess()) == 0 {
		t.Error("no finding")
	}
	want(t, "a broken file changes nothing", resp.Visible("web.service"), false)
	owner := alice
	f.api.access.Owner = 1000
	if _, err := f.call(owner, ipc.VerbStart, &ipc.JobArgs{Unit: "web"}); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

// A hint must not give away what the caller may not see, nor a cause.
func TestHintsHideWhatMayNotBeSeen(t *testing.T) {
	f := newFake(t, "[[rule]]\neffect=\"deny\"\nservices=[\"secret\"]\nrights=[\"query\"]\n", "secret.service |[Service];Type=notify", "open.service |Requires=secret.service;After=secret.service")
	_, err := f.call(alice, ipc.VerbStatus, &ipc.UnitArgs{Unit: "secre"})
	if e := err.(*ipc.Error); strings.Contains(e.Hint, "secret") {
		t.Error(e.Hint)
	}
	f.start("open")
	check := func() {
		t.Helper()
		for _, v := range []ipc.Verb{ipc.VerbWhy, ipc.VerbStatus, ipc.VerbDeps, ipc.VerbList, ipc.VerbJobs} {
			r, err := f.call(alice, v, argsOn(v, "open"))
			if text, _ := json.Marshal(r); err != nil || strings.Contains(string(text), "secret") {
				t.Errorf("%s: %s %v", v, text, err)
			}
		}
	}
	check()
	f.exit("secret.service", 1)
	check()
	e := ipc.Event{}
	f.api.PublishTo(func(x ipc.Event) {
		if x.Unit == "open.service" {
			e = x
		}
	})
	f.start("open")
	f.exit("secret.service", 1)
	if text, _ := json.Marshal(e); e.Cause == nil || strings.Contains(string(text), "secret") {
		t.Errorf("event %s", text)
	}
}
