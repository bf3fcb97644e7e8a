package live

import (
	"context"
	"time"

	"dynamod/internal/ipc"
)

// Jobs fetches all jobs that have not ended.
func Jobs(ctx context.Context, c *ipc.Client) ([]ipc.Job, error) {
	all := []ipc.Job{}
	args := ipc.JobsArgs{}
	err := ipc.Pages(ctx, c, ipc.VerbJobs, &args, &args.After, func(r *ipc.JobsResult) error {
		all = append(all, r.Jobs...)
		return nil
	})
	return all, err
}

// Tree fetches the supervision tree below root.
func Tree(ctx context.Context, c *ipc.Client, root string) ([]ipc.TreeRow, error) {
	all := []ipc.TreeRow{}
	args := ipc.TreeArgs{Root: root}
	err := ipc.Pages(ctx, c, ipc.VerbTree, &args, &args.After, func(r *ipc.TreeResult) error {
		all = append(all, r.Rows...)
		return nil
	})
	return all, err
}

// Deps fetches a dependency tree.
func Deps(ctx context.Context, c *ipc.Client, args ipc.DepsArgs) (*ipc.DepsResult, error) {
	all := &ipc.DepsResult{Rows: []ipc.DepRow{}}
	err := ipc.Pages(ctx, c, ipc.VerbDeps, &args, &args.After, func(r *ipc.DepsResult) error {
		all.Unit = r.Unit
		all.Rows = append(all.Rows, r.Rows...)
		return nil
	})
	return all, err
}

// Procs fetches the processes of units below root.
func Procs(ctx context.Context, c *ipc.Client, root string) ([]ipc.ProcsRow, error) {
	all := []ipc.ProcsRow{}
	args := ipc.TreeArgs{Root: root}
	err := ipc.Pages(ctx, c, ipc.VerbProcs, &args, &args.After, func(r *ipc.ProcsResult) error {
		for _, row := range r.Units {
			// A unit with very many processes may go on on the next page.
			if n := len(all); n > 0 && all[n-1].Unit == row.Unit {
				all[n-1].Processes = append(all[n-1].Processes, row.Processes...)
				continue
			}
			all = append(all, row)
		}
		return nil
	})
	return all, err
}

// Boot fetches the course of the boot.
func Boot(ctx context.Context, c *ipc.Client) (*ipc.BootResult, error) {
	all := &ipc.BootResult{Units: []ipc.BootRow{}}
	args := ipc.ListArgs{All: true}
	err := ipc.Pages(ctx, c, ipc.VerbBoot, &args, &args.After, func(r *ipc.BootResult) error {
		rows := append(all.Units, r.Units...)
		*all = *r
		all.Units, all.Next = rows, ""
		return nil
	})
	return all, err
}

// Stats fetches what units consume.
func Stats(ctx context.Context, c *ipc.Client, units []string) (*ipc.StatsResult, error) {
	all := &ipc.StatsResult{Units: []ipc.StatsRow{}}
	args := ipc.StatsArgs{Units: units}
	err := ipc.Pages(ctx, c, ipc.VerbStats, &args, &args.After, func(r *ipc.StatsResult) error {
		all.At = r.At
		all.Units = append(all.Units, r.Units...)
		return nil
	})
	return all, err
}

// DebugState hands the manager's inner state on, page by page.
func DebugState(ctx context.Context, c *ipc.Client, each func(string) error) error {
	args := ipc.Page{}
	return ipc.Pages(ctx, c, ipc.VerbDebugState, &args, &args.After, func(r *ipc.DebugResult) error { return each(r.Text) })
}

// Logs hands lines of log on, page by page. lost is how many lines are missing
// before them.
func Logs(ctx context.Context, c *ipc.Client, args ipc.LogsArgs, each func(lines []ipc.LogLine, lost uint64) error) error {
	return ipc.Pages(ctx, c, ipc.VerbLogs, &args, &args.After, func(r *ipc.LogsResult) error { return each(r.Lines, r.Lost) })
}

// Follow is Logs that goes on with what is logged later, until ctx ends: at each
// tick it asks for what comes after the last line.
func Follow(ctx context.Context, c *ipc.Client, args ipc.LogsArgs, tick <-chan time.Time, each func([]ipc.LogLine) error) error {
	after := ""
	for {
		args.After = after
		err := Logs(ctx, c, args, func(lines []ipc.LogLine, _ uint64) error {
			if len(lines) == 0 {
				return nil
			}
			after = lines[len(lines)-1].Cursor
			return each(lines)
		})
		if err != nil {
			return err
		}
		// From now on all that is new counts. If there was nothing yet, all
		// that comes is new.
		args.Lines = 0
		select {
		case <-tick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Events hands events on until ctx or the connection ends, or each says stop.
func Events(ctx context.Context, c *ipc.Client, args ipc.SubscribeArgs, each func(ipc.Event) error) error {
	s, err := c.Subscribe(ctx, args)
	if err != nil {
		return err
	}
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
}
