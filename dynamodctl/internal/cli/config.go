package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

func isPermission(err error) bool { return errors.Is(err, fs.ErrPermission) }

// assignment reads KEY=VALUE for a unit: MemoryMax=1G, Service.MemoryMax=1G or a
// native key such as cgroup.memory-max=1G.
func assignment(unitName, text string) (ipc.Setting, error) {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return ipc.Setting{}, fmt.Errorf("%q is not KEY=VALUE", text)
	}
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		section, name := key[:i], key[i+1:]
		if _, ok := unit.LookupDirective(section, name); !ok {
			if _, ok := unit.LookupNative(key); !ok {
				return ipc.Setting{}, errors.New(unknownKey(key))
			}
		}
		return ipc.Setting{Section: section, Key: name, Value: value}, nil
	}
	typ := unitname.Service
	if n, err := unitname.Parse(unitName); err == nil {
		typ = n.Type
	}
	word := typ.String()
	var names []string
	for _, section := range []string{strings.ToUpper(word[:1]) + word[1:], "Unit"} {
		if _, ok := unit.LookupDirective(section, key); ok {
			return ipc.Setting{Section: section, Key: key, Value: value}, nil
		}
		names = append(names, unit.DirectiveNames(section)...)
	}
	if s := diag.Suggest(key, names); s != "" {
		return ipc.Setting{}, fmt.Errorf("a %s has no setting %s; did you mean %s?", word, diag.Clip(key), s)
	}
	return ipc.Setting{}, fmt.Errorf("a %s has no setting %s; `dynamodctl explain --list` lists all", word, diag.Clip(key))
}

func assignments(unitName string, texts []string) ([]ipc.Setting, error) {
	var out []ipc.Setting
	for _, t := range texts {
		a, err := assignment(unitName, t)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func setPropertyCommand(g *globals) *cobra.Command {
	var a ipc.SetPropertyArgs
	cmd := &cobra.Command{
		Use:   "set-property UNIT KEY=VALUE...",
		Short: "Change settings of a running unit",
		Long: `Changes settings of a unit, at once and for good; with --runtime until the next
boot. KEY is a directive, with or without its section, or a native key. An empty
VALUE resets it.

` + exitHelp,
		Example: `  dynamodctl set-property web MemoryMax=1G
  dynamodctl set-property --runtime web cgroup.cpu-weight=50`,
		Args: cobra.MinimumNArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return g.completeUnits(ipc.ListArgs{All: true}, false)(cmd, args, typed)
			}
			var out []string
			for _, n := range unit.DirectiveNames("Service") {
				out = append(out, n+"=")
			}
			return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			a.Unit = args[0]
			if a.Settings, err = assignments(a.Unit, args[1:]); err != nil {
				return err
			}
			return g.live(cmd, func(s *session) error {
				if err := s.call(ipc.VerbSetProperty, &a, nil); err != nil {
					s.fail("set-property "+a.Unit, err)
					return nil
				}
				if s.json {
					return s.printJSON(ipc.Done{})
				}
				s.note("%s: changed", render.Safe(a.Unit))
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&a.Runtime, "runtime", false, "until the next boot only")
	return cmd
}

func addCommand(g *globals) *cobra.Command {
	var a ipc.AddArgs
	var properties []string
	var noWait, noStart bool
	cmd := &cobra.Command{
		Use:   "add FILE | UNIT -p KEY=VALUE...",
		Short: "Make a unit that lasts until it is removed or the next boot",
		Long: `Makes a transient unit from a native TOML file or a unit file, which need not be
where the manager looks for files, or from settings on the command line, and
starts it. The file is checked first. An argument with a slash or ending in
.toml is a file.

` + waitHelp + "\n\n" + exitHelp,
		Example: `  dynamodctl add ./worker.toml
  dynamodctl add batch.service -p ExecStart='/usr/bin/make -C /src' -p Type=oneshot`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			a.Unit = args[0]
			if strings.Contains(a.Unit, "/") || strings.HasSuffix(a.Unit, ".toml") {
				if a.Unit, a.Settings, err = readUnit(cmd, a.Unit); err != nil {
					return err
				}
			} else if len(properties) == 0 {
				return fmt.Errorf("%s: name a file, or give settings with -p", a.Unit)
			}
			if _, err := unitname.Mangle(a.Unit, unitname.Service); err != nil {
				return fmt.Errorf("%s is no unit name", diag.Clip(a.Unit))
			}
			more, err := assignments(a.Unit, properties)
			if err != nil {
				return err
			}
			a.Settings = append(a.Settings, more...)
			a.Start, a.Wait = !noStart, !noStart && !noWait
			return g.live(cmd, func(s *session) error { return s.add(&a) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&properties, "property", "p", nil, "a setting `KEY=VALUE`, as for set-property; after those of FILE")
	f.StringVar(&a.Mode, "mode", "", "how to deal with jobs in the way: `MODE` is replace, fail, …")
	f.BoolVar(&noStart, "no-start", false, "do not start it")
	f.BoolVar(&noWait, "no-wait", false, "start it and do not wait")
	return cmd
}

func (s *session) add(a *ipc.AddArgs) error {
	var r ipc.JobResult
	if err := s.call(ipc.VerbAdd, a, &r); err != nil {
		s.fail("add "+a.Unit, err)
		return nil
	}
	if !render.Good(r.Result) {
		s.remember(exitFound)
		var why ipc.WhyResult
		about := &why
		if s.call(ipc.VerbWhy, &ipc.UnitArgs{Unit: a.Unit}, &why) != nil {
			about = nil
		}
		fmt.Fprintf(s.err, "dynamodctl: add %s: %s\n", render.Safe(a.Unit), render.Failure(r.Result, about, s.eo))
	}
	switch {
	case s.json:
		return s.printJSON(r)
	case s.code != exitOK:
	case a.Wait:
		s.note("%s: added and started", render.Safe(a.Unit))
	default:
		s.note("%s: added", render.Safe(a.Unit))
	}
	render.Warnings(s.err, r.Warnings, s.eo)
	return nil
}
