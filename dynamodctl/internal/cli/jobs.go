package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/dynamodctl/internal/style"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
)

// jobFlags are those of commands that begin jobs.
type jobFlags struct {
	ipc.JobArgs
	noWait, quiet bool
}

// job makes a command that begins one job per unit and waits for them.
type job struct {
	verb      ipc.Verb
	use       string
	short     string
	long      string
	example   string
	past      string // what is said of a unit when it is done
	stops     bool   // something is stopped: --force and --no-cascade
	one       bool   // takes one unit only
	which     ipc.ListArgs
	compatOut string // what the first dynamodctl printed, with the name in it
}

const waitHelp = `It waits until that is done, and shows on a terminal what is waited for, unless
--no-wait is given. An interrupt ends the waiting, not what was begun.`

func (g *globals) jobCommand(j job) *cobra.Command {
	var fl jobFlags
	cmd := &cobra.Command{
		Use: j.use, Short: j.short, Long: j.long + "\n\n" + waitHelp + "\n\n" + exitHelp, Example: j.example,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: g.completeUnits(j.which, !j.one),
		RunE: func(cmd *cobra.Command, args []string) error {
			if j.one && len(args) != 1 || g.compat && len(args) != 1 {
				return fmt.Errorf("%s takes one UNIT; %d are named", cmd.Name(), len(args))
			}
			return g.live(cmd, func(s *session) error { return s.runJobs(j, &fl, args) })
		},
	}
	fl.add(cmd, j.stops)
	return cmd
}

func (fl *jobFlags) add(cmd *cobra.Command, stops bool) {
	f := cmd.Flags()
	f.BoolVar(&fl.noWait, "no-wait", false, "queue it and do not wait")
	f.BoolVar(&fl.DryRun, "dry-run", false, "print what would be done and do nothing")
	f.BoolVarP(&fl.quiet, "quiet", "q", false, "print only what goes wrong")
	f.StringVar(&fl.Mode, "mode", "", "how to deal with jobs in the way: `MODE` is replace, fail, flush, …")
	cmd.RegisterFlagCompletionFunc("mode", words("replace", "fail", "replace-irreversibly", "flush", "ignore-dependencies", "ignore-requirements"))
	if stops {
		f.BoolVar(&fl.NoCascade, "no-cascade", false, "leave units alone that depend on it")
		f.BoolVar(&fl.Force, "force", false, "even if the unit is protected")
	}
}

// outcomeDoc is what --json says about one unit.
type outcomeDoc struct {
	Unit string `json:"unit"`
	ipc.JobResult
	// State is the unit after a wait, in place of the "unit" of JobResult.
	State *ipc.Unit      `json:"state,omitempty"`
	Why   *ipc.WhyResult `json:"why,omitempty"`
	Error *errorDoc      `json:"error,omitempty"`
}

func (s *session) runJobs(j job, fl *jobFlags, units []string) error {
	if s.compat {
		fl.noWait = true // as the first one did: it is told when it was accepted
	}
	outcomes, err := s.run(live.Request{Verb: j.verb, Units: units, Args: fl.JobArgs, NoWait: fl.noWait})
	docs := []outcomeDoc{}
	for i := range outcomes {
		o := &outcomes[i]
		d := outcomeDoc{Unit: o.Name, JobResult: o.JobResult, State: o.Unit, Why: o.Why}
		d.JobResult.Unit = nil
		if o.Err == nil && o.Job != 0 && o.Result == "" && !fl.noWait && !fl.DryRun {
			continue // interrupted before it was over
		}
		what := strings.ReplaceAll(string(j.verb), "-", " ") + " " + o.Name
		switch {
		case o.Err != nil:
			e := judge(o.Err)
			s.remember(e.Exit)
			d.Error = &e
			s.tell(what, e)
		case !o.Good():
			s.remember(exitFound)
			fmt.Fprintf(s.err, "dynamodctl: %s: %s\n  hint: dynamodctl why %s; dynamodctl logs %s\n", render.Safe(what),
				render.Failure(o.Result, o.Why, s.eo), render.Safe(o.Name), render.Safe(o.Name))
		case s.compat:
			fmt.Fprintf(s.out, j.compatOut+"\n", o.Name)
		case fl.DryRun && !s.json:
			render.Plan(s.out, &o.JobResult, s.o)
		case s.json:
		default:
			s.told(j, fl, o)
		}
		docs = append(docs, d)
	}
	if s.json {
		if err := s.printJSON(map[string][]outcomeDoc{"results": docs}); err != nil {
			return err
		}
	}
	if err != nil && s.ctx.Err() != nil {
		s.remember(exitInterrupted)
		s.leftBehind(outcomes)
		return nil
	}
	return err
}

// told says what was done for one unit.
func (s *session) told(j job, fl *jobFlags, o *live.Outcome) {
	render.Warnings(s.err, o.Warnings, s.eo)
	if fl.quiet {
		return
	}
	name := render.Safe(o.Name)
	switch {
	case o.Job == 0 && o.Result == "" && j.verb != ipc.VerbReset: // which needs no job
		s.note("%s: nothing to do", name)
	case fl.noWait:
		s.note("%s: job %d is queued", name, o.Job)
	case o.Result == "skipped":
		s.note("%s: nothing was done: it was not up, or a condition does not hold", name)
	default:
		s.note("%s: %s", name, j.past)
	}
}

// leftBehind says what goes on after an interrupt.
func (s *session) leftBehind(outcomes []live.Outcome) {
	for i := range outcomes {
		if o := &outcomes[i]; o.Err == nil && o.Job != 0 && o.Result == "" {
			fmt.Fprintf(s.err, "dynamodctl: interrupted; job %d of %s goes on\n  hint: dynamodctl jobs; dynamodctl cancel %d\n", o.Job, render.Safe(o.Name), o.Job)
		}
	}
}

// run queues jobs and waits, with a line of progress if somebody looks.
func (s *session) run(r live.Request) ([]live.Outcome, error) {
	if style.Terminal(s.err) && !s.json && !s.compat {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		shown := false
		r.Tick = t.C
		r.Progress = func(jobs []ipc.Job) {
			o := s.eo
			o.Now = time.Now()
			o.Width = style.Width(s.err)
			line := render.Progress(jobs, o)
			if line != "" || shown {
				fmt.Fprintf(s.err, "\r\x1b[K%s", line)
				shown = line != ""
			}
		}
	}
	return live.Run(s.ctx, s.client, s.target(), r)
}

func startCommand(g *globals) *cobra.Command {
	return g.jobCommand(job{verb: ipc.VerbStart, use: "start UNIT...", short: "Start units and what they need",
		long:    "Starts units, and before them what they require. A unit that is up already is\nleft alone.",
		example: "  dynamodctl start web\n  dynamodctl start --dry-run graphical.target",
		past:    "started", which: ipc.ListArgs{All: true}, compatOut: "Starting service '%s'..."})
}

func stopCommand(g *globals) *cobra.Command {
	return g.jobCommand(job{verb: ipc.VerbStop, use: "stop UNIT...", short: "Stop units and what depends on them",
		long:    "Stops units, and before them what requires them.",
		example: "  dynamodctl stop web\n  dynamodctl stop --dry-run dbus\n  dynamodctl stop --no-cascade db",
		past:    "stopped", stops: true, compatOut: "Stopping service '%s'..."})
}

func restartCommand(g *globals) *cobra.Command {
	return g.jobCommand(job{verb: ipc.VerbRestart, use: "restart UNIT...", short: "Stop units and start them again",
		long: "Stops units and starts them again; those that are down are started. What depends\non them is restarted with them unless --no-cascade is given.",
		past: "restarted", stops: true, compatOut: "Restarting service '%s'..."})
}

func tryRestartCommand(g *globals) *cobra.Command {
	return g.jobCommand(job{verb: ipc.VerbTryRestart, use: "try-restart UNIT...", short: "Restart units that are up",
		long: "Restarts units that are up and leaves the others alone.",
		past: "restarted", stops: true})
}

func isolateCommand(g *globals) *cobra.Command {
	return g.jobCommand(job{verb: ipc.VerbIsolate, use: "isolate UNIT", short: "Start a unit and stop everything that it does not need",
		long:    "Starts a unit, usually a target, and stops every unit that it does not need.",
		example: "  dynamodctl isolate --dry-run rescue.target",
		past:    "isolated", stops: true, one: true, which: ipc.ListArgs{All: true, Types: []string{"target"}}})
}

func removeCommand(g *globals) *cobra.Command {
	return g.jobCommand(job{verb: ipc.VerbRemove, use: "remove UNIT...", short: "Stop transient units and forget them",
		long: "Stops units that were made by add, and forgets them.",
		past: "removed", stops: true, which: ipc.ListArgs{All: true}})
}

func reloadCommand(g *globals) *cobra.Command {
	var fl jobFlags
	var evict bool
	j := job{verb: ipc.VerbReload, past: "reloaded"}
	cmd := &cobra.Command{
		Use:   "reload [UNIT]...",
		Short: "Let units, or the manager, read their configuration again",
		Long: `With UNIT, lets the unit read its own configuration again.

Without, the manager loads all unit files anew: everything or, when something in
them is wrong, nothing. --dry-run prints the difference; --evict stops units
whose file is gone.

` + waitHelp + "\n\n" + exitHelp,
		Example: `  dynamodctl reload nginx
  dynamodctl reload --dry-run
  dynamodctl reload`,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				switch {
				case evict:
					return errors.New("--evict is for a reload of everything, without UNIT")
				case g.compat:
					return errors.New("--compat: reload takes no UNIT")
				}
				return g.live(cmd, func(s *session) error { return s.runJobs(j, &fl, args) })
			}
			if fl.noWait || fl.Mode != "" {
				return errors.New("--no-wait and --mode are for the reload of a UNIT")
			}
			return g.live(cmd, func(s *session) error {
				if !s.compat {
					return s.daemonReload(fl.DryRun, evict)
				}
				if err := s.call(ipc.VerbDaemonReload, &ipc.ReloadArgs{}, nil); err != nil {
					return err
				}
				fmt.Fprintln(s.out, "Reloading service definitions...")
				return nil
			})
		},
	}
	fl.add(cmd, false)
	cmd.Flags().BoolVar(&evict, "evict", false, "stop units whose file is gone")
	return cmd
}

// daemonReload lets the manager load its configuration anew.
func (s *session) daemonReload(dry, evict bool) error {
	var r ipc.ReloadResult
	if err := s.call(ipc.VerbDaemonReload, &ipc.ReloadArgs{DryRun: dry, Evict: evict}, &r); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(r)
	}
	render.Reload(s.out, &r, s.o)
	return nil
}

func resetCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "reset-failed [UNIT]...",
		Aliases:           []string{"reset"},
		Short:             "Forget failures and used-up restarts",
		Long:              "Forgets the failure of units and how often they were restarted, so that they may\nstart again; without UNIT, of all that failed or wait for a restart.\n\n" + exitHelp,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true, States: troubled}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				if len(args) == 0 {
					units, err := s.client.List(s.ctx, ipc.ListArgs{All: true, States: troubled})
					if err != nil {
						return err
					}
					for i := range units {
						args = append(args, units[i].Name)
					}
					if len(args) == 0 {
						s.note("no unit failed")
					}
				}
				return s.runJobs(job{verb: ipc.VerbReset, past: "reset"}, &jobFlags{}, args)
			})
		},
	}
	return cmd
}

// troubled are the states that need somebody.
var troubled = []string{"failed", "abandoned", "dormant", "restart-pending", "blocked"}

// each asks for one verb per unit and tells of errors.
func (s *session) each(verb string, units []string, past string, ask func(name string) error) error {
	docs := []outcomeDoc{}
	for _, name := range units {
		d := outcomeDoc{Unit: name}
		if err := ask(name); err != nil {
			e := judge(err)
			s.remember(e.Exit)
			s.tell(verb+" "+name, e)
			d.Error = &e
		} else if past != "" {
			s.note("%s: %s", render.Safe(name), past)
		}
		docs = append(docs, d)
	}
	if s.json {
		return s.printJSON(map[string][]outcomeDoc{"results": docs})
	}
	return nil
}

func killCommand(g *globals) *cobra.Command {
	var a ipc.KillArgs
	cmd := &cobra.Command{
		Use:   "kill UNIT...",
		Short: "Send a signal to the processes of units",
		Long: `Sends a signal to processes of units. To end a service for good, use stop: one
that is only killed may be restarted.

` + exitHelp,
		Example:           "  dynamodctl kill -s HUP --whom main web",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, ok := unit.ReadSignal(a.Signal); !ok {
				return fmt.Errorf("--signal %s: not a signal; write a name like SIGTERM or RTMIN+3, or a number from 1 to 64", a.Signal)
			}
			switch a.Whom {
			case "all", "main", "control":
			default:
				return fmt.Errorf("--whom %s: must be all, main or control", a.Whom)
			}
			return g.live(cmd, func(s *session) error {
				return s.each("kill", args, "", func(name string) error {
					a.Unit = name
					return s.call(ipc.VerbKill, &a, nil)
				})
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&a.Signal, "signal", "s", "SIGTERM", "the signal `SIG`, by name or number")
	f.StringVar(&a.Whom, "whom", "all", "`WHOM` of the unit's processes: all, main or control")
	cmd.RegisterFlagCompletionFunc("signal", words("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT", "SIGABRT"))
	cmd.RegisterFlagCompletionFunc("whom", words("all", "main", "control"))
	return cmd
}

func (g *globals) unitVerb(verb ipc.Verb, short, long, past string) *cobra.Command {
	return &cobra.Command{
		Use: string(verb) + " UNIT...", Short: short, Long: long + "\n\n" + exitHelp,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				return s.each(string(verb), args, past, func(name string) error {
					return s.call(verb, &ipc.UnitArgs{Unit: name}, nil)
				})
			})
		},
	}
}

func freezeCommand(g *globals) *cobra.Command {
	return g.unitVerb(ipc.VerbFreeze, "Suspend all processes of units", "Suspends all processes of units with the freezer of their cgroup.", "frozen")
}

func thawCommand(g *globals) *cobra.Command {
	return g.unitVerb(ipc.VerbThaw, "Let frozen units go on", "Lets units go on that were frozen.", "thawed")
}

func cancelCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "cancel JOB|UNIT...",
		Short:             "Cancel jobs",
		Long:              "Cancels jobs by their number, or those of a unit. What was already done for them\nis not undone.\n\n" + exitHelp,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.live(cmd, func(s *session) error {
				return s.each("cancel", args, "cancelled", func(name string) error {
					a := ipc.CancelArgs{Unit: name}
					if id, err := strconv.ParseUint(name, 10, 32); err == nil {
						a = ipc.CancelArgs{Job: uint32(id)}
					}
					return s.call(ipc.VerbCancel, &a, nil)
				})
			})
		},
	}
}

// manyCommand is start-all and its like.
func (g *globals) manyCommand(verb ipc.Verb, short, long string, stops bool) *cobra.Command {
	var a ipc.ManyArgs
	var noWait bool
	cmd := &cobra.Command{
		Use: string(verb) + " [UNIT]...", Short: short, Long: long + "\n\n" + exitHelp,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.Units, a.Wait = args, !noWait && !a.DryRun
			return g.live(cmd, func(s *session) error {
				var r ipc.ManyResult
				if err := s.call(verb, &a, &r); err != nil {
					return err
				}
				for _, u := range r.Units {
					if u.Error != "" || !render.Good(u.Result) {
						s.remember(exitFound)
					}
				}
				if s.json {
					r.Units = orEmpty(r.Units)
					return s.printJSON(r)
				}
				render.Many(s.out, string(verb), &r, a.DryRun, s.o)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&noWait, "no-wait", false, "queue it and do not wait")
	f.BoolVar(&a.DryRun, "dry-run", false, "print what would be done and do nothing")
	if stops {
		f.BoolVar(&a.Force, "force", false, "protected units too")
	}
	return cmd
}

func startAllCommand(g *globals) *cobra.Command {
	return g.manyCommand(ipc.VerbStartAll, "Start all services of the operator's",
		"Starts all units that belong to the operator, or those that are named.", false)
}

func stopAllCommand(g *globals) *cobra.Command {
	return g.manyCommand(ipc.VerbStopAll, "Stop all services of the operator's, none that is protected",
		"Stops all units that belong to the operator, or those that are named; protected\nones only with --force.", true)
}

func deleteAllCommand(g *globals) *cobra.Command {
	return g.manyCommand(ipc.VerbDeleteAll, "Stop all transient units and forget them",
		"Stops and forgets all units that were made by add, or those that are named.", true)
}
