package main

import (
	"hash/fnv"
	"os"
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// find is the unit of the present generation, nil for none.
func (c *configuration) find(name string) *unit.Unit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return nil
	}
	u, _ := c.set.Find(name)
	return u
}

// findMade is find for slices too that a client has made, which only the core knows.
// It must not be called by the loop's goroutine.
func (m *manager) findMade(name string) *unit.Unit {
	u := m.find(name)
	if u == nil && strings.HasSuffix(name, ".slice") {
		m.Query(func(c *core.Core) {
			if v, ok := c.View().Unit(name); ok {
				u = v.Unit
			}
		})
	}
	return u
}

// swapUnits are the swap units of the present generation.
func (c *configuration) swapUnits() []*unit.Unit {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return nil
	}
	var out []*unit.Unit
	for _, u := range c.set.Units {
		if u.Type == unitname.Swap && u.Load == unit.Loaded {
			out = append(out, u)
		}
	}
	return out
}

// loadOne loads a unit that something outside names, such as a device; nil if there
// is no such unit.
func (c *configuration) loadOne(name string) *unit.Unit {
	u, _ := c.loader().One(name)
	if u.Load != unit.Loaded {
		return nil
	}
	return u
}

// machineSeed places coalesced and randomly delayed timers: the same at each start of
// one manager on one machine, another for each user (systemd.timer(5),
// FixedRandomDelay=).
func machineSeed(s settings) uint64 {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(id))) == 0 {
		// Better the same on all such machines than another at each start.
		id = []byte("no machine-id")
	}
	h := fnv.New64a()
	h.Write([]byte(strings.TrimSpace(string(id))))
	if s.mode == user {
		h.Write([]byte{0, byte(os.Getuid()), byte(os.Getuid() >> 8), byte(os.Getuid() >> 16), byte(os.Getuid() >> 24)})
	}
	return h.Sum64()
}

// localtime is the file of the time zone, "" when $TZ decides for this manager.
func localtime(getenv func(string) (string, bool)) string {
	if _, set := getenv("TZ"); set {
		return ""
	}
	return "/etc/localtime"
}

// goneMeanwhile are the events about mounts and swaps that a killed manager knew and that
// are not there any more, and the devices that it knew: about those the world says so
// once it has looked.
func goneMeanwhile(v core.View, present []string) (gone []core.Event, devices []string) {
	there := map[string]bool{}
	for _, n := range present {
		there[n] = true
	}
	g := v.Graph()
	for i := range graph.Index(g.Len()) {
		u := g.Unit(i)
		if u == nil || u.Perpetual || !v.StateAt(i).Up() {
			continue
		}
		switch u.Type {
		case unitname.Mount, unitname.Swap:
			if !there[u.Name] {
				gone = append(gone, core.MountChanged{Unit: u.Name})
			}
		case unitname.Device:
			devices = append(devices, u.Name)
		}
	}
	return gone, devices
}
