package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/ipc"
	"dynamod/internal/sandbox"
	"dynamod/internal/tree"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

func securityCommand(g *globals) *cobra.Command {
	var root string
	var all bool
	limit := 10.0
	cmd := &cobra.Command{
		Use:   "security [UNIT]...",
		Short: "Rate how much services leave open, and say what would close it",
		Long: `Rates each service by its settings: how much a program of it could do that has
been taken over, from 0.0 (all is closed) to 10.0 (nothing is). With UNIT it says
what is open, the heaviest first, and what to write; without, it lists all services.
docs/security.md has what is judged, and with which weight.

It asks the manager. With --root it reads the files below DIR (/ is this machine's)
and needs none.

Exit status: 1 if a service has more than --limit, else as for every command.

` + exitHelp,
		Example: `  dynamodctl security
  dynamodctl security ssh
  dynamodctl security --root /mnt --limit 5 web.service`,
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true, Types: []string{"service"}}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 0 || limit > 10 {
				return fmt.Errorf("--limit %v: write a number from 0 to 10", limit)
			}
			report := func(s *session, results []ipc.SecurityResult) error {
				for _, r := range results {
					if r.Score > limit {
						s.remember(exitFound)
					}
				}
				switch {
				case s.json:
					return s.printJSON(struct {
						Units []ipc.SecurityResult `json:"units"`
					}{orEmpty(results)})
				case len(args) == 0:
					render.SecurityList(s.out, results, s.o)
				default:
					render.Security(s.out, results, all, s.o)
				}
				return nil
			}
			if !cmd.Flags().Changed("root") {
				return g.live(cmd, func(s *session) error {
					results, err := s.rated(args)
					if err != nil {
						return err
					}
					return report(s, results)
				})
			}
			if g.socket != "" {
				return errors.New("--root reads files and --socket asks a manager: give one of them")
			}
			results, err := ratedBelow(tree.Options{Root: root, User: g.user}, args)
			if err != nil {
				return notFound{err}
			}
			s := g.session(cmd)
			if err := report(s, results); err != nil {
				return err
			}
			if s.code != exitOK {
				return said(s.code)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&root, "root", "/", "read the tree below `DIR` and ask no manager")
	f.BoolVarP(&all, "all", "a", false, "also list what is closed")
	f.Float64Var(&limit, "limit", 10, "exit with 1 if a service has more than `SCORE`")
	if err := cmd.MarkFlagDirname("root"); err != nil {
		panic(err) // the flag is defined three lines above
	}
	return cmd
}

// rated asks the manager about the named services, or about all that are loaded.
// What went wrong with one is told, and the others are rated all the same.
func (s *session) rated(names []string) ([]ipc.SecurityResult, error) {
	listed := len(names) == 0
	if listed {
		units, err := s.client.List(s.ctx, ipc.ListArgs{All: true, Types: []string{"service"}})
		if err != nil {
			return nil, err
		}
		for _, u := range units {
			if u.Load == "loaded" {
				names = append(names, u.Name)
			}
		}
	}
	var out []ipc.SecurityResult
	for _, n := range names {
		var r ipc.SecurityResult
		err := s.call(ipc.VerbSecurity, &ipc.SecurityArgs{Unit: n}, &r)
		switch {
		case err == nil:
			out = append(out, r)
		case listed && ipc.KindOf(err) == "NoSuchUnit": // it went away since the list was made
		default:
			d := judge(err)
			s.remember(d.Exit)
			s.tell("security "+n, d)
		}
	}
	if listed {
		worstFirst(out)
	}
	return out, nil
}

// ratedBelow reads a tree.
func ratedBelow(o tree.Options, names []string) ([]ipc.SecurityResult, error) {
	t, err := tree.Open(o)
	if err != nil {
		return nil, err
	}
	var units []*unit.Unit
	for _, n := range names {
		u, err := t.Find(n)
		switch {
		case err != nil:
			return nil, err
		case u.Type != unitname.Service:
			return nil, fmt.Errorf("%s is no service; only services are rated", u.Name)
		}
		units = append(units, u)
	}
	if len(names) == 0 {
		for _, u := range append(slices.Clone(t.Set.Units), t.Rest...) {
			if u.Type == unitname.Service && u.Load == unit.Loaded {
				units = append(units, u)
			}
		}
	}
	var out []ipc.SecurityResult
	for _, u := range units {
		r := sandbox.Rate(u, o.User)
		x := ipc.SecurityResult{Unit: u.Name, Score: r.Score, Word: r.Word, Findings: []ipc.SecurityFinding{}}
		for _, f := range r.Findings {
			x.Findings = append(x.Findings, ipc.SecurityFinding(f))
		}
		out = append(out, x)
	}
	if len(names) == 0 {
		worstFirst(out)
	}
	return out, nil
}

func worstFirst(list []ipc.SecurityResult) {
	slices.SortStableFunc(list, func(a, b ipc.SecurityResult) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Unit, b.Unit))
	})
}
