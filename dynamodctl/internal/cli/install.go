package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/install"
	"dynamod/internal/ipc"
)

// installCommand is enable and its like: links are changed on disk, then the
// manager is asked to look again.
func (g *globals) installCommand(verb install.Verb, short, long string, now ipc.Verb) *cobra.Command {
	var o install.Options
	var noReload, startStop bool
	cmd := &cobra.Command{
		Use: string(verb) + " UNIT...", Short: short,
		Long: long + `

The links are made or removed on disk and listed; then the manager reloads,
unless --no-reload or --root is given. No manager need be running.

` + exitHelp,
		Example:           fmt.Sprintf("  dynamodctl %s ssh\n  dynamodctl %s --root /mnt --dry-run ssh.socket", verb, verb),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: g.completeUnits(ipc.ListArgs{All: true}, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.User = g.user
			elsewhere := o.Root != "" && o.Root != "/"
			if startStop && (elsewhere || o.DryRun) {
				return errors.New("--now goes with neither --root nor --dry-run")
			}
			s := g.session(cmd)
			if !elsewhere && !g.user {
				if err := s.notStandalone(string(verb)); err != nil {
					s.fail("", err)
					return said(s.code)
				}
			}
			r, err := install.Run(verb, args, o)
			if err != nil {
				s.installError(string(verb), err)
				return said(s.code)
			}
			if !s.json {
				s.changes(r, o.DryRun)
			}
			doc := struct {
				*install.Result
				Reload *ipc.ReloadResult `json:"reload,omitempty"`
			}{Result: r}
			if !elsewhere && !noReload && !o.DryRun && (len(r.Changes) > 0 || startStop) {
				doc.Reload, err = s.afterInstall(args, startStop, now)
				if err != nil {
					s.fail("reload", err)
				}
			}
			if s.json && s.code == exitOK {
				if err := s.printJSON(doc); err != nil {
					return err
				}
			}
			if s.code != exitOK {
				return said(s.code)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Root, "root", "/", "change the tree below `DIR` instead of this machine's")
	cmd.MarkFlagDirname("root")
	f.BoolVar(&o.Runtime, "runtime", false, "until the next boot only")
	f.BoolVar(&o.DryRun, "dry-run", false, "print the changes and make none")
	f.BoolVar(&noReload, "no-reload", false, "do not let the manager reload afterwards")
	if verb == install.Enable || verb == install.Mask {
		f.BoolVar(&o.Force, "force", false, "replace links that are in the way")
	}
	if now != "" {
		f.BoolVar(&startStop, "now", false, string(now)+" the units too")
	}
	return cmd
}

// notStandalone refuses to change this machine's files for a manager that does not
// read them.
func (s *session) notStandalone(verb string) error {
	c, err := s.target().Dial(s.ctx)
	if err != nil {
		return nil // no manager need be running
	}
	defer c.Close()
	if c.Server().Mode != "standalone" {
		return nil
	}
	return &ipc.Error{Kind: "NotSupported", Code: ipc.CodeUnsupported,
		Text: verb + " changes this machine's files, which a standalone manager does not read",
		Hint: "edit its own directory of services (start = \"manual\" keeps a service from being started), then dynamodctl reload"}
}

func (s *session) changes(r *install.Result, dry bool) {
	would := ""
	if dry {
		would = "would have "
	}
	for _, c := range r.Changes {
		if c.Op == "link" {
			s.note("%smade %s → %s", would, render.Safe(c.Path), render.Safe(c.Target))
		} else {
			s.note("%sremoved %s", would, render.Safe(c.Path))
		}
	}
	for _, t := range r.Notes {
		s.note("%s", render.Safe(t))
	}
	if len(r.Changes) == 0 && len(r.Notes) == 0 {
		s.note("nothing to change")
	}
}

func (s *session) installError(verb string, err error) {
	d := errorDoc{Kind: "Failed", Message: err.Error(), Exit: exitFound}
	var none *install.NoUnitError
	var refused *install.Error
	switch {
	case errors.As(err, &none):
		d.Kind, d.Exit = "NoSuchUnit", exitNoUnit
	case errors.As(err, &refused):
		d.Kind, d.Hint = "Refused", refused.Hint
	case isPermission(err):
		d.Kind, d.Exit, d.Hint = "AccessDenied", exitDenied, "run it as root"
	}
	s.remember(d.Exit)
	if s.json {
		s.printJSON(map[string]errorDoc{"error": d})
	}
	s.tell(verb, d)
}

// afterInstall lets the manager see the changes. That none is running is no
// error: it will see them when it starts.
func (s *session) afterInstall(units []string, startStop bool, now ipc.Verb) (*ipc.ReloadResult, error) {
	c, err := s.target().Dial(s.ctx)
	var away *live.ConnectError
	if errors.As(err, &away) && !away.Denied && !startStop {
		s.note("no manager is running here; it will see this when it starts")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s.client = c
	var r ipc.ReloadResult
	if err := s.call(ipc.VerbDaemonReload, &ipc.ReloadArgs{}, &r); err != nil {
		return nil, err
	}
	if !s.json {
		render.Diagnostics(s.err, r.Diagnostics, s.eo)
	}
	if !startStop {
		return &r, nil
	}
	past := map[ipc.Verb]string{ipc.VerbStart: "started", ipc.VerbStop: "stopped"}[now]
	return &r, s.runJobs(job{verb: now, past: past}, &jobFlags{}, units)
}

func enableCommand(g *globals) *cobra.Command {
	return g.installCommand(install.Enable, "Have units started at boot",
		`Makes the links that the [Install] section of units asks for. A native unit with
start = "boot" needs none; one with start = "manual" is linked into what its
[install] table names, else into multi-user.target.`, ipc.VerbStart)
}

func disableCommand(g *globals) *cobra.Command {
	return g.installCommand(install.Disable, "Have units not started at boot any more",
		"Removes all links that enable units or give them other names.", ipc.VerbStop)
}

func maskCommand(g *globals) *cobra.Command {
	return g.installCommand(install.Mask, "Make it impossible to start units",
		"Covers units by a link to /dev/null, so that nothing can start them.", ipc.VerbStop)
}

func unmaskCommand(g *globals) *cobra.Command {
	return g.installCommand(install.Unmask, "Undo mask", "Removes the links to /dev/null that mask units.", "")
}
