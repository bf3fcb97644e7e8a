package api

import (
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/sd1bridge/internal/translate"
)

// unitReply answers with the path of a unit.
func unitReply(c *bus.Call, name string, err error) error {
	if err != nil {
		return err
	}
	return c.Reply(path(translate.UnitPath(name)))
}

var managerMethods = map[string]func(*Server, *bus.Call) error{
	"GetUnit": func(s *Server, c *bus.Call) error {
		name, err := s.loaded(c, c.Args[0].(string))
		return unitReply(c, name, err)
	},
	"LoadUnit": func(s *Server, c *bus.Call) error {
		name := c.Args[0].(string)
		if err := validName(name); err != nil {
			return err
		}
		ctx, cancel := s.ctx(c)
		defer cancel()
		u, err := s.up.Quick(ctx, name)
		if err != nil {
			return named(err)
		}
		return unitReply(c, u.Name, nil)
	},
	"GetUnitByPID": func(s *Server, c *bus.Call) error {
		name, err := s.unitOfPID(c, c.Args[0].(uint32))
		return unitReply(c, name, err)
	},
	"GetUnitByPIDFD": func(s *Server, c *bus.Call) error {
		pid, err := pidOf(int(c.Args[0].(dbus.UnixFD)))
		if err != nil {
			return bus.Errorf(bus.ErrInvalidArgs, "Failed to get PID from PIDFD: %v", err)
		}
		name, err := s.unitOfPID(c, pid)
		if err != nil {
			return err
		}
		// The number may have been given away while the manager was asked.
		if again, err := pidOf(int(c.Args[0].(dbus.UnixFD))); err != nil || again != pid {
			return bus.Errorf(prefix+"NoUnitForPID", "The process is gone.")
		}
		ctx, cancel := s.ctx(c)
		defer cancel()
		u, err := s.up.Quick(ctx, name)
		if err != nil {
			return named(err)
		}
		return c.Reply(path(translate.UnitPath(u.Name)), u.Name, u.InvocationID())
	},
	"GetUnitByControlGroup": func(s *Server, c *bus.Call) error {
		group := strings.TrimSuffix(c.Args[0].(string), "/")
		name, err := s.find(c, func(u *ipc.Facts) bool {
			return u.Group != "" && (group == u.Group || strings.HasPrefix(group, u.Group+"/"))
		})
		if err == nil && name == "" {
			err = bus.Errorf(prefix+"NoSuchUnit", "Control group '%s' is not valid or not managed by this instance", group)
		}
		return unitReply(c, name, err)
	},
	"GetUnitByInvocationID": func(s *Server, c *bus.Call) error {
		id := c.Args[0].([]byte)
		if len(id) == 0 {
			name, err := s.unitOfPID(c, 0)
			return unitReply(c, name, err)
		}
		if len(id) != 16 {
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid invocation ID")
		}
		want := hex.EncodeToString(id)
		name, err := s.find(c, func(u *ipc.Facts) bool { return u.Invocation == want })
		if err == nil && name == "" {
			err = bus.Errorf(prefix+"NoUnitForInvocationID", "No unit with the specified invocation ID %s known.", want)
		}
		return unitReply(c, name, err)
	},
	"ListUnits":         func(s *Server, c *bus.Call) error { return s.rows(c, nil, nil) },
	"ListUnitsFiltered": func(s *Server, c *bus.Call) error { return s.rows(c, c.Args[0].([]string), nil) },
	"ListUnitsByPatterns": func(s *Server, c *bus.Call) error {
		return s.rows(c, c.Args[0].([]string), c.Args[1].([]string))
	},
	"ListUnitsByNames": func(s *Server, c *bus.Call) error { return s.byNames(c, c.Args[0].([]string)) },
	"ListJobs": func(s *Server, c *bus.Call) error {
		rows, err := s.jobRows(c, func(ipc.Job) bool { return true })
		if err != nil {
			return err
		}
		return c.Reply(rows)
	},
	"GetJob": func(s *Server, c *bus.Call) error {
		id := c.Args[0].(uint32)
		if _, err := s.job(c, id); err != nil {
			return err
		}
		return c.Reply(jobPath(id))
	},
	"GetJobAfter":  func(s *Server, c *bus.Call) error { return s.neighbours(c, c.Args[0].(uint32), false) },
	"GetJobBefore": func(s *Server, c *bus.Call) error { return s.neighbours(c, c.Args[0].(uint32), true) },
	"CancelJob":    func(s *Server, c *bus.Call) error { return s.cancel(c, c.Args[0].(uint32)) },
	"ClearJobs": func(s *Server, c *bus.Call) error {
		rows, err := s.jobRows(c, func(ipc.Job) bool { return true })
		for _, j := range rows {
			if err := s.cancel(c, j.ID); err != nil && bus.NameOf(err) != prefix+"NoSuchJob" {
				return err
			}
		}
		return err
	},
	"StartUnitWithFlags": func(s *Server, c *bus.Call) error {
		if c.Args[2].(uint64) != 0 {
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid flags")
		}
		return s.job2(c, ipc.VerbStart, c.Args[0].(string), c.Args[1].(string))
	},
	"ReloadOrRestartUnit": func(s *Server, c *bus.Call) error {
		return s.reloadOr(c, ipc.VerbRestart, c.Args[0].(string), c.Args[1].(string))
	},
	"ReloadOrTryRestartUnit": func(s *Server, c *bus.Call) error {
		return s.reloadOr(c, ipc.VerbTryRestart, c.Args[0].(string), c.Args[1].(string))
	},
	"KillUnit": func(s *Server, c *bus.Call) error {
		return s.kill(c, c.Args[0].(string), c.Args[1].(string), c.Args[2].(int32))
	},
	"FreezeUnit":      func(s *Server, c *bus.Call) error { return s.freeze(c, ipc.VerbFreeze, c.Args[0].(string)) },
	"ThawUnit":        func(s *Server, c *bus.Call) error { return s.freeze(c, ipc.VerbThaw, c.Args[0].(string)) },
	"CleanUnit":       func(s *Server, c *bus.Call) error { return s.clean(c, c.Args[0].(string), c.Args[1].([]string)) },
	"ResetFailedUnit": func(s *Server, c *bus.Call) error { return s.reset(c, c.Args[0].(string)) },
	"ResetFailed": func(s *Server, c *bus.Call) error {
		ctx, cancel := s.ctx(c)
		defer cancel()
		list, err := s.up.List(ctx, ipc.ListArgs{States: []string{"failed", "abandoned"}})
		if err != nil {
			return named(err)
		}
		for _, u := range list {
			if err := s.reset(c, u.Name); err != nil && bus.NameOf(err) != prefix+"NoSuchUnit" {
				return err
			}
		}
		return nil
	},
	"GetUnitProcesses": func(s *Server, c *bus.Call) error {
		name, err := s.loaded(c, c.Args[0].(string))
		if err != nil {
			return err
		}
		return s.processes(c, name)
	},
	"Subscribe":   func(s *Server, c *bus.Call) error { return s.subscribe(c, true) },
	"Unsubscribe": func(s *Server, c *bus.Call) error { return s.subscribe(c, false) },
	"Reload":      (*Server).reload,
	"Reexecute":   func(s *Server, c *bus.Call) error { return s.ask(c, ipc.VerbReexec, nil, nil) },
	"Dump": func(s *Server, c *bus.Call) error {
		text, err := s.dump(c)
		if err != nil {
			return err
		}
		return c.Reply(text)
	},
	"SetEnvironment": func(s *Server, c *bus.Call) error {
		return s.setEnvironment(c, nil, c.Args[0].([]string))
	},
	"UnsetEnvironment": func(s *Server, c *bus.Call) error {
		return s.setEnvironment(c, c.Args[0].([]string), nil)
	},
	"UnsetAndSetEnvironment": func(s *Server, c *bus.Call) error {
		return s.setEnvironment(c, c.Args[0].([]string), c.Args[1].([]string))
	},
	"GetUnitFileState":        (*Server).fileState,
	"ListUnitFiles":           func(s *Server, c *bus.Call) error { return s.files(c, nil, nil) },
	"ListUnitFilesByPatterns": func(s *Server, c *bus.Call) error { return s.files(c, c.Args[0].([]string), c.Args[1].([]string)) },
	"GetDefaultTarget":        (*Server).defaultTarget,
	"PowerOff":                shutdown("poweroff"),
	"Reboot":                  shutdown("reboot"),
	"Halt":                    shutdown("halt"),
	"KExec":                   shutdown("kexec"),
	"Exit":                    shutdown("exit"),
}

var unitMethods = map[string]func(*Server, *bus.Call, string) error{
	"ReloadOrRestart": func(s *Server, c *bus.Call, name string) error {
		return s.reloadOr(c, ipc.VerbRestart, name, c.Args[0].(string))
	},
	"ReloadOrTryRestart": func(s *Server, c *bus.Call, name string) error {
		return s.reloadOr(c, ipc.VerbTryRestart, name, c.Args[0].(string))
	},
	"Kill": func(s *Server, c *bus.Call, name string) error {
		return s.kill(c, name, c.Args[0].(string), c.Args[1].(int32))
	},
	"Freeze":      func(s *Server, c *bus.Call, name string) error { return s.freeze(c, ipc.VerbFreeze, name) },
	"Thaw":        func(s *Server, c *bus.Call, name string) error { return s.freeze(c, ipc.VerbThaw, name) },
	"ResetFailed": func(s *Server, c *bus.Call, name string) error { return s.reset(c, name) },
	"Clean":       func(s *Server, c *bus.Call, name string) error { return s.clean(c, name, c.Args[0].([]string)) },
}

// serviceMethods are those of services alone.
var serviceMethods = map[string]func(*Server, *bus.Call, string) error{}

var jobMethods = map[string]func(*Server, *bus.Call, ipc.Job) error{
	"Cancel":    func(s *Server, c *bus.Call, j ipc.Job) error { return s.cancel(c, j.ID) },
	"GetAfter":  func(s *Server, c *bus.Call, j ipc.Job) error { return s.neighbours(c, j.ID, false) },
	"GetBefore": func(s *Server, c *bus.Call, j ipc.Job) error { return s.neighbours(c, j.ID, true) },
}

func (s *Server) neighbours(c *bus.Call, id uint32, before bool) error {
	rows, err := s.around(c, id, before)
	if err != nil {
		return err
	}
	return c.Reply(rows)
}

func (s *Server) cancel(c *bus.Call, id uint32) error {
	if err := s.ask(c, ipc.VerbCancel, &ipc.CancelArgs{Job: id}, nil); err != nil {
		if bus.NameOf(err) == prefix+"NoSuchJob" {
			return bus.Errorf(prefix+"NoSuchJob", "Job %d does not exist.", id)
		}
		return err
	}
	return nil
}

// reloadOr reloads what can be reloaded and restarts what cannot.
func (s *Server) reloadOr(c *bus.Call, v ipc.Verb, name, mode string) error {
	if err := validName(name); err != nil {
		return err
	}
	ctx, cancel := s.ctx(c)
	u, err := s.up.Quick(ctx, name)
	cancel()
	if err != nil {
		return named(err)
	}
	if canReload(u) {
		v = map[ipc.Verb]ipc.Verb{ipc.VerbRestart: ipc.VerbReloadOrStart, ipc.VerbTryRestart: ipc.VerbReload}[v]
		if v == ipc.VerbReload && u.Active != "active" {
			v = ipc.VerbTryRestart // which does nothing to what is down
		}
	}
	return s.job2(c, v, name, mode)
}

func (s *Server) freeze(c *bus.Call, v ipc.Verb, name string) error {
	if err := validName(name); err != nil {
		return err
	}
	return s.asSystemd(s.ask(c, v, &ipc.UnitArgs{Unit: name}, nil), ipc.VerbStop, name)
}

// clean removes what a unit left behind. No words mean what the next start makes again,
// and "all" everything (systemctl(1), clean).
func (s *Server) clean(c *bus.Call, name string, mask []string) error {
	if err := validName(name); err != nil {
		return err
	}
	ctx, cancel := s.ctx(c)
	u, err := s.up.Quick(ctx, name)
	cancel()
	if err != nil {
		return named(err)
	}
	can := cleanable(u)
	var what []string
	for _, w := range mask {
		switch {
		case w == "all":
			what = append(what, can...)
		case slices.Contains([]string{"runtime", "state", "cache", "logs", "configuration", "fdstore"}, w):
			what = append(what, w) // systemctl asks for the descriptor store by default; no unit has that in CanClean
		default:
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid resource type: %s", w)
		}
	}
	if len(mask) == 0 {
		what = []string{"cache", "runtime"}
	}
	if what = slices.DeleteFunc(what, func(w string) bool { return !slices.Contains(can, w) }); len(what) == 0 {
		return bus.Errorf(prefix+"NothingToClean", "No matching resources found.")
	}
	err = s.ask(c, ipc.VerbClean, &ipc.CleanArgs{Unit: name, What: what}, nil)
	if e := (&bus.Error{}); errors.As(err, &e) && e.Name == bus.ErrFailed && u.Active != "inactive" && u.Active != "failed" {
		return bus.Errorf(prefix+"UnitBusy", "%s", e.Text)
	}
	return err
}

func (s *Server) reset(c *bus.Call, name string) error {
	if err := validName(name); err != nil {
		return err
	}
	return s.asSystemd(s.ask(c, ipc.VerbReset, &ipc.JobArgs{Unit: name}, nil), ipc.VerbReset, name)
}

// find looks for a unit with processes; the longest group wins, as a scope's is below
// its slice's.
func (s *Server) find(c *bus.Call, match func(*ipc.Facts) bool) (string, error) {
	ctx, cancel := s.ctx(c)
	defer cancel()
	list, err := s.up.List(ctx, ipc.ListArgs{})
	if err != nil {
		return "", named(err)
	}
	best, length := "", -1
	for _, row := range list {
		if row.Active == "inactive" || row.Active == "failed" {
			continue
		}
		u, err := s.up.Quick(ctx, row.Name)
		if err != nil {
			return "", named(err)
		}
		if match(&u.Facts) && len(u.Group) > length {
			best, length = u.Name, len(u.Group)
		}
	}
	return best, nil
}

// subscribe counts who wants signals. The bus gets those of units while there is anybody
// (org.freedesktop.systemd1(5), Subscribe()); private peers get all, as systemd tells them,
// without being asked. Asking twice is an error that clients know.
func (s *Server) subscribe(c *bus.Call, on bool) error {
	who := c.Sender()
	if who == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch had := s.subscribers[who]; {
	case on && had:
		return bus.Errorf(prefix+"AlreadySubscribed", "Client is already subscribed.")
	case !on && !had:
		return bus.Errorf(prefix+"NotSubscribed", "Client is not subscribed.")
	case on && len(s.subscribers) >= maxSubscribers:
		return bus.Errorf(bus.ErrLimitsExceeded, "Too many subscribers.")
	case on:
		s.subscribers[who] = true
		c.Follow()
	default:
		delete(s.subscribers, who)
	}
	s.heardBy()
	return nil
}

// heardBy says whether the bus gets signals of units: while somebody has subscribed, or
// holds on to a unit, as `systemd-run --wait` does, which subscribes to nothing. The bus of a
// session always does: the leader of a GNOME session waits there for the end of a target
// without having subscribed, and must not depend on another program that has. s.mu is held.
func (s *Server) heardBy() {
	s.bus.Unasked(!s.opts.User && len(s.subscribers) == 0 && s.refs.none())
}

const maxSubscribers = 4096

// Gone forgets a client that left the bus.
func (s *Server) Gone(sender string) {
	s.mu.Lock()
	delete(s.subscribers, sender)
	s.heardBy()
	s.mu.Unlock()
	if s.refs.holds(sender) {
		go s.forget(sender) // ends with its reports, which have a deadline
	}
}

// maxDump bounds the text of Dump; a message of D-Bus has at most 128 MiB.
const maxDump = 16 << 20

func (s *Server) dump(c *bus.Call) (string, error) {
	var b strings.Builder
	page := ipc.Page{}
	for b.Len() < maxDump {
		var r ipc.DebugResult
		if err := s.ask(c, ipc.VerbDebugState, &page, &r); err != nil {
			return "", err
		}
		b.WriteString(r.Text)
		if r.Next == "" || r.Next == page.After {
			break
		}
		page.After = r.Next
	}
	return b.String(), nil
}

// pidOf asks the kernel which process a pidfd is (pidfd_open(2), fdinfo).
func pidOf(fd int) (uint32, error) {
	f, err := os.Open("/proc/self/fdinfo/" + itoa(fd))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Pid:"); ok {
			if n := atoi(strings.TrimSpace(rest)); n > 0 {
				return uint32(n), nil
			}
			return 0, unix.ESRCH
		}
	}
	return 0, unix.EBADF
}
