package cli

import (
	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/check"
	"dynamod/dynamodctl/internal/style"
)

func checkCommand() *cobra.Command {
	var o check.Options
	var asJSON, quiet, verbose bool
	cmd := &cobra.Command{
		Use:   "check [UNIT|FILE]...",
		Short: "Find what is wrong in unit files before they are used",
		Long: `Loads every unit of a tree as a manager would, runs nothing, and reports what
is wrong with file, line and column: unknown keys, bad values, missing units,
ordering cycles with the lines that make them, and services that others wait
for although they cannot tell when they are ready. Settings that dynamod knows
but does not act on yet are listed at the end.

UNIT or FILE limits the report; the whole tree is loaded all the same. A file
outside the search path is checked as if it were installed. An argument with a
slash or ending in .toml is a file, any other a unit.

Exit status: 0 no errors, 1 errors (with --strict warnings too), 2 usage.`,
		Example: `  dynamodctl check
  dynamodctl check --root /mnt --strict
  dynamodctl check ssh.service
  dynamodctl check ./new.service`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Args = args
			r, err := check.Run(o)
			if err != nil {
				return err
			}
			if asJSON {
				if err := r.JSON(cmd.OutOrStdout(), o.Strict); err != nil {
					return notFound{err}
				}
			} else {
				r.Text(cmd.OutOrStdout(), check.TextOptions{Quiet: quiet, Strict: o.Strict, Verbose: verbose,
					Style: style.For(cmd.OutOrStdout())})
			}
			if r.Failed(o.Strict) {
				return errFound
			}
			return nil
		},
	}
	treeFlags(cmd, &o.Root, &o.User)
	f := cmd.Flags()
	f.BoolVar(&o.Strict, "strict", false, "warnings fail the check too")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.BoolVarP(&quiet, "quiet", "q", false, "print only what fails the check")
	f.BoolVarP(&verbose, "verbose", "v", false, "list each use of a setting that has no effect yet, and all of a long cycle")
	cmd.MarkFlagsMutuallyExclusive("quiet", "verbose")
	return cmd
}
