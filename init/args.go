package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"dynamod/init/internal/pid1"
	ipc "dynamod/internal/ipc/pid1"
)

const defaultManager = "/usr/lib/dynamod/dynamod-svmgr"

// options is what the arguments say.
type options struct {
	cfg       pid1.Config
	manager   []string // program and arguments
	container bool
	run       string
	openShell bool // no password is asked
	// watchdog is the time of the hardware's, 0 for none; rebootWatchdog that for
	// the end of the machine.
	watchdog, rebootWatchdog pid1.Time
	watchdogDevice           string
	// unknown are words that say nothing to us.
	unknown []string
}

// parseArgs reads the arguments without the program's name. Errors are about
// values; words that are unknown are for the caller to judge, who knows whether
// they come from a person or from the kernel.
func parseArgs(args []string) (o options, err error) {
	o = options{cfg: pid1.Defaults(), manager: []string{defaultManager}, run: "/run/dynamod",
		rebootWatchdog: 600 * pid1.Second, watchdogDevice: "/dev/watchdog"}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "--" {
			o.manager = append(o.manager[:1:1], args...)
			break
		}
		name, value, has := strings.Cut(word, "=")
		take := func() string {
			if !has && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			return value
		}
		if d := durationFlag(&o.cfg, name); d != nil {
			if err := setDuration(d, name, take()); err != nil {
				return o, err
			}
			o.cfg.DeadlineFixed = o.cfg.DeadlineFixed || name == "--boot-deadline"
			continue
		}
		switch name {
		case "--svmgr":
			o.manager[0] = take()
		case "--run":
			o.run = take()
		case "--container":
			o.container = true
		case "--emergency", "emergency", "-b":
			o.cfg.Emergency = true
		case "--boot-action":
			if o.cfg.BootAction, err = bootAction(take()); err != nil {
				return o, err
			}
			o.cfg.ActionFixed = true
		default:
			o.unknown = append(o.unknown, word)
		}
	}
	if !strings.Contains(o.manager[0], "/") {
		return o, errors.New("--svmgr \"" + o.manager[0] + "\" is no path; write ./" + o.manager[0] + " or an absolute one")
	}
	if o.manager[0][0] != '/' {
		// The manager starts in /.
		dir, err := os.Getwd()
		if err != nil {
			return o, err
		}
		o.manager[0] = dir + "/" + o.manager[0]
	}
	return o, nil
}

func durationFlag(c *pid1.Config, name string) *pid1.Time {
	switch name {
	case "--heartbeat":
		return &c.Heartbeat
	case "--start-grace":
		return &c.StartGrace
	case "--abort-wait":
		return &c.AbortWait
	case "--restart-delay":
		return &c.DelayMin
	case "--steady":
		return &c.Steady
	case "--stop-wait":
		return &c.StopWait
	case "--term-wait":
		return &c.TermWait
	case "--kill-wait":
		return &c.KillWait
	case "--boot-deadline":
		return &c.BootDeadline
	}
	return nil
}

func setDuration(d *pid1.Time, name, value string) error {
	v, err := time.ParseDuration(value)
	if value == "0" {
		v, err = 0, nil
	}
	if err != nil || v < 0 || v == 0 && !mayBeZero(name) || v > 24*time.Hour {
		return errors.New(name + " \"" + value + "\" is no duration; write a number with a unit, as in 5s, 200ms or 1m30s, of at most 24h")
	}
	*d = pid1.Time(v)
	return nil
}

func bootAction(s string) (ipc.BootAction, error) {
	if a := ipc.ParseBootAction(s); a != 0 {
		return a, nil
	}
	return 0, errors.New("the action after a failed boot is none, reboot or emergency, not \"" + s + "\"")
}

func mayBeZero(name string) bool {
	return name == "--boot-deadline" || name == "dynamod.watchdog" || name == "dynamod.reboot-watchdog"
}
