package api

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dynamod/internal/bus"
	"dynamod/logind/internal/session"
)

// inControl lets only the controller of a session on.
func inControl(c *bus.Call, v *sessionView, refusal string) error {
	if v.Controller == "" || v.Controller != c.Sender() {
		return bus.Errorf(session.ErrNotInControl, "%s", refusal)
	}
	return nil
}

func (s *Server) setType(c *bus.Call, v *sessionView) error {
	word := c.Args[0].(string)
	if !session.IsType(word) {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid session type '%s'", word)
	}
	if err := inControl(c, v, "You must be in control of this session to set type"); err != nil {
		return err
	}
	s.handle(session.SetType{ID: v.ID, Client: c.Sender(), Type: word})
	return nil
}

// setClass is for the owner of a session whose login became a whole one.
func (s *Server) setClass(c *bus.Call, v *sessionView) error {
	if err := mine(c, v); err != nil {
		return err
	}
	_, err := s.ask(c.Context(), func(r uint64) session.Event {
		return session.SetClass{Request: r, ID: v.ID, Class: c.Args[0].(string)}
	})
	return err
}

func (s *Server) setDisplay(c *bus.Call, v *sessionView) error {
	display := c.Args[0].(string)
	if len(display) > 256 || strings.ContainsFunc(display, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bus.Errorf(bus.ErrInvalidArgs, "Invalid display")
	}
	if err := inControl(c, v, "You must be in control of this session to set display"); err != nil {
		return err
	}
	if !v.Graphical() {
		return bus.Errorf(bus.ErrNotSupported, "Setting display is only supported on graphical sessions")
	}
	s.handle(session.SetDisplay{ID: v.ID, Client: c.Sender(), Display: display})
	return nil
}

// setBrightness writes the brightness of a screen or a light, for the owner of the
// session that is in front. The device is one entry of a class of sysfs, never a path.
func (s *Server) setBrightness(c *bus.Call, v *sessionView) error {
	subsystem, name, value := c.Args[0].(string), c.Args[1].(string), c.Args[2].(uint32)
	if subsystem != "backlight" && subsystem != "leds" {
		return bus.Errorf(bus.ErrInvalidArgs, "Subsystem type %s not supported, must be one of \"backlight\" or \"leds\".", subsystem)
	}
	if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
		return bus.Errorf(bus.ErrInvalidArgs, "Not a valid device name %s, refusing.", name)
	}
	if err := mine(c, v); err != nil {
		return err
	}
	switch {
	case v.Seat == "":
		return bus.Errorf("org.freedesktop.login1.NotYourDevice", "Your session has no seat, refusing.")
	case !v.active:
		return bus.Errorf("org.freedesktop.login1.NotYourDevice", "Session is not in foreground, refusing.")
	}
	dir := filepath.Join(s.opts.Root, "sys/class", subsystem, name)
	data, err := os.ReadFile(filepath.Join(dir, "max_brightness"))
	if errors.Is(err, os.ErrNotExist) {
		return bus.Errorf(bus.ErrFailed, "Failed to open device %s:%s: there is none", subsystem, name)
	}
	if err != nil {
		return err
	}
	most, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	if err != nil {
		return fmt.Errorf("the greatest brightness of %s: %w", name, err)
	}
	if uint64(value) > most {
		return bus.Errorf(bus.ErrInvalidArgs, "The brightness of %s goes up to %d", name, most)
	}
	return os.WriteFile(filepath.Join(dir, "brightness"), strconv.AppendUint(nil, uint64(value), 10), 0)
}
