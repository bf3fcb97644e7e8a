package api

import (
	"context"
	"errors"
	"os"
	"path"
	"sync"
	"time"

	"dynamod/hostnamed/internal/timedate"
	"dynamod/internal/bus"
)

// Files of timedate1.
const (
	localtime = "etc/localtime"
	adjtime   = "etc/adjtime"
	// debianZone has the zone's name once more, on systems that have it.
	debianZone = "etc/timezone"
)

// ntpDirs have lists of services that keep the time, the most important first.
var ntpDirs = []string{"etc/systemd/ntp-units.d", "run/systemd/ntp-units.d", "usr/local/lib/systemd/ntp-units.d", "usr/lib/systemd/ntp-units.d"}

const timeAction = timeName + "."

// clockView is timedate1 at one moment. The manager is asked once for all properties.
type clockView struct {
	s     *Server
	units func() []timedate.Unit
}

// lookTime bounds what a client waits for properties while the manager is asked.
const lookTime = 5 * time.Second

func (s *Server) clock() *clockView {
	return &clockView{s, sync.OnceValue(func() []timedate.Unit {
		ctx, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		return s.ntpUnits(ctx)
	})}
}

func (s *Server) timeParts(p bus.Parts) {
	get := func(name string, value func(*clockView) any) {
		p.Getters["timedate1."+name] = func(o any) (any, error) { return value(o.(*clockView)), nil }
	}
	get("Timezone", func(v *clockView) any { return v.s.zone() })
	get("LocalRTC", func(v *clockView) any { return timedate.LocalRTC(v.s.read(adjtime)) })
	get("CanNTP", func(v *clockView) any { return timedate.CanNTP(v.units()) })
	get("NTP", func(v *clockView) any { return timedate.NTP(v.units()) })
	get("NTPSynchronized", func(v *clockView) any {
		e, err := v.s.kernel.MaxError()
		return err == nil && timedate.Synchronized(e)
	})
	get("TimeUSec", func(v *clockView) any { return uint64(max(v.s.kernel.Now().UnixMicro(), 0)) })
	get("RTCTimeUSec", func(v *clockView) any {
		t, err := v.s.kernel.ReadRTC()
		if err != nil {
			return uint64(0) // most virtual machines have none
		}
		return uint64(max(t.UnixMicro(), 0))
	})
	p.Methods["timedate1.SetTime"] = s.setTime
	p.Methods["timedate1.SetTimezone"] = s.setTimezone
	p.Methods["timedate1.SetLocalRTC"] = s.setLocalRTC
	p.Methods["timedate1.SetNTP"] = s.setNTP
	p.Methods["timedate1.ListTimezones"] = func(c *bus.Call) error {
		return bus.Later(func() error { return c.Reply(s.zones()) })
	}
}

// zone is the name of the zone in force: UTC if none was chosen, "" if /etc/localtime is
// something else than a link to one.
func (s *Server) zone() string {
	target, err := os.Readlink(s.disk.At(localtime))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return timedate.UTC
	case err != nil:
		return ""
	}
	return timedate.ZoneOf(target)
}

// location are the rules of a zone that is installed.
func (s *Server) location(name string) (*time.Location, error) {
	if !timedate.ValidZone(name) {
		return nil, errors.New("this is no name of a zone")
	}
	data, err := s.disk.Read(path.Join(timedate.Directory, name))
	if err != nil {
		return nil, err
	}
	if data == "" && name == timedate.UTC {
		return time.UTC, nil
	}
	return timedate.Zone(name, data)
}

// here are the rules in force, UTC if they cannot be read.
func (s *Server) here() *time.Location {
	if z, err := s.location(s.zone()); err == nil {
		return z
	}
	if data := s.read(localtime); data != "" {
		if z, err := timedate.Zone("Local", data); err == nil {
			return z
		}
	}
	return time.UTC
}

// there says that a zone has a file; it is not read.
func (s *Server) there(name string) bool {
	st, err := os.Stat(s.disk.At(path.Join(timedate.Directory, name)))
	return err == nil && st.Mode().IsRegular()
}

// maxTab bounds lists of zones, in bytes: tzdata.zi has 100 KiB.
const maxTab = 4 << 20

func (s *Server) zones() []string {
	if text, err := s.disk.ReadUpTo(path.Join(timedate.Directory, "tzdata.zi"), maxTab); err == nil && text != "" {
		return timedate.ListZones(text, s.there)
	}
	for _, tab := range []string{"zone1970.tab", "zone.tab"} {
		if text, err := s.disk.ReadUpTo(path.Join(timedate.Directory, tab), maxTab); err == nil && text != "" {
			return timedate.ListTab(text, s.there)
		}
	}
	return []string{timedate.UTC}
}

// ntpUnits are the services of ntp-units.d in their order, as they are now.
func (s *Server) ntpUnits(ctx context.Context) []timedate.Unit {
	dirs := make([][]string, len(ntpDirs))
	for i, d := range ntpDirs {
		entries, err := os.ReadDir(s.disk.At(d))
		if err != nil {
			continue // most machines have only one of them
		}
		for _, e := range entries {
			dirs[i] = append(dirs[i], e.Name())
		}
	}
	var out []timedate.Unit
	seen := map[string]bool{}
	for _, f := range timedate.Files(dirs) {
		for _, name := range timedate.UnitsOf(s.read(path.Join(ntpDirs[f.Dir], f.Name))) {
			if seen[name] {
				continue
			}
			seen[name] = true
			exists, active, err := s.units.Look(ctx, name)
			if err != nil {
				s.log.Warn("the manager does not say what a service is", "service", name, "err", err)
			}
			out = append(out, timedate.Unit{Name: name, Exists: exists && err == nil, Active: active})
		}
	}
	return out
}

func (s *Server) setTimezone(c *bus.Call) error {
	name, interactive := c.Args[0].(string), c.Args[1].(bool)
	refusal := bus.Errorf(bus.ErrInvalidArgs, "Invalid or not installed time zone '%s'", name)
	// Who may not change the zone has no file read, and is not told which are there.
	if !timedate.ValidZone(name) {
		return refusal
	}
	return s.change(c, timeAction+"set-timezone", interactive, func() error {
		_, err := s.location(name)
		if err != nil {
			return refusal
		}
		if name == timedate.UTC && !s.there(name) {
			err = s.disk.Unlink(localtime) // no link means UTC
		} else {
			err = s.disk.Link(localtime, timedate.LinkTarget(name))
		}
		if err != nil {
			return failed("Failed to set time zone", err)
		}
		s.changed(timePath, timeName, "Timezone")
		s.log.Info("the time zone is changed", "zone", name)
		if _, err := os.Lstat(s.disk.At(debianZone)); err == nil {
			if err := s.disk.Write(debianZone, name+"\n"); err != nil {
				s.log.Warn("/etc/timezone keeps the zone of before", "err", err)
			}
		}
		s.tellZone()
		if timedate.LocalRTC(s.read(adjtime)) {
			s.writeRTC(true)
		}
		return nil
	})
}

// tellZone gives the zone to the kernel, which has it for file systems without one of
// their own.
func (s *Server) tellZone() {
	if err := s.kernel.SetZone(timedate.MinutesWest(s.kernel.Now(), s.here())); err != nil {
		s.log.Warn("the kernel does not know the time zone", "err", err)
	}
}

// writeRTC sets the hardware clock after the system's. There may be none.
func (s *Server) writeRTC(local bool) {
	if err := s.kernel.WriteRTC(timedate.ShownByRTC(s.kernel.Now(), local, s.here())); err != nil {
		s.log.Info("the hardware clock is not set", "err", err)
	}
}

func (s *Server) setLocalRTC(c *bus.Call) error {
	local, fix, interactive := c.Args[0].(bool), c.Args[1].(bool), c.Args[2].(bool)
	return s.change(c, timeAction+"set-local-rtc", interactive, func() error {
		text, err := s.disk.Read(adjtime)
		if err == nil && timedate.LocalRTC(text) == local && !fix {
			return nil
		}
		if err == nil {
			err = s.disk.Put(adjtime, timedate.SetLocalRTC(text, local))
		}
		if err != nil {
			return failed("Failed to set RTC to "+map[bool]string{true: "local", false: "UTC"}[local], err)
		}
		s.changed(timePath, timeName, "LocalRTC")
		s.log.Info("the hardware clock counts otherwise", "local", local)
		s.tellZone()
		if !fix {
			s.writeRTC(local)
			return nil
		}
		shown, err := s.kernel.ReadRTC()
		if err != nil {
			s.log.Info("the hardware clock is not read", "err", err)
			return nil
		}
		if err := s.kernel.SetClock(timedate.FromRTC(shown, local, s.here())); err != nil {
			return failed("Failed to set the clock after the hardware clock", err)
		}
		return nil
	})
}

func (s *Server) setTime(c *bus.Call) error {
	usec, relative, interactive := c.Args[0].(int64), c.Args[1].(bool), c.Args[2].(bool)
	asked := time.Now() // of which only what has gone by since is used
	if _, refusal := timedate.SetTo(usec, relative, s.kernel.Now(), 0); refusal != "" {
		return bus.Errorf(bus.ErrInvalidArgs, "%s", refusal)
	}
	return s.change(c, timeAction+"set-time", interactive, func() error {
		if timedate.NTP(s.clock().units()) {
			return bus.Errorf(timeName+".AutomaticTimeSyncEnabled", "Automatic time synchronization is enabled")
		}
		if relative && usec == 0 {
			return nil
		}
		to, refusal := timedate.SetTo(usec, relative, s.kernel.Now(), time.Since(asked))
		if refusal != "" {
			return bus.Errorf(bus.ErrInvalidArgs, "%s", refusal)
		}
		if err := s.kernel.SetClock(to); err != nil {
			return failed("Failed to set local time", err)
		}
		s.log.Info("the clock is set", "to", to.UTC())
		s.writeRTC(timedate.LocalRTC(s.read(adjtime)))
		return nil
	})
}

// setNTP has a lock of its own: starting services takes time.
func (s *Server) setNTP(c *bus.Call) error {
	keep, interactive := c.Args[0].(bool), c.Args[1].(bool)
	return bus.Later(func() error {
		if v := s.clock(); !timedate.CanNTP(v.units()) { // nothing to ask for, as with systemd 257
			return noNTP()
		}
		return s.switchNTP(c, keep, interactive)
	})
}

func noNTP() error { return bus.Errorf(timeName+".NoNTPSupport", "NTP not supported") }

func (s *Server) switchNTP(c *bus.Call, keep, interactive bool) error {
	return s.allowed(&s.ntp, c, timeAction+"set-ntp", interactive, func() error {
		ctx := context.Background() // a client that leaves does not leave it half done; Units bounds it
		units := s.ntpUnits(ctx)
		if !timedate.CanNTP(units) {
			return noNTP()
		}
		candidates, off := timedate.Plan(units, keep)
		defer s.changed(timePath, timeName, "NTP")
		var first error
		kept := false
		for _, u := range candidates {
			if kept {
				off = append(off, u)
				continue
			}
			err := s.units.Enable(ctx, u)
			if err == nil {
				err = s.units.Start(ctx, u)
			}
			if err == nil {
				kept = true
				s.log.Info("a service keeps the time", "service", u)
				continue
			}
			s.log.Warn("a service cannot keep the time", "service", u, "err", err)
			first = errors.Join(first, err)
			off = append(off, u)
		}
		if keep && !kept {
			return failed("Failed to enable NTP", first)
		}
		var failures error
		for _, u := range off {
			failures = errors.Join(failures, s.units.Disable(ctx, u), s.units.Stop(ctx, u))
		}
		if failures != nil && !keep {
			return failed("Failed to disable NTP", failures)
		}
		if failures != nil {
			s.log.Warn("more than one service may keep the time", "err", failures)
		}
		return nil
	})
}
