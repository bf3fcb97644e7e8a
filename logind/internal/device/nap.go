package device

import (
	"errors"
	"path/filepath"
	"strconv"
	"time"
)

// napTime is how long suspend-then-hibernate suspends when nobody says so, and there is
// no battery (systemd-sleep.conf(5): 2h).
const napTime = 2 * time.Hour

// Capacity of the battery, in percent, below which the machine hibernates
// (systemd-sleep.conf(5), "suspend-then-hibernate").
const low = 5

// napMin is the shortest sleep between two looks at the battery.
const napMin = time.Minute

// charge is what is known of the batteries: the fullest one's percentage, false for none.
type charge struct {
	percent  int
	battery  bool
	external bool
}

// napping is how far suspend-then-hibernate has come.
type napping struct {
	// counted is how much of the delay has passed, perHour how many percents of the
	// battery an hour took when it was last seen to, 0 for unknown.
	counted time.Duration
	perHour float64
}

// next is how long the machine sleeps now; 0 is that it hibernates.
func (n *napping) next(o *Sleeping, c charge) time.Duration {
	delay := time.Duration(o.Delay) * time.Microsecond
	if !c.battery {
		if delay == 0 {
			delay = napTime
		}
		return max(delay-n.counted, 0)
	}
	if c.percent < low && !c.external {
		return 0
	}
	// As long as the battery lasts, by what it lost last time.
	wait := time.Duration(o.Estimation) * time.Microsecond
	if n.perHour > 0 && !c.external {
		hours := float64(c.percent-low+1) / n.perHour
		wait = min(time.Duration(hours*float64(time.Hour)), 24*time.Hour)
	}
	wait = max(wait, napMin)
	if delay == 0 {
		return wait
	}
	if n.counted >= delay {
		return 0
	}
	if c.external && !o.OnPower {
		return wait // it does not count
	}
	return min(wait, delay-n.counted)
}

// slept takes in a sleep, and the batteries before and after it.
func (n *napping) slept(o *Sleeping, d time.Duration, before, after charge) {
	if !before.battery || o.OnPower || !before.external {
		n.counted += d
	}
	n.perHour = 0
	if lost := before.percent - after.percent; before.battery && after.battery && lost > 0 && d > 0 {
		n.perHour = float64(lost) / d.Hours()
	}
}

// nap suspends until it is time to hibernate, or somebody wakes the machine.
func (m *Machine) nap(o *Sleeping) error {
	var n napping
	for {
		before := m.charge()
		d := n.next(o, before)
		if d == 0 {
			return m.orSuspend(o, m.hibernate(o.Modes))
		}
		seconds := int64((d + time.Second - 1) / time.Second)
		_ = m.write(m.alarm(), "0") // an alarm of before; there may be none
		// Relative to what the RTC shows, which need not be UTC (rtc(4); the kernel's
		// Documentation/ABI/testing/sysfs-class-rtc: a + before the number of seconds).
		if err := m.write(m.alarm(), "+"+strconv.FormatInt(seconds, 10)); err != nil {
			return err
		}
		// Without the monotonic reading, which stands still while the machine sleeps.
		began := m.now().Round(0)
		err := m.suspend(o)
		slept := m.now().Round(0).Sub(began)
		if err != nil || slept < time.Duration(seconds)*time.Second-time.Second {
			return errors.Join(err, m.write(m.alarm(), "0"))
		}
		n.slept(o, slept, before, m.charge())
	}
}

// charge looks at the batteries of the machine.
func (m *Machine) charge() charge {
	c := charge{external: m.External()}
	dirs, _ := filepath.Glob(filepath.Join(m.db.Sys, "class/power_supply/*")) // the pattern is right
	for _, d := range dirs {
		if m.short(filepath.Join(d, "type")) != "Battery" || m.short(filepath.Join(d, "scope")) == "Device" {
			continue
		}
		if n, err := strconv.Atoi(m.short(filepath.Join(d, "capacity"))); err == nil && n >= 0 && n <= 100 {
			c.percent, c.battery = max(c.percent, n), true
		}
	}
	return c
}
