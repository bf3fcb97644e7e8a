package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/live"
	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/ipc"
	"dynamod/sdnotify"
)

var shutdownKinds = []string{"poweroff", "reboot", "halt", "kexec", "soft-reboot", "exit"}

func shutdownCommand(g *globals) *cobra.Command {
	var a ipc.ShutdownArgs
	var code int
	cmd := &cobra.Command{
		Use:   "shutdown poweroff|reboot|halt|kexec|soft-reboot|exit",
		Short: "Stop everything in order and end",
		Long: `Stops all services in order, then powers off, reboots, halts, starts another
kernel (kexec), replaces the user space (soft-reboot), or ends the manager of a
container or a user (exit).

` + exitHelp,
		Example: `  dynamodctl shutdown reboot
  dynamodctl shutdown exit --exit-code 3`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: words(shutdownKinds...),
		RunE: func(cmd *cobra.Command, args []string) error {
			word := strings.Join(args, "")
			if g.compat {
				return shutdownCompat(g, cmd, word)
			}
			a.Kind = word
			switch {
			case word == "":
				return fmt.Errorf("say what to do: %s", strings.Join(shutdownKinds, ", "))
			case word == "off":
				a.Kind = "poweroff"
			case !slices.Contains(shutdownKinds, word):
				return fmt.Errorf("there is no shutdown %q; choose %s", word, strings.Join(shutdownKinds, ", "))
			}
			if cmd.Flags().Changed("exit-code") && (a.Kind != "exit" || code < 0 || code > 255) {
				return errors.New("--exit-code is for exit, and from 0 to 255")
			}
			if cmd.Flags().Changed("exit-code") {
				a.ExitCode = &code
			}
			return g.live(cmd, func(s *session) error {
				if err := s.call(ipc.VerbShutdown, &a, nil); err != nil {
					return err
				}
				if s.json {
					return s.printJSON(ipc.Done{})
				}
				s.note("%s: services are being stopped", a.Kind)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&a.Force, "force", false, "do not stop services in order first")
	f.StringVar(&a.Argument, "argument", "", "`TEXT` for reboot(2)")
	f.IntVar(&code, "exit-code", 0, "end with `CODE`; for exit")
	return cmd
}

func shutdownCompat(g *globals, cmd *cobra.Command, word string) error {
	if word == "" {
		word = "poweroff"
	}
	kind := word
	switch word {
	case "off":
		kind = "poweroff"
	case "poweroff", "reboot", "halt":
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "error: unknown shutdown kind: %s (use poweroff, reboot, or halt)\n", render.Safe(word))
		return errFound
	}
	return g.live(cmd, func(s *session) error {
		if err := s.call(ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: kind}, nil); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "System %s initiated.\n", word)
		return nil
	})
}

func reexecCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:               "reexec",
		Short:             "Replace the manager by its new program; services go on",
		Long:              "Lets the manager replace itself by the program that is installed now. Services\nand sockets go on; nothing is restarted.\n\n" + exitHelp,
		Args:              cobra.NoArgs,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.live(cmd, func(s *session) error {
				if err := s.call(ipc.VerbReexec, &ipc.NoArgs{}, nil); err != nil {
					return err
				}
				p, err := s.successor(g.target())
				if err != nil {
					return err
				}
				if s.json {
					return s.printJSON(p)
				}
				fmt.Fprintf(s.out, "%s %s goes on as process %d; nothing was restarted\n", p.Program, p.Version, p.PID)
				return nil
			})
		},
	}
}

// successorLimit bounds how long a new program may take to answer. It reads the state
// of all units first.
const successorLimit = 30 * time.Second

// successor waits for the program that replaces the manager: the present one closes
// the connection, and who connects then is answered by the new one.
func (s *session) successor(t live.Target) (*ipc.PingResult, error) {
	ctx, cancel := context.WithTimeout(s.ctx, successorLimit)
	defer cancel()
	select {
	case <-s.client.Gone():
	case <-ctx.Done():
		return nil, fmt.Errorf("the manager has not begun to replace itself within %v; see dynamodctl logs", successorLimit)
	}
	c, err := t.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("the new program does not answer: %w", err)
	}
	defer c.Close()
	p := c.Server()
	return &p, nil
}

func rollbackCommand(g *globals) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:               "rollback [GENERATION]",
		Short:             "Return to a former generation of the configuration",
		Long:              "Returns to the generation before the present one, or to GENERATION. The files are\nleft as they are: mend them before the next reload.\n\n" + exitHelp,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			a := ipc.RollbackArgs{DryRun: dry}
			if len(args) == 1 {
				n, err := strconv.ParseUint(args[0], 10, 64)
				if err != nil || n == 0 {
					return fmt.Errorf("%q is no generation; it is a number from 1", args[0])
				}
				a.Generation = n
			}
			return g.live(cmd, func(s *session) error {
				var r ipc.ReloadResult
				if err := s.call(ipc.VerbRollback, &a, &r); err != nil {
					return err
				}
				if s.json {
					return s.printJSON(r)
				}
				render.Reload(s.out, &r, s.o)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the difference and change nothing")
	return cmd
}

func notifyCommand(g *globals) *cobra.Command {
	var ready, reloading, stopping bool
	var status, unitName string
	var pid int
	cmd := &cobra.Command{
		Use:   "notify [VARIABLE=VALUE]...",
		Short: "Tell the manager that a service is ready and the like, from a script",
		Long: `Sends a message of sd_notify(3) to the socket that $NOTIFY_SOCKET names, as a
service of type notify does; for shell scripts. With --unit it is sent over the
control socket on behalf of any unit, which only the administrator may do.

Exit status: as everywhere; 1 also when $NOTIFY_SOCKET is not set.`,
		Example: `  dynamodctl notify --ready --status 'listening on port 80'
  dynamodctl notify --unit web READY=1`,
		ValidArgsFunction: noFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			var lines []string
			if ready {
				lines = append(lines, sdnotify.Ready)
			}
			if reloading {
				lines = append(lines, sdnotify.Reloading())
			}
			if stopping {
				lines = append(lines, sdnotify.Stopping)
			}
			if cmd.Flags().Changed("status") {
				lines = append(lines, "STATUS="+strings.ReplaceAll(status, "\n", " "))
			}
			if pid != 0 {
				lines = append(lines, fmt.Sprintf("MAINPID=%d", pid))
			}
			for _, a := range args {
				if k, _, ok := strings.Cut(a, "="); !ok || k == "" || strings.Contains(a, "\n") {
					return fmt.Errorf("%q is not VARIABLE=VALUE", a)
				}
				lines = append(lines, a)
			}
			if len(lines) == 0 {
				return errors.New("nothing to tell; see --ready, --status and VARIABLE=VALUE")
			}
			state := strings.Join(lines, "\n")
			if unitName != "" {
				return g.live(cmd, func(s *session) error {
					if err := s.call(ipc.VerbNotify, &ipc.NotifyArgs{Unit: unitName, State: state, PID: int32(pid)}, nil); err != nil || !s.json {
						return err
					}
					return s.printJSON(ipc.Done{})
				})
			}
			sent, err := sdnotify.Notify(state)
			switch {
			case err != nil:
				return notFound{fmt.Errorf("notify: %w", err)}
			case !sent:
				return notFound{errors.New("notify: $NOTIFY_SOCKET is not set: this is not run by a service of type notify\n  hint: from outside a service: --unit NAME")}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&ready, "ready", false, "the service is ready (READY=1)")
	f.BoolVar(&reloading, "reloading", false, "it reads its configuration again (RELOADING=1)")
	f.BoolVar(&stopping, "stopping", false, "it is about to end (STOPPING=1)")
	f.StringVar(&status, "status", "", "what it is doing, for people (STATUS=`TEXT`)")
	f.IntVar(&pid, "pid", 0, "its main process is `PID` (MAINPID=)")
	f.StringVar(&unitName, "unit", "", "tell it for `UNIT`, over the control socket")
	return cmd
}
