package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrCannotSleep says that the machine does not have a way to sleep.
var ErrCannotSleep = errors.New("the machine cannot do that")

// hibernateAfter is how long suspend-then-hibernate suspends (systemd-sleep.conf(5),
// HibernateDelaySec=).
const hibernateAfter = 2 * time.Hour

// Sleeps are the ways to sleep that the machine has now (power management documentation
// of the kernel: /sys/power): to hibernate, there must be swap for what is in memory, and
// a device from which the kernel will resume.
func (m *Machine) Sleeps() []string {
	states := strings.Fields(m.short(filepath.Join(m.db.Sys, "power/state")))
	modes := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(m.short(filepath.Join(m.db.Sys, "power/disk"))))
	var out []string
	suspend := slices.Contains(states, "mem") || slices.Contains(states, "standby") || slices.Contains(states, "freeze")
	if suspend {
		out = append(out, "suspend")
	}
	resume := m.short(filepath.Join(m.db.Sys, "power/resume"))
	if !slices.Contains(states, "disk") || !(slices.Contains(modes, "platform") || slices.Contains(modes, "shutdown")) || resume == "" || resume == "0:0" || !m.swapFits() {
		return out
	}
	out = append(out, "hibernate")
	if slices.Contains(modes, "suspend") {
		out = append(out, "hybrid-sleep")
	}
	if _, err := os.Stat(m.alarm()); err == nil && suspend {
		out = append(out, "suspend-then-hibernate")
	}
	return out
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
	if !slices.Contains(m.Sleeps(), verb) {
		return fmt.Errorf("%s: %w", verb, ErrCannotSleep)
	}
	switch verb {
	case "suspend":
		return m.suspend()
	case "hibernate":
		return m.hibernate("platform", "shutdown")
	case "hybrid-sleep":
		return m.hibernate("suspend")
	}
	// Without the monotonic reading, which stands still while the machine sleeps.
	wake := time.Now().Round(0).Add(hibernateAfter)
	_ = m.write(m.alarm(), "0") // an alarm of before; there may be none
	// Relative to what the RTC shows, which need not be UTC (rtc(4); the kernel's
	// Documentation/ABI/testing/sysfs-class-rtc: a + before the number of seconds).
	if err := m.write(m.alarm(), "+"+strconv.FormatInt(int64(hibernateAfter/time.Second), 10)); err != nil {
		return err
	}
	err := m.suspend()
	if err == nil && !time.Now().Before(wake.Add(-time.Second)) {
		return m.hibernate("platform", "shutdown")
	}
	return errors.Join(err, m.write(m.alarm(), "0"))
}

func (m *Machine) suspend() error {
	states := strings.Fields(m.short(filepath.Join(m.db.Sys, "power/state")))
	for _, s := range []string{"mem", "standby", "freeze"} {
		if slices.Contains(states, s) {
			return m.write(filepath.Join(m.db.Sys, "power/state"), s)
		}
	}
	return ErrCannotSleep
}

// hibernate writes the first of the modes that the machine has, and then goes.
func (m *Machine) hibernate(modes ...string) error {
	disk := filepath.Join(m.db.Sys, "power/disk")
	has := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(m.short(disk)))
	for _, mode := range modes {
		if slices.Contains(has, mode) {
			if err := m.write(disk, mode); err != nil {
				return err
			}
			return m.write(filepath.Join(m.db.Sys, "power/state"), "disk")
		}
	}
	return ErrCannotSleep
}

func (m *Machine) write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
