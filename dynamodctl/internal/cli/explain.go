package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

func explainCommand() *cobra.Command {
	var list, markdown bool
	cmd := &cobra.Command{
		Use:   "explain KEY...",
		Short: "Say what a setting means, its default and who acts on it",
		Long: `Explains settings by the name that unit files use (Restart, Service.Restart)
or by the native one (restart.policy): the type, the default, the systemd
version that introduced it, where it is specified, and whether dynamod acts on
it already.

Exit status: 0, 1 when a key does not exist, 2 usage.`,
		Example: `  dynamodctl explain Restart
  dynamodctl explain Service.TimeoutSec restart.policy
  dynamodctl explain --list`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return allKeys(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch {
			case markdown && len(args) == 0 && !list:
				_, err := fmt.Fprint(out, unit.SettingsMarkdown())
				return err
			case list && len(args) == 0 && !markdown:
				return listSettings(cmd)
			case list || markdown:
				return fmt.Errorf("--list and --markdown take no KEY and stand alone")
			case len(args) == 0:
				return fmt.Errorf("name a KEY, or use --list")
			}
			var missing []string
			for i, key := range args {
				text, ok := unit.Explain(key)
				if !ok {
					missing = append(missing, unknownKey(key))
					continue
				}
				if i > 0 {
					fmt.Fprintln(out)
				}
				fmt.Fprint(out, text)
			}
			if missing != nil {
				return notFound{fmt.Errorf("%s", strings.Join(missing, "\ndynamodctl: "))}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list every setting on one line")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the whole table, as docs/settings.md has it")
	return cmd
}

// unknownKey says that there is no such setting and what may have been meant:
// a directive of the named section, else any key.
func unknownKey(key string) string {
	msg := fmt.Sprintf("there is no setting %s", diag.Clip(key))
	name := strings.TrimSuffix(key, "=")
	if section, directive, ok := strings.Cut(name, "."); ok {
		if s := diag.Suggest(directive, unit.DirectiveNames(section)); s != "" {
			return msg + fmt.Sprintf("; did you mean %s.%s?", section, s)
		}
	}
	if s := diag.Suggest(name, allKeys()); s != "" {
		return msg + fmt.Sprintf("; did you mean %s?", s)
	}
	return msg + "; `dynamodctl explain --list` lists all"
}

// allKeys are the names under which settings can be asked for.
func allKeys() []string {
	var out []string
	for _, s := range unit.Table() {
		out = append(out, s.Native)
		if s.Name != "" {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func listSettings(cmd *cobra.Command) error {
	rows := slices.Clone(unit.Table())
	slices.SortFunc(rows, func(a, b *unit.Setting) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.Name, a.Native), cmp.Or(b.Name, b.Native)), cmp.Compare(a.Native, b.Native))
	})
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DIRECTIVE\tNATIVE KEY\tTYPE\tEFFECT")
	for _, s := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", cmp.Or(s.Name, "-"), s.Native, s.Kind, s.Effect)
	}
	return w.Flush()
}
