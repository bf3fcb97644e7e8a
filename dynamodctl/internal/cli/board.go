package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/dynamodctl/internal/style"
	"dynamod/dynamodctl/internal/top"
	"dynamod/internal/board"
	"dynamod/internal/ipc"
)

// boardEvery is how often a board on a terminal is drawn anew.
const boardEvery = 2 * time.Second

func boardCommand(g *globals) *cobra.Command {
	var tty string
	cmd := &cobra.Command{
		Use:   "board [PATTERN]...",
		Short: "Show units from shared memory, without asking the manager",
		Long: `Shows what the manager has written down of each unit. It works while the manager
hangs, is stopped or is gone, and says how old it is. Memory and processor time are
as they were when the unit changed last.

--tty draws it on a terminal again and again until it is interrupted, such as the
twelfth console: dynamodctl board --tty /dev/tty12

` + exitHelp,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			s := g.session(cmd)
			if tty != "" {
				return s.drawBoard(tty, args)
			}
			b, err := s.target().ReadBoard(time.Now(), args)
			if err != nil {
				s.fail("", err)
				return said(s.code)
			}
			if s.json {
				return s.printJSON(boardJSON(b))
			}
			showBoard(s.out, b, s.o)
			return nil
		},
	}
	cmd.Flags().StringVar(&tty, "tty", "", "draw it on the terminal `DEVICE`, again and again")
	return cmd
}

// boardDoc is a board as --json shows it. Unknown numbers are -1.
type boardDoc struct {
	// Manager is running, stopped, ended or gone.
	Manager string     `json:"manager"`
	PID     int32      `json:"pid"`
	Started ipc.Stamp  `json:"started"`
	Updated ipc.Stamp  `json:"updated"`
	Age     int64      `json:"age_usec"`
	Total   uint32     `json:"total"`
	Torn    int        `json:"torn,omitempty"`
	Units   []boardRow `json:"units"`
}

type boardRow struct {
	ipc.StatsRow
	Sub    string `json:"sub"`
	Cause  string `json:"cause,omitempty"`
	Weight uint32 `json:"weight"`
}

func boardJSON(b *live.Board) *boardDoc {
	d := &boardDoc{Manager: b.Manager, PID: b.PID, Started: ipc.Stamp{Wall: b.Started}, Updated: ipc.Stamp{Wall: b.Updated},
		Age: b.Age.Microseconds(), Total: b.Total, Torn: b.Torn, Units: []boardRow{}}
	for k, row := range b.Rows() {
		r := &b.Records[k]
		d.Units = append(d.Units, boardRow{row, r.Sub, r.Cause, r.Weight})
	}
	return d
}

func showBoard(w io.Writer, b *live.Board, o render.Options) {
	render.Stats(w, b.Rows(), o)
	fmt.Fprintf(w, "\n%s\n", b.Verdict())
	if n := int(b.Total) - int(b.Used); n > 0 {
		fmt.Fprintf(w, "%d units found no room\n", n)
	}
	if b.Torn > 0 {
		fmt.Fprintf(w, "%d records cannot be read: the manager was stopped while it wrote them\n", b.Torn)
	}
}

// drawBoard draws on a terminal until it is interrupted. What goes wrong with the board
// is shown there; what goes wrong with the terminal ends it.
func (s *session) drawBoard(tty string, units []string) error {
	f, err := os.OpenFile(tty, os.O_WRONLY, 0)
	if err != nil {
		s.fail("", err)
		return said(s.code)
	}
	defer f.Close()
	if !style.Terminal(f) {
		return fmt.Errorf("--tty %s: it is no terminal", tty)
	}
	t := time.NewTicker(boardEvery)
	defer t.Stop()
	for {
		now := time.Now()
		// From the first cell on, and what is left of the former picture away.
		if _, err := io.WriteString(f, "\x1b[H\x1b[2J"); err != nil {
			return err
		}
		b, err := s.target().ReadBoard(now, units)
		if err != nil {
			fmt.Fprintln(f, render.Safe(err.Error()))
		} else {
			showBoard(f, b, render.Options{Style: style.For(f), Width: style.Width(f), Now: now, Zone: time.Local})
		}
		select {
		case <-s.ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// boardSource shows a board in top.
type boardSource struct {
	target live.Target
	units  []string
}

// Sample reads the board once.
func (t *boardSource) Sample(context.Context) (*top.Sample, error) {
	now := time.Now()
	b, err := t.target.ReadBoard(now, t.units)
	if err != nil {
		return nil, err
	}
	s := &top.Sample{Taken: now, Stats: &ipc.StatsResult{At: ipc.Stamp{Wall: b.Updated}}}
	s.Server = ipc.PingResult{Program: "board", Version: fmt.Sprintf("of process %d", b.PID), Mode: fmt.Sprintf("%v old", b.Age.Round(time.Second)),
		State: b.Manager, PID: b.PID, Started: ipc.Stamp{Wall: b.Started}}
	for _, r := range b.Rows() {
		if r.PID != 0 || r.Memory > 0 {
			s.Stats.Units = append(s.Stats.Units, r)
		}
	}
	for _, r := range b.Records {
		if slices.Contains(troubled, r.State) {
			s.Trouble = append(s.Trouble, ipc.Unit{Name: r.Name, State: r.State, Sub: r.Sub, Load: "loaded", PID: r.PID,
				Restarts: r.Restarts, Since: ipc.Stamp{Wall: r.Since}, Cause: r.Cause})
		}
	}
	slices.SortFunc(s.Trouble, func(a, b ipc.Unit) int { return cmp.Compare(a.Name, b.Name) })
	return s, nil
}

// Why gives what the board has of the reason.
func (t *boardSource) Why(_ context.Context, unit string) (*ipc.WhyResult, error) {
	b, err := t.target.ReadBoard(time.Now(), nil)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(b.Records, func(r board.Record) bool { return r.Name == unit })
	if i < 0 {
		return nil, errors.New("it is not on the board any more")
	}
	r := b.Records[i]
	return &ipc.WhyResult{Unit: unit, State: r.State, Chain: []ipc.WhyStep{{Unit: unit, State: r.State, Since: ipc.Stamp{Wall: r.Since},
		Cause: ipc.Cause{Kind: r.Cause, Sentence: r.Cause + "; " + b.Verdict()}}}}, nil
}
