package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"dynamod/internal/cmdline"
)

// bootOptions is what the kernel command line asks of the manager itself (systemd(1),
// Kernel command line); what it says of the locale is read where that is decided.
type bootOptions struct {
	// target is the unit to boot into, "" for the default one.
	target string
	// own is what the manager goes by until clients change it.
	own ownKept
	// setenv are variables for all services.
	setenv []string
	// watchdogsOff: no watchdogs of services and no emergency actions.
	watchdogsOff bool
	// safeMode asks for safe mode, noLadder for a boot as if none had failed before
	// (docs/boot-health.md).
	safeMode, noLadder bool
	// bad are words that mean nothing, each with what was expected.
	bad []string
}

// readBootOptions reads the machine's. A manager that is not the machine's has none.
func readBootOptions(s settings) bootOptions {
	if s.mode != system {
		return bootOptions{}
	}
	text, _ := os.ReadFile("/proc/cmdline") // none: it asks for nothing
	return parseBootOptions(string(text))
}

// bootWords are the words that stand for units, as old as init itself.
var bootWords = map[string]string{"emergency": "emergency.target", "-b": "emergency.target",
	"rescue": "rescue.target", "single": "rescue.target", "s": "rescue.target", "S": "rescue.target", "1": "rescue.target",
	"2": "multi-user.target", "3": "multi-user.target", "4": "multi-user.target", "5": "graphical.target"}

// parseBootOptions goes by the last word where several say the same.
func parseBootOptions(text string) (o bootOptions) {
	quiet, show, debug := "yes", "", ""
	for name, value := range cmdline.Parse(text).Words() {
		v, valued := "yes", value != nil
		if valued {
			v = *value
		}
		ok, want := true, []string(nil)
		switch strings.ReplaceAll(name, "-", "_") {
		case "quiet":
			quiet = "error"
		case "debug":
			debug = "debug"
		case "systemd.unit":
			if ok, want = valued && v != "", []string{"a unit"}; ok {
				o.target = v
			}
		case "systemd.show_status":
			mode, known := showMode(v)
			if ok, want = known, showModes; ok {
				show = mode
			}
		case "systemd.log_level":
			if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < len(logLevels) {
				v = logLevels[n]
			}
			if ok, want = slices.Contains(logLevels, v), logLevels; ok {
				o.own.LogLevel = v
			}
		case "systemd.log_target":
			if ok, want = slices.Contains(logTargets, v), logTargets; ok {
				o.own.LogTarget = v
			}
		case "systemd.setenv":
			variable, content, assigns := strings.Cut(v, "=")
			if ok, want = assigns && validVariable(variable, content) == nil, []string{"NAME=VALUE"}; ok {
				o.setenv = append(o.setenv, v)
			}
		case "systemd.service_watchdogs":
			mode, _ := showMode(v)
			if ok, want = mode == "yes" || mode == "no", []string{"yes", "no"}; ok {
				o.watchdogsOff = mode == "no"
			}
		case "dynamod.safe_mode":
			mode, _ := showMode(v)
			if ok, want = mode == "yes" || mode == "no", []string{"yes", "no"}; ok {
				o.safeMode, o.noLadder = mode == "yes", mode == "no"
			}
		default:
			if unit := bootWords[name]; unit != "" && !valued {
				o.target = unit
			}
		}
		if !ok {
			o.bad = append(o.bad, fmt.Sprintf("%s=%s: want %s", name, clipped(v), strings.Join(want, ", ")))
		}
	}
	o.own.ShowStatus, o.own.LogLevel = cmp.Or(show, quiet), cmp.Or(o.own.LogLevel, debug)
	return o
}

// mends says that somebody wants to mend the machine: such a boot is not judged.
func (o *bootOptions) mends() bool {
	return o.target == "rescue.target" || o.target == "emergency.target"
}
