package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/ipc"
)

func bootCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "boot [status | mark good|bad]",
		Short: "Show how this boot stands, or say how it went",
		Long: `Shows whether the boot was good, what kind of boot it is, how many failed before it,
and the units that are still missed. mark good ends the row of failed boots and does
what follows a good boot; mark bad counts this one as failed.

` + exitHelp,
		Example: `  dynamodctl boot
  dynamodctl boot mark good`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: words("status", "mark", "good", "bad"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch line := strings.Join(args, " "); line {
			case "", "status":
				return g.live(cmd, func(s *session) error {
					var r ipc.BootHealthResult
					if err := s.call(ipc.VerbBootHealth, &ipc.NoArgs{}, &r); err != nil {
						return err
					}
					if s.json {
						return s.printJSON(r)
					}
					render.BootHealth(s.out, &r, s.o)
					return nil
				})
			case "mark good", "mark bad":
				return g.live(cmd, func(s *session) error {
					if err := s.call(ipc.VerbBootMark, &ipc.BootMarkArgs{Verdict: args[1]}, nil); err != nil {
						return err
					}
					if s.json {
						return s.printJSON(ipc.Done{})
					}
					s.note("the boot is marked %s", args[1])
					return nil
				})
			default:
				return fmt.Errorf("boot %s: write boot, boot mark good or boot mark bad", render.Safe(line))
			}
		},
	}
}
