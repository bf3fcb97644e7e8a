// Package upstream is the bridge's way to the manager: the one IPC, made anew when
// it breaks, and the stream of the manager's events. It knows no D-Bus.
package upstream

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"dynamod/internal/board"
	"dynamod/internal/ipc"
	"dynamod/sd1bridge/internal/translate"
)

// Manager calls the manager at Path. Use New.
type Manager struct {
	ipc.Kept
	log    *slog.Logger
	models models
	disk   disk

	mu sync.Mutex
	// steps are those of the manager at the other end of the connection of, nil if they
	// cannot be read.
	steps *board.StepsReader
	of    uint64
}

// New connects to nothing yet.
func New(path string, log *slog.Logger) *Manager {
	return &Manager{Kept: ipc.Kept{Path: path}, log: log, disk: newDisk()}
}

// Close ends the connection; a call makes a new one.
func (m *Manager) Close() {
	m.Kept.Close()
	m.disk.forget()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.steps != nil {
		m.steps.Close()
		m.steps, m.of = nil, 0
	}
}

// Holds says that nothing has happened in the manager since it answered with these steps:
// that answer is what it would give now. Steps that a manager tells are of its own file
// alone (board.Steps), and its end is seen in that file, by the end of the connection, or
// by both. One that is stopped or hangs has done nothing since either.
func (m *Manager) Holds(steps uint64) bool {
	if steps == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.Connection()
	if c == 0 {
		return false
	}
	if c != m.of {
		// The file that is there now is of the manager that the connection is to, or of a
		// later one, which counts otherwise.
		if m.steps != nil {
			m.steps.Close()
		}
		// A manager without one is asked for everything, and has said so itself.
		m.steps, _ = board.OpenSteps(filepath.Join(filepath.Dir(m.Path), board.StepsName))
		m.of = c
	}
	return m.steps != nil && m.steps.Now() == steps
}

// List fetches all pages of a list.
func (m *Manager) List(ctx context.Context, args ipc.ListArgs) ([]ipc.Unit, error) {
	var all []ipc.Unit
	for {
		var r ipc.ListResult
		if err := m.Call(ctx, ipc.VerbList, &args, &r); err != nil {
			return nil, err
		}
		all = append(all, r.Units...)
		if r.Next == "" || r.Next == args.After {
			return all, nil
		}
		args.After = r.Next
	}
}

// ListKnown is List for who has an answer with a tag already: if it still holds, it
// returns the same tag and no units. Without a tag an answer cannot be recognized later.
// While Holds is true of steps, the answer is the same.
func (m *Manager) ListKnown(ctx context.Context, args ipc.ListArgs, known string) (units []ipc.Unit, tag string, steps uint64, err error) {
	ask := func(known string) (r ipc.ListResult, err error) {
		args := args
		args.Known = known
		err = m.Call(ctx, ipc.VerbList, &args, &r)
		return r, err
	}
	r, err := ask(cmp.Or(known, "none"))
	if err != nil || r.Tag == known || r.Next == "" {
		return r.Units, r.Tag, r.Steps, err
	}
	first := r
	args.After = r.Next
	rest, err := m.List(ctx, args)
	if err != nil {
		return nil, "", 0, err
	}
	// Pages are of different moments: the tag is one of the whole only if nothing changed.
	args.After = ""
	if r, err = ask(first.Tag); err != nil {
		return nil, "", 0, err
	}
	if r.Tag != first.Tag {
		first.Tag, r.Steps = "", 0
	}
	return append(first.Units, rest...), first.Tag, r.Steps, nil
}

// Jobs lists the jobs that wait or run, or those of the ids.
func (m *Manager) Jobs(ctx context.Context, ids ...uint32) ([]ipc.Job, error) {
	args := ipc.JobsArgs{IDs: ids}
	var all []ipc.Job
	for {
		var r ipc.JobsResult
		if err := m.Call(ctx, ipc.VerbJobs, &args, &r); err != nil {
			return nil, err
		}
		all = append(all, r.Jobs...)
		if r.Next == "" || r.Next == args.After {
			return all, nil
		}
		args.After = r.Next
	}
}

// Unit fetches everything about a unit. The manager loads it for that.
func (m *Manager) Unit(ctx context.Context, name string) (*translate.Unit, error) {
	return m.unit(ctx, ipc.ShowArgs{Unit: name}, moment{})
}

// Measured is Unit without what the manager reads from the disk: whether the unit is
// enabled and whether its files have changed.
func (m *Manager) Measured(ctx context.Context, name string) (*translate.Unit, error) {
	return m.unit(ctx, ipc.ShowArgs{Unit: name, Quick: true}, moment{})
}

// OnDisk is Unit without what the manager asks the kernel for: resources. Who asks again and
// again is answered without the manager while nothing of what its answer rests on changes.
func (m *Manager) OnDisk(ctx context.Context, name string) (*translate.Unit, error) {
	if known := m.models.of(name); m.Holds(known.steps) {
		if s, ok := m.disk.holds(name, known.steps); ok {
			return known.with(s), nil
		}
	}
	asked := m.disk.ask(name)
	return m.unit(ctx, ipc.ShowArgs{Unit: name, Unmeasured: true, Paths: asked.again}, asked)
}

// Quick is Unit without either.
func (m *Manager) Quick(ctx context.Context, name string) (*translate.Unit, error) {
	return m.unit(ctx, ipc.ShowArgs{Unit: name, Bare: true}, moment{})
}

// Remembers is what Quick would answer, if that is known to hold without asking; else nil.
func (m *Manager) Remembers(name string) *translate.Unit {
	if known := m.models.of(name); m.Holds(known.steps) {
		return known.unit
	}
	return nil
}

// unit asks for a unit, for its files at a moment that disk.ask gave.
func (m *Manager) unit(ctx context.Context, args ipc.ShowArgs, asked moment) (*translate.Unit, error) {
	name := args.Unit
	known := m.models.of(name)
	args.Known = cmp.Or(known.tag, "none")
	// What holds while the manager's steps stay: all of a bare answer, and of an unmeasured
	// one all that is not of the disk.
	stepped := args.Bare || args.Unmeasured
	if stepped && known.tag != "" {
		args.Steps = known.steps
	}
	var facts ipc.Facts
	var settings []ipc.SettingRow
	var relations []ipc.Relation
	for {
		var r ipc.UnitResult
		if err := m.Call(ctx, ipc.VerbUnit, &args, &r); err != nil {
			return nil, err
		}
		if r.Facts == nil && r.Tag == known.tag && known.tag != "" {
			if r.OnDisk == nil {
				return known.unit, nil
			}
			s := fileState{r.OnDisk.Enabled, r.OnDisk.NeedsReload}
			m.disk.heard(name, known.steps, s, asked, r.OnDisk.Read, r.OnDisk.Met)
			return known.with(s), nil
		}
		if r.Facts != nil {
			facts = *r.Facts
			if r.Tag == known.tag {
				u := &translate.Unit{Facts: facts, Model: known.unit.Model, Relations: known.unit.Relations}
				if stepped {
					m.models.keep(name, model{known.tag, r.Steps, u})
				}
				return u, nil
			}
			known.steps = 0
			if stepped {
				known.steps = r.Steps
			}
			if r.Next == "" { // pages are of different moments
				known.tag = r.Tag
			} else {
				known.tag = ""
			}
		}
		args.Known = ""
		settings, relations = append(settings, r.Settings...), append(relations, r.Relations...)
		if r.Next == "" {
			break
		}
		if r.Next == args.After {
			return nil, fmt.Errorf("the manager's answer about %s does not get beyond page %s", name, r.Next)
		}
		args.After = r.Next
	}
	u := translate.NewUnit(facts, ipc.JoinSettings(settings), relations)
	if known.tag != "" {
		m.models.keep(name, model{known.tag, known.steps, u})
	}
	return u, nil
}

// model is a unit whose settings and relations have a tag. They are never changed. As long
// as the manager has taken so many steps, if they are not 0, the facts hold as well.
type model struct {
	tag   string
	steps uint64
	unit  *translate.Unit
}

// with is the unit with what the disk says of it.
func (m *model) with(s fileState) *translate.Unit {
	u := *m.unit
	u.Enabled, u.NeedsReload = s.enabled, s.needsReload
	return &u
}

// models are those of the units that were asked for lately: to build one takes longer
// than all else about it.
type models struct {
	mu sync.Mutex
	by map[string]model
}

// maxModels is for what clients look at again and again; all units would need too much
// memory.
const maxModels = 32

func (m *models) of(name string) model {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.by[name]
}

func (m *models) keep(name string, one model) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[string]model{}
	}
	for old := range m.by { // any one: what is asked for often comes back
		if _, there := m.by[name]; there || len(m.by) < maxModels {
			break
		}
		delete(m.by, old)
	}
	m.by[name] = one
}

// retry is how long to wait between two tries to hear the manager; it doubles.
const (
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
)

// Listen calls each for every event until ctx ends. fresh is called whenever a
// stream begins, first and after a break: what happened in between was not heard.
func (m *Manager) Listen(ctx context.Context, fresh func(), each func(ipc.Event)) {
	wait, said := retryFirst, ""
	for ctx.Err() == nil {
		err := m.listenOnce(ctx, func() { wait, said = retryFirst, ""; fresh() }, each)
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != said {
			said = text
			m.log.Info("the manager is not heard", "err", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		wait = min(2*wait, retryLast)
	}
}

func (m *Manager) listenOnce(ctx context.Context, fresh func(), each func(ipc.Event)) error {
	c, err := ipc.Dial(ctx, m.Path)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.Subscribe(ctx, ipc.SubscribeArgs{Merge: true})
	if err != nil {
		return err
	}
	fresh()
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return err
		}
		each(e)
	}
}
