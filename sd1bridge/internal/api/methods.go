package api

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/sys/proc"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
)

type variant = dbus.Variant

// polkit's actions (org.freedesktop.systemd1(5), "Security").
const (
	manageUnits = prefix + "manage-units"
	manageFiles = prefix + "manage-unit-files"
	reload      = prefix + "reload-daemon"
	environment = prefix + "set-environment"
	onlyRoot    = "root" // no action: nobody else may
)

// rights are the methods that not everybody may call. What is not here only reads.
var rights = map[string]string{
	"StartUnit": manageUnits, "StartUnitWithFlags": manageUnits, "StartUnitReplace": manageUnits, "StopUnit": manageUnits,
	"ReloadUnit": manageUnits, "RestartUnit": manageUnits, "TryRestartUnit": manageUnits, "ReloadOrRestartUnit": manageUnits,
	"ReloadOrTryRestartUnit": manageUnits, "EnqueueUnitJob": manageUnits, "KillUnit": manageUnits, "QueueSignalUnit": manageUnits,
	"FreezeUnit": manageUnits, "ThawUnit": manageUnits, "ResetFailedUnit": manageUnits, "ResetFailed": manageUnits,
	"CancelJob": manageUnits, "ClearJobs": manageUnits, "SetUnitProperties": manageUnits, "RefUnit": manageUnits, "UnrefUnit": manageUnits,
	"Start": manageUnits, "Stop": manageUnits, "Reload.Unit": manageUnits, "Restart": manageUnits, "TryRestart": manageUnits,
	"ReloadOrRestart": manageUnits, "ReloadOrTryRestart": manageUnits, "EnqueueJob": manageUnits, "Kill": manageUnits, "QueueSignal": manageUnits,
	"Freeze": manageUnits, "Thaw": manageUnits, "ResetFailed.Unit": manageUnits, "SetProperties": manageUnits, "Cancel": manageUnits,
	"CleanUnit": manageUnits, "Clean": manageUnits,
	"Reload": reload, "Reexecute": reload,
	"SetEnvironment": environment, "UnsetEnvironment": environment, "UnsetAndSetEnvironment": environment,
	"PowerOff": onlyRoot, "Reboot": onlyRoot, "Halt": onlyRoot, "KExec": onlyRoot, "SoftReboot": onlyRoot, "Exit": onlyRoot,
}

// guarded lets a method be called by those who may. Who is refused is logged.
func (s *Server) guarded(name string, do func(*bus.Call) error) func(*bus.Call) error {
	return func(c *bus.Call) error {
		action := rights[name]
		if own := rights[name+".Unit"]; own != "" && c.Interface == prefix+"Unit" {
			action = own
		}
		if action == "" {
			return do(c)
		}
		return s.allowed(action, do)(c)
	}
}

// allowed lets those call who may do what an action stands for.
func (s *Server) allowed(action string, do func(*bus.Call) error) func(*bus.Call) error {
	return func(c *bus.Call) error {
		who, err := c.Caller()
		if err != nil {
			return err
		}
		if who.UID == 0 || s.opts.User && who.UID == uint32(os.Getuid()) {
			return do(c)
		}
		refused := func(err error) error {
			s.refused.Add(1)
			s.log.Warn("a call was refused", "uid", who.UID, "pid", who.PID, "method", c.Interface+"."+c.Member, "err", err)
			return err
		}
		if action == onlyRoot {
			return refused(bus.Errorf(bus.ErrAccessDenied, "Access denied: %s is for root", c.Member))
		}
		// It may take a person's time; calls of the same client go on meanwhile.
		return bus.Later(func() error {
			details := map[string]string{}
			if o, ok := c.Object.(*unitObject); ok {
				details["unit"] = o.name
			} else if k := unitArg[c.Member]; k < len(c.Args) {
				if n, ok := c.Args[k].(string); ok {
					details["unit"] = n
				}
			}
			if err := c.Authorize(action, details); err != nil {
				return refused(err)
			}
			return do(c)
		})
	}
}

// unitArg is which argument of a method of Manager is the unit that it is about, where it is
// not the first.
var unitArg = map[string]int{"StartUnitReplace": 1}

// unitRow is (ssssssouso) of ListUnits.
type unitRow struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	Job                                             uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

func unitRowOf(u ipc.Unit) unitRow {
	r := unitRow{u.Name, u.Description, u.Load, u.Active, u.Sub, u.Following, path(translate.UnitPath(u.Name)), u.Job, u.JobType, "/"}
	if r.Description == "" {
		r.Description = u.Name
	}
	if u.Job != 0 {
		r.JobPath = jobPath(u.Job)
	}
	return r
}

// rows lists units. A state is any of the three words of a unit.
func (s *Server) rows(c *bus.Call, states, patterns []string) error {
	ctx, cancel := s.ctx(c)
	defer cancel()
	args := ipc.ListArgs{All: true, InUse: true}
	if len(states)+len(patterns) == 0 {
		return s.allRows(ctx, c, args)
	}
	list, err := s.up.List(ctx, args)
	if err != nil {
		return named(err)
	}
	out := []unitRow{}
	for _, u := range list {
		if len(states) > 0 && !slices.ContainsFunc(states, func(w string) bool { return w == u.Load || w == u.Active || w == u.Sub }) {
			continue
		}
		if len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p string) bool { return match(p, u.Name) }) {
			continue
		}
		out = append(out, unitRowOf(u))
	}
	return c.Reply(out)
}

// listed is the newest list of all units, its tag and the steps at which it was so.
type listed struct {
	mu    sync.Mutex
	tag   string
	steps uint64
	rows  bus.Encoded
}

// allRows lists all units. What clients ask for most is encoded once as long as it stays
// the same.
func (s *Server) allRows(ctx context.Context, c *bus.Call, args ipc.ListArgs) error {
	s.listed.mu.Lock()
	known, steps, rows := s.listed.tag, s.listed.steps, s.listed.rows
	s.listed.mu.Unlock()
	if s.up.Holds(steps) {
		return c.ReplyEncoded(rows)
	}
	list, tag, steps, err := s.up.ListKnown(ctx, args, known)
	if err != nil {
		return named(err)
	}
	if tag == "" || tag != known {
		out := make([]unitRow, 0, len(list))
		for _, u := range list {
			out = append(out, unitRowOf(u))
		}
		if rows, err = bus.Encode(out); err != nil {
			return err
		}
	}
	s.listed.mu.Lock()
	s.listed.tag, s.listed.steps, s.listed.rows = tag, steps, rows
	s.listed.mu.Unlock()
	return c.ReplyEncoded(rows)
}

func (s *Server) byNames(c *bus.Call, names []string) error {
	out := []unitRow{}
	for _, n := range names {
		if err := validName(n); err != nil {
			return err
		}
		ctx, cancel := s.ctx(c)
		u, err := s.up.Quick(ctx, n)
		cancel()
		if err != nil {
			return named(err)
		}
		out = append(out, unitRowOf(u.Unit))
	}
	return c.Reply(out)
}

func validName(n string) error {
	p, err := unitname.Parse(n)
	if err != nil || p.IsTemplate() {
		return bus.Errorf(bus.ErrInvalidArgs, "Unit name %s is not valid.", n)
	}
	return nil
}

// validFile is validName for unit files, which may be templates.
func validFile(n string) error {
	if _, err := unitname.Parse(n); err != nil {
		return bus.Errorf(bus.ErrInvalidArgs, "Unit name %s is not valid.", n)
	}
	return nil
}

// loaded is the unit's own name if systemd would have it in memory.
func (s *Server) loaded(c *bus.Call, name string) (string, error) {
	if err := validName(name); err != nil {
		return "", err
	}
	ctx, cancel := s.ctx(c)
	defer cancel()
	list, err := s.up.List(ctx, ipc.ListArgs{Units: []string{name}, InUse: true})
	if err != nil && ipc.KindOf(err) != "NoSuchUnit" {
		return "", named(err)
	}
	if len(list) == 0 {
		return "", bus.Errorf(prefix+"NoSuchUnit", "Unit %s not loaded.", name)
	}
	return list[0].Name, nil
}

// callerPID is what clients mean by process 0: themselves.
func callerPID(c *bus.Call) (uint32, error) {
	who, err := c.Caller()
	if err != nil {
		return 0, err
	}
	pid, err := who.Process()
	return uint32(pid), err
}

func (s *Server) unitOfPID(c *bus.Call, pid uint32) (string, error) {
	if pid == 0 {
		who, err := callerPID(c)
		if err != nil {
			return "", err
		}
		pid = who
	}
	var st ipc.Status
	if err := s.ask(c, ipc.VerbStatus, &ipc.UnitArgs{PID: int32(pid)}, &st); err != nil {
		if bus.NameOf(err) == prefix+"NoUnitForPID" {
			if pid == 1 && !s.opts.User {
				return "init.scope", nil // systemd.special(7)
			}
			return "", bus.Errorf(prefix+"NoUnitForPID", "PID %d does not belong to any loaded unit.", pid)
		}
		return "", err
	}
	return st.Name, nil
}

// asSystemd gives refusals of jobs systemd's words where clients show them.
func (s *Server) asSystemd(err error, v ipc.Verb, unit string) error {
	if bus.NameOf(err) == prefix+"NoSuchUnit" {
		what := "found"
		if v == ipc.VerbStop || v == ipc.VerbReset {
			what = "loaded"
		}
		return bus.Errorf(prefix+"NoSuchUnit", "Unit %s not %s.", unit, what)
	}
	return err
}

// processRow is (sus) of GetUnitProcesses.
type processRow struct {
	Cgroup  string
	PID     uint32
	Command string
}

func (s *Server) processes(c *bus.Call, name string) error {
	ctx, cancel := s.ctx(c)
	defer cancel()
	u, err := s.up.Quick(ctx, name)
	if err != nil {
		return named(err)
	}
	var st ipc.Status
	if err := s.ask(c, ipc.VerbStatus, &ipc.UnitArgs{Unit: name}, &st); err != nil {
		return err
	}
	out := []processRow{}
	root := strings.TrimSuffix(u.Cgroup, u.Group)
	for _, p := range st.Processes {
		command := commandOf(uint32(p.PID))
		if command == "" { // it has ended meanwhile
			command = p.Command
		}
		out = append(out, processRow{strings.TrimPrefix(p.Cgroup, root), uint32(p.PID), command})
	}
	if u.Type == "slice" && u.Cgroup != "" {
		// A slice shows what its units run as well.
		out = below(root, strings.TrimPrefix(u.Cgroup, root))
	}
	return c.Reply(out)
}

// maxRows bounds a list of processes.
const maxRows = 16384

// below are all processes in a group and in those below it. What ends meanwhile is
// left out.
func below(root, group string) []processRow {
	out := []processRow{}
	_ = filepath.WalkDir(filepath.Join(root, group), func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(data)) {
			pid, err := strconv.ParseUint(strings.TrimSpace(line), 10, 32)
			if err != nil || pid == 0 {
				continue
			}
			if len(out) >= maxRows {
				return filepath.SkipAll
			}
			// Those of the kernel are nobody's units: systemd leaves them out.
			if st, err := proc.StatOf(int(pid)); err != nil || st.Kernel {
				continue
			}
			if command := commandOf(uint32(pid)); command != "" {
				in := strings.TrimPrefix(dir, root)
				if in == "" {
					in = "/"
				}
				out = append(out, processRow{in, uint32(pid), command})
			}
		}
		return nil
	})
	return out
}

// maxCommand bounds what is shown of a command: a process may have megabytes of arguments.
const maxCommand = 4096

// commandOf is what a process was called with, words in quotes where a shell would want
// them, or its name in brackets.
func commandOf(pid uint32) string {
	dir := "/proc/" + strconv.FormatUint(uint64(pid), 10)
	f, err := os.Open(dir + "/cmdline")
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCommand))
	if err != nil {
		return ""
	}
	if data = bytes.TrimRight(data, "\x00 "); len(data) > 0 {
		// A string of D-Bus is UTF-8; the arguments of a process are its own.
		words := strings.Split(strings.ToValidUTF8(string(data), "\ufffd"), "\x00")
		for k, w := range words {
			words[k] = quoted(w)
		}
		return strings.Join(words, " ")
	}
	name, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return ""
	}
	return "[" + strings.ToValidUTF8(strings.TrimSpace(string(name)), "\ufffd") + "]"
}

// quoted is a word as systemd shows it; which characters want quotes was seen with 257.
func quoted(word string) string {
	special := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(" \"\\`$'*?[()<>|&;!", r) }
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range word {
		switch {
		case strings.ContainsRune("\"\\`$", r):
			b.WriteString("\\" + string(r))
		case r < ' ' || r == 0x7f:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// verbs of jobs, by the ends of the methods' names.
var jobVerbs = map[string]ipc.Verb{"Start": ipc.VerbStart, "Stop": ipc.VerbStop, "Restart": ipc.VerbRestart, "Reload": ipc.VerbReload,
	"TryRestart": ipc.VerbTryRestart}

// method is what carries a method out, nil for nothing.
func (s *Server) method(iface, name string) func(*bus.Call) error {
	switch iface {
	case "Manager":
		if v, ok := jobVerbs[strings.TrimSuffix(name, "Unit")]; ok && strings.HasSuffix(name, "Unit") {
			return func(c *bus.Call) error { return s.job2(c, v, c.Args[0].(string), c.Args[1].(string)) }
		}
		if f := managerMethods[name]; f != nil {
			return func(c *bus.Call) error { return f(s, c) }
		}
	case "Unit":
		if v, ok := jobVerbs[name]; ok {
			return func(c *bus.Call) error { return s.job2(c, v, c.Object.(*unitObject).name, c.Args[0].(string)) }
		}
		if f := unitMethods[name]; f != nil {
			return func(c *bus.Call) error { return f(s, c, c.Object.(*unitObject).name) }
		}
	case "Job":
		if f := jobMethods[name]; f != nil {
			return func(c *bus.Call) error { return f(s, c, c.Object.(*jobObject).job) }
		}
	default:
		if f := serviceMethods[name]; f != nil {
			return func(c *bus.Call) error { return f(s, c, c.Object.(*unitObject).name) }
		}
		if name == "AttachProcesses" {
			return s.attachTo
		}
		if name == "Abandon" {
			return func(c *bus.Call) error { return s.abandon(c, c.Object.(*unitObject).name) }
		}
		if name == "GetProcesses" {
			return func(c *bus.Call) error { return s.processes(c, c.Object.(*unitObject).name) }
		}
	}
	return nil
}

// job2 checks name and mode and begins the job.
func (s *Server) job2(c *bus.Call, v ipc.Verb, name, mode string) error {
	v, mode, err := s.jobArgs(c, v, name, mode)
	if err != nil {
		return err
	}
	return s.begin(c, v, name, mode)
}

// jobArgs checks name and mode of a job and says what the manager is asked for.
func (s *Server) jobArgs(c *bus.Call, v ipc.Verb, name, mode string) (ipc.Verb, string, error) {
	if err := validName(name); err != nil {
		return "", "", err
	}
	if _, ok := graph.ParseMode(mode); !ok {
		return "", "", bus.Errorf(bus.ErrInvalidArgs, "Job mode %s invalid", mode)
	}
	if mode == "isolate" && v == ipc.VerbStart {
		v, mode = ipc.VerbIsolate, ""
	}
	return v, mode, s.manual(c, v, name)
}

// manual refuses by hand what units refuse by hand (systemd.unit(5),
// RefuseManualStart=, AllowIsolate=).
func (s *Server) manual(c *bus.Call, v ipc.Verb, name string) error {
	ctx, cancel := s.ctx(c)
	defer cancel()
	u, err := s.up.Quick(ctx, name)
	if err != nil {
		return named(err)
	}
	if u.Load == "not-found" && u.Active == "inactive" {
		return s.asSystemd(bus.Errorf(prefix+"NoSuchUnit", ""), v, name)
	}
	if u.Load == "masked" && v != ipc.VerbStop && v != ipc.VerbTryRestart {
		return bus.Errorf(prefix+"UnitMasked", "Unit %s is masked.", name)
	}
	no := func(what string) error {
		return bus.Errorf(prefix+"OnlyByDependency", "Operation refused, unit %s may be requested by dependency only (it is configured to refuse manual %s).", u.Name, what)
	}
	switch v {
	case ipc.VerbStart, ipc.VerbRestart, ipc.VerbReloadOrStart:
		if refuses(u, "RefuseManualStart") {
			return no("start/stop")
		}
	case ipc.VerbStop:
		if refuses(u, "RefuseManualStop") {
			return no("start/stop")
		}
	case ipc.VerbIsolate:
		if !refuses(u, "AllowIsolate") {
			return bus.Errorf(prefix+"NoIsolation", "Operation refused, unit may not be isolated.")
		}
	case ipc.VerbReload:
		if u.Load == "loaded" && !canReload(u) {
			return bus.Errorf(prefix+"JobTypeNotApplicable", "Job type reload is not applicable for unit %s.", u.Name)
		}
	}
	return nil
}

func refuses(u *translate.Unit, name string) bool {
	v, _ := translate.Setting(u.Model, settingOf("Unit", name), "b", translate.Machine{})
	b, _ := v.(bool)
	return b
}

func (s *Server) kill(c *bus.Call, name, whom string, signal int32) error {
	return s.killWith(c, name, whom, signal, nil)
}

// killWith is kill with a value for the signal, nil for none.
func (s *Server) killWith(c *bus.Call, name, whom string, signal int32, value *int32) error {
	if err := validName(name); err != nil {
		return err
	}
	words := map[string]string{"main": "main", "control": "control", "all": "all", "": "all", "main-fail": "main", "control-fail": "control", "all-fail": "all"}
	w, ok := words[whom]
	if !ok {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid whom argument: %s", whom)
	}
	if signal <= 0 || signal > 64 {
		return bus.Errorf(bus.ErrInvalidArgs, "Signal number out of range.")
	}
	err := s.ask(c, ipc.VerbKill, &ipc.KillArgs{Unit: name, Signal: strconv.Itoa(int(signal)), Whom: w, Value: value}, nil)
	if k := bus.NameOf(err); k == "org.freedesktop.DBus.Error.UnixProcessIdUnknown" {
		if strings.HasSuffix(whom, "-fail") || w != "all" {
			return bus.Errorf(prefix+"NoSuchProcess", "No process to kill")
		}
		return nil // as systemd: all of nothing is done
	}
	return s.asSystemd(err, ipc.VerbStop, name)
}

// reloaded carries out Manager.Reload between its two signals.
func (s *Server) reload(c *bus.Call) error {
	signal := func(active bool) { s.bus.Announce(translate.ManagerPath, prefix+"Manager", "Reloading", active) }
	signal(true)
	defer signal(false)
	var r ipc.ReloadResult
	return s.ask(c, ipc.VerbDaemonReload, &ipc.ReloadArgs{}, &r)
}

func shutdown(kind string) func(*Server, *bus.Call) error {
	return func(s *Server, c *bus.Call) error {
		return s.ask(c, ipc.VerbShutdown, &ipc.ShutdownArgs{Kind: kind, Force: kind != "exit"}, nil)
	}
}

// setEnvironment changes the variables that services get (systemctl(1),
// set-environment). dbus-daemon calls it as well, for UpdateActivationEnvironment.
func (s *Server) setEnvironment(c *bus.Call, unset, set []string) error {
	err := s.ask(c, ipc.VerbSetEnviron, &ipc.EnvironmentArgs{Unset: unset, Set: set}, nil)
	if bus.NameOf(err) == bus.ErrInvalidArgs && len(set) > 0 {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid environment assignments")
	}
	return err
}
