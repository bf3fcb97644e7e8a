package api

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/internal/calendar"
	"dynamod/internal/sys/replace"
	"dynamod/logind/internal/session"
)

// maxWall bounds the text of a wall message, in bytes.
const maxWall = 4096

// shutdownAction is polkit's word for a kind of shutdown.
func shutdownAction(n *session.Scheduled) string {
	switch n.Verb() {
	case "poweroff":
		return "power-off"
	case "halt":
		return "halt"
	}
	return "reboot"
}

// authorizeShutdown asks for all that a kind of shutdown needs.
func (s *Server) authorizeShutdown(c *bus.Call, uid uint32, n *session.Scheduled) error {
	action := "org.freedesktop.login1." + shutdownAction(n)
	if s.others(uid) {
		action += "-multiple-sessions"
	}
	return c.Authorize(action, nil)
}

func (s *Server) scheduleShutdown(c *bus.Call) error {
	n := session.Scheduled{Kind: c.Args[0].(string)}
	at := c.Args[1].(uint64)
	who, err := c.Caller()
	if err != nil {
		return err
	}
	n.UID = who.UID
	switch {
	case at == math.MaxUint64:
		next, ok := s.maintenance()
		if !ok {
			return bus.Errorf(bus.ErrInvalidArgs, "No maintenance window is configured")
		}
		n.At = next
	case at == 0 || at > math.MaxInt64/2:
		return bus.Errorf(bus.ErrInvalidArgs, "The time of the shutdown is out of range")
	default:
		n.At = int64(at)
	}
	return bus.Later(func() error {
		if err := s.authorizeShutdown(c, who.UID, &n); err != nil {
			return err
		}
		_, err := s.ask(c.Context(), func(r uint64) session.Event { return session.Schedule{Request: r, Shutdown: n} })
		return err
	})
}

// maintenance is the next moment of DesignatedMaintenanceTime=, in microseconds since the
// epoch.
func (s *Server) maintenance() (int64, bool) {
	text := s.config().Maintenance
	if text == "" {
		return 0, false
	}
	spec, err := calendar.Parse(text)
	if err != nil {
		return 0, false // the settings were checked when they were read
	}
	next, ok := spec.Next(time.Now(), time.Local)
	return next.UnixMicro(), ok
}

func (s *Server) cancelShutdown(c *bus.Call) error {
	who, err := c.Caller()
	if err != nil {
		return err
	}
	s.mu.Lock()
	var n *session.Scheduled
	if s.core.Scheduled != nil {
		x := *s.core.Scheduled
		n = &x
	}
	s.mu.Unlock()
	if n == nil {
		return c.Reply(false)
	}
	return bus.Later(func() error {
		if err := s.authorizeShutdown(c, who.UID, n); err != nil {
			return err
		}
		g, err := s.ask(c.Context(), func(r uint64) session.Event { return session.CancelSchedule{Request: r} })
		if err != nil {
			return err
		}
		return c.Reply(g.Live)
	})
}

func (s *Server) setWallMessage(c *bus.Call) error {
	text, on := c.Args[0].(string), c.Args[1].(bool)
	if len(text) > maxWall {
		return bus.Errorf(bus.ErrInvalidArgs, "A wall message has at most %d bytes", maxWall)
	}
	s.mu.Lock()
	same := s.wall == text && s.wallOn == on
	s.mu.Unlock()
	if same {
		return nil // systemctl says so before every schedule; nothing is asked for that
	}
	return s.setWall(c, func() { s.wall, s.wallOn = text, on })
}

func (s *Server) setWall(c *bus.Call, set func()) error {
	return s.authorize(c, nobody, "org.freedesktop.login1.set-wall-message", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		set()
		return nil
	})
}

// setters are what stands behind writable properties.
func (s *Server) setters() map[string]func(*bus.Call, dbus.Variant) error {
	return map[string]func(*bus.Call, dbus.Variant) error{
		"Manager.EnableWallMessages": func(c *bus.Call, v dbus.Variant) error {
			return s.setWall(c, func() { s.wallOn = v.Value().(bool) })
		},
		"Manager.WallMessage": func(c *bus.Call, v dbus.Variant) error {
			text := v.Value().(string)
			if len(text) > maxWall {
				return bus.Errorf(bus.ErrInvalidArgs, "A wall message has at most %d bytes", maxWall)
			}
			return s.setWall(c, func() { s.wall = text })
		},
	}
}

// saveSchedule writes or removes the file that tells of the shutdown to come; s.mu is held.
func (s *Server) saveSchedule() {
	n := s.core.Scheduled
	if n == nil {
		s.remove(s.run("shutdown", "scheduled"))
		return
	}
	f := newStateFile()
	f.number("USEC", n.At)
	f.flag("WARN_WALL", s.wallOn)
	f.set("MODE", n.Kind)
	f.number("UID", int64(n.UID))
	f.set("WALL_MESSAGE", s.wall)
	s.save("shutdown", "scheduled", f)
}

// nologin is what pam_nologin(8) looks for, and shows.
func (s *Server) nologin() string { return filepath.Join(s.opts.Root, "run/nologin") }

// openLogins lets users log in, or not; s.mu is held.
func (s *Server) openLogins(open bool) {
	if open {
		s.remove(s.nologin())
		return
	}
	if err := replace.File(s.nologin(), "The system is about to go down. Nobody can log in any more, but root.\n"); err != nil {
		s.log.Error("logins are not refused", "err", err)
	}
}

// announce tells everybody on a terminal of a shutdown; s.mu is held.
func (s *Server) announce(a session.Announce) {
	what := map[string]string{"poweroff": "power off", "reboot": "restart", "halt": "halt", "kexec": "restart", "soft-reboot": "restart its services"}[a.Shutdown.Verb()]
	var text string
	switch at := time.UnixMicro(a.Shutdown.At); {
	case a.Cancelled:
		text = "The shutdown that was to come is cancelled."
	case a.Left <= 0:
		text = "The system will " + what + " now."
	default:
		text = fmt.Sprintf("The system will %s at %s.", what, at.Format("Mon 2006-01-02 15:04:05 MST"))
	}
	s.log.Info(text, "dry", a.Shutdown.Dry())
	if !s.wallOn {
		return
	}
	var b strings.Builder
	name, _ := os.Hostname() // it is but for the eyes
	fmt.Fprintf(&b, "\r\n\aBroadcast message of %s (%s):\r\n\r\n", name, time.Now().Format("15:04:05"))
	for _, line := range []string{text, s.wall} {
		if line != "" {
			b.WriteString(printable(line) + "\r\n")
		}
	}
	b.WriteString("\r\n")
	seen := map[string]bool{}
	for _, x := range s.core.Sessions {
		if x.TTY != "" && !seen[x.TTY] && !x.Graphical() {
			seen[x.TTY] = true
			s.say(x.TTY, b.String())
		}
	}
}

// printable leaves out of a text what a terminal would take for an order.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return ' '
		}
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
}

// say writes to a terminal, if it takes the text at once.
func (s *Server) say(tty, text string) {
	if !isTerminal(tty) {
		return // a display's name; another device might do something when it is opened
	}
	f, err := os.OpenFile(filepath.Join(s.opts.Root, "dev", tty), os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return // its user has gone
	}
	defer f.Close()
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return
	}
	// Fd made it a file that blocks.
	if unix.SetNonblock(int(f.Fd()), true) == nil {
		_, _ = unix.Write(int(f.Fd()), []byte(text)) // who has stopped the terminal misses it
	}
}

// locked screens: all that can are asked to; s.mu is held.
func (s *Server) lockScreens() {
	for _, x := range s.core.Sorted(func(x *session.Session) bool { return canLock(x) && x.Stage == session.Running }) {
		s.service.Emit(string(sessionPath(x.ID)), ifacePrefix+"Session", "Lock")
	}
}

// restoreSchedule goes on with a shutdown that a logind before this one was asked for.
func (s *Server) restoreSchedule() {
	data, err := os.ReadFile(s.run("shutdown", "scheduled"))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		s.log.Error("a scheduled shutdown is not known", "err", err)
		return
	}
	v := parseState(string(data))
	at, err1 := strconv.ParseInt(v["USEC"], 10, 64)
	uid, err2 := strconv.ParseUint(v["UID"], 10, 32)
	if err1 != nil || err2 != nil {
		s.log.Error("the file of a scheduled shutdown is damaged", "file", s.run("shutdown", "scheduled"))
		return
	}
	s.mu.Lock()
	s.wall, s.wallOn = v["WALL_MESSAGE"], v["WARN_WALL"] != "0"
	s.mu.Unlock()
	s.handle(session.Schedule{Shutdown: session.Scheduled{Kind: v["MODE"], At: at, UID: uint32(uid)}, Ignore: true})
}
