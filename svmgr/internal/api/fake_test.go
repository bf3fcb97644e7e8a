package api

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/load/native"
	"dynamod/internal/load/sdunit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// fake is a manager around a real core, and a perfect little world: every program
// executes at once, and ends when it is signalled or when the test says so.
type fake struct {
	// gone are who asked to be told of the end of a process.
	gone        map[int32]func()
	environment []string
	users       []ipc.DynamicUser
	stored      []ipc.StoredFD
	began       time.Duration // when the first manager did; 0: it does not say

	t    testing.TB
	api  *API
	logs strings.Builder

	steps   atomic.Uint64
	mu      sync.Mutex // stands for the loop's goroutine
	core    *core.Core
	now     core.Time
	nextID  core.RequestID
	replies map[core.RequestID]chan core.Reply
	procs   map[core.RunID]core.Spawn
	acts    []core.Action
	// stubborn units ignore signals; mute ones never execute.
	stubborn, mute map[string]bool

	disk   map[string]string // unit texts that Load and Read find
	gen    uint64
	former []*Generation
	lines  []ipc.LogLine
	calls  []string
	files  map[string]string // FileState
	paths  int               // how much longer those of FileProof are
	refuse error             // of Read, SetProperty, Notify, Reexec, PrepareShutdown
}

// buildUnit makes a unit of "NAME | lines" where lines are separated by ";": those
// of a unit file, or, for NAME.toml, dotted keys.
func buildUnit(t testing.TB, text string) *unit.Unit {
	t.Helper()
	name, body, _ := strings.Cut(text, "|")
	name = strings.TrimSpace(name)
	body = strings.ReplaceAll(body, ";", "\n") + "\n"
	var src unit.Source
	var ds []diag.Diag
	if bare, ok := strings.CutSuffix(name, ".toml"); ok {
		if !strings.Contains(body, "service.exec") {
			body += "service.exec=[\"/bin/" + bare + "\"]\n"
		}
		body = unindent(body) + "service.name=\"" + bare + "\"\ndependencies.default=false\n"
		src = unit.Source{Name: bare + ".service", Format: unit.Native, HasMain: true, Files: []unit.File{{Path: "/t/" + name}}}
		src.Files[0].Fragments, ds = native.Parse(src.Files[0].Path, []byte(body))
	} else {
		file := "[Unit]\nDefaultDependencies=no\n" + unindent(body)
		if typeOf(name) == "service" && !strings.Contains(body, "ExecStart") {
			if !strings.Contains(body, "[Service]") {
				file += "[Service]\n"
			}
			file += "ExecStart=/bin/x\n"
		}
		frags, d := sdunit.Parse("/t/"+name, []byte(file))
		src, ds = unit.Source{Name: name, HasMain: true, Files: []unit.File{{Path: "/t/" + name, Fragments: frags}}}, d
	}
	u, more := unit.Build(src)
	for _, d := range append(ds, more...) {
		if d.Severity != diag.Note {
			t.Fatalf("%s: %v", name, d)
		}
	}
	return u
}

func unindent(body string) string {
	var b strings.Builder
	for _, l := range strings.Split(body, "\n") {
		b.WriteString(strings.TrimSpace(l) + "\n")
	}
	return b.String()
}

func buildSet(t testing.TB, texts []string) *unit.Set {
	t.Helper()
	var us []*unit.Unit
	var sups []*unit.Supervisor
	for _, text := range texts {
		if name, body, _ := strings.Cut(text, "|"); strings.HasSuffix(strings.TrimSpace(name), ".sup") {
			bare := strings.TrimSuffix(strings.TrimSpace(name), ".sup")
			frags, _ := native.Parse("/t/"+bare, []byte(unindent(strings.ReplaceAll(body, ";", "\n"))+"supervisor.name=\""+bare+"\"\n"))
			s, _ := unit.BuildSupervisor(unit.Source{Name: bare, Format: unit.Native, HasMain: true, Files: []unit.File{{Path: "/t/" + bare, Fragments: frags}}})
			sups = append(sups, s)
			continue
		}
		us = append(us, buildUnit(t, text))
	}
	set, ds := unit.NewSet(us, sups)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	return set
}

// newFake makes a manager of units; rules is the text of access.toml.
func newFake(t testing.TB, rules string, texts ...string) *fake {
	t.Helper()
	set := buildSet(t, texts)
	g, _ := graph.Build(set, graph.Config{})
	f := &fake{t: t, core: core.New(set, g, core.Config{}), replies: map[core.RequestID]chan core.Reply{},
		procs: map[core.RunID]core.Spawn{}, stubborn: map[string]bool{}, mute: map[string]bool{},
		disk: map[string]string{}, files: map[string]string{}, gone: map[int32]func(){}, gen: 7,
		now: core.Time{Mono: 100 * time.Second, Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()}}
	for _, x := range texts {
		name, _, _ := strings.Cut(x, "|")
		f.disk[strings.TrimSpace(name)] = x
	}
	f.api = New(f, Access{File: "/nonexistent/access.toml"}, slog.New(slog.NewTextHandler(&f.logs, nil)))
	f.setRules(rules)
	return f
}

// setRules writes an access.toml and has it read.
func (f *fake) setRules(rules string) {
	f.t.Helper()
	f.api.access.File = writeRules(f.t, rules)
	for _, d := range f.api.ReloadAccess() {
		f.t.Fatalf("rules: %v", d)
	}
}

func (f *fake) Steps() uint64 { return 1 + f.steps.Load() }
func (f *fake) Happened()     { f.steps.Add(1) }

func (f *fake) step(ev core.Event) {
	todo := []core.Event{ev}
	for len(todo) > 0 {
		f.now.Mono += time.Millisecond
		f.now.Wall += int64(time.Millisecond)
		f.Happened()
		acts := f.core.Step(f.now, todo[0], nil)
		todo = todo[1:]
		for _, a := range acts {
			f.acts = append(f.acts, a)
			switch a := a.(type) {
			case core.Spawn:
				f.procs[a.Run] = a
				if !f.mute[a.Unit.Name] {
					todo = append(todo, core.SpawnDone{Run: a.Run})
				}
			case core.Signal:
				todo = append(todo, f.killed(a.Unit, a.Run, a.Signal)...)
			case core.KillCgroup:
				delete(f.stubborn, a.Unit)
				todo = append(todo, f.killed(a.Unit, 0, 9)...)
			case core.Adopt:
				todo = append(todo, core.MainPID{Unit: a.Unit, Incarnation: a.Incarnation, Run: a.Run, Found: true})
			case core.Listen:
				todo = append(todo, core.Listening{Run: a.Run})
			case core.Reply:
				if ch := f.replies[a.ID]; ch != nil {
					ch <- a
					delete(f.replies, a.ID)
				}
			case core.Publish, core.Log, core.Emergency:
				f.api.Published(f.now, a)
			}
		}
	}
}

func (f *fake) killed(name string, run core.RunID, sig int32) (evs []core.Event) {
	if f.stubborn[name] || sig == 18 {
		return nil
	}
	for _, id := range f.runs(name) {
		if run != 0 && run != id {
			continue
		}
		evs = append(evs, f.end(core.Exited{Run: id, Signal: sig})...)
	}
	return evs
}

func (f *fake) runs(name string) (out []core.RunID) {
	for id, p := range f.procs {
		if p.Unit.Name == name {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

func (f *fake) end(e core.Exited) []core.Event {
	p := f.procs[e.Run]
	delete(f.procs, e.Run)
	evs := []core.Event{e}
	if len(f.runs(p.Unit.Name)) == 0 {
		evs = append(evs, core.CgroupEmpty{Unit: p.Unit.Name, Incarnation: p.Incarnation})
	}
	return evs
}

// exit ends the processes of a unit with a code.
func (f *fake) exit(name string, code int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.runs(name) {
		for _, ev := range f.end(core.Exited{Run: id, Code: code}) {
			f.step(ev)
		}
	}
}

// advance lets time pass.
func (f *fake) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := f.now.Mono + d
	for {
		at, ok := f.core.Deadline()
		if !ok || at > to {
			break
		}
		f.now.Wall += int64(max(at-f.now.Mono, 0))
		f.now.Mono = max(at, f.now.Mono)
		f.step(core.Tick{})
	}
	f.now.Wall += int64(max(to-f.now.Mono, 0))
	f.now.Mono = max(to, f.now.Mono)
}

func (f *fake) Query(q func(*core.Core)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	q(f.core)
	return true
}

func (f *fake) Ask(request func(core.RequestID) core.Event) <-chan core.Reply {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nextID++
	ch := make(chan core.Reply, 1)
	f.replies[f.nextID] = ch
	f.step(request(f.nextID))
	return ch
}

func (f *fake) Post(ev core.Event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.step(ev)
	return true
}

// Now does not take the lock: it is called within Query.
func (f *fake) Now() core.Time { return core.Time{Mono: 200 * time.Second, Wall: 1767225700e9} }

func (f *fake) PID(r core.RunID) int32 { return 1000 + int32(r) }

func (f *fake) UnitOfPID(pid int32, _ int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return unitOf(f.procs[core.RunID(pid-1000)])
}

func (f *fake) LastExit(name string) (ipc.Exit, bool) {
	if strings.HasPrefix(name, "crash") {
		return ipc.Exit{PID: 1234, Code: 3}, true
	}
	return ipc.Exit{}, false
}

func (f *fake) RunOf(name string) (group, invocation string, mainStart ipc.Stamp) {
	return "/dynamod/" + name, "0123456789abcdef0123456789abcdef", ipc.Stamp{}
}

func (f *fake) Cgroup(name string) string { return "/dynamod/" + name }

func (f *fake) Processes(name string) (out []ipc.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs(name) {
		out = append(out, ipc.Process{PID: 1000 + int32(r), Command: f.procs[r].Exec.Path})
	}
	return append(out, ipc.Process{PID: 9, Command: "child of " + name})
}

func (f *fake) Commands(string) []ipc.CommandRun    { return nil }
func (f *fake) Spent(name string) (ipc.Usage, bool) { return ipc.Usage{}, false }
func (f *fake) Usage(name string) (ipc.Usage, bool) { return ipc.Usage{Memory: int64(len(name))}, true }
func (f *fake) LiveMount(run core.RunID, a ipc.MountArgs) error {
	f.note("mount %s on %s", a.Source, a.Target)
	return f.refuse
}
func (f *fake) MountFailed(string) bool                  { return false }
func (f *fake) Traffic(string) (ipc.Traffic, bool)       { return ipc.Traffic{}, false }
func (f *fake) DynamicUsers() ([]ipc.DynamicUser, error) { return f.users, f.refuse }
func (f *fake) Stored(string) []ipc.StoredFD             { return f.stored }
func (f *fake) Warnings(name string) []string {
	if name == "warned.service" {
		return []string{"its old cgroup could not be removed"}
	}
	return nil
}

func (f *fake) Notify(name string, pid int32, state string) error {
	f.note("notify %s %d %s", name, pid, state)
	return f.refuse
}

func (f *fake) Hold(name string, pids []int32) error {
	for _, p := range pids {
		if p >= 10000 {
			return ipc.Errorf("NoSuchProcess", "process %d", p)
		}
	}
	f.note("hold %s %d", name, pids)
	return nil
}

func (f *fake) WhenGone(pid int32, _ int, then func()) error {
	f.gone[pid] = then
	return f.refuse
}

func (f *fake) LetGo(name string) { f.note("let go %s", name) }

func (f *fake) Attach(name, sub string, pids []int32) error {
	f.note("attach %s %q %d", name, sub, pids)
	return f.refuse
}

func (f *fake) Clean(u *unit.Unit, what []string) error {
	f.note("clean %s %v", u.Name, what)
	return f.refuse
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) Load(name string) ([]*unit.Unit, []diag.Diag, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if text, ok := f.disk[name]; ok {
		return []*unit.Unit{buildUnit(f.t, text)}, nil, nil
	}
	return nil, nil, nil
}

func (f *fake) FileState(u *unit.Unit) (string, bool) { return f.files[u.Name], false }

func (f *fake) FileProof(u *unit.Unit) (string, bool, []string, []string) {
	return f.files[u.Name], false, []string{"etc/" + u.Name + strings.Repeat("x", f.paths)}, []string{"etc"}
}

func (f *fake) Read(MadeUnits) (*Generation, error) {
	if f.refuse != nil {
		return nil, f.refuse
	}
	var texts []string
	for _, x := range f.disk {
		texts = append(texts, x)
	}
	slices.Sort(texts)
	return &Generation{Set: buildSet(f.t, texts)}, nil
}

func (f *fake) ReadFormer(n uint64, _ MadeUnits) (*Generation, error) {
	if len(f.former) == 0 {
		return nil, ipc.Errorf("Refused", "there is no former generation")
	}
	return f.former[len(f.former)-1], nil
}

func (f *fake) Keep(g *Generation) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gen++
	f.former = append(f.former, g)
	return f.gen, nil
}

func (f *fake) Needed(*unit.Unit, func(string) bool) []*unit.Unit { return nil }

func (f *fake) Build(name string, settings []ipc.Setting) (*unit.Unit, []diag.Diag, error) {
	text := name + " | "
	for _, s := range settings {
		if s.Value == "bad" {
			return nil, []diag.Diag{{Severity: diag.Error, Code: "bad", Message: "it is bad"}}, nil
		}
		text += "[" + s.Section + "];" + s.Key + "=" + s.Value + ";"
	}
	u := *buildUnit(f.t, text)
	u.Path = ""
	return &u, nil, nil
}

func (f *fake) SetProperty(name string, settings []ipc.Setting, runtime bool) (*unit.Unit, []diag.Diag, error) {
	if f.refuse != nil {
		return nil, nil, f.refuse
	}
	return buildUnit(f.t, f.disk[name]+";Description="+settings[0].Value), nil, nil
}

func (f *fake) Environment() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.environment
}

func (f *fake) SetEnvironment(unset, set []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.environment = slices.Clone(set)
	return f.refuse
}

func (f *fake) Own() (ipc.ManagerResult, error) {
	return ipc.ManagerResult{LogLevel: "info", LogTarget: "kmsg"}, nil
}

func (f *fake) SetOwn(a ipc.ManagerArgs) error { f.note("own"); return f.refuse }

func (f *fake) Info() Info {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Info{Version: "test", PID: 42, Mode: "container", Generation: f.gen, Started: core.Time{Mono: 90 * time.Second, Wall: 1}, Moments: ipc.Moments{Began: f.began.Microseconds()}, BootTarget: "default.target"}
}

func (f *fake) BootHealth() ipc.BootHealthResult {
	return ipc.BootHealthResult{Kind: "safe", Why: "3 boots in a row have failed: safe mode", Failed: 3, Attempts: 3}
}

func (f *fake) Reexec() error { f.note("reexec"); return f.refuse }
func (f *fake) PrepareShutdown(a ipc.ShutdownArgs) (done bool, err error) {
	code := "its own"
	if a.ExitCode != nil {
		code = strconv.Itoa(*a.ExitCode)
	}
	f.note("shutdown %s force %v exit code %s", a.Kind, a.Force, code)
	return a.Force && a.Kind != core.Exit.String(), f.refuse
}

func (f *fake) Lines(q LogQuery) (p LogPage) {
	started := q.After == ""
	for _, l := range f.lines {
		if started && q.Match(l.Unit) && (q.Priority == 0 || l.Priority <= q.Priority) {
			p.Lines = append(p.Lines, l)
		}
		started = started || l.Cursor == q.After
	}
	if q.After == "" && q.Newest > 0 && len(p.Lines) > q.Newest {
		p.Lines = p.Lines[len(p.Lines)-q.Newest:]
	}
	if len(p.Lines) > q.Max {
		p.Lines, p.More = p.Lines[:q.Max], true
	}
	return p
}

var (
	root  = ipc.Peer{UID: 0, PID: 500, PIDFD: -1}
	alice = ipc.Peer{UID: 1000, GID: 1000, Groups: []uint32{50}, PID: 501, PIDFD: -1}
)

// call asks as somebody and waits for what comes later.
func (f *fake) call(p ipc.Peer, v ipc.Verb, args any) (any, error) {
	r, err := f.api.Handle(context.Background(), p, ipc.Request{Verb: v, Args: args})
	if err == nil && r.Later != nil {
		return r.Later(context.Background())
	}
	return r.Result, err
}

// do is call by root, which must succeed.
func do[R any](f *fake, v ipc.Verb, args any) R {
	f.t.Helper()
	r, err := f.call(root, v, args)
	if err != nil {
		f.t.Fatalf("%s %+v: %v", v, args, err)
	}
	if r == nil {
		var zero R
		return zero
	}
	return r.(R)
}

// refused is call by root, which must be refused with this kind.
func (f *fake) refused(kind string, v ipc.Verb, args any) *ipc.Error {
	f.t.Helper()
	_, err := f.call(root, v, args)
	if ipc.KindOf(err) != kind {
		f.t.Fatalf("%s %+v: %v (%s), want %s", v, args, err, ipc.KindOf(err), kind)
	}
	return err.(*ipc.Error)
}

func (f *fake) state(name string) string {
	s := ""
	f.Query(func(c *core.Core) {
		if u, ok := c.View().Unit(name); ok {
			s = u.State.String()
		}
	})
	return s
}

func (f *fake) start(names ...string) {
	f.t.Helper()
	for _, n := range names {
		do[*ipc.JobResult](f, ipc.VerbStart, &ipc.JobArgs{Unit: n})
	}
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// writeRules writes an access.toml that only this user can write.
func writeRules(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "access.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// unitOf is the unit of a process, "" for one that is not known.
func unitOf(s core.Spawn) string {
	if s.Unit == nil {
		return ""
	}
	return s.Unit.Name
}

// line puts values on a line, a space between any two.
func line(args ...any) string { return strings.TrimSuffix(fmt.Sprintln(args...), "\n") }
