package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dynamod/internal/unitname"
)

func escapeCommand() *cobra.Command {
	var undo, isPath, mangle bool
	var suffix, template string
	cmd := &cobra.Command{
		Use:   "escape STRING...",
		Short: "Escape strings and paths for use in unit names",
		Long: `Escapes strings for use in unit names (systemd.unit(5), "String escaping"), or
undoes it. The results are printed on one line, as systemd-escape(1) does.

Exit status: 0, 1 when a string cannot be converted, 2 usage.`,
		Example: `  dynamodctl escape --path --suffix mount /home/user
  dynamodctl escape --template systemd-fsck@.service --path /dev/sda1
  dynamodctl escape --unescape --path dev-sda1`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if undo && (suffix != "" || template != "") {
				return errors.New("--unescape goes with neither --suffix nor --template")
			}
			var into unitname.Name
			if template != "" {
				var err error
				if into, err = unitname.Parse(template); err != nil {
					return fmt.Errorf("--template: %w", err)
				}
				if !into.IsTemplate() {
					return fmt.Errorf("--template %s: not a template; those end in @ before the type", template)
				}
			}
			convert := func(s string) (string, error) {
				switch {
				case mangle:
					return unitname.Mangle(s, unitname.Service)
				case undo && isPath:
					return unitname.UnescapePath(s)
				case undo:
					return unitname.Unescape(s)
				case isPath:
					return unitname.EscapePath(s)
				}
				return unitname.Escape(s), nil
			}
			var out []string
			for _, a := range args {
				s, err := convert(a)
				if err != nil {
					return notFound{err}
				}
				switch {
				case template != "":
					n, err := into.WithInstance(s)
					if err != nil {
						return notFound{err}
					}
					s = n.String()
				case suffix != "":
					s += "." + suffix
					if _, err := unitname.Parse(s); err != nil {
						return notFound{err}
					}
				}
				out = append(out, s)
			}
			fmt.Fprintln(cmd.OutOrStdout(), strings.Join(out, " "))
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&undo, "unescape", "u", false, "undo the escaping")
	f.BoolVarP(&isPath, "path", "p", false, "treat the strings as paths")
	f.BoolVarP(&mangle, "mangle", "m", false, "make unit names of what people type")
	f.StringVar(&suffix, "suffix", "", "append the unit type `TYPE`")
	f.StringVar(&template, "template", "", "insert the results into the template `NAME`")
	cmd.MarkFlagsMutuallyExclusive("mangle", "unescape")
	cmd.MarkFlagsMutuallyExclusive("mangle", "path")
	cmd.MarkFlagsMutuallyExclusive("mangle", "suffix")
	cmd.MarkFlagsMutuallyExclusive("template", "suffix")
	return cmd
}
