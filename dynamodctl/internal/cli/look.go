package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/ipc"
)

func mentions(text, word string) bool { return strings.Contains(text, word) }

func listCommand(g *globals) *cobra.Command {
	var a ipc.ListArgs
	var timers, sockets bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN]...",
		Short: "List units and their states",
		Long: `Lists units, by name. Without --all those are left out that were never started
or are at rest. PATTERN is a unit name or a shell pattern.

--timers lists when timers elapse next, the soonest first, and --sockets what
sockets listen on, by address: what systemctl list-timers and list-sockets show.

States are ` + strings.Join(stateWords, ", ") + `.

` + exitHelp,
		Example: `  dynamodctl list
  dynamodctl list --all --type timer,socket
  dynamodctl list --state failed
  dynamodctl list --timers
  dynamodctl list 'ssh*'`,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Units = append(a.Units, args...)
			return g.live(cmd, func(s *session) error {
				switch {
				case timers:
					return s.listTriggers(a, "timer")
				case sockets:
					return s.listTriggers(a, "socket")
				}
				if s.compat {
					a.All, a.Types = true, []string{"service"}
				}
				units, err := s.client.List(s.ctx, a)
				switch {
				case err != nil:
					return err
				case s.json:
					return s.printJSON(ipc.ListResult{Units: orEmpty(units), Total: len(units)})
				case s.compat:
					render.CompatList(s.out, units)
				default:
					render.List(s.out, units, s.o)
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&a.Units, "units", nil, "only these `PATTERNS`, the same as arguments")
	f.StringSliceVar(&a.States, "state", nil, "only units in these `STATES`")
	f.StringSliceVarP(&a.Types, "type", "t", nil, "only units of these `TYPES` (service, socket, …)")
	f.BoolVarP(&a.All, "all", "a", false, "also units that are at rest")
	f.BoolVar(&timers, "timers", false, "timers by their next elapse")
	f.BoolVar(&sockets, "sockets", false, "sockets by what they listen on")
	cmd.MarkFlagsMutuallyExclusive("timers", "sockets", "type")
	cmd.RegisterFlagCompletionFunc("state", words(stateWords...))
	cmd.RegisterFlagCompletionFunc("type", words(unitTypes()...))
	return cmd
}

var stateWords = []string{"inactive", "blocked", "starting", "active", "reloading", "stopping", "completed", "restart-pending",
	"failed", "dormant", "abandoned", "skipped"}

// orEmpty makes [] of nothing, which JSON would call null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func statusCommand(g *globals) *cobra.Command {
	var pid int32
	var quiet bool
	cmd := &cobra.Command{
		Use:   "status [UNIT]...",
		Short: "Show all about units, or about the manager",
		Long: `Shows state and cause, processes, resources and the last lines of log of units;
without UNIT, the state of the manager and what failed.

` + exitHelp,
		Example: `  dynamodctl status
  dynamodctl status ssh
  dynamodctl status --pid 1234
  dynamodctl status --quiet ssh || echo ssh is down`,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case g.compat && len(args) != 1:
				return errors.New("--compat: status takes one service")
			case quiet && len(args) == 0 && pid == 0:
				return errors.New("--quiet: name a UNIT")
			}
			return g.live(cmd, func(s *session) error {
				if len(args) == 0 && pid == 0 {
					return s.overview()
				}
				var which []ipc.UnitArgs
				for _, name := range args {
					which = append(which, ipc.UnitArgs{Unit: name})
				}
				if pid != 0 {
					which = append(which, ipc.UnitArgs{PID: pid})
				}
				return s.status(which, quiet)
			})
		},
	}
	cmd.Flags().Int32Var(&pid, "pid", 0, "the unit that process `PID` belongs to")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing, tell by the exit status")
	return cmd
}

func (s *session) status(which []ipc.UnitArgs, quiet bool) error {
	doc := struct {
		Units  []ipc.Status `json:"units"`
		Errors []errorDoc   `json:"errors,omitempty"`
	}{Units: []ipc.Status{}}
	first := true
	for _, a := range which {
		var st ipc.Status
		if err := s.call(ipc.VerbStatus, &a, &st); err != nil {
			d := judge(err)
			s.remember(d.Exit)
			doc.Errors = append(doc.Errors, d)
			if !quiet {
				s.tell("status "+a.Unit, d)
			}
			continue
		}
		if st.Active != "active" && st.Active != "reloading" && !s.compat {
			s.remember(exitInactive)
		}
		switch {
		case quiet:
		case s.json:
			doc.Units = append(doc.Units, st)
		case s.compat:
			render.CompatStatus(s.out, &st)
		default:
			if !first {
				fmt.Fprintln(s.out)
			}
			render.Status(s.out, &st, s.o)
		}
		first = false
	}
	if s.json && !quiet {
		return s.printJSON(doc)
	}
	return nil
}

func (s *session) overview() error {
	units, err := s.client.List(s.ctx, ipc.ListArgs{})
	if err != nil {
		return err
	}
	jobs, err := live.Jobs(s.ctx, s.client)
	if err != nil {
		return err
	}
	p := s.client.Server()
	if !s.json {
		render.Overview(s.out, &p, units, jobs, s.o)
		return nil
	}
	failed := []string{}
	for i := range units {
		if units[i].State == "failed" || units[i].State == "abandoned" {
			failed = append(failed, units[i].Name)
		}
	}
	return s.printJSON(struct {
		Manager ipc.PingResult `json:"manager"`
		Units   int            `json:"units"`
		Failed  []string       `json:"failed"`
		Jobs    []ipc.Job      `json:"jobs"`
	}{p, len(units), failed, jobs})
}

func treeCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "tree [SUPERVISOR]",
		Short:             "Show the supervision tree",
		Long:              "Shows supervisors with their strategy and budget of restarts, and the services\nbelow them.\n\n" + exitHelp,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				rows, err := live.Tree(s.ctx, s.client, strings.Join(args, ""))
				switch {
				case err != nil:
					return err
				case s.json:
					return s.printJSON(ipc.TreeResult{Rows: rows})
				case s.compat:
					render.CompatTree(s.out, rows)
				default:
					render.Tree(s.out, rows, s.o)
				}
				return nil
			})
		},
	}
}

func whyCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "why UNIT...",
		Short: "Say why a unit is in its state, down to the root of the matter",
		Long: `Says in words why a unit failed, is blocked, waits or runs: what happened, what
the manager did, what would mend it, and the same for the unit that is to blame.

` + exitHelp,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				doc := struct {
					Units  []ipc.WhyResult `json:"units"`
					Errors []errorDoc      `json:"errors,omitempty"`
				}{Units: []ipc.WhyResult{}}
				for i, name := range args {
					var r ipc.WhyResult
					if err := s.call(ipc.VerbWhy, &ipc.UnitArgs{Unit: name}, &r); err != nil {
						d := judge(err)
						s.remember(d.Exit)
						s.tell("why "+name, d)
						doc.Errors = append(doc.Errors, d)
						continue
					}
					doc.Units = append(doc.Units, r)
					if s.json {
						continue
					}
					if i > 0 {
						fmt.Fprintln(s.out)
					}
					render.Why(s.out, &r, s.o)
				}
				if s.json {
					return s.printJSON(doc)
				}
				return nil
			})
		},
	}
}

func depsCommand(g *globals) *cobra.Command {
	var a ipc.DepsArgs
	var all bool
	cmd := &cobra.Command{
		Use:   "deps UNIT",
		Short: "Show what a unit needs, or what needs it",
		Long: `Shows the dependencies of a unit as a tree, each with the relations that make it
and where they come from.

` + exitHelp,
		Example: `  dynamodctl deps --depth 3 multi-user.target
  dynamodctl deps --reverse --relation requires,binds-to dbus.service`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Unit = args[0]
			switch {
			case all:
				a.Depth = -1
			case a.Depth < 1:
				return fmt.Errorf("--depth %d: must be at least 1; --all shows everything", a.Depth)
			}
			return g.live(cmd, func(s *session) error {
				r, err := live.Deps(s.ctx, s.client, a)
				if err != nil {
					return err
				}
				if s.json {
					return s.printJSON(r)
				}
				name := r.Unit
				if name == "" {
					name = a.Unit
				}
				render.Deps(s.out, name, r.Rows, a.Reverse, s.o)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&a.Reverse, "reverse", "r", false, "what needs the unit, instead of what it needs")
	f.IntVar(&a.Depth, "depth", 1, "go `N` steps from the unit")
	f.BoolVarP(&all, "all", "a", false, "go all the way")
	f.StringSliceVar(&a.Relations, "relation", nil, "only these `RELATIONS` (requires, wants, after, …)")
	cmd.MarkFlagsMutuallyExclusive("depth", "all")
	return cmd
}

func jobsCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "jobs",
		Short:             "List what is queued and what it waits for",
		Long:              "Lists jobs that have not ended: what is to be done, since when, and which units\nmust be done first.\n\n" + exitHelp,
		Args:              cobra.NoArgs,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.live(cmd, func(s *session) error {
				jobs, err := live.Jobs(s.ctx, s.client)
				if err != nil {
					return err
				}
				if s.json {
					return s.printJSON(ipc.JobsResult{Jobs: jobs})
				}
				render.Jobs(s.out, jobs, s.o)
				return nil
			})
		},
	}
}

func blameCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "blame",
		Short:             "List units by the time they took to start",
		Long:              "Lists units by the time from the beginning of their start until they were up,\nslowest first. Units that started beside each other count each for itself.\n\n" + exitHelp,
		Args:              cobra.NoArgs,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.live(cmd, func(s *session) error {
				b, err := live.Boot(s.ctx, s.client)
				if err != nil {
					return err
				}
				if s.json {
					return s.printJSON(b)
				}
				render.Blame(s.out, b, s.o)
				return nil
			})
		},
	}
}

func chainCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "critical-chain [UNIT]",
		Short:             "Show what the boot waited for",
		Long:              "Shows the chain of units that the boot, or UNIT, waited for: each line with the\nmoment it was up and how long it took. To boot faster, shorten this chain.\n\n" + exitHelp,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				b, err := live.Boot(s.ctx, s.client)
				if err != nil {
					return err
				}
				if s.json {
					return s.printJSON(b)
				}
				unit := strings.Join(args, "")
				if !render.CriticalChain(s.out, b, unit, s.o) {
					return ipc.Errorf("NoSuchUnit", "%s was not started since boot", unit).WithUnit(unit)
				}
				return nil
			})
		},
	}
}

func pingCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "ping",
		Short:             "Ask whether the manager answers",
		Long:              "Asks the manager for a sign of life and says how long it took.\n\n" + exitHelp,
		Args:              cobra.NoArgs,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.live(cmd, func(s *session) error {
				var p ipc.PingResult
				begin := time.Now()
				if err := s.call(ipc.VerbPing, &ipc.PingArgs{}, &p); err != nil {
					return err
				}
				if s.json {
					return s.printJSON(p)
				}
				render.Ping(s.out, &p, time.Since(begin), s.o)
				return nil
			})
		},
	}
}

func versionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Say which version this is and which one the manager is",
		Long:              "Prints the version of dynamodctl and, if it can be reached, that of the manager.\n\nExit status: 0, 2 usage.",
		Args:              cobra.NoArgs,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := g.session(cmd)
			doc := struct {
				Version  string          `json:"version"`
				Protocol int             `json:"protocol"`
				Manager  *ipc.PingResult `json:"manager,omitempty"`
				Error    *errorDoc       `json:"error,omitempty"`
			}{Version: ownVersion(), Protocol: ipc.Protocol}
			c, err := g.target().Dial(s.ctx)
			if err == nil {
				p := c.Server()
				doc.Manager = &p
				c.Close()
			} else {
				d := judge(err)
				doc.Error = &d
			}
			if s.json {
				return s.printJSON(doc)
			}
			fmt.Fprintf(s.out, "dynamodctl %s, protocol %d\n", doc.Version, doc.Protocol)
			if doc.Manager != nil {
				fmt.Fprintf(s.out, "%s %s, protocol %d\n", render.Safe(doc.Manager.Program), render.Safe(doc.Manager.Version), doc.Manager.Protocol)
			} else {
				fmt.Fprintf(s.out, "manager: %s\n", render.Safe(doc.Error.Message))
			}
			return nil
		},
	}
}

func debugStateCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "debug-state",
		Short:             "Dump the manager's inner state, for developers",
		Long:              "Prints the manager's inner state. What it looks like is no promise.\n\n" + exitHelp,
		Args:              cobra.NoArgs,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.live(cmd, func(s *session) error {
				var pages []string
				err := live.DebugState(s.ctx, s.client, func(text string) error {
					if s.json {
						pages = append(pages, text)
						return nil
					}
					for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
						fmt.Fprintln(s.out, render.Safe(line))
					}
					return nil
				})
				if err == nil && s.json {
					err = s.printJSON(ipc.DebugResult{Text: strings.Join(pages, "")})
				}
				return err
			})
		},
	}
}

func debugProcsCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "debug-procs [SUPERVISOR]",
		Short:             "List the processes of every unit",
		Long:              "Lists all processes that the manager knows, by unit, with the part they play.\n\n" + exitHelp,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				rows, err := live.Procs(s.ctx, s.client, strings.Join(args, ""))
				if err != nil {
					return err
				}
				slices.SortFunc(rows, func(a, b ipc.ProcsRow) int { return strings.Compare(a.Unit, b.Unit) })
				if s.json {
					return s.printJSON(ipc.ProcsResult{Units: rows})
				}
				render.Procs(s.out, rows, s.o)
				return nil
			})
		},
	}
}
