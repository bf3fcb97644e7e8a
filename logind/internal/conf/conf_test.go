package conf

import (
	"reflect"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, x := range []struct {
		text  string
		want  func(*Settings)
		wrong string
	}{
		{"# nothing\n\n; here\n[Login]\n", func(*Settings) {}, ""},
		{"[Login]\nKillUserProcesses=yes\nKillExcludeUsers=\n", func(s *Settings) { s.KillUserProcesses, s.KillExclude = true, []string{} }, ""},
		{"[Login]\nUserStopDelaySec=0\nInhibitDelayMaxSec=1min 500ms\n", func(s *Settings) { s.UserStopDelay, s.InhibitDelay = 0, 60_500_000 }, ""},
		{"[Login]\nSessionsMax=8K\nInhibitorsMax=7\n", func(s *Settings) { s.Sessions, s.Inhibitors = 8192, 7 }, ""},
		{"[Login]\nRuntimeDirectorySize=64M\nRuntimeDirectoryInodesMax=1K\n", func(s *Settings) { s.RuntimeBytes, s.RuntimePercent, s.RuntimeInodes = 64<<20, 0, 1024 }, ""},
		{"[Login]\nRuntimeDirectorySize=101%\n", func(*Settings) {}, "f:2: \"RuntimeDirectorySize=101%\": a share is 1% to 100%"},
		{"[Login]\nSessionsMax=0\n", func(*Settings) {}, "f:2: \"SessionsMax=0\": it is a number from 1 to 1M"},
		{"[Login]\nHandlePowerKey=ignore\nLidSwitchIgnoreInhibited=no\nIdleAction=lock\n", func(s *Settings) {
			s.Do["HandlePowerKey"], s.Do["IdleAction"], s.Ignore["LidSwitch"] = "ignore", "lock", false
		}, ""},
		{"[Login]\nHandleLidSwitch=explode\n", func(*Settings) {}, "f:2: \"HandleLidSwitch=explode\": the values are ignore, poweroff, reboot, halt, kexec, suspend, hibernate, hybrid-sleep, suspend-then-hibernate, sleep, lock, secure-attention-key"},
		{"[Login]\nSleepOperation=suspend\nHoldoffTimeoutSec=0\nStopIdleSessionSec=1h\nNAutoVTs=2\nReserveVT=0\n", func(s *Settings) {
			s.Sleep, s.Holdoff, s.StopIdle, s.AutoVTs, s.ReserveVT = []string{"suspend"}, 0, 3600e6, 2, 0
		}, ""},
		{"[Login]\nReserveVT=64\n", func(*Settings) {}, "f:2: \"ReserveVT=64\": it is a number from 0 to 63"},
		{"[Login]\nDesignatedMaintenanceTime=Sun 03:00\n", func(s *Settings) { s.Maintenance = "Sun 03:00" }, ""},
		{"[Login]\nHandleSecureAttentionKey=ignore\n", func(s *Settings) { s.Do["HandleSecureAttentionKey"] = "ignore" }, ""},
		{"[Login]\nNo=1\n", func(*Settings) {}, "f:2: \"No=1\": there is no such setting; see logind.conf(5)"},
		{"KillUserProcesses=yes\n", func(*Settings) {}, "f:1: \"KillUserProcesses=yes\": it is not in section [Login]; put it there"},
	} {
		got, want := Defaults(), Defaults()
		x.want(&want)
		if wrong := strings.Join(got.Read("f", x.text), "; "); wrong != x.wrong {
			t.Errorf("%q: %s", x.text, wrong)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v; want %+v", x.text, got, want)
		}
	}
}

func TestKills(t *testing.T) {
	for _, x := range []struct {
		text, user string
		want       bool
	}{
		{"", "ada", false}, {"KillUserProcesses=yes", "ada", true}, {"KillUserProcesses=yes", "root", false},
		{"KillUserProcesses=yes\nKillOnlyUsers=bob", "ada", false}, {"KillOnlyUsers=bob", "bob", true},
		{"KillUserProcesses=yes\nKillExcludeUsers=ada", "ada", false}, {"KillUserProcesses=yes\nKillExcludeUsers=", "root", true},
	} {
		s := Defaults()
		s.Read("f", "[Login]\n"+x.text)
		if got := s.Kills(x.user); got != x.want {
			t.Errorf("%q, %s: %v", x.text, x.user, got)
		}
	}
}

// Whatever stands in a file, what comes out can be used.
func FuzzRead(f *testing.F) {
	f.Add("[Login]\nRuntimeDirectorySize=10%\nSessionsMax=9T\nUserStopDelaySec=infinity")
	f.Fuzz(func(t *testing.T, text string) {
		s := Defaults()
		s.Read("f", text)
		if bytes, inodes := s.RuntimeSize(8 << 30); s.Sessions < 1 || s.Inhibitors < 1 || s.UserStopDelay < 0 || s.InhibitDelay < 0 || bytes < 4096 || inodes < 1 {
			t.Errorf("%q gives %+v", text, s)
		}
	})
}
