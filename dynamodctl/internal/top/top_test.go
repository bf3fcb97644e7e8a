package top

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"dynamod/dynamodctl/internal/fake"
	"dynamod/internal/ipc"
)

var update = flag.Bool("update", false, "rewrite testdata")

type source struct {
	n   int64
	err error
}

func (s *source) Sample(context.Context) (*Sample, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.n++
	trouble := []ipc.Unit{}
	for _, u := range fake.Units() {
		if u.State == "failed" || u.State == "blocked" {
			trouble = append(trouble, u)
		}
	}
	return &Sample{Server: ipc.PingResult{Program: "dynamod-svmgr", Version: "1.0", Mode: "system", State: "degraded", Started: fake.At(7200)},
		Stats: fake.Stats(s.n), Trouble: trouble, Taken: time.UnixMicro(fake.Now).UTC()}, nil
}

func (s *source) Why(_ context.Context, unit string) (*ipc.WhyResult, error) {
	for _, u := range fake.Units() {
		if u.Name == unit {
			return fake.Why(&u), nil
		}
	}
	return nil, errors.New("no such unit \x1b[2J")
}

// play feeds a model with samples and keys, as bubbletea does.
func play(s *source, width, height, samples int, keys ...string) model {
	m := newModel(context.Background(), s, time.Second)
	step := func(msg tea.Msg) tea.Cmd {
		next, cmd := m.Update(msg)
		m = next.(model)
		return cmd
	}
	step(tea.WindowSizeMsg{Width: width, Height: height})
	for range samples {
		step(m.ask()())
		step(tick{})
	}
	for _, k := range keys {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
		switch k {
		case "enter":
			msg = tea.KeyMsg{Type: tea.KeyEnter}
		case "down":
			msg = tea.KeyMsg{Type: tea.KeyDown}
		case "end":
			msg = tea.KeyMsg{Type: tea.KeyEnd}
		}
		if cmd := step(msg); cmd != nil {
			if answer := cmd(); answer != (tea.QuitMsg{}) {
				step(answer)
			}
		}
	}
	return m
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		name                   string
		width, height, samples int
		keys                   []string
	}{
		{"wide", 120, 12, 7, nil},
		{"usual", 80, 12, 3, []string{"m", "down"}},
		{"narrow", 40, 9, 3, []string{"s"}},
		{"short", 80, 6, 3, []string{"n", "end"}},
		{"first", 80, 10, 1, nil},
		{"asking", 80, 10, 0, nil},
		{"why", 80, 20, 3, []string{"s", "enter"}},
		{"back", 80, 12, 3, []string{"s", "enter", "x", "p"}},
	} {
		got := play(&source{}, c.width, c.height, c.samples, c.keys...).View() + "\n"
		file := "testdata/" + c.name + ".txt"
		if *update {
			os.MkdirAll("testdata", 0o755)
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs (-update rewrites it); got:\n%s", file, got)
		}
	}
}

// TestFits: at any size the view fits the screen and lets no byte through that a
// terminal acts on.
func TestFits(t *testing.T) {
	for width := 20; width <= 160; width += 7 {
		for height := 5; height <= 30; height += 5 {
			view := play(&source{}, width, height, 4, "down").View()
			lines := strings.Split(view, "\n")
			if len(lines) > height {
				t.Fatalf("%dx%d: %d lines", width, height, len(lines))
			}
			for _, l := range lines {
				if n := ansi.StringWidth(l); n > width {
					t.Fatalf("%dx%d: a line of %d: %q", width, height, n, l)
				}
			}
			if strings.ContainsAny(view, "\x1b\x07") {
				t.Fatalf("%dx%d: escapes in a view without colours: %q", width, height, view)
			}
		}
	}
}

// TestErrors: what was shown stays, with the reason why it is stale.
func TestErrors(t *testing.T) {
	s := &source{}
	m := play(s, 80, 12, 2)
	s.err = errors.New("connection lost \x1b[2J")
	next, cmd := m.Update(m.ask()())
	m = next.(model)
	if cmd == nil {
		t.Fatal("after an error nothing is asked again")
	}
	if v := m.View(); !strings.Contains(v, "web.service") || !strings.Contains(v, `stale: connection lost \e[2J`) {
		t.Errorf("after an error:\n%s", v)
	}
	if v := play(&source{err: s.err}, 80, 12, 1).View(); !strings.Contains(v, "connection lost") {
		t.Errorf("without a first sample:\n%s", v)
	}
}

func TestQuit(t *testing.T) {
	for _, k := range []tea.KeyMsg{{Type: tea.KeyRunes, Runes: []rune("q")}, {Type: tea.KeyEsc}, {Type: tea.KeyCtrlC}} {
		m := play(&source{}, 80, 12, 2)
		_, cmd := m.Update(k)
		if cmd == nil || cmd() != (tea.QuitMsg{}) {
			t.Errorf("%s does not quit", k)
		}
	}
}

// TestCounterReset: a cgroup that was made anew begins at zero, which is not a
// negative use of the processor.
func TestCounterReset(t *testing.T) {
	s := &source{n: 50}
	m := play(s, 80, 12, 1)
	s.n = 0
	next, _ := m.Update(m.ask()())
	for _, r := range next.(model).rows {
		if r.Unit == "slow.service" && r.percent != -1 {
			t.Errorf("percent = %v after the counter went back; want none", r.percent)
		}
	}
}

// What cannot be known is not shown as nothing, parts of seconds do not flicker, and
// on a very wide terminal the numbers stay near the names.
func TestUnknownAndWide(t *testing.T) {
	m := play(&source{}, 250, 12, 2)
	for i := range m.rows {
		m.rows[i].Memory, m.rows[i].Tasks = -1, -1
	}
	if got := ansi.Strip(m.totals()); !strings.Contains(got, "memory -   tasks -") {
		t.Errorf("totals of unknown numbers: %q", got)
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", 300 * time.Microsecond: "0s", 1900 * time.Millisecond: "1s", 75 * time.Second: "1min 15s"} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %q; want %q", d, got, want)
		}
	}
	for line := range strings.Lines(ansi.Strip(m.View())) {
		if i := strings.Index(line, "STATE"); i > 60 {
			t.Errorf("STATE is at column %d", i)
		}
	}
}
