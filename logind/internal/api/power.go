package api

import (
	"os"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/logind/internal/session"
)

// Flags of the verbs (org.freedesktop.login1(5), "SD_LOGIND_…").
const (
	flagKexec          = 1 << 1
	flagSoftReboot     = 1 << 2
	flagSkipInhibitors = 1 << 4
)

// verbs are the methods that change power, what they do, and polkit's word for it.
var verbs = []struct{ method, verb, action string }{
	{"PowerOff", "poweroff", "power-off"},
	{"Reboot", "reboot", "reboot"},
	{"Halt", "halt", "halt"},
	{"Suspend", "suspend", "suspend"},
	{"Hibernate", "hibernate", "hibernate"},
	{"HybridSleep", "hybrid-sleep", "hibernate"},
	{"SuspendThenHibernate", "suspend-then-hibernate", "hibernate"},
}

// sleepVerb is what "sleep" is on this machine, "" for nothing, and polkit's word for it.
func (s *Server) sleepVerb() (verb, action string) {
	s.mu.Lock()
	s.locked(session.Sleeps{Verbs: s.hardware.Sleeps()})
	verb = s.core.SleepVerb()
	s.mu.Unlock()
	if verb == "suspend" {
		return verb, "suspend"
	}
	return verb, "hibernate"
}

func (s *Server) sleep(c *bus.Call) error {
	flags := c.Args[0].(uint64)
	if flags&^(flagSkipInhibitors|1) != 0 {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid flags parameter")
	}
	verb, action := s.sleepVerb()
	if verb == "" {
		return bus.Errorf("org.freedesktop.login1.SleepVerbNotSupported", "None of the configured sleep operations are supported")
	}
	return s.power(c, verb, action, flags)
}

func (s *Server) canSleepAtAll(c *bus.Call) error {
	verb, action := s.sleepVerb()
	if verb == "" {
		return c.Reply("na")
	}
	return s.can(c, verb, action)
}

func (s *Server) powerMethods(m map[string]func(*bus.Call) error) {
	m["Manager.Sleep"], m["Manager.CanSleep"] = s.sleep, s.canSleepAtAll
	m["Manager.ScheduleShutdown"], m["Manager.CancelScheduledShutdown"] = s.scheduleShutdown, s.cancelShutdown
	m["Manager.SetWallMessage"] = s.setWallMessage
	for _, v := range verbs {
		m["Manager."+v.method] = func(c *bus.Call) error { return s.power(c, v.verb, v.action, 0) }
		m["Manager."+v.method+"WithFlags"] = func(c *bus.Call) error {
			flags := c.Args[0].(uint64)
			verb := v.verb
			known := uint64(flagSkipInhibitors | 1) // the lowest only says what is the rule here
			if verb == "reboot" {
				known |= flagKexec | flagSoftReboot
			}
			if flags&^known != 0 || flags&flagKexec != 0 && flags&flagSoftReboot != 0 {
				return bus.Errorf(bus.ErrInvalidArgs, "Invalid flags parameter")
			}
			switch {
			case flags&flagKexec != 0:
				verb = "kexec"
			case flags&flagSoftReboot != 0:
				verb = "soft-reboot"
			}
			return s.power(c, verb, v.action, flags)
		}
		m["Manager.Can"+v.method] = func(c *bus.Call) error { return s.can(c, v.verb, v.action) }
	}
}

// others says that somebody other than the user is logged in.
func (s *Server) others(uid uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.core.Sorted(func(x *session.Session) bool {
		return x.UID != uid && strings.HasPrefix(x.Class, "user") && x.Stage != session.Closing
	})) > 0
}

func (s *Server) blocked(t *session.Transition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Blocker(t.What(), t.UID) != nil
}

func (s *Server) supported(t *session.Transition) bool {
	return t.What() == "shutdown" || slices.Contains(s.hardware.Sleeps(), t.Verb)
}

// allowed says that sleep.conf(5) lets the machine do it.
func (s *Server) allowed(t *session.Transition) bool {
	return t.What() == "shutdown" || s.sleepConf.get().Allows(t.Verb)
}

// power asks polkit for what the verb needs: more when others are logged in, and more
// when somebody blocks it and the caller wants to pass that.
func (s *Server) power(c *bus.Call, verb, action string, flags uint64) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	t := session.Transition{Verb: verb, UID: who.UID, Ignore: flags&flagSkipInhibitors != 0}
	if !s.allowed(&t) {
		return bus.Errorf("org.freedesktop.login1.SleepVerbNotSupported", "Sleep verb '%s' is disabled by config", verb)
	}
	if !s.supported(&t) {
		return bus.Errorf("org.freedesktop.login1.SleepVerbNotSupported", "Sleep verb '%s' is not supported", verb)
	}
	interactive := false
	if b, ok := c.Args[0].(bool); ok {
		interactive = b
	}
	return bus.Later(func() error {
		prefix := "org.freedesktop.login1." + action
		need := []string{prefix}
		if s.others(who.UID) {
			need = []string{prefix + "-multiple-sessions"}
		}
		if t.Ignore && s.blocked(&t) {
			need = append(need, prefix+"-ignore-inhibit")
		}
		for _, a := range need {
			if err := c.AuthorizeAsking(a, interactive); err != nil {
				return err
			}
		}
		_, err := s.ask(c.Context(), func(r uint64) session.Event { return session.Power{Request: r, Transition: t} })
		return err
	})
}

// can says yes, no, challenge or na, for the caller, at this moment.
func (s *Server) can(c *bus.Call, verb, action string) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	t := session.Transition{Verb: verb, UID: who.UID}
	if !s.allowed(&t) {
		return c.Reply("no")
	}
	if !s.supported(&t) {
		return c.Reply("na")
	}
	return bus.Later(func() error {
		prefix := "org.freedesktop.login1." + action
		if s.others(who.UID) {
			prefix += "-multiple-sessions"
		}
		answer, err := c.Can(prefix)
		if err != nil {
			return err
		}
		return c.Reply(answer)
	})
}

// inhibitAction is polkit's word for a kind of lock (org.freedesktop.login1(5)).
func inhibitAction(what, mode string) string {
	if key, ok := strings.CutPrefix(what, "handle-"); ok {
		return "org.freedesktop.login1.inhibit-handle-" + key
	}
	if mode == "block-weak" {
		mode = "block"
	}
	if what == "idle" {
		mode = "block"
	}
	return "org.freedesktop.login1.inhibit-" + mode + "-" + what
}

// inhibit makes a lock that lasts as long as the other end of the pipe is open.
func (s *Server) inhibit(c *bus.Call) error {
	what, ok := session.ParseWhat(c.Args[0].(string))
	if !ok {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid what specification %s", c.Args[0])
	}
	i := session.Inhibitor{What: what, Who: c.Args[1].(string), Why: c.Args[2].(string), Mode: c.Args[3].(string)}
	if len(i.Who) > 1024 || len(i.Why) > 4096 {
		return bus.Errorf(bus.ErrInvalidArgs, "The names of an inhibitor are too long")
	}
	who, err := c.Caller()
	if err != nil {
		return err
	}
	i.UID, i.PID = who.UID, who.PID
	return bus.Later(func() error {
		for _, w := range what {
			if err := c.Authorize(inhibitAction(w, i.Mode), nil); err != nil {
				return err
			}
		}
		g, err := s.ask(c.Context(), func(r uint64) session.Event { return session.Inhibit{Request: r, Inhibitor: i} })
		if err != nil {
			return err
		}
		w, err := s.hear(g.Inhibitor)
		if err != nil {
			s.handle(session.InhibitorGone{ID: g.Inhibitor})
			return err
		}
		defer w.Close()
		return c.Reply(dbus.UnixFD(w.Fd()))
	})
}

// hear makes the pipe of an inhibitor and follows it.
func (s *Server) hear(id uint64) (*os.File, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	r, w := os.NewFile(uintptr(p[0]), "inhibitor"), os.NewFile(uintptr(p[1]), "inhibitor")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		r.Close()
		w.Close()
		return nil, bus.Errorf(bus.ErrFailed, "logind is about to end")
	}
	s.locks[id] = r
	s.later(func() { // ends with the last writer, or at close
		buf := make([]byte, 64)
		for {
			if _, err := r.Read(buf); err == nil {
				continue
			}
			s.mu.Lock()
			delete(s.locks, id)
			s.mu.Unlock()
			r.Close()
			s.handle(session.InhibitorGone{ID: id})
			return
		}
	})
	return w, nil
}
