package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/unitname"
)

// runScope puts this process into a scope and becomes the command.
func (fl *runFlags) runScope(cmd *cobra.Command, g *globals, args []string) error {
	for name, given := range map[string]bool{"wait": fl.wait, "pty": fl.terminal, "no-wait": fl.noWait, "remain-after-exit": fl.remain,
		"uid": fl.user != "", "gid": fl.group != "", "timer-property": len(fl.timers) > 0} {
		if given {
			return fmt.Errorf("--scope and --%s exclude each other: the command runs here, as you", name)
		}
	}
	for _, t := range timerFlags {
		if *fl.when[t.directive] != "" {
			return fmt.Errorf("--scope and --%s exclude each other: the command runs here and now", t.flag)
		}
	}
	name := fl.unitName()
	scope, err := unitname.Mangle(name, unitname.Scope)
	if err != nil || !strings.HasSuffix(scope, ".scope") {
		return fmt.Errorf("--unit %s: it is no name of a scope", diag.Clip(name))
	}
	path, err := program(args[0])
	if err != nil {
		return err
	}
	env, err := fl.environmentHere()
	if err != nil {
		return err
	}
	a := ipc.AddArgs{Unit: scope, PIDs: []int32{int32(os.Getpid())}, Start: true, Wait: true}
	description := fl.description
	if description == "" {
		description = strings.Join(args, " ")
	}
	a.Settings = append(a.Settings, ipc.Setting{Section: "Unit", Key: "Description", Value: literal(description)})
	if fl.collect {
		a.Settings = append(a.Settings, ipc.Setting{Section: "Unit", Key: "CollectMode", Value: "inactive-or-failed"})
	}
	if fl.slice != "" {
		a.Settings = append(a.Settings, ipc.Setting{Section: "Scope", Key: "Slice", Value: literal(fl.slice)})
	}
	more, err := assignments(scope, fl.properties)
	if err != nil {
		return err
	}
	a.Settings = append(a.Settings, more...)
	ready := false
	err = g.live(cmd, func(s *session) error {
		var res ipc.JobResult
		if err := s.call(ipc.VerbAdd, &a, &res); err != nil {
			return err
		}
		if !render.Good(res.Result) {
			return notFound{fmt.Errorf("%s: %s\n  hint: dynamodctl why %[1]s", render.Safe(scope), res.Result)}
		}
		if !fl.quiet {
			fmt.Fprintf(s.err, "%s runs\n", render.Safe(scope))
		}
		ready = true
		return nil
	})
	if err != nil || !ready {
		return err
	}
	if fl.directory != "" {
		if err := os.Chdir(fl.directory); err != nil {
			return fmt.Errorf("--working-directory: %w", err)
		}
	}
	// Every descriptor of ours is closed by this; those of the caller go on.
	return fmt.Errorf("%s: %w", diag.Clip(path), syscall.Exec(path, args, env))
}

// environmentHere is the environment of this process with --setenv.
func (fl *runFlags) environmentHere() ([]string, error) {
	for _, v := range fl.environment {
		key, value, given := strings.Cut(v, "=")
		if !given {
			if _, there := os.LookupEnv(key); !there {
				return nil, fmt.Errorf("--setenv %s: there is no such variable here; give NAME=VALUE", diag.Clip(key))
			}
			continue
		}
		if err := os.Setenv(key, value); err != nil {
			return nil, errors.Join(fmt.Errorf("--setenv %s", diag.Clip(v)), err)
		}
	}
	return os.Environ(), nil
}
