package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/show"
	"dynamod/dynamodctl/internal/style"
	"dynamod/internal/tree"
)

func showCommand() *cobra.Command {
	var o tree.Options
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "show UNIT...",
		Short: "Print the merged unit with the origin of every value",
		Long: `Prints units as the manager would see them: main file and drop-ins merged, each
value with the file and line that set it, and each dependency with the line or
the rule that made it. A bare name means a service.

Exit status: 0, 1 when a unit does not exist, 2 usage.`,
		Example: `  dynamodctl show ssh
  dynamodctl show --root /mnt --all getty@tty1.service`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && len(args) > 1 {
				return fmt.Errorf("--json prints one unit; %d are named", len(args))
			}
			t, err := tree.Open(o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for i, name := range args {
				u, err := t.Find(name)
				if err != nil {
					return notFound{err}
				}
				d := show.Of(t, u, all)
				if asJSON {
					if err := d.JSON(out); err != nil {
						return notFound{err}
					}
					continue
				}
				if i > 0 {
					fmt.Fprintln(out)
				}
				d.Text(out, style.For(out))
			}
			return nil
		},
	}
	treeFlags(cmd, &o.Root, &o.User)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&all, "all", false, "also print settings that have their default, and every dependency")
	return cmd
}
