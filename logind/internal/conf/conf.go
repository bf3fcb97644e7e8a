// Package conf reads logind.conf(5). It takes texts and gives settings and what is wrong
// with the texts; it opens no files.
package conf

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/calendar"
)

// Settings are those of logind.conf(5) that are honoured. Times are in microseconds.
type Settings struct {
	KillUserProcesses, RemoveIPC bool
	// KillExclude is KillExcludeUsers=; nil, and not an empty list, is the default: root.
	KillOnlyUsers, KillExclude  []string
	InhibitDelay, UserStopDelay int64
	Sessions, Inhibitors        int
	// AutoVTs is NAutoVTs=; ReserveVT 0 reserves none.
	AutoVTs, ReserveVT uint32
	// Do has the words of Reactions, Ignore the …IgnoreInhibited= settings that are on, by
	// what comes before that ("LidSwitch").
	Do     map[string]string
	Ignore map[string]bool
	// Sleep is SleepOperation=.
	Sleep []string
	// Holdoff is HoldoffTimeoutSec=, IdleAfter IdleActionSec=, StopIdle
	// StopIdleSessionSec=, which is 0 for infinity.
	Holdoff, IdleAfter, StopIdle int64
	// Maintenance is DesignatedMaintenanceTime=, "" for none.
	Maintenance string
	// RuntimeBytes is RuntimeDirectorySize= in bytes; RuntimePercent, if not 0, is it
	// as a share of memory. RuntimeInodes 0 means bytes/4096.
	RuntimeBytes, RuntimePercent, RuntimeInodes uint64
}

// Defaults are those of logind.conf(5).
func Defaults() Settings {
	return Settings{RemoveIPC: true, InhibitDelay: 5e6, UserStopDelay: 10e6, Sessions: 8192, Inhibitors: 8192, RuntimePercent: 10, AutoVTs: 6, ReserveVT: 6,
		Holdoff: 30e6, IdleAfter: 1800e6, Sleep: []string{"suspend-then-hibernate", "suspend", "hibernate"}, Ignore: map[string]bool{"LidSwitch": true},
		Do: map[string]string{"HandlePowerKey": "poweroff", "HandlePowerKeyLongPress": "ignore", "HandleRebootKey": "reboot", "HandleRebootKeyLongPress": "poweroff",
			"HandleSuspendKey": "suspend", "HandleSuspendKeyLongPress": "hibernate", "HandleHibernateKey": "hibernate", "HandleHibernateKeyLongPress": "ignore",
			"HandleLidSwitch": "suspend", "HandleLidSwitchDocked": "ignore", "HandleSecureAttentionKey": "secure-attention-key", "IdleAction": "ignore"}}
}

// Kills says that what a session of the user leaves behind is killed.
func (s *Settings) Kills(user string) bool {
	switch {
	case s.KillExclude == nil && user == "root", slices.Contains(s.KillExclude, user):
		return false
	case len(s.KillOnlyUsers) > 0:
		return slices.Contains(s.KillOnlyUsers, user)
	}
	return s.KillUserProcesses
}

// RuntimeSize is how large a runtime directory may be on a machine with so much memory.
func (s *Settings) RuntimeSize(memory uint64) (bytes, inodes uint64) {
	bytes = s.RuntimeBytes
	if s.RuntimePercent > 0 {
		bytes = memory / 100 * s.RuntimePercent
	}
	bytes = bytes / 4096 * 4096
	if inodes = s.RuntimeInodes; inodes == 0 {
		inodes = bytes / 4096
	}
	return bytes, inodes
}

// Reactions are the settings whose value is something to do.
var Reactions = []string{"HandlePowerKey", "HandlePowerKeyLongPress", "HandleRebootKey", "HandleRebootKeyLongPress", "HandleSuspendKey",
	"HandleSuspendKeyLongPress", "HandleHibernateKey", "HandleHibernateKeyLongPress", "HandleLidSwitch", "HandleLidSwitchExternalPower",
	"HandleLidSwitchDocked", "HandleSecureAttentionKey", "IdleAction"}

// words are what they may say, sleeps what SleepOperation= may.
var (
	words  = []string{"ignore", "poweroff", "reboot", "halt", "kexec", "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate", "sleep", "lock", "secure-attention-key"}
	sleeps = []string{"suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"}
)

// MaxFile is how large a file may be, in bytes.
const MaxFile = 1 << 20

// File is a file of settings.
type File struct{ Name, Text string }

// Read takes one file's settings over; later ones win. Each wrong line is a sentence, and
// leaves its setting as it was.
func (s *Settings) Read(file, text string) (wrong []string) {
	return lines(File{file, text}, "Login", s.set)
}

// lines gives each Key=value of a section to set, and says what is wrong with the file.
func lines(f File, in string, set func(key, value string) error) (wrong []string) {
	section := ""
	for k, line := range strings.Split(f.Text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		var err error
		switch {
		case !ok:
			err = errors.New("it is no Key=value; write one, or # before it")
		case section != in:
			err = errors.New("it is not in section [" + in + "]; put it there")
		default:
			err = set(key, value)
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s:%d: %.64q: %v", f.Name, k+1, line, err))
		}
	}
	return wrong
}

func (s *Settings) set(key, value string) error {
	if source, ok := strings.CutSuffix(key, "IgnoreInhibited"); ok && slices.Contains([]string{"PowerKey", "SuspendKey", "HibernateKey", "LidSwitch", "RebootKey"}, source) {
		on := false
		err := boolean(value, &on)
		if err == nil {
			s.Ignore[source] = on
		}
		return err
	}
	if slices.Contains(Reactions, key) {
		if !slices.Contains(words, value) {
			return fmt.Errorf("the values are %s", strings.Join(words, ", "))
		}
		s.Do[key] = value
		return nil
	}
	switch key {
	case "KillUserProcesses":
		return boolean(value, &s.KillUserProcesses)
	case "RemoveIPC":
		return boolean(value, &s.RemoveIPC)
	case "SleepOperation":
		list := strings.Fields(value)
		for _, w := range list {
			if !slices.Contains(sleeps, w) {
				return fmt.Errorf("the values are %s", strings.Join(sleeps, ", "))
			}
		}
		s.Sleep = list
	case "HoldoffTimeoutSec":
		return span(value, &s.Holdoff)
	case "IdleActionSec":
		return span(value, &s.IdleAfter)
	case "StopIdleSessionSec":
		if value == "infinity" {
			s.StopIdle = 0
			return nil
		}
		return span(value, &s.StopIdle)
	case "DesignatedMaintenanceTime":
		if _, err := calendar.Parse(value); err != nil && value != "" {
			return err
		}
		s.Maintenance = value
	case "KillOnlyUsers":
		s.KillOnlyUsers = strings.Fields(value)
	case "KillExcludeUsers":
		s.KillExclude = append([]string{}, strings.Fields(value)...)
	case "InhibitDelayMaxSec":
		return span(value, &s.InhibitDelay)
	case "UserStopDelaySec":
		return span(value, &s.UserStopDelay)
	case "NAutoVTs":
		return terminal(value, &s.AutoVTs)
	case "ReserveVT":
		return terminal(value, &s.ReserveVT)
	case "SessionsMax":
		return count(value, &s.Sessions)
	case "InhibitorsMax":
		return count(value, &s.Inhibitors)
	case "RuntimeDirectorySize":
		if p, ok := strings.CutSuffix(value, "%"); ok {
			n, err := strconv.ParseUint(p, 10, 64)
			if err != nil || n < 1 || n > 100 {
				return errors.New("a share is 1% to 100%")
			}
			s.RuntimePercent = n
			return nil
		}
		n, err := size(value)
		if err != nil {
			return err
		}
		if n < 4096 {
			return errors.New("it must be at least 4096 bytes")
		}
		s.RuntimeBytes, s.RuntimePercent = n, 0
	case "RuntimeDirectoryInodesMax":
		n, err := size(value)
		if err != nil && value != "" {
			return err
		}
		s.RuntimeInodes = n
	default:
		return errors.New("there is no such setting; see logind.conf(5)")
	}
	return nil
}

// span reads a time into microseconds; infinity is 100 years, which no machine waits.
func span(value string, out *int64) error {
	d, err := calendar.ParseSpan(value)
	if err != nil {
		return err
	}
	*out = int64(min(d, 100*365*24*time.Hour) / time.Microsecond)
	return nil
}

func count(value string, out *int) error {
	n, err := size(value)
	if err != nil || n < 1 || n > 1<<20 {
		return errors.New("it is a number from 1 to 1M")
	}
	*out = int(n)
	return nil
}

func boolean(value string, out *bool) error {
	switch strings.ToLower(value) {
	case "yes", "y", "true", "t", "on", "1":
		*out = true
	case "no", "n", "false", "f", "off", "0":
		*out = false
	default:
		return errors.New("the values are yes and no")
	}
	return nil
}

// terminal reads the number of a virtual terminal, or how many.
func terminal(value string, out *uint32) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n > 63 {
		return errors.New("it is a number from 0 to 63")
	}
	*out = uint32(n)
	return nil
}

// size reads a number with a suffix to the base 1024.
func size(value string) (uint64, error) {
	digits := strings.TrimRight(value, "KMGTB")
	n, err := strconv.ParseUint(digits, 10, 64)
	shift, ok := map[string]uint{"": 0, "B": 0, "K": 10, "M": 20, "G": 30, "T": 40}[value[len(digits):]]
	if err != nil || !ok || n > math.MaxUint64>>shift {
		return 0, errors.New("it is a number, with K, M, G or T after it perhaps")
	}
	return n << shift, nil
}
