package cli

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dynamod/dynamodctl/internal/console"
	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/calendar"
	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/unitname"
)

// runFlags are what `run` can be told.
type runFlags struct {
	name, description, directory, user, group, slice string
	properties, timers, environment                  []string
	sameDirectory, remain, collect                   bool
	wait, terminal, noWait, quiet, scope             bool
	// when are the settings of a timer by the flag that gives them.
	when map[string]*string
}

// timerFlags are the flags that make a timer, and its directives (systemd.timer(5)).
var timerFlags = []struct{ flag, directive, help string }{
	{"on-active", "OnActiveSec", "start it `TIME` from now"},
	{"on-boot", "OnBootSec", "start it `TIME` after the boot"},
	{"on-startup", "OnStartupSec", "start it `TIME` after the manager's start"},
	{"on-unit-active", "OnUnitActiveSec", "start it `TIME` after it was started last"},
	{"on-unit-inactive", "OnUnitInactiveSec", "start it `TIME` after it has ended"},
	{"on-calendar", "OnCalendar", "start it when the calendar says `SPEC` (see dynamodctl calendar)"},
}

func runCommand(g *globals) *cobra.Command {
	fl := runFlags{when: map[string]*string{}}
	cmd := &cobra.Command{
		Use:   "run [--] COMMAND [ARG]...",
		Short: "Run a command as a service, now or by a timer, or in a scope",
		Long: `Runs a command as a unit of its own, with everything that a service has: a cgroup,
limits, a log, a status. It needs no file and is forgotten when it has ended well;
one that failed stays until reset-failed, or not even that with --collect.

With --scope the command is not started by the manager but here, with this terminal
and environment, in place of dynamodctl; the unit, a scope, only keeps it and what it
starts together.

--wait waits for its end, and ends with its exit status; --pty also connects it with
this terminal. With one of the --on options a timer starts it.

The command is what it is here: a name without a slash is looked for in $PATH,
and "$" and "%" mean nothing. ` + "\n\n" + exitHelp + ` With --wait, the command's
own: 128 and the signal if one killed it.`,
		Example: `  dynamodctl run --wait -p MemoryMax=1G -- make -C /src
  dynamodctl run --pty --uid nobody -- bash
  dynamodctl run --on-calendar '*-*-* 03:00' --unit tidy -- find /tmp -mtime +7 -delete`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if fl.scope {
				return fl.runScope(cmd, g, args)
			}
			r, err := fl.request(args)
			if err != nil {
				return err
			}
			return g.live(cmd, func(s *session) error { return s.runUnit(&fl, r) })
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&fl.name, "unit", "", "call it `NAME` and not run-….service")
	f.StringVar(&fl.description, "description", "", "describe it by `TEXT`; the command otherwise")
	f.StringArrayVarP(&fl.properties, "property", "p", nil, "a setting `KEY=VALUE`, as for set-property")
	f.StringArrayVar(&fl.timers, "timer-property", nil, "a setting `KEY=VALUE` of the timer")
	f.StringArrayVarP(&fl.environment, "setenv", "E", nil, "`NAME=VALUE` for its environment, or NAME for what it is here")
	f.StringVar(&fl.directory, "working-directory", "", "run it in `DIR`")
	f.BoolVarP(&fl.sameDirectory, "same-dir", "d", false, "run it in this directory")
	f.StringVar(&fl.user, "uid", "", "run it as `USER`")
	f.StringVar(&fl.group, "gid", "", "run it with `GROUP`")
	f.StringVar(&fl.slice, "slice", "", "put it into `SLICE`")
	f.BoolVarP(&fl.remain, "remain-after-exit", "r", false, "let it count as active after its end, until it is stopped")
	f.BoolVarP(&fl.collect, "collect", "G", false, "forget it when it has failed, too")
	f.BoolVar(&fl.scope, "scope", false, "run it here, in a scope of its own")
	f.BoolVar(&fl.wait, "wait", false, "wait for its end")
	f.BoolVarP(&fl.terminal, "pty", "t", false, "connect it with this terminal, and wait for its end")
	f.BoolVar(&fl.noWait, "no-wait", false, "do not even wait until it is started")
	f.BoolVarP(&fl.quiet, "quiet", "q", false, "print only what goes wrong")
	for _, t := range timerFlags {
		fl.when[t.directive] = f.String(t.flag, "", t.help)
	}
	return cmd
}

// runRequest is what the manager is asked for: a service, and perhaps its timer.
type runRequest struct {
	service ipc.AddArgs
	timer   *ipc.AddArgs
}

// unitName is what the unit is called, without its type.
func (fl *runFlags) unitName() string {
	if fl.name != "" {
		return fl.name
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return "run-" + hex.EncodeToString(id[:])
}

// program finds a command as a shell does.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", notFound{fmt.Errorf("%s: %w", diag.Clip(name), errors.Unwrap(err))}
	}
	return path, nil
}

// request makes units of flags and arguments.
func (fl *runFlags) request(args []string) (*runRequest, error) {
	name := fl.unitName()
	service, err := unitname.Mangle(name, unitname.Service)
	if err != nil || !strings.HasSuffix(service, ".service") {
		return nil, fmt.Errorf("--unit %s: it is no name of a service", diag.Clip(name))
	}
	path, err := program(args[0])
	if err != nil {
		return nil, err
	}
	r := &runRequest{service: ipc.AddArgs{Unit: service}}
	set := func(section, key, value string) {
		r.service.Settings = append(r.service.Settings, ipc.Setting{Section: section, Key: key, Value: value})
	}
	command := append([]string{path}, args[1:]...)
	description := fl.description
	if description == "" {
		description = strings.Join(args, " ")
	}
	set("Unit", "Description", literal(description))
	set("Service", "ExecStart", commandLine(command))
	directory := fl.directory
	if fl.sameDirectory {
		if directory != "" {
			return nil, errors.New("--same-dir and --working-directory exclude each other")
		}
		if directory, err = os.Getwd(); err != nil {
			return nil, fmt.Errorf("--same-dir: %w", err)
		}
	}
	for _, x := range []struct{ key, value string }{{"WorkingDirectory", directory}, {"User", fl.user}, {"Group", fl.group}, {"Slice", fl.slice}} {
		if x.value != "" {
			set("Service", x.key, literal(x.value))
		}
	}
	for _, v := range fl.environment {
		key, value, given := strings.Cut(v, "=")
		if !given {
			value, given = os.LookupEnv(key)
		}
		if !given {
			return nil, fmt.Errorf("--setenv %s: there is no such variable here; give NAME=VALUE", diag.Clip(key))
		}
		set("Service", "Environment", quote(key+"="+value))
	}
	if fl.remain {
		set("Service", "RemainAfterExit", "yes")
	}
	if fl.collect {
		set("Unit", "CollectMode", "inactive-or-failed")
	}
	more, err := assignments(service, fl.properties)
	if err != nil {
		return nil, err
	}
	r.service.Settings = append(r.service.Settings, more...)
	if err := fl.schedule(r); err != nil {
		return nil, err
	}
	switch {
	case r.timer != nil && (fl.wait || fl.terminal):
		return nil, errors.New("--wait and --pty are for a command that runs now, not for a timer")
	case fl.noWait && (fl.wait || fl.terminal):
		return nil, errors.New("--no-wait excludes --wait and --pty")
	case fl.remain && (fl.wait || fl.terminal):
		return nil, errors.New("--remain-after-exit excludes --wait and --pty: it would never end")
	}
	return r, nil
}

// schedule adds the timer, if one is asked for.
func (fl *runFlags) schedule(r *runRequest) error {
	var settings []ipc.Setting
	for _, t := range timerFlags {
		value := *fl.when[t.directive]
		if value == "" {
			continue
		}
		if t.directive == "OnCalendar" {
			if _, err := calendar.Parse(value); err != nil {
				return fmt.Errorf("--%s: %w", t.flag, err)
			}
		}
		settings = append(settings, ipc.Setting{Section: "Timer", Key: t.directive, Value: value})
	}
	timer := strings.TrimSuffix(r.service.Unit, ".service") + ".timer"
	more, err := assignments(timer, fl.timers)
	switch {
	case err != nil:
		return err
	case len(settings) == 0 && len(more) > 0:
		return errors.New("--timer-property needs one of the --on options")
	case len(settings) == 0:
		return nil
	}
	// Who says "in 5 s" does not mean some time within the next minute, which is what
	// timers do by themselves to wake up less often.
	settings = append(settings, ipc.Setting{Section: "Timer", Key: "AccuracySec", Value: "1s"},
		// It is not kept for nothing when it will not elapse again.
		ipc.Setting{Section: "Timer", Key: "RemainAfterElapse", Value: "no"},
		ipc.Setting{Section: "Timer", Key: "Unit", Value: r.service.Unit}, ipc.Setting{Section: "Unit", Key: "Description", Value: r.service.Settings[0].Value})
	r.timer = &ipc.AddArgs{Unit: timer, Settings: append(settings, more...)}
	return nil
}

// literal is a text in which specifiers mean nothing.
func literal(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// quote writes a word as systemd.syntax(7) reads it back, whatever it contains.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '%':
			b.WriteString("%%")
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// commandLine is a command in which variables mean nothing (systemd.service(5),
// "Command lines").
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for k, a := range argv {
		words[k] = strings.ReplaceAll(quote(a), "$", "$$")
	}
	return strings.Join(words, " ")
}

// runUnit asks for the units and, if so told, waits for the end.
func (s *session) runUnit(fl *runFlags, r *runRequest) error {
	name := r.service.Unit
	if r.timer != nil {
		// Both or none: a timer without its service would be of no use.
		r.timer.Aux = []ipc.AddedUnit{{Unit: r.service.Unit, Settings: r.service.Settings}}
		r.timer.Start, r.timer.Wait = true, !fl.noWait
		return s.started(fl, r.timer)
	}
	r.service.Start, r.service.Wait = true, !fl.noWait
	if !fl.wait && !fl.terminal {
		return s.started(fl, &r.service)
	}
	var term *console.Terminal
	if fl.terminal {
		var err error
		if term, err = console.Open(os.Stdin, os.Stdout); err != nil {
			return fmt.Errorf("--pty: %w", err)
		}
		defer term.Close()
		for _, x := range []struct{ key, value string }{{"StandardInput", "tty"}, {"StandardOutput", "tty"}, {"StandardError", "tty"},
			{"TTYPath", term.Path()}, {"Environment", quote("TERM=" + os.Getenv("TERM"))}} {
			r.service.Settings = append(r.service.Settings, ipc.Setting{Section: "Service", Key: x.key, Value: x.value})
		}
	}
	// Before it can end.
	events, err := s.client.Subscribe(s.ctx, ipc.SubscribeArgs{Kinds: []string{ipc.EventUnit, ipc.EventUnitGone}, Units: []string{name}})
	if err != nil {
		return err
	}
	r.service.Wait = false
	if err := s.call(ipc.VerbAdd, &r.service, nil); err != nil {
		return err
	}
	if term != nil {
		term.Connect()
	} else if !fl.quiet {
		fmt.Fprintf(s.err, "%s runs\n", render.Safe(name))
	}
	end, err := s.ended(events, name)
	if term != nil {
		term.Close() // what it has written last comes first
	}
	switch {
	case err != nil && s.ctx.Err() != nil:
		s.remember(exitInterrupted)
		fmt.Fprintf(s.err, "dynamodctl: interrupted; %s goes on\n  hint: dynamodctl stop %[1]s\n", render.Safe(name))
		return nil
	case err != nil:
		return err
	case s.json:
		err = s.printJSON(end)
	}
	return errors.Join(err, s.endedWith(fl, name, end))
}

// started asks for a unit and says so.
func (s *session) started(fl *runFlags, a *ipc.AddArgs) error {
	var res ipc.JobResult
	if err := s.call(ipc.VerbAdd, a, &res); err != nil {
		return err
	}
	switch {
	case res.Result != "" && !render.Good(res.Result):
		return notFound{fmt.Errorf("%s: %s\n  hint: dynamodctl why %[1]s; dynamodctl logs %[1]s", render.Safe(a.Unit), res.Result)}
	case s.json:
		return s.printJSON(outcomeDoc{Unit: a.Unit, JobResult: res})
	case !fl.quiet && strings.HasSuffix(a.Unit, ".timer"):
		s.note("%s waits", render.Safe(a.Unit))
	case !fl.quiet:
		s.note("%s runs", render.Safe(a.Unit))
	}
	return nil
}

// runEnd is how a command ended, as --json shows it.
type runEnd struct {
	Unit string `json:"unit"`
	// State is what the unit ended in; Last how its process did, which is not known
	// of one that never ran.
	State string     `json:"state"`
	Last  *ipc.Exit  `json:"last_exit,omitempty"`
	Cause *ipc.Cause `json:"cause,omitempty"`
}

// ended waits for the end of the unit.
func (s *session) ended(events *ipc.Subscription, name string) (*runEnd, error) {
	end := &runEnd{Unit: name, State: "inactive"}
	for {
		e, err := events.Next(s.ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case e.Kind == ipc.EventServerGone || e.Kind == ipc.EventDropped:
			return nil, fmt.Errorf("the manager was replaced, or too much has happened; see dynamodctl status %s", render.Safe(name))
		case e.Kind == ipc.EventUnitGone:
			return end, nil // forgotten as soon as it had ended
		case e.Kind != ipc.EventUnit:
			continue
		}
		switch e.State {
		case "inactive", "failed", "completed", "blocked", "skipped", "abandoned":
		default:
			continue
		}
		end.State, end.Cause = e.State, e.Cause
		var st ipc.Status
		if err := s.call(ipc.VerbStatus, &ipc.UnitArgs{Unit: name}, &st); err == nil {
			end.Last = st.Last
		}
		return end, nil
	}
}

// endedWith makes the command's end this program's.
func (s *session) endedWith(fl *runFlags, name string, end *runEnd) error {
	switch l := end.Last; {
	case l != nil && l.Signal != 0:
		s.remember(128 + int(l.Signal))
	case l != nil && l.Code != 0:
		s.remember(int(l.Code))
	case end.State == "inactive" || end.State == "completed":
		return nil
	default:
		s.remember(exitFound)
	}
	if !fl.quiet && !s.json {
		text := end.State
		if end.Cause != nil && end.Cause.Sentence != "" {
			text = end.Cause.Sentence
		}
		fmt.Fprintf(s.err, "dynamodctl: %s: %s\n", render.Safe(name), render.Safe(text))
	}
	return nil
}
