package conf

import (
	"fmt"
	"slices"
	"strings"
)

// Sleep are the settings of sleep.conf (systemd-sleep.conf(5)). Times are in
// microseconds.
type Sleep struct {
	// Suspend, Hibernate, Hybrid and Both (suspend-then-hibernate) say what is allowed.
	Suspend, Hibernate, Hybrid, Both bool
	// States go to /sys/power/state to suspend, Modes to /sys/power/disk to hibernate,
	// and Memory, if there is any, to /sys/power/mem_sleep before "mem".
	States, Modes, Memory []string
	// Delay is HibernateDelaySec=, 0 for none; Estimation SuspendEstimationSec=.
	Delay, Estimation int64
	// OnPower is HibernateOnACPower=.
	OnPower bool
}

// sleepWords are what the kernel understands (its admin-guide/pm/sleep-states, and
// power/interface).
var sleepWords = map[string][]string{
	"SuspendState":    {"mem", "standby", "freeze"},
	"HibernateMode":   {"platform", "shutdown", "reboot", "test_resume"},
	"MemorySleepMode": {"s2idle", "shallow", "deep"},
}

// ReadSleep reads sleep.conf and its drop-ins, in this order. Each wrong line, and each
// setting without effect, is a sentence; the setting stays as it was.
func ReadSleep(files []File) (s Sleep, wrong []string) {
	s = Sleep{Suspend: true, Hibernate: true, OnPower: true, Estimation: 3600e6}
	var hybrid, both *bool
	var power string
	lists := map[string]*[]string{"SuspendState": &s.States, "HibernateMode": &s.Modes, "MemorySleepMode": &s.Memory}
	for _, f := range files {
		set := func(key, value string) error {
			switch key {
			case "AllowSuspend":
				return boolean(value, &s.Suspend)
			case "AllowHibernation":
				return boolean(value, &s.Hibernate)
			case "AllowHybridSleep":
				return said(value, &hybrid)
			case "AllowSuspendThenHibernate":
				return said(value, &both)
			case "HibernateDelaySec":
				if value == "" {
					s.Delay = 0
					return nil
				}
				return positive(value, &s.Delay)
			case "SuspendEstimationSec":
				return positive(value, &s.Estimation)
			case "HibernateOnACPower":
				if err := boolean(value, &s.OnPower); err != nil {
					return err
				}
				power = f.Name
				return nil
			}
			list := lists[key]
			if list == nil {
				return fmt.Errorf("there is no such setting; see systemd-sleep.conf(5)")
			}
			if value == "" {
				*list = nil
				return nil
			}
			for _, w := range strings.Fields(value) {
				if key == "HibernateMode" && w == "suspend" {
					return fmt.Errorf("suspend is for hybrid sleep, which has it without being told; the values are %s", strings.Join(sleepWords[key], ", "))
				}
				if !slices.Contains(sleepWords[key], w) {
					return fmt.Errorf("the kernel has no %q there; the values are %s", w, strings.Join(sleepWords[key], ", "))
				}
			}
			for _, w := range strings.Fields(value) {
				if !slices.Contains(*list, w) {
					*list = append(*list, w)
				}
			}
			return nil
		}
		wrong = append(wrong, lines(f, "Sleep", set)...)
	}
	if len(s.States) == 0 {
		s.States = []string{"mem", "standby", "freeze"}
	}
	if len(s.Modes) == 0 {
		s.Modes = []string{"platform", "shutdown"}
	}
	s.Hybrid, s.Both = s.Suspend && s.Hibernate, s.Suspend && s.Hibernate
	if hybrid != nil {
		s.Hybrid = *hybrid
	}
	if both != nil {
		s.Both = *both
	}
	if len(s.Memory) > 0 && !slices.Contains(s.States, "mem") && !s.Hybrid {
		wrong = append(wrong, "MemorySleepMode= has no effect: mem is not in SuspendState=; add it")
	}
	if !s.OnPower && s.Delay == 0 {
		wrong = append(wrong, power+": HibernateOnACPower=no has no effect without HibernateDelaySec=; set it too")
	}
	return s, wrong
}

// said reads a boolean whose absence means something.
func said(value string, out **bool) error {
	on := false
	if err := boolean(value, &on); err != nil {
		return err
	}
	*out = &on
	return nil
}

func positive(value string, out *int64) error {
	was := *out
	if err := span(value, out); err != nil {
		return err
	}
	if *out <= 0 {
		*out = was
		return fmt.Errorf("it is a time of more than 0, such as 2h")
	}
	return nil
}
