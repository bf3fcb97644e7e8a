package cli

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/ipc"
	"dynamod/internal/unitname"
)

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands and unit names in a shell",
		Long: `Prints a completion script. It asks the running manager for unit names.

Exit status: 0, 2 usage.`,
		Example: `  dynamodctl completion bash > /usr/share/bash-completion/completions/dynamodctl
  dynamodctl completion zsh > /usr/share/zsh/site-functions/_dynamodctl
  dynamodctl completion fish > /usr/share/fish/vendor_completions.d/dynamodctl.fish`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: words("bash", "zsh", "fish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, root := cmd.OutOrStdout(), cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return fmt.Errorf("there is no completion for %q; choose bash, zsh or fish", args[0])
		},
	}
}

type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

func words(list ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func noFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completionPatience is how long the shell may hang on a tab.
const completionPatience = time.Second

// completeUnits asks the manager for names of units. A manager that does not
// answer gives none: a tab is no place for errors.
func (g *globals) completeUnits(which ipc.ListArgs, several bool) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !several {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		c, err := g.target().Dial(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		units, err := c.List(ctx, which)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		already := map[string]bool{}
		for _, a := range args {
			already[a] = true
		}
		var out []string
		for i := range units {
			name := units[i].Name
			if !strings.HasPrefix(name, typed) || already[name] || render.Safe(name) != name {
				continue
			}
			// A tab would separate, so Safe makes blanks of them.
			if d := render.Safe(units[i].Description); d != "" {
				name += "\t" + d
			}
			out = append(out, name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func unitTypes() []string {
	var out []string
	for _, t := range unitname.Types() {
		out = append(out, t.String())
	}
	return out
}

// ownVersion is what the build recorded.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(12, len(s.Value))]
			}
		}
		return "unreleased"
	}
	return v
}
