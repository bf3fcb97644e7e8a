// Package fake is a manager for tests: the real server of internal/ipc with a
// small world of units behind it that answers every verb the same way each time.
// It runs nothing. Nothing that is shipped imports it.
package fake

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"dynamod/internal/ipc"
)

// Now is the time in this world: Fri 2026-11-20 12:00:00 UTC.
const Now = 1795176000_000000

// At is a moment some seconds before Now.
func At(seconds int64) ipc.Stamp {
	return ipc.Stamp{Wall: Now - seconds*1e6, Mono: 1e12 - seconds*1e6}
}

// Manager is the fake.
type Manager struct {
	mu     sync.Mutex
	server *ipc.Server
	next   uint32
	jobs   map[uint32]ipc.Job
	asked  []string
	ticks  int64
}

// Listen starts a manager on a socket.
func Listen(socket string) (*Manager, error) {
	m := &Manager{next: 6, jobs: map[uint32]ipc.Job{}}
	m.server = ipc.NewServer(m, nil)
	l, err := ipc.Listen(socket, 0o600)
	if err != nil {
		return nil, err
	}
	go m.server.Serve(l) // ends with Close
	return m, nil
}

// Close ends the manager.
func (m *Manager) Close() { m.present().Close() }

func (m *Manager) present() *ipc.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.server
}

// reexec hands the socket over to another server, as a new program would take it.
func (m *Manager) reexec() error {
	next := ipc.NewServer(m, nil)
	m.mu.Lock()
	former := m.server
	m.server = next
	m.mu.Unlock()
	go func() { // ends with Close
		files, err := former.HandOver()
		if err != nil {
			panic(err)
		}
		l, err := ipc.TakeOver(files[0])
		if err != nil {
			panic(err)
		}
		next.Serve(l)
	}()
	return nil
}

// Asked are the requests so far, as "verb argument".
func (m *Manager) Asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

// Publish sends an event.
func (m *Manager) Publish(e ipc.Event) { m.present().Publish(e) }

// Finish ends a job.
func (m *Manager) Finish(id uint32, result string) {
	m.mu.Lock()
	j := m.jobs[id]
	j.State, j.Result = "ended", result
	m.jobs[id] = j
	m.mu.Unlock()
	m.present().Publish(ipc.Event{Kind: ipc.EventJobDone, At: At(0), Unit: j.Unit, Job: id, JobType: j.Type, Result: result})
}

// Hostile is a description that tries to clear the screen, set the title of the
// terminal, and reverse the direction of writing.
const Hostile = "evil \x1b[2J\x1b]0;owned\x07 \u202etxt.exe \xff end"

// Units is the world.
func Units() []ipc.Unit {
	return []ipc.Unit{
		{Name: "app.service", Description: "Application", Type: "service", State: "blocked", Active: "inactive", Sub: "dead", Load: "loaded",
			Since: At(130), Cause: "dependency-failed", Supervisor: "root"},
		{Name: "db.service", Description: "Database", Type: "service", State: "failed", Active: "failed", Sub: "failed", Load: "loaded",
			Since: At(135), Restarts: 5, Cause: "exit-code", Supervisor: "storage"},
		{Name: "evil.service", Description: Hostile, Type: "service", State: "active", Active: "active", Sub: "running", Load: "loaded",
			PID: 666, Since: At(3600), Supervisor: "root"},
		{Name: "slow.service", Description: "Takes its time", Type: "service", State: "starting", Active: "activating", Sub: "start", Load: "loaded",
			PID: 77, Since: At(42), Job: 5, JobType: "start", Supervisor: "root"},
		{Name: "tidy.timer", Description: "Tidies up daily", Type: "timer", State: "active", Active: "active", Sub: "waiting", Load: "loaded", Since: At(90000)},
		{Name: "web.service", Description: "Web server", Type: "service", State: "active", Active: "active", Sub: "running", Load: "loaded",
			PID: 1234, Since: At(3723), Supervisor: "root"},
	}
}

var idle = ipc.Unit{Name: "idle.service", Description: "Does nothing", Type: "service", State: "inactive", Active: "inactive", Sub: "dead", Load: "loaded"}

func full(name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	return name + ".service"
}

func find(name string) (*ipc.Unit, error) {
	for _, u := range append(Units(), idle) {
		if u.Name == full(name) {
			return &u, nil
		}
	}
	switch full(name) {
	case "secret.service":
		return nil, ipc.Errorf("AccessDenied", "user 1000 may not do this to secret.service").WithUnit("secret.service")
	case "busy.service":
		return nil, ipc.Errorf("Busy", "busy.service is being stopped").WithUnit("busy.service")
	}
	e := ipc.Errorf("NoSuchUnit", "there is no unit %s", full(name)).WithUnit(full(name))
	if strings.HasPrefix(name, "we") {
		return nil, e.WithHint("did you mean web.service?")
	}
	return nil, e
}

// Handle answers.
func (m *Manager) Handle(_ context.Context, _ ipc.Peer, req ipc.Request) (ipc.Response, error) {
	m.mu.Lock()
	m.asked = append(m.asked, strings.TrimSpace(fmt.Sprintf("%s %+v", req.Verb, deref(req.Args))))
	m.mu.Unlock()
	r, err := m.answer(req)
	return ipc.Response{Result: r}, err
}

func (m *Manager) answer(req ipc.Request) (any, error) {
	switch a := req.Args.(type) {
	case *ipc.PingArgs:
		return &ipc.PingResult{Program: "dynamod-svmgr", Version: "1.0", PID: 2, Mode: "system", State: "degraded", Generation: 3, Started: At(7200)}, nil
	case *ipc.ListArgs:
		if req.Verb == ipc.VerbBoot {
			return boot(), nil
		}
		return list(a)
	case *ipc.UnitArgs:
		return about(req.Verb, a)
	case *ipc.JobArgs:
		return m.job(req.Verb, a)
	case *ipc.JobsArgs:
		return m.list(a)
	case *ipc.ManyArgs:
		return many(req.Verb, a)
	case *ipc.KillArgs:
		_, err := find(a.Unit)
		if err == nil && full(a.Unit) == "idle.service" {
			err = ipc.Errorf("NoSuchProcess", "idle.service has no process")
		}
		return &ipc.Done{}, err
	case *ipc.AddArgs:
		if a.Unit == "bad.service" {
			return &ipc.JobResult{Job: 9, Result: "failed"}, nil
		}
		return &ipc.JobResult{Job: 9, Result: "done"}, nil
	case *ipc.SetPropertyArgs:
		_, err := find(a.Unit)
		return &ipc.Done{}, err
	case *ipc.NotifyArgs:
		_, err := find(a.Unit)
		return &ipc.Done{}, err
	case *ipc.CancelArgs:
		if a.Job == 99 {
			return nil, ipc.Errorf("NoSuchJob", "there is no job 99")
		}
		return &ipc.Done{}, nil
	default:
		return m.more(req)
	}
}

func (m *Manager) more(req ipc.Request) (any, error) {
	if req.Verb == ipc.VerbReexec {
		return &ipc.Done{}, m.reexec()
	}
	switch a := req.Args.(type) {
	case *ipc.TreeArgs:
		if req.Verb == ipc.VerbProcs {
			return Procs(), nil
		}
		return Tree(), nil
	case *ipc.DepsArgs:
		if _, err := find(a.Unit); err != nil {
			return nil, err
		}
		return Deps(), nil
	case *ipc.LogsArgs:
		r := &ipc.LogsResult{Lines: Lines(), Lost: 3}
		for len(r.Lines) > 0 && r.Lines[0].Cursor <= a.After {
			r.Lines = r.Lines[1:]
		}
		if a.Lines > 0 {
			r.Lines = r.Lines[max(len(r.Lines)-a.Lines, 0):]
		}
		return r, nil
	case *ipc.StatsArgs:
		m.mu.Lock()
		m.ticks++
		n := m.ticks
		m.mu.Unlock()
		return Stats(n), nil
	case *ipc.ReloadArgs:
		return Reload(!a.DryRun), nil
	case *ipc.RollbackArgs:
		if a.Generation > 3 {
			return nil, ipc.Errorf("Refused", "there is no generation %d", a.Generation).WithHint("1 to 2 are kept")
		}
		return Reload(!a.DryRun), nil
	case *ipc.Page:
		if a.After == "" {
			return &ipc.DebugResult{Text: "unit web.service\n", More: ipc.More{Next: "2"}}, nil
		}
		return &ipc.DebugResult{Text: "unit db.service\n"}, nil
	case *ipc.SecurityArgs:
		if _, err := find(a.Unit); err != nil {
			return nil, err
		}
		return &ipc.SecurityResult{Unit: full(a.Unit), Score: 7.3, Word: "loose", Findings: []ipc.SecurityFinding{
			{Setting: "User=", Weight: 120, Open: 10, Points: 7.3, Leaves: "processes are root", Mend: "DynamicUser=yes"},
			{Setting: "ProtectHome=", Weight: 50, Leaves: "home directories are within reach"}}}, nil
	case *ipc.SubscribeArgs:
		return &ipc.SubscribeResult{}, nil
	}
	return &ipc.Done{}, nil
}

func deref(v any) any {
	switch a := v.(type) {
	case *ipc.JobArgs:
		return *a
	case *ipc.ReloadArgs:
		return *a
	case *ipc.ManyArgs:
		return *a
	case *ipc.SetPropertyArgs:
		return *a
	case *ipc.AddArgs:
		return *a
	case *ipc.NotifyArgs:
		return *a
	case *ipc.ShutdownArgs: // with the number, not where it is kept
		shown := struct {
			Kind, Argument string
			Force          bool
			ExitCode       int
		}{Kind: a.Kind, Argument: a.Argument, Force: a.Force}
		if a.ExitCode != nil {
			shown.ExitCode = *a.ExitCode
		}
		return shown
	case *ipc.KillArgs:
		return *a
	case *ipc.UnitArgs:
		return *a
	case *ipc.CancelArgs:
		return *a
	}
	return ""
}

func list(a *ipc.ListArgs) (*ipc.ListResult, error) {
	all := Units()
	if a.All {
		all = append(all, idle)
		slices.SortFunc(all, func(x, y ipc.Unit) int { return strings.Compare(x.Name, y.Name) })
	}
	r := &ipc.ListResult{}
	for _, u := range all {
		match := len(a.Units) == 0
		for _, p := range a.Units {
			ok, _ := path.Match(p, u.Name)
			match = match || ok || full(p) == u.Name
		}
		if match && (len(a.States) == 0 || slices.Contains(a.States, u.State)) && (len(a.Types) == 0 || slices.Contains(a.Types, u.Type)) {
			r.Units = append(r.Units, u)
		}
	}
	r.Total = len(r.Units)
	// Two on a page, so that every client of this fake has to page.
	at := slices.IndexFunc(r.Units, func(u ipc.Unit) bool { return u.Name > a.After })
	if at < 0 {
		at = len(r.Units)
	}
	r.Units = r.Units[at:]
	if len(r.Units) > 2 {
		r.Units = r.Units[:2]
		r.Next = r.Units[1].Name
	}
	return r, nil
}

func about(v ipc.Verb, a *ipc.UnitArgs) (any, error) {
	name := a.Unit
	if a.PID == 1234 {
		name = "web.service"
	} else if a.PID != 0 {
		return nil, ipc.Errorf("NoUnitForPID", "process %d belongs to no unit", a.PID)
	}
	u, err := find(name)
	if err != nil {
		return nil, err
	}
	switch v {
	case ipc.VerbStatus:
		return Status(u), nil
	case ipc.VerbWhy:
		return Why(u), nil
	case ipc.VerbLoad:
		return u, nil
	}
	return &ipc.Done{}, nil
}

func (m *Manager) job(v ipc.Verb, a *ipc.JobArgs) (*ipc.JobResult, error) {
	u, err := find(a.Unit)
	switch {
	case err != nil:
		return nil, err
	case a.DryRun:
		return Plan(u.Name, string(v)), nil
	case v == ipc.VerbStop && u.Name == "tidy.timer" && !a.Force:
		return nil, ipc.Errorf("Protected", "tidy.timer is protected").WithUnit(u.Name).WithHint("--force stops it all the same")
	case v == ipc.VerbStart && u.Name == "web.service":
		return &ipc.JobResult{}, nil // it is up
	}
	m.mu.Lock()
	m.next++
	id := m.next
	m.jobs[id] = ipc.Job{ID: id, Unit: u.Name, Type: string(v), State: "running", Created: At(3), WaitsFor: []string{"db.service"}}
	m.mu.Unlock()
	result := map[string]string{"db.service": "failed", "app.service": "dependency"}[u.Name]
	if v != ipc.VerbStart || result == "" {
		result = "done"
	}
	if u.Name != "slow.service" {
		m.Finish(id, result)
	}
	return &ipc.JobResult{Job: id}, nil
}

func (m *Manager) list(a *ipc.JobsArgs) (*ipc.JobsResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &ipc.JobsResult{}
	if len(a.IDs) == 0 {
		r.Jobs = Jobs()
		for _, j := range m.jobs {
			if j.Result == "" {
				r.Jobs = append(r.Jobs, j)
			}
		}
		slices.SortFunc(r.Jobs, func(x, y ipc.Job) int { return int(x.ID) - int(y.ID) })
	}
	for _, id := range a.IDs {
		j, ok := m.jobs[id]
		if !ok {
			return nil, ipc.Errorf("NoSuchJob", "there is no job %d", id)
		}
		r.Jobs = append(r.Jobs, j)
	}
	return r, nil
}

func many(v ipc.Verb, a *ipc.ManyArgs) (*ipc.ManyResult, error) {
	if len(a.Units) == 1 && a.Units[0] == "web" {
		return &ipc.ManyResult{Units: []ipc.ManyRow{{Unit: "web.service", Job: 11, Result: "done"}}}, nil
	}
	return &ipc.ManyResult{Units: []ipc.ManyRow{{Unit: "web.service", Job: 11, Result: "done"},
		{Unit: "db.service", Job: 12, Result: "failed"}, {Unit: "tidy.timer", Error: "it is protected"}}}, nil
}
