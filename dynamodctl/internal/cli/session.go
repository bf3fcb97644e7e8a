package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/dynamodctl/internal/style"
	"dynamod/internal/ipc"
)

// globals are the flags that every command which asks the manager takes.
type globals struct {
	socket       string
	user         bool
	json, compat bool
}

func (g *globals) add(f *pflag.FlagSet) {
	f.StringVar(&g.socket, "socket", "", "ask the manager that listens at `PATH`")
	f.BoolVar(&g.user, "user", false, "ask your own manager instead of the system's")
	f.BoolVar(&g.json, "json", false, "print JSON, as docs/ipc.md describes the answers")
	f.BoolVar(&g.compat, "compat", false, "print what the first dynamodctl printed, for scripts made for it")
}

// compatible are the commands that the first dynamodctl had.
var compatible = map[string]bool{"list": true, "status": true, "start": true, "stop": true, "restart": true, "reload": true,
	"tree": true, "shutdown": true}

const offlineMark = "offline"

// offline marks a command that asks no manager: the flags for that are refused,
// for they would have no effect.
func offline(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{offlineMark: ""}
	return cmd
}

// check refuses global flags where they mean nothing.
func (g *globals) check(cmd *cobra.Command) error {
	if g.compat && !compatible[cmd.Name()] {
		return fmt.Errorf("--compat: the first dynamodctl had no %s", cmd.Name())
	}
	if g.compat && g.json {
		return errors.New("--compat and --json exclude each other")
	}
	if _, ok := cmd.Annotations[offlineMark]; !ok {
		return nil
	}
	var err error
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && err == nil && cmd.LocalFlags().Lookup(f.Name) == nil {
			err = fmt.Errorf("--%s means nothing to %s, which asks no manager", f.Name, cmd.Name())
		}
	})
	return err
}

// session is one command that asks the manager.
type session struct {
	*globals
	ctx      context.Context
	client   *ipc.Client
	out, err io.Writer
	// o is for out, eo for err.
	o, eo render.Options
	// code is the exit code of the first thing that went wrong.
	code int
}

func (g *globals) session(cmd *cobra.Command) *session {
	s := &session{globals: g, ctx: cmd.Context(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
	if s.ctx == nil {
		s.ctx = context.Background() // shell completion runs without one
	}
	now := time.Now()
	s.o = render.Options{Style: style.For(s.out), Width: style.Width(s.out), Now: now, Zone: time.Local}
	s.eo = render.Options{Style: style.For(s.err), Width: style.Width(s.err), Now: now, Zone: time.Local}
	return s
}

func (g *globals) target() live.Target { return live.Target{Socket: g.socket, User: g.user} }

// live connects and runs f. What f returns is told and becomes the exit code.
func (g *globals) live(cmd *cobra.Command, f func(*session) error) error {
	s := g.session(cmd)
	c, err := g.target().Dial(s.ctx)
	if err != nil {
		s.fail("", err)
		return said(s.code)
	}
	defer c.Close()
	s.client = c
	if err := f(s); err != nil {
		s.fail("", err)
	}
	if s.code != exitOK {
		return said(s.code)
	}
	return nil
}

// call asks for one verb.
func (s *session) call(v ipc.Verb, args, result any) error {
	return s.client.Call(s.ctx, v, args, result)
}

// printJSON writes a document.
func (s *session) printJSON(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printLine writes a document on one line, for streams.
func (s *session) printLine(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// errorDoc is an error as --json shows it.
type errorDoc struct {
	Kind        string           `json:"kind"`
	Message     string           `json:"message"`
	Unit        string           `json:"unit,omitempty"`
	Hint        string           `json:"hint,omitempty"`
	Exit        int              `json:"exit_status"`
	Diagnostics []ipc.Diagnostic `json:"diagnostics,omitempty"`
}

// judge makes of any error what is shown of it.
func judge(err error) errorDoc {
	var e *ipc.Error
	var c *live.ConnectError
	switch {
	case errors.Is(err, context.Canceled):
		return errorDoc{Kind: "Interrupted", Message: "interrupted", Exit: exitInterrupted}
	case errors.As(err, &c):
		d := errorDoc{Kind: "CannotConnect", Message: c.Text, Hint: c.Hint, Exit: exitConnect}
		if c.Denied {
			d.Kind, d.Exit = "AccessDenied", exitDenied
		}
		return d
	case errors.As(err, &e):
		d := errorDoc{Kind: e.Kind, Message: e.Text, Unit: e.Unit, Hint: e.Hint, Diagnostics: e.Diags, Exit: exitFound}
		switch e.Code {
		case ipc.CodeNoSuchUnit:
			d.Exit = exitNoUnit
		case ipc.CodeDenied:
			d.Exit = exitDenied
			if d.Hint == "" {
				d.Hint = "run it as root, or have the right granted in /etc/dynamod/access.toml"
			}
		}
		if d.Hint == "" && e.Retryable() {
			d.Hint = "try again in a moment"
		}
		return d
	}
	return errorDoc{Kind: "Failed", Message: err.Error(), Exit: exitFound}
}

// fail tells about an error. what is "start web.service" or "".
func (s *session) fail(what string, err error) {
	d := judge(err)
	s.remember(d.Exit)
	if s.json {
		s.printJSON(map[string]errorDoc{"error": d})
	}
	s.tell(what, d)
}

func (s *session) remember(code int) {
	if s.compat && code != exitOK {
		code = exitFound
	}
	if s.code == exitOK {
		s.code = code
	}
}

// tell writes an error for people.
func (s *session) tell(what string, d errorDoc) {
	if s.compat {
		text := d.Message
		if d.Exit == exitNoUnit && d.Unit != "" {
			text = "unknown service: " + strings.TrimSuffix(d.Unit, ".service") // the original's words
		}
		fmt.Fprintf(s.err, "error: %s\n", render.Safe(text))
		return
	}
	if what != "" {
		what = render.Safe(what) + ": "
	}
	text := render.Safe(d.Message)
	if d.Kind == "NotSupported" {
		text = "not supported: " + text
	}
	if d.Unit != "" && !mentions(what, d.Unit) && !mentions(text, d.Unit) {
		text += " (because of " + render.Safe(d.Unit) + ")"
	}
	fmt.Fprintf(s.err, "dynamodctl: %s%s\n", what, text)
	if d.Hint != "" {
		fmt.Fprintf(s.err, "  hint: %s\n", render.Safe(d.Hint))
	}
	render.Diagnostics(s.err, d.Diagnostics, s.eo)
}

// note writes what is worth knowing but no result, unless JSON is wanted.
func (s *session) note(format string, args ...any) {
	if !s.json && !s.compat {
		fmt.Fprintf(s.out, format+"\n", args...)
	}
}
