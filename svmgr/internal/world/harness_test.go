package world

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/diag"
	"dynamod/internal/load/native"
	"dynamod/internal/load/sdunit"
	"dynamod/internal/sys/mount"
	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

const (
	childArg    = "dynamod-child"
	pamChildArg = "dynamod-pam"
)

func TestMain(m *testing.M) {
	if len(os.Args) >= 2 && os.Args[1] == childArg {
		if mount.IsTool(os.Args[2:]) {
			os.Exit(mount.Main(os.Args[2:]))
		}
		child.Main()
	}
	if len(os.Args) == 3 && os.Args[1] == pamChildArg { // the one that closes a session
		unix.Poll(nil, -1)
	}
	if len(os.Args) >= 2 && os.Args[1] == pamChildArg {
		child.MainWith(func(p child.PAM, _ []string) ([]string, error) {
			if p.Service == "kept" {
				_, err := syscall.ForkExec("/proc/self/exe", []string{"dynamod-pam", pamChildArg, "keep"}, &syscall.ProcAttr{})
				return nil, err
			}
			return []string{"PAM=" + p.Service + " " + p.User + " " + p.TTY}, nil
		})
	}
	testkit.Main(m)
}

// rig is a World whose events and output a test looks at.
type rig struct {
	t *testing.T
	*World
	events chan core.Event
	gone   chan struct{}
	next   core.RunID
	lives  map[core.RunID]core.RunID // the incarnation of each run

	mu    sync.Mutex
	lines []string
	fresh chan struct{}
}

func (r *rig) Line(x *Line) {
	mark := "1:"
	if x.Stderr {
		mark = "2:"
	}
	r.mu.Lock()
	r.lines = append(r.lines, mark+string(x.Text))
	r.mu.Unlock()
	select {
	case r.fresh <- struct{}{}:
	default:
	}
}

func (r *rig) output() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, events: make(chan core.Event, 64), gone: make(chan struct{}), fresh: make(chan struct{}, 1)}
	cfg := Config{
		RuntimeDir: t.TempDir(),
		Child:      []string{self, childArg},
		Output:     r,
		// The race detector delays the end of every program by a second.
		Environment: []string{"GORACE=atexit_sleep_ms=0"},
		Log:         slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	r.World, err = New(cfg, func(ev core.Event) {
		select {
		case r.events <- ev:
		case <-r.gone:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(r.gone)
		r.Close()
	})
	return r
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// service builds a unit from the text of a unit file, with lines of [Service]
// unless the text names sections.
func service(t testing.TB, name string, lines ...string) *unit.Unit {
	t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	if !strings.HasPrefix(text, "[") {
		text = "[Service]\n" + text
	}
	frags, diags := sdunit.Parse(name, []byte(text))
	return built(t, diags, unit.Source{Name: name, Files: []unit.File{{Path: name, Fragments: frags}}})
}

// nativeService builds a unit from TOML.
func nativeService(t testing.TB, name, text string) *unit.Unit {
	t.Helper()
	frags, diags := native.Parse(name, []byte(text))
	return built(t, diags, unit.Source{Name: name, Format: unit.Native, Files: []unit.File{{Path: name, Fragments: frags}}})
}

func built(t testing.TB, diags []diag.Diag, src unit.Source) *unit.Unit {
	t.Helper()
	src.HasMain = true
	u, more := unit.Build(src)
	for _, d := range append(diags, more...) {
		if d.Severity >= diag.Warning {
			t.Fatalf("%s: %v", src.Name, d)
		}
	}
	return u
}

// spawn asks for a command of the unit; a Fresh one begins an incarnation.
func (r *rig) spawn(u *unit.Unit, change ...func(*core.Spawn)) core.RunID {
	r.t.Helper()
	r.next++
	a := core.Spawn{Run: r.next, Unit: u, Incarnation: r.next, Stage: core.StageStart, Fresh: true}
	if x := unit.ExecStart.Of(u); len(x) > 0 {
		a.Exec = x[0]
	}
	for _, f := range change {
		f(&a)
	}
	if r.lives == nil {
		r.lives = map[core.RunID]core.RunID{}
	}
	r.lives[a.Run] = a.Incarnation
	r.Perform(a)
	return a.Run
}

func (r *rig) event() core.Event {
	r.t.Helper()
	return testkit.Receive(r.t, r.events, "an event")
}

// until takes events up to one of the type, which it returns.
func until[E core.Event](r *rig) E {
	r.t.Helper()
	for {
		if e, ok := r.event().(E); ok {
			return e
		}
	}
}

// lifeOf takes the events of a run of spawn from its spawn to the empty cgroup.
func (r *rig) lifeOf(run core.RunID) (failed *core.SpawnFailed, exit *core.Exited) {
	r.t.Helper()
	return r.lifeIn(r.lives[run], run)
}

// lifeIn is lifeOf for a run in the cgroup of an incarnation. What is told of
// others, such as a former one whose cgroup was removed late, is passed over.
func (r *rig) lifeIn(incarnation, run core.RunID) (failed *core.SpawnFailed, exit *core.Exited) {
	r.t.Helper()
	for {
		switch e := r.event().(type) {
		case core.SpawnFailed:
			if e.Run == run {
				failed = &e
			}
		case core.Exited:
			if e.Run == run {
				exit = &e
			}
		case core.CgroupEmpty:
			if e.Incarnation == incarnation {
				return failed, exit
			}
		}
	}
}

func serviceExec(u *unit.Unit) unit.Exec { return unit.ExecStart.Of(u)[0] }
