package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrCannotSleep says that the machine does not have a way to sleep.
var ErrCannotSleep = errors.New("the machine cannot do that")

// Sleeping says how the machine sleeps (systemd-sleep.conf(5)). Times are in microseconds.
type Sleeping struct {
	// Suspend, Hibernate, Hybrid and Both (suspend-then-hibernate) say what is allowed.
	Suspend, Hibernate, Hybrid, Both bool
	// States go to /sys/power/state to suspend, Modes to /sys/power/disk to hibernate,
	// and Memory, if there is any, to /sys/power/mem_sleep before "mem": of each the
	// first that the kernel takes.
	States, Modes, Memory []string
	// Delay is when a suspended machine hibernates, 0 if nobody said so; Estimation is
	// how long it sleeps before its battery is looked at.
	Delay, Estimation int64
	// OnPower lets Delay pass while there is power from outside.
	OnPower bool
}

// asDocumented are the defaults.
var asDocumented = Sleeping{Suspend: true, Hibernate: true, Hybrid: true, Both: true, States: []string{"mem", "standby", "freeze"},
	Modes: []string{"platform", "shutdown"}, Estimation: 3600e6, OnPower: true}

// Tune has the machine ask for the settings of sleep each time that they matter. It is
// called before the machine is used.
func (m *Machine) Tune(settings func() *Sleeping) { m.sleeping = settings }

// Allows says that the settings let the machine sleep so.
func (o *Sleeping) Allows(verb string) bool {
	return map[string]bool{"suspend": o.Suspend, "hibernate": o.Hibernate, "hybrid-sleep": o.Hybrid, "suspend-then-hibernate": o.Both}[verb]
}

// Sleeps are the ways to sleep that the machine has now (power management documentation
// of the kernel: /sys/power) and may use: to hibernate, there must be swap for
// what is in memory, and a device from which the kernel will resume.
func (m *Machine) Sleeps() []string { return m.sleeps(m.sleeping()) }

func (m *Machine) sleeps(o *Sleeping) []string {
	states := strings.Fields(m.short(filepath.Join(m.db.Sys, "power/state")))
	modes := m.choices("power/disk")
	var out []string
	add := func(verb string, can bool) {
		if can && o.Allows(verb) {
			out = append(out, verb)
		}
	}
	suspend := common(o.States, states)
	add("suspend", suspend)
	resume := m.short(filepath.Join(m.db.Sys, "power/resume"))
	if !slices.Contains(states, "disk") || resume == "" || resume == "0:0" || !m.swapFits() {
		return out
	}
	hibernate := common(o.Modes, modes)
	add("hibernate", hibernate)
	add("hybrid-sleep", slices.Contains(modes, "suspend"))
	_, err := os.Stat(m.alarm())
	add("suspend-then-hibernate", hibernate && suspend && err == nil)
	return out
}

func common(a, b []string) bool {
	return slices.ContainsFunc(a, func(w string) bool { return slices.Contains(b, w) })
}

// choices are the words of a file in which the chosen one has brackets.
func (m *Machine) choices(file string) []string {
	return strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(m.short(filepath.Join(m.db.Sys, file))))
}

func (m *Machine) alarm() string { return filepath.Join(m.db.Sys, "class/rtc/rtc0/wakealarm") }

// swapFits says that free swap has room for what is in memory and in no file.
func (m *Machine) swapFits() bool {
	var free, active uint64 // KiB
	for k, line := range strings.Split(m.short(filepath.Join(m.root, "proc/swaps")), "\n") {
		f := strings.Fields(line)
		if k == 0 || len(f) < 4 || strings.HasPrefix(f[0], "/dev/zram") {
			continue
		}
		size, err1 := strconv.ParseUint(f[2], 10, 64)
		used, err2 := strconv.ParseUint(f[3], 10, 64)
		if err1 == nil && err2 == nil && used <= size {
			free += size - used
		}
	}
	for line := range strings.Lines(m.short(filepath.Join(m.root, "proc/meminfo"))) {
		if rest, ok := strings.CutPrefix(line, "Active(anon):"); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
				active = n
			}
		}
	}
	return active > 0 && free >= active
}

// Sleep puts the machine to sleep, and returns when it is awake again.
func (m *Machine) Sleep(verb string) error {
	o := m.sleeping()
	if !slices.Contains(m.sleeps(o), verb) {
		return fmt.Errorf("%s: %w", verb, ErrCannotSleep)
	}
	switch verb {
	case "suspend":
		return m.suspend(o)
	case "hibernate":
		return m.hibernate(o.Modes)
	case "hybrid-sleep":
		// The kernel suspends once memory is on disk.
		if err := m.memory(o); err != nil {
			return err
		}
		return m.orSuspend(o, m.hibernate([]string{"suspend"}))
	}
	return m.nap(o)
}

// orSuspend suspends when hibernation has failed: who closes the lid does not want the
// machine to stay awake (systemd-suspend.service(8), suspend-after-failed-hibernate; for
// hybrid sleep, systemd-sleep 257 was seen to do it).
func (m *Machine) orSuspend(o *Sleeping, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("hibernation failed, and the machine was suspended instead: %w", errors.Join(err, m.suspend(o)))
}

func (m *Machine) suspend(o *Sleeping) error {
	return m.first("power/state", o.States, strings.Fields(m.short(filepath.Join(m.db.Sys, "power/state"))), func(word string) error {
		if word == "mem" {
			return m.memory(o)
		}
		return nil
	})
}

// memory says how deep "mem" is, if the settings do.
func (m *Machine) memory(o *Sleeping) error {
	if len(o.Memory) == 0 {
		return nil
	}
	return m.first("power/mem_sleep", o.Memory, m.choices("power/mem_sleep"), nil)
}

// first writes the words that the kernel has to one of its files until it takes one.
func (m *Machine) first(file string, words, has []string, before func(word string) error) error {
	err := fmt.Errorf("/sys/%s has none of %q: %w", file, words, ErrCannotSleep)
	for _, w := range words {
		if !slices.Contains(has, w) {
			continue
		}
		if before != nil {
			if err = before(w); err != nil {
				continue
			}
		}
		if err = m.write(filepath.Join(m.db.Sys, file), w); err == nil {
			return nil
		}
	}
	return err
}

// hibernate writes the first of the modes that the machine takes, and then goes.
func (m *Machine) hibernate(modes []string) error {
	if err := m.first("power/disk", modes, m.choices("power/disk"), nil); err != nil {
		return err
	}
	return m.write(filepath.Join(m.db.Sys, "power/state"), "disk")
}

func (m *Machine) write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
