// Package cli is the command line of dynamodctl: commands, flags, help and
// exit codes. What the commands do is in the packages beside it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every command.
const (
	exitOK = 0
	// exitFound: the command ran, and the answer is bad: a tree with errors, a
	// job that failed, a refusal.
	exitFound = 1
	// exitUsage: the command line itself is wrong.
	exitUsage = 2
	// exitInactive: a unit that status was asked about is not up.
	exitInactive = 3
	// exitNoUnit: the manager knows no unit of this name.
	exitNoUnit = 4
	// exitDenied: this user may not do that.
	exitDenied = 5
	// exitConnect: the manager cannot be reached.
	exitConnect = 6
	// exitInterrupted: the user interrupted the waiting; what was begun goes on.
	exitInterrupted = 130
)

const exitHelp = `Exit status: 0 all is well; 1 it failed, was refused, or errors were found;
2 the command line is wrong; 3 a unit is not active (status only); 4 there is no
such unit; 5 no permission; 6 the manager cannot be reached; 130 interrupted
while waiting. With several units: that of the first that went wrong.`

// errFound ends a command with exitFound when everything has been said.
var errFound = errors.New("found something")

// notFound is an error with exitFound; every other one is a matter of usage.
type notFound struct{ error }

// said ends a command with an exit code when everything has been said.
type said int

func (s said) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

// Run executes one command line and returns the exit code.
func Run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteContextC(ctx)
	var found notFound
	var code said
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFound):
		return exitFound
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &found):
		fmt.Fprintf(stderr, "dynamodctl: %v\n", err)
		return exitFound
	}
	fmt.Fprintf(stderr, "dynamodctl: %s\nTry '%s --help'.\n", strings.TrimSpace(err.Error()), ran.CommandPath())
	return exitUsage
}

// The groups of commands in --help.
const (
	groupLook, groupChange, groupConfig, groupSystem, groupOffline = "look", "change", "config", "system", "offline"
)

func command() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "dynamodctl",
		Short: "Look at, control and check what dynamod runs",
		Long: `dynamodctl is the operator's tool of dynamod. It asks the running manager over
its control socket; what is listed under "Files" needs no manager and reads unit
files, native TOML and systemd's, from any tree.

The socket is that of --socket, else with --user the one of your own manager in
$XDG_RUNTIME_DIR/dynamod, else $DYNAMOD_SOCKET, else /run/dynamod/control.sock.
A bare unit name means a service.

` + exitHelp,
		Version:       ownVersion(),
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return g.check(cmd) },
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	g.add(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: groupLook, Title: "Looking:"}, &cobra.Group{ID: groupChange, Title: "Units:"},
		&cobra.Group{ID: groupConfig, Title: "Configuration:"}, &cobra.Group{ID: groupSystem, Title: "System:"},
		&cobra.Group{ID: groupOffline, Title: "Files, without a manager:"})
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			c.Args = plainly(c.Args)
		}
		root.AddCommand(cmds...)
	}
	add(groupLook, listCommand(g), statusCommand(g), treeCommand(g), whyCommand(g), depsCommand(g), jobsCommand(g),
		blameCommand(g), chainCommand(g), topCommand(g), boardCommand(g), securityCommand(g), logsCommand(g), eventsCommand(g))
	add(groupChange, startCommand(g), stopCommand(g), restartCommand(g), tryRestartCommand(g), reloadCommand(g), killCommand(g),
		freezeCommand(g), thawCommand(g), resetCommand(g), cancelCommand(g), isolateCommand(g),
		startAllCommand(g), stopAllCommand(g), notifyCommand(g))
	add(groupConfig, enableCommand(g), disableCommand(g), maskCommand(g), unmaskCommand(g), addCommand(g), runCommand(g), removeCommand(g),
		deleteAllCommand(g), setPropertyCommand(g), rollbackCommand(g))
	add(groupSystem, bootCommand(g), shutdownCommand(g), reexecCommand(g), pingCommand(g), versionCommand(g), debugStateCommand(g), debugProcsCommand(g))
	add(groupOffline, offline(checkCommand()), offline(showCommand()), offline(explainCommand()), offline(calendarCommand()),
		offline(escapeCommand()), offline(completionCommand()))
	root.SetHelpCommandGroupID(groupSystem)
	return root
}

// plainly says what a command takes when it is given something else.
func plainly(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		return nil
	}
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		_, takes, _ := strings.Cut(cmd.Use, " ")
		switch {
		case takes == "":
			return fmt.Errorf("%s takes no arguments; %q is one too many", cmd.Name(), args[0])
		case len(args) == 0:
			return fmt.Errorf("%s: say on what: %s %s", cmd.Name(), cmd.CommandPath(), takes)
		}
		return fmt.Errorf("%s: %d arguments are too many or too few: %s %s", cmd.Name(), len(args), cmd.CommandPath(), takes)
	}
}

// treeFlags adds the flags that say which tree is read.
func treeFlags(cmd *cobra.Command, root *string, user *bool) {
	cmd.Flags().StringVar(root, "root", "/", "read the tree below `DIR` instead of this machine's")
	cmd.Flags().BoolVar(user, "user", false, "the units of a user manager instead of the system's")
	if err := cmd.MarkFlagDirname("root"); err != nil {
		panic(err) // the flag is defined two lines above
	}
}
