package top

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"dynamod/internal/ipc"
)

// Sample is one look at the manager.
type Sample struct {
	Server ipc.PingResult
	Stats  *ipc.StatsResult
	// Trouble are units that failed or wait, with or without processes.
	Trouble []ipc.Unit
	// Taken is when the sample arrived.
	Taken time.Time
}

// Source is who is asked. Its methods are called on goroutines of bubbletea, one
// at a time each.
type Source interface {
	Sample(ctx context.Context) (*Sample, error)
	Why(ctx context.Context, unit string) (*ipc.WhyResult, error)
}

// history is how many samples the sparkline shows.
const history = 20

// row is one unit with what was worked out from two samples.
type row struct {
	ipc.StatsRow
	// percent is of one processor; -1 as long as there is one sample only.
	percent float64
	past    []float64
}

type order int

const (
	byCPU order = iota
	byMemory
	byRestarts
	byState
	byName
)

var orderWords = [...]string{byCPU: "cpu", byMemory: "memory", byRestarts: "restarts", byState: "state", byName: "name"}

type model struct {
	ctx    context.Context
	source Source
	every  time.Duration

	width, height int
	rows          []row
	last          *Sample
	err           error
	order         order
	// selected is a unit's name: rows move.
	selected string
	offset   int
	paused   bool
	asking   bool
	// why is the page about one unit, nil when the table is shown.
	why    *ipc.WhyResult
	whyErr error
}

type (
	sampled struct {
		sample *Sample
		err    error
	}
	explained struct {
		why *ipc.WhyResult
		err error
	}
	tick struct{}
)

func newModel(ctx context.Context, s Source, every time.Duration) model {
	return model{ctx: ctx, source: s, every: every, width: 80, height: 24, asking: true}
}

// Init asks for the first sample.
func (m model) Init() tea.Cmd { return m.ask() }

func (m model) ask() tea.Cmd {
	return func() tea.Msg {
		s, err := m.source.Sample(m.ctx)
		return sampled{s, err}
	}
}

// Update takes a message in. A sample is asked for a while after the former one
// has come, so that a slow manager is not asked faster than it answers.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case sampled:
		m.asking = false
		if m.err = msg.err; msg.err == nil && !m.paused {
			m.take(msg.sample)
		}
		return m, tea.Tick(m.every, func(time.Time) tea.Msg { return tick{} })
	case tick:
		m.asking = true
		return m, m.ask()
	case explained:
		m.why, m.whyErr = msg.why, msg.err
	case tea.KeyMsg:
		return m.key(msg.String())
	}
	m.scroll()
	return m, nil
}

func (m model) key(k string) (tea.Model, tea.Cmd) {
	if m.why != nil || m.whyErr != nil {
		switch k {
		case "q", "ctrl+c":
			return m, tea.Quit
		}
		m.why, m.whyErr = nil, nil
		return m, nil
	}
	page := max(m.body()-1, 1)
	switch k {
	case "q", "esc", "ctrl+c":
		return m, tea.Quit
	case "c":
		m.order = byCPU
	case "m":
		m.order = byMemory
	case "r":
		m.order = byRestarts
	case "s":
		m.order = byState
	case "n":
		m.order = byName
	case "p", " ":
		m.paused = !m.paused
	case "down", "j":
		m.move(1)
	case "up", "k":
		m.move(-1)
	case "pgdown":
		m.move(page)
	case "pgup":
		m.move(-page)
	case "home", "g":
		m.move(-len(m.rows))
	case "end", "G":
		m.move(len(m.rows))
	case "enter":
		if unit := m.selected; unit != "" {
			return m, func() tea.Msg {
				w, err := m.source.Why(m.ctx, unit)
				return explained{w, err}
			}
		}
	}
	m.sort()
	m.scroll()
	return m, nil
}

// take works rows out of a sample and the one before.
func (m *model) take(s *Sample) {
	old := map[string]row{}
	for _, r := range m.rows {
		old[r.Unit] = r
	}
	var passed int64
	if m.last != nil {
		passed = s.Stats.At.Mono - m.last.Stats.At.Mono
	}
	rows := make([]row, 0, len(s.Stats.Units))
	known := map[string]bool{}
	for _, u := range s.Stats.Units {
		r := row{StatsRow: u, percent: -1}
		if before, ok := old[u.Unit]; ok {
			r.past = before.past
			// Counters that went back belong to a new cgroup of that name.
			if passed > 0 && u.CPU >= before.CPU && before.CPU >= 0 {
				r.percent = 100 * float64(u.CPU-before.CPU) / float64(passed)
			}
		}
		if r.percent >= 0 {
			r.past = append(slices.Clone(r.past), r.percent)
			r.past = r.past[max(len(r.past)-history, 0):]
		}
		known[u.Unit] = true
		rows = append(rows, r)
	}
	for _, u := range s.Trouble {
		if !known[u.Name] {
			none := ipc.Usage{Memory: -1, MemoryPeak: -1, Swap: -1, CPU: -1, Tasks: -1, IORead: -1, IOWrite: -1}
			rows = append(rows, row{StatsRow: ipc.StatsRow{Unit: u.Name, State: u.State, PID: u.PID, Restarts: u.Restarts, Since: u.Since, Usage: none}, percent: -1})
		}
	}
	m.rows, m.last = rows, s
	m.sort()
}

func (m *model) sort() {
	slices.SortStableFunc(m.rows, func(a, b row) int {
		byNames := strings.Compare(a.Unit, b.Unit)
		switch m.order {
		case byCPU:
			return cmp.Or(cmp.Compare(b.percent, a.percent), cmp.Compare(b.CPU, a.CPU), byNames)
		case byMemory:
			return cmp.Or(cmp.Compare(b.Memory, a.Memory), byNames)
		case byRestarts:
			return cmp.Or(cmp.Compare(b.Restarts, a.Restarts), byNames)
		case byState:
			return cmp.Or(cmp.Compare(urgency(a.State), urgency(b.State)), byNames)
		}
		return byNames
	})
	if m.at() < 0 && len(m.rows) > 0 {
		m.selected = m.rows[0].Unit
	}
}

// urgency puts first what needs somebody.
func urgency(state string) int {
	switch state {
	case "failed", "abandoned":
		return 0
	case "blocked", "restart-pending", "dormant":
		return 1
	case "starting", "stopping", "reloading":
		return 2
	case "active":
		return 3
	}
	return 4
}

// at is where the selected row stands, -1 if it is gone.
func (m *model) at() int {
	return slices.IndexFunc(m.rows, func(r row) bool { return r.Unit == m.selected })
}

func (m *model) move(by int) {
	if len(m.rows) > 0 {
		m.selected = m.rows[min(max(m.at()+by, 0), len(m.rows)-1)].Unit
	}
}

// head and foot are lines that are always there.
const head, foot = 3, 1

// body is how many rows fit.
func (m *model) body() int { return max(m.height-head-foot, 1) }

// scroll keeps the selected row in sight.
func (m *model) scroll() {
	at := max(m.at(), 0)
	m.offset = min(m.offset, at)
	m.offset = max(m.offset, at-m.body()+1)
	m.offset = max(min(m.offset, len(m.rows)-m.body()), 0)
}
