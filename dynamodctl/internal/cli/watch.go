package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/dynamodctl/internal/style"
	"dynamod/dynamodctl/internal/top"
	"dynamod/internal/calendar"
	"dynamod/internal/ipc"
)

// followEvery is how often logs -f asks for new lines.
const followEvery = 500 * time.Millisecond

func logsCommand(g *globals) *cobra.Command {
	var a ipc.LogsArgs
	var follow bool
	var since, until, priority string
	cmd := &cobra.Command{
		Use:   "logs [UNIT]...",
		Short: "Show what units logged",
		Long: `Shows the last lines of log, oldest first, of units or patterns, or of all.
--follow goes on until it is interrupted. --json prints one object per line.

` + exitHelp,
		Example: `  dynamodctl logs web
  dynamodctl logs -f -n 0 web db
  dynamodctl logs --since '1 hour ago' --priority warning`,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Units = args
			if a.Lines < 0 {
				return fmt.Errorf("--lines %d: must not be negative", a.Lines)
			}
			var err error
			if a.Priority, err = parsePriority(priority); err != nil {
				return err
			}
			for _, b := range []struct {
				flag, text string
				into       *int64
			}{{"since", since, &a.Since}, {"until", until, &a.Until}} {
				if b.text == "" {
					continue
				}
				at, err := calendar.ParseTimestamp(b.text, time.Now(), time.Local)
				if err != nil {
					return fmt.Errorf("--%s: %w", b.flag, err)
				}
				*b.into = at.UnixMicro()
			}
			return g.live(cmd, func(s *session) error { return s.logs(a, follow) })
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what is logged from now on")
	f.IntVarP(&a.Lines, "lines", "n", 100, "begin with the last `N` lines, 0 for all")
	f.StringVar(&since, "since", "", "only from `TIME` on (systemd.time(7))")
	f.StringVar(&until, "until", "", "only until `TIME`")
	f.StringVarP(&priority, "priority", "p", "", "only lines at least as important as `LEVEL` (err, warning, 0 to 7, …)")
	cmd.RegisterFlagCompletionFunc("priority", words(priorities...))
	return cmd
}

var priorities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// parsePriority reads a level; emerg cannot be asked for alone, for 0 means all
// on the wire, so it is taken as alert.
func parsePriority(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	for i, w := range priorities {
		if text == w {
			return max(i, 1), nil
		}
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 7 {
		return max(n, 1), nil
	}
	return 0, fmt.Errorf("--priority %s: must be one of %s, or 0 to 7", text, strings.Join(priorities, ", "))
}

func (s *session) logs(a ipc.LogsArgs, follow bool) error {
	each := func(lines []ipc.LogLine, lost uint64) error {
		if s.json {
			for i := range lines {
				if err := s.printLine(lines[i]); err != nil {
					return err
				}
			}
			return nil
		}
		s.o.Now = time.Now()
		// Who asks for the last few lines does not miss the oldest.
		if t := render.Lost(lost, s.o); t != "" && a.Lines == 0 {
			fmt.Fprintln(s.out, t)
		}
		render.Log(s.out, lines, s.o)
		return nil
	}
	if !follow {
		any := false
		err := live.Logs(s.ctx, s.client, a, func(lines []ipc.LogLine, lost uint64) error {
			any = any || len(lines) > 0
			return each(lines, lost)
		})
		if err != nil || any {
			return err
		}
		// Silence may mean a typo. Lines may outlive their unit, so it is no
		// error before there are none.
		for _, name := range a.Units {
			if strings.ContainsAny(name, "*?[") {
				continue
			}
			if err := s.call(ipc.VerbStatus, &ipc.UnitArgs{Unit: name}, nil); ipc.KindOf(err) == "NoSuchUnit" {
				return err
			}
		}
		return nil
	}
	t := time.NewTicker(followEvery)
	defer t.Stop()
	return s.untilInterrupted(live.Follow(s.ctx, s.client, a, t.C, func(lines []ipc.LogLine) error { return each(lines, 0) }))
}

// untilInterrupted: an interrupt is how the user ends a stream.
func (s *session) untilInterrupted(err error) error {
	if errors.Is(err, context.Canceled) && s.ctx.Err() != nil {
		return nil
	}
	return err
}

// errEnough ends a stream.
var errEnough = errors.New("enough")

func eventsCommand(g *globals) *cobra.Command {
	var a ipc.SubscribeArgs
	var n int
	var follow bool
	cmd := &cobra.Command{
		Use:   "events [PATTERN]...",
		Short: "Show what happens, as it happens",
		Long: `Shows changes of state, jobs and the like from now on, until it is interrupted
or, with -n, as many as were asked for. --json prints one object per line.

Kinds are ` + strings.Join(ipc.EventKinds, ", ") + `.

` + exitHelp,
		Example: `  dynamodctl events --kind unit --state failed
  dynamodctl events --json 'web*'`,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 || follow && n > 0 {
				return errors.New("--lines N must be positive, and does not go with --follow")
			}
			a.Units = args
			return g.live(cmd, func(s *session) error {
				left := n
				err := live.Events(s.ctx, s.client, a, func(e ipc.Event) error {
					if s.json {
						if err := s.printLine(e); err != nil {
							return err
						}
					} else {
						s.o.Now = time.Now()
						render.Event(s.out, &e, s.o)
					}
					if left--; left == 0 {
						return errEnough
					}
					return nil
				})
				if errors.Is(err, errEnough) {
					return nil
				}
				return s.untilInterrupted(err)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on until interrupted, which is the default")
	f.IntVarP(&n, "lines", "n", 0, "end after `N` events")
	f.StringSliceVar(&a.Kinds, "kind", nil, "only events of these `KINDS`")
	f.StringSliceVar(&a.States, "state", nil, "only changes into these `STATES`")
	cmd.RegisterFlagCompletionFunc("kind", words(ipc.EventKinds...))
	cmd.RegisterFlagCompletionFunc("state", words(stateWords...))
	return cmd
}

func topCommand(g *globals) *cobra.Command {
	var once, fromBoard bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "top [PATTERN]...",
		Short: "Watch what units do and consume, full-screen",
		Long: `Shows state, processor, memory, tasks and restarts of units, with a curve of what
they used of a processor, and what failed or waits. --once, or output that is no
terminal, prints one table. Nothing can be changed from here.

Keys: c m r s n sort by cpu, memory, restarts, state, name; up and down choose a
unit, enter says why it is in its state; p pauses; q quits.

` + exitHelp,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if every < 100*time.Millisecond {
				return fmt.Errorf("--interval %s: must be at least 100ms", every)
			}
			if fromBoard {
				s := g.session(cmd)
				out, isFile := s.out.(*os.File)
				if once || s.json || !isFile || !style.Terminal(s.out) || !style.Terminal(os.Stdin) {
					return errors.New("--board is for a terminal; dynamodctl board prints it once")
				}
				return s.untilInterrupted(top.Run(s.ctx, &boardSource{s.target(), args}, every, os.Stdin, out))
			}
			return g.live(cmd, func(s *session) error {
				out, isFile := s.out.(*os.File)
				if once || s.json || !isFile || !style.Terminal(s.out) || !style.Terminal(os.Stdin) {
					r, err := live.Stats(s.ctx, s.client, args)
					if err != nil {
						return err
					}
					if s.json {
						return s.printJSON(r)
					}
					render.Stats(s.out, r.Units, s.o)
					return nil
				}
				src := &topSource{target: s.target(), client: s.client, units: args}
				defer src.close()
				return s.untilInterrupted(top.Run(s.ctx, src, every, os.Stdin, out))
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "print one table and end")
	f.BoolVar(&fromBoard, "board", false, "read shared memory and ask no manager, see board")
	f.DurationVar(&every, "interval", top.Every, "look every `TIME`")
	return cmd
}
