package api

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/sd1bridge/internal/translate"
)

// affectedJob is (uosos) of EnqueueUnitJob.
type affectedJob struct {
	ID       uint32
	Path     dbus.ObjectPath
	Unit     string
	UnitPath dbus.ObjectPath
	Type     string
}

// jobTypes are the types that EnqueueUnitJob takes.
var jobTypes = map[string]ipc.Verb{"start": ipc.VerbStart, "stop": ipc.VerbStop, "restart": ipc.VerbRestart, "try-restart": ipc.VerbTryRestart,
	"reload": ipc.VerbReload, "reload-or-start": ipc.VerbReloadOrStart, "verify-active": ipc.VerbVerifyActive, "nop": ""}

// enqueueJob begins a job and answers with it and with those that come with it.
func (s *Server) enqueueJob(c *bus.Call, name, typ, mode string) error {
	v, ok := jobTypes[typ]
	if !ok {
		return bus.Errorf(bus.ErrInvalidArgs, "Job type %s invalid", typ)
	}
	v, mode, err := s.jobArgs(c, v, name, mode)
	if err != nil {
		return err
	}
	s.jobs.order.RLock()
	var r ipc.JobResult
	if v != "" { // there is nothing to do for "nop"
		if err := s.ask(c, v, &ipc.JobArgs{Unit: name, Mode: mode, Force: true, Jobs: true}, &r); err != nil {
			s.jobs.order.RUnlock()
			return s.asSystemd(err, v, name)
		}
	}
	id, ended := s.known(r.Job)
	main := affectedJob{id, jobPath(id), name, path(translate.UnitPath(name)), typ}
	others := []affectedJob{}
	for _, j := range r.Jobs {
		if j.ID == r.Job {
			main.Unit, main.UnitPath, main.Type = j.Unit, path(translate.UnitPath(j.Unit)), j.Type
			continue
		}
		s.announce(j.ID, j.Unit, true)
		others = append(others, affectedJob{j.ID, jobPath(j.ID), j.Unit, path(translate.UnitPath(j.Unit)), j.Type})
	}
	s.announce(id, main.Unit, true)
	err = c.Reply(main.ID, main.Path, main.Unit, main.UnitPath, main.Type, others)
	s.jobs.order.RUnlock()
	if ended {
		s.retire(id, main.Unit, "done")
	}
	return err
}

// startReplace starts a unit if a job is queued for another one. That job stays: what
// replaces it is up to the mode, as systemd 257 was seen to do.
func (s *Server) startReplace(c *bus.Call, old, name, mode string) error {
	if _, err := s.loaded(c, old); err != nil {
		return err
	}
	ctx, cancel := s.ctx(c)
	u, err := s.up.Quick(ctx, old)
	cancel()
	if err != nil {
		return named(err)
	}
	if u.Job == 0 {
		return bus.Errorf(prefix+"NoSuchJob", "No job queued for unit %s", old)
	}
	return s.job2(c, ipc.VerbStart, name, mode)
}

// realTime is the first of the signals that carry a value.
const realTime = 34

func (s *Server) queueSignal(c *bus.Call, name, whom string, signal, value int32) error {
	if signal <= 0 || signal > 64 {
		return bus.Errorf(bus.ErrInvalidArgs, "Signal number out of range.")
	}
	if signal < realTime {
		return bus.Errorf(bus.ErrInvalidArgs, "Value parameter only accepted for realtime signals (SIGRTMIN…SIGRTMAX), refusing for signal %s.", unix.SignalName(syscall.Signal(signal)))
	}
	if _, err := s.loaded(c, name); err != nil {
		return err
	}
	return s.killWith(c, name, whom, signal, &value)
}

// enqueueMarked begins what the marks of units ask for.
func (s *Server) enqueueMarked(c *bus.Call) error {
	ctx, cancel := s.ctx(c)
	list, err := s.up.List(ctx, ipc.ListArgs{})
	cancel()
	if err != nil {
		return named(err)
	}
	s.jobs.order.RLock()
	out := []dbus.ObjectPath{}
	idle := map[uint32]string{}
	for _, row := range list {
		ctx, cancel := s.ctx(c)
		u, uerr := s.up.Quick(ctx, row.Name)
		cancel()
		if uerr != nil || len(u.Marks) == 0 {
			continue
		}
		v := ipc.VerbTryRestart
		if !slices.Contains(u.Marks, "needs-restart") && canReload(u) && u.Active == "active" {
			v = ipc.VerbReload
		}
		id, ended, jerr := s.enqueue(c, v, u.Name, "replace")
		if jerr != nil {
			err = jerr // the others get theirs all the same
			continue
		}
		if ended {
			idle[id] = u.Name
		}
		out = append(out, jobPath(id))
	}
	if err == nil {
		err = c.Reply(out)
	}
	s.jobs.order.RUnlock()
	for id, name := range idle {
		s.retire(id, name, "done")
	}
	return err
}

// mark carries out an assignment to Markers: words that begin with + or - change what is
// there, and others replace it.
func (s *Server) mark(c *bus.Call, name string, words []string) error {
	args := ipc.MarkArgs{Unit: name}
	plain := 0
	for _, w := range words {
		switch {
		case strings.HasPrefix(w, "+"):
			args.Add = append(args.Add, w[1:])
		case strings.HasPrefix(w, "-"):
			args.Drop = append(args.Drop, w[1:])
		default:
			args.Add = append(args.Add, w)
			plain++
		}
	}
	if plain > 0 && plain < len(words) {
		return bus.Errorf(bus.ErrInvalidArgs, "Markers with and without + or - cannot be mixed.")
	}
	if plain > 0 {
		args.Drop = []string{"needs-reload", "needs-restart"}
	}
	if len(words) == 0 {
		return nil // as systemd 257 was seen to do
	}
	return s.asSystemd(s.ask(c, ipc.VerbMark, &args, nil), ipc.VerbStop, name)
}

// dumpUnits describes the units that match, for people (systemd-analyze(1), dump).
func (s *Server) dumpUnits(c *bus.Call, patterns []string) (string, error) {
	ctx, cancel := s.ctx(c)
	defer cancel()
	list, err := s.up.List(ctx, ipc.ListArgs{All: true, InUse: true})
	if err != nil {
		return "", named(err)
	}
	var b strings.Builder
	for _, row := range list {
		if !slices.ContainsFunc(patterns, func(p string) bool { return match(p, row.Name) }) {
			continue
		}
		if b.Len() > maxDump {
			return "", bus.Errorf(bus.ErrLimitsExceeded, "Too many units match.")
		}
		u, err := s.up.Unit(ctx, row.Name)
		if err != nil {
			return "", named(err)
		}
		dumpUnit(&b, u)
	}
	return b.String(), nil
}

func dumpUnit(b *strings.Builder, u *translate.Unit) {
	line := func(name string, value any) { fmt.Fprintf(b, "\t%s: %v\n", name, value) }
	moment := func(name string, t ipc.Stamp) {
		if t.Wall == 0 {
			line(name, "n/a")
			return
		}
		line(name, time.UnixMicro(t.Wall).UTC().Format("Mon 2006-01-02 15:04:05 MST"))
	}
	fmt.Fprintf(b, "→ Unit %s:\n", u.Name)
	line("Description", describe(u))
	line("Unit Load State", u.Load)
	line("Unit Active State", u.Active)
	line("Unit Sub State", u.Sub)
	line("State", u.State)
	if u.Why.Sentence != "" {
		line("Cause", u.Why.Sentence)
	}
	moment("State Change Timestamp", u.Since)
	moment("Inactive Exit Timestamp", u.InactiveExit)
	moment("Active Enter Timestamp", u.ActiveEnter)
	moment("Active Exit Timestamp", u.ActiveExit)
	moment("Inactive Enter Timestamp", u.InactiveEnter)
	line("Need Daemon Reload", u.NeedsReload)
	line("Transient", u.Transient())
	line("Perpetual", u.Perpetual)
	for _, x := range []struct{ name, value string }{{"CGroup", u.Group}, {"Invocation ID", u.Invocation}, {"Fragment Path", u.Fragment()}, {"Result", u.Result}} {
		if x.value != "" {
			line(x.name, x.value)
		}
	}
	for _, f := range u.DropIns() {
		line("DropIn Path", f)
	}
	if u.PID > 0 {
		line("Main PID", u.PID)
	}
	if u.Job != 0 {
		line("Job", strconv.FormatUint(uint64(u.Job), 10)+" "+u.JobType)
	}
	names := make([]string, 0, len(u.Relations))
	for r := range u.Relations {
		names = append(names, r)
	}
	slices.Sort(names)
	for _, r := range names {
		for _, other := range u.Relations[r] {
			line(r, other)
		}
	}
}

// replyFile answers with a descriptor that text can be read from: its size has no bound
// of the bus.
func replyFile(c *bus.Call, text string, err error) error {
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("systemd-dump", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return bus.Errorf(bus.ErrFailed, "A file for the answer could not be made: %v", err)
	}
	f := os.NewFile(uintptr(fd), "dump")
	defer f.Close()
	if _, err = f.WriteString(text); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return bus.Errorf(bus.ErrFailed, "The answer could not be written: %v", err)
	}
	return c.Reply(dbus.UnixFD(fd))
}

// switchRoot goes on as systemd does outside of an initramfs: this manager never runs in
// one (docs/pid1.md), so that all that is left is to say what is wrong.
func (s *Server) switchRoot(root string) error {
	switch {
	case root != "" && !strings.HasPrefix(root, "/"):
		return bus.Errorf(bus.ErrInvalidArgs, "New root path '%s' is not absolute.", root)
	case root != "":
		var there, here unix.Stat_t
		if err := unix.Stat(root, &there); err != nil {
			return bus.Errorf("org.freedesktop.DBus.Error.FileNotFound", "Failed to check if new root directory '%s' is the same as old root: %v", root, err)
		}
		if err := unix.Stat("/", &here); err == nil && here.Dev == there.Dev && here.Ino == there.Ino {
			return bus.Errorf(bus.ErrInvalidArgs, "New root directory cannot be the old root directory.")
		}
	}
	return bus.Errorf(bus.ErrInvalidArgs, "Not in initrd, refusing switch-root operation.")
}

// nextRoot is where the root file system of a soft reboot may lie (systemd-soft-reboot.service(8)).
const nextRoot = "/run/nextroot"

func (s *Server) softReboot(c *bus.Call, root string) error {
	switch {
	case root != "" && !strings.HasPrefix(root, "/"):
		return bus.Errorf(bus.ErrInvalidArgs, "New root directory path '%s' is not absolute.", root)
	case root == "":
		if _, err := os.Stat(filepath.Join(s.opts.Root, nextRoot)); err == nil {
			root = nextRoot
		}
	}
	if root != "" && filepath.Clean(root) != "/" {
		return bus.Errorf(bus.ErrNotSupported, "dynamod-init begins anew on the root file system that it has, not on '%s'.", root)
	}
	return shutdown("soft-reboot")(s, c)
}

// bindMount mounts into a service that runs. What goes wrong is in the manager's log.
func (s *Server) bindMount(c *bus.Call, method, name, source, target string, readOnly, mkdir bool) error {
	name, err := s.loaded(c, name)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(name, ".service") {
		return bus.Errorf(bus.ErrNotSupported, "%s operation is not supported for unit type '%s'", method, name[strings.LastIndexByte(name, '.')+1:])
	}
	err = s.ask(c, ipc.VerbMount, &ipc.MountArgs{Unit: name, Source: source, Target: target, ReadOnly: readOnly, Make: mkdir}, nil)
	if err != nil && bus.NameOf(err) == prefix+"Failed" {
		return bus.Errorf(bus.ErrFailed, "method '%s' for unit '%s' failed", method, name)
	}
	return err
}

// mountImage refuses: nothing here opens an image for a unit that runs already.
func (s *Server) mountImage(c *bus.Call, name, source string) error {
	name, err := s.loaded(c, name)
	switch {
	case err != nil:
		return err
	case !strings.HasSuffix(name, ".service"):
		return bus.Errorf(bus.ErrNotSupported, "MountImageUnit operation is not supported for unit type '%s'", name[strings.LastIndexByte(name, '.')+1:])
	case !strings.HasPrefix(source, "/") || filepath.Clean(source) != source:
		return bus.Errorf(bus.ErrInvalidArgs, "Source path must be absolute and normalized")
	}
	return bus.Errorf(bus.ErrNotSupported, "dynamod mounts files and directories into a unit that runs, but no images: mount '%s' and use BindMount.", source)
}

func init() {
	for _, m := range []string{"BindMountUnit", "MountImageUnit", "BindMount", "MountImage"} {
		rights[m] = manageUnits
	}
	managerMethods["BindMountUnit"] = func(s *Server, c *bus.Call) error {
		return s.bindMount(c, c.Member, c.Args[0].(string), c.Args[1].(string), c.Args[2].(string), c.Args[3].(bool), c.Args[4].(bool))
	}
	managerMethods["MountImageUnit"] = func(s *Server, c *bus.Call) error { return s.mountImage(c, c.Args[0].(string), c.Args[1].(string)) }
	serviceMethods["BindMount"] = func(s *Server, c *bus.Call, name string) error {
		return s.bindMount(c, "BindMountUnit", name, c.Args[0].(string), c.Args[1].(string), c.Args[2].(bool), c.Args[3].(bool))
	}
	serviceMethods["MountImage"] = func(s *Server, c *bus.Call, name string) error { return s.mountImage(c, name, c.Args[0].(string)) }
	serviceMethods["DumpFileDescriptorStore"] = func(s *Server, c *bus.Call, name string) error { return s.stored(c, name) }
	for name, f := range map[string]func(*Server, *bus.Call) error{
		"EnqueueUnitJob": func(s *Server, c *bus.Call) error {
			return s.enqueueJob(c, c.Args[0].(string), c.Args[1].(string), c.Args[2].(string))
		},
		"StartUnitReplace": func(s *Server, c *bus.Call) error {
			return s.startReplace(c, c.Args[0].(string), c.Args[1].(string), c.Args[2].(string))
		},
		"QueueSignalUnit": func(s *Server, c *bus.Call) error {
			return s.queueSignal(c, c.Args[0].(string), c.Args[1].(string), c.Args[2].(int32), c.Args[3].(int32))
		},
		"EnqueueMarkedJobs": (*Server).enqueueMarked,
		"DumpByFileDescriptor": func(s *Server, c *bus.Call) error {
			text, err := s.dump(c)
			return replyFile(c, text, err)
		},
		"DumpUnitsMatchingPatterns": func(s *Server, c *bus.Call) error {
			text, err := s.dumpUnits(c, c.Args[0].([]string))
			if err != nil {
				return err
			}
			return c.Reply(text)
		},
		"DumpUnitsMatchingPatternsByFileDescriptor": func(s *Server, c *bus.Call) error {
			text, err := s.dumpUnits(c, c.Args[0].([]string))
			return replyFile(c, text, err)
		},
		"SoftReboot": func(s *Server, c *bus.Call) error { return s.softReboot(c, c.Args[0].(string)) },
		"SwitchRoot": func(s *Server, c *bus.Call) error { return s.switchRoot(c.Args[0].(string)) },
	} {
		managerMethods[name] = f
	}
	rights["EnqueueMarkedJobs"], rights["SwitchRoot"] = onlyRoot, onlyRoot
	unitMethods["EnqueueJob"] = func(s *Server, c *bus.Call, name string) error {
		return s.enqueueJob(c, name, c.Args[0].(string), c.Args[1].(string))
	}
	unitMethods["QueueSignal"] = func(s *Server, c *bus.Call, name string) error {
		return s.queueSignal(c, name, c.Args[0].(string), c.Args[1].(int32), c.Args[2].(int32))
	}
}
