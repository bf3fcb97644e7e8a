package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"dynamod/dynamodctl/internal/render"
)

var (
	bold   = lipgloss.NewStyle().Bold(true)
	dim    = lipgloss.NewStyle().Faint(true)
	red    = lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Bold(true)
	yellow = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
	green  = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	cyan   = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
	chosen = lipgloss.NewStyle().Reverse(true)
	none   = lipgloss.NewStyle()
)

func paint(state string) lipgloss.Style {
	switch urgency(state) {
	case 0:
		return red
	case 1, 2:
		return yellow
	case 3:
		return green
	}
	return dim
}

// column is one column of the table. from is the width of terminal from which it
// is shown.
type column struct {
	title string
	width int
	right bool
	from  int
	text  func(*row, time.Time) string
	style func(*row) lipgloss.Style
}

func plain(*row) lipgloss.Style { return none }

// columns follow the unit's name, which takes the room that is left.
var columns = []column{
	{"STATE", 15, false, 0, func(r *row, _ time.Time) string { return render.Safe(r.State) }, func(r *row) lipgloss.Style { return paint(r.State) }},
	{"CPU", 6, true, 0, func(r *row, _ time.Time) string { return percent(r.percent) }, plain},
	{"CPU HISTORY", history, false, 90, func(r *row, _ time.Time) string { return sparkline(r.past) }, func(*row) lipgloss.Style { return cyan }},
	{"MEMORY", 7, true, 45, func(r *row, _ time.Time) string { return render.Bytes(r.Memory) }, plain},
	{"TASKS", 5, true, 72, func(r *row, _ time.Time) string { return number(r.Tasks) }, plain},
	{"RESTARTS", 8, true, 62, func(r *row, _ time.Time) string { return fmt.Sprint(r.Restarts) }, func(r *row) lipgloss.Style {
		if r.Restarts > 0 {
			return yellow
		}
		return none
	}},
	{"PID", 7, true, 80, func(r *row, _ time.Time) string {
		if r.PID == 0 {
			return "-"
		}
		return fmt.Sprint(r.PID)
	}, plain},
	{"SINCE", 10, true, 110, func(r *row, now time.Time) string {
		if r.Since.Wall == 0 {
			return "-"
		}
		return seconds(now.Sub(time.UnixMicro(r.Since.Wall)))
	}, plain},
}

// seconds is a span without parts of seconds, which only flicker.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	}
	return render.Span(d.Truncate(time.Second))
}

func number(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func percent(p float64) string {
	switch {
	case p < 0:
		return "-"
	case p < 99.95:
		return fmt.Sprintf("%.1f%%", p)
	}
	return fmt.Sprintf("%.0f%%", p)
}

var levels = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values against the greatest of them, or against a tenth of a
// processor if all are less: noise is not to look like work.
func sparkline(past []float64) string {
	top := 10.0
	for _, v := range past {
		top = max(top, v)
	}
	out := []rune(strings.Repeat(" ", history-min(len(past), history)))
	for _, v := range past {
		out = append(out, levels[min(int(v/top*float64(len(levels))), len(levels)-1)])
	}
	return string(out)
}

func cell(s string, width int, right bool) string {
	if ansi.StringWidth(s) > width {
		s = ansi.Truncate(s, width, "…")
	}
	space := strings.Repeat(" ", width-ansi.StringWidth(s))
	if right {
		return space + s
	}
	return s + space
}

// View draws the screen.
func (m model) View() string {
	if m.why != nil || m.whyErr != nil {
		return m.page()
	}
	var b strings.Builder
	put := func(s string) { b.WriteString(ansi.Truncate(s, m.width, "") + "\n") }
	put(m.title())
	put(m.totals())

	var shown []column
	name := m.width - 2
	for _, c := range columns {
		if m.width >= c.from {
			shown = append(shown, c)
			name -= c.width + 1
		}
	}
	// On a wide terminal the numbers stay near the names.
	longest := 40
	for i := range m.rows {
		longest = max(longest, ansi.StringWidth(render.Safe(m.rows[i].Unit)))
	}
	name = max(min(name, longest), 8)
	line := "  " + cell("UNIT", name, false)
	for _, c := range shown {
		line += " " + cell(c.title, c.width, c.right)
	}
	put(bold.Render(line))

	now := time.Time{}
	if m.last != nil {
		now = m.last.Taken
	}
	end := min(m.offset+m.body(), len(m.rows))
	for i := m.offset; i < end; i++ {
		r := &m.rows[i]
		mark := r.Unit == m.selected
		style := func(s lipgloss.Style, text string) string {
			if mark {
				return chosen.Render(text)
			}
			return s.Render(text)
		}
		lead := "  "
		if mark {
			lead = "> "
		}
		line := style(none, lead+cell(render.Safe(r.Unit), name, false))
		for _, c := range shown {
			line += style(none, " ") + style(c.style(r), cell(c.text(r, now), c.width, c.right))
		}
		put(line)
	}
	for i := end - m.offset; i < m.body(); i++ {
		put("")
	}
	b.WriteString(ansi.Truncate(m.footer(), m.width, ""))
	return b.String()
}

func (m model) title() string {
	if m.last == nil {
		return bold.Render("dynamodctl top")
	}
	p := m.last.Server
	s := bold.Render(render.Safe(p.Program)+" "+render.Safe(p.Version)) + "  " + render.Safe(p.Mode)
	state := green
	if p.State != "running" {
		state = yellow
	}
	if p.State == "degraded" {
		state = red
	}
	s += "  " + state.Render(render.Safe(p.State))
	if p.Started.Wall != 0 {
		s += "  up " + seconds(m.last.Taken.Sub(time.UnixMicro(p.Started.Wall)))
	}
	return s + "  " + dim.Render(m.last.Taken.Format("15:04:05"))
}

func (m model) totals() string {
	if m.last == nil {
		if m.err != nil {
			return red.Render(render.Safe(m.err.Error()))
		}
		return "asking the manager…"
	}
	memory, tasks := int64(-1), int64(-1) // unknown without the controllers
	cpu, up, bad, waiting := 0.0, 0, 0, 0
	for i := range m.rows {
		r := &m.rows[i]
		if r.Memory >= 0 {
			memory = max(memory, 0) + r.Memory
		}
		if r.Tasks >= 0 {
			tasks = max(tasks, 0) + r.Tasks
		}
		cpu += max(r.percent, 0)
		switch urgency(r.State) {
		case 0:
			bad++
		case 1:
			waiting++
		case 3:
			up++
		}
	}
	s := fmt.Sprintf("%d up", up)
	if waiting > 0 {
		s += ", " + yellow.Render(fmt.Sprintf("%d waiting", waiting))
	}
	if bad > 0 {
		s += ", " + red.Render(fmt.Sprintf("%d failed", bad))
	}
	return s + fmt.Sprintf("   cpu %s   memory %s   tasks %s", percent(cpu), render.Bytes(memory), number(tasks))
}

func (m model) footer() string {
	switch {
	case m.err != nil && m.last != nil:
		return red.Render("stale: " + render.Safe(m.err.Error()))
	case m.paused:
		return yellow.Render("paused") + dim.Render("  p goes on  q quits")
	}
	place := ""
	if n := m.body(); len(m.rows) > n {
		place = fmt.Sprintf("  %d-%d of %d", m.offset+1, min(m.offset+n, len(m.rows)), len(m.rows))
	}
	return dim.Render("by " + orderWords[m.order] + place + "   sort: c m r s n   enter: why   p: pause   q: quit")
}

// page is the explanation of one unit.
func (m model) page() string {
	var b strings.Builder
	if m.whyErr != nil {
		b.WriteString(red.Render(render.Safe(m.whyErr.Error())) + "\n")
	} else {
		o := render.Options{Width: m.width}
		if m.last != nil {
			o.Now = m.last.Taken
		}
		render.Why(&b, m.why, o)
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if room := max(m.height-2, 1); len(lines) > room {
		lines = append(lines[:room-1], dim.Render("…"))
	}
	return strings.Join(lines, "\n") + "\n\n" + dim.Render("any key goes back, q quits")
}
