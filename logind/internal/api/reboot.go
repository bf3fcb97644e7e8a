package api

import (
	"dynamod/internal/bus"
	"dynamod/logind/internal/boot"
)

// wish is one of the things that the next start may be told: polkit's word for it, and
// whether this machine can do it.
type wish struct {
	action string
	has    func() bool
}

func (s *Server) wishes() map[string]wish {
	return map[string]wish{
		"Parameter":         {"set-reboot-parameter", s.boot.HasParameter},
		"ToFirmwareSetup":   {"set-reboot-to-firmware-setup", s.boot.HasFirmware},
		"ToBootLoaderMenu":  {"set-reboot-to-boot-loader-menu", s.boot.HasMenu},
		"ToBootLoaderEntry": {"set-reboot-to-boot-loader-entry", s.boot.HasEntry},
	}
}

// rebootMethods are those about the next start. What is asked for is looked at first,
// then whether it can be done, and then the right to it, as systemd does it.
func (s *Server) rebootMethods(m map[string]func(*bus.Call) error) {
	for name, w := range s.wishes() {
		m["Manager.CanReboot"+name] = func(c *bus.Call) error {
			return bus.Later(func() error { // firmware may be slow
				if !w.has() {
					return c.Reply("na")
				}
				answer, err := c.Can("org.freedesktop.login1." + w.action)
				if err != nil {
					return err
				}
				return c.Reply(answer)
			})
		}
	}
	m["Manager.SetRebootParameter"] = func(c *bus.Call) error {
		text := c.Args[0].(string)
		if s.boot.HasParameter() && !boot.ValidParameter(text) {
			return bus.Errorf(bus.ErrInvalidArgs, "Invalid reboot parameter %.256q: it has at most 255 printable characters of ASCII", text)
		}
		return s.tell(c, "Parameter", "Reboot parameter not supported in containers, refusing.", func() error { return s.boot.SetParameter(text) })
	}
	m["Manager.SetRebootToFirmwareSetup"] = func(c *bus.Call) error {
		on := c.Args[0].(bool)
		return s.tell(c, "ToFirmwareSetup", "Firmware does not support boot into firmware.", func() error { return s.boot.SetFirmware(on) })
	}
	m["Manager.SetRebootToBootLoaderMenu"] = func(c *bus.Call) error {
		timeout := c.Args[0].(uint64)
		return s.tell(c, "ToBootLoaderMenu", "Boot loader does not support boot into boot loader menu.", func() error { return s.boot.SetMenu(timeout) })
	}
	m["Manager.SetRebootToBootLoaderEntry"] = func(c *bus.Call) error {
		name := c.Args[0].(string)
		switch {
		case name == "":
		case !boot.ValidEntry(name):
			return bus.Errorf(bus.ErrInvalidArgs, "Boot loader entry name %.256q is not valid, refusing.", name)
		case !boot.Known(s.boot.Entries(), name):
			return bus.Errorf(bus.ErrNotSupported, "Boot loader entry '%s' is not known.", name)
		}
		return s.tell(c, "ToBootLoaderEntry", "Loader does not support boot into boot loader entry.", func() error { return s.boot.SetEntry(name) })
	}
}

// tell tells the next start something, if the machine can and the caller may.
func (s *Server) tell(c *bus.Call, what, cannot string, set func() error) error {
	w := s.wishes()[what]
	if !w.has() {
		return bus.Errorf(bus.ErrNotSupported, "%s", cannot)
	}
	return bus.Later(func() error {
		if err := c.Authorize("org.freedesktop.login1."+w.action, nil); err != nil {
			return err
		}
		s.booting.Lock()
		defer s.booting.Unlock()
		return set()
	})
}

func (s *Server) rebootGetters(m map[string]func(any) (any, error)) {
	m["Manager.RebootParameter"] = get(func(*managerView) string { return s.boot.Parameter() })
	m["Manager.RebootToFirmwareSetup"] = get(func(*managerView) bool { return s.boot.Firmware() })
	m["Manager.RebootToBootLoaderMenu"] = get(func(*managerView) uint64 { return s.boot.Menu() })
	m["Manager.RebootToBootLoaderEntry"] = get(func(*managerView) string { return s.boot.Entry() })
	m["Manager.BootLoaderEntries"] = get(func(*managerView) []string { return s.boot.Entries() })
}
