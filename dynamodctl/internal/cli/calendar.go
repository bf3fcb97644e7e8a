package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dynamod/internal/calendar"
)

func calendarCommand() *cobra.Command {
	var iterations int
	var base string
	cmd := &cobra.Command{
		Use:   "calendar EXPRESSION...",
		Short: "Say when an OnCalendar= expression elapses",
		Long: `Normalizes calendar expressions as OnCalendar= takes them (systemd.time(7)) and
prints when they elapse next, in the local time zone.

Exit status: 0, 1 when an expression is wrong, 2 usage.`,
		Example: `  dynamodctl calendar 'Mon..Fri 08:00'
  dynamodctl calendar --iterations 3 --base-time '2026-03-28' '*-*-* 02:30'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if iterations < 1 || iterations > 10000 {
				return fmt.Errorf("--iterations %d: must be from 1 to 10000", iterations)
			}
			now := time.Now()
			from := now
			if base != "" {
				var err error
				if from, err = calendar.ParseTimestamp(base, now, time.Local); err != nil {
					return fmt.Errorf("--base-time: %w", err)
				}
			}
			out := cmd.OutOrStdout()
			for i, text := range args {
				spec, err := calendar.Parse(text)
				if err != nil {
					return notFound{err}
				}
				if i > 0 {
					fmt.Fprintln(out)
				}
				fmt.Fprintf(out, "  as written: %s\n  normalized: %s\n", text, spec)
				at := from
				for n := range iterations {
					next, ok := spec.Next(at, time.Local)
					if !ok {
						if n == 0 {
							fmt.Fprintln(out, "        next: never")
						} else {
							fmt.Fprintln(out, "              never again")
						}
						break
					}
					label := "next"
					if n > 0 {
						label = fmt.Sprintf("%d", n+1)
					}
					fmt.Fprintf(out, "%12s: %s%s\n", label, next.Format("Mon 2006-01-02 15:04:05 MST"), distance(next.Sub(now), base == ""))
					at = next
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&iterations, "iterations", 1, "print this many times, `N`")
	cmd.Flags().StringVar(&base, "base-time", "", "begin at `TIME` instead of now (systemd.time(7))")
	return cmd
}

// distance is how far away a time is, when that is of interest.
func distance(d time.Duration, show bool) string {
	if !show {
		return ""
	}
	return " (in " + calendar.FormatSpan(d.Round(time.Second)) + ")"
}
