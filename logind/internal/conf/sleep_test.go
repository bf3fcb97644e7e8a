package conf

import (
	"reflect"
	"strings"
	"testing"
)

// What is written to /sys/power is what systemd-sleep 257.13 was seen to write with the
// same files.
func TestReadSleep(t *testing.T) {
	for _, x := range []struct {
		text  string
		want  func(*Sleep)
		wrong string
	}{
		{"", func(*Sleep) {}, ""},
		{"AllowSuspend=no", func(s *Sleep) { s.Suspend, s.Hybrid, s.Both = false, false, false }, ""},
		{"AllowHibernation=no", func(s *Sleep) { s.Hibernate, s.Hybrid, s.Both = false, false, false }, ""},
		{"AllowHibernation=no\nAllowHybridSleep=yes", func(s *Sleep) { s.Hibernate, s.Both = false, false }, ""},
		{"AllowSuspendThenHibernate=no", func(s *Sleep) { s.Both = false }, ""},
		{"SuspendState=freeze", func(s *Sleep) { s.States = []string{"freeze"} }, ""},
		{"SuspendState=freeze\nSuspendState=mem freeze", func(s *Sleep) { s.States = []string{"freeze", "mem"} }, ""},
		{"SuspendState=freeze\nSuspendState=", func(*Sleep) {}, ""},
		{"SuspendState=bogus mem", func(*Sleep) {}, `f:2: "SuspendState=bogus mem": the kernel has no "bogus" there; the values are mem, standby, freeze`},
		{"HibernateMode=shutdown", func(s *Sleep) { s.Modes = []string{"shutdown"} }, ""},
		{"HibernateMode=suspend", func(*Sleep) {}, `f:2: "HibernateMode=suspend": suspend is for hybrid sleep, which has it without being told; the values are platform, shutdown, reboot, test_resume`},
		{"MemorySleepMode=s2idle shallow", func(s *Sleep) { s.Memory = []string{"s2idle", "shallow"} }, ""},
		{"AllowHybridSleep=no\nSuspendState=freeze\nMemorySleepMode=deep", func(s *Sleep) { s.Hybrid, s.States, s.Memory = false, []string{"freeze"}, []string{"deep"} },
			"MemorySleepMode= has no effect: mem is not in SuspendState=; add it"},
		{"HibernateDelaySec=45min\nHibernateOnACPower=no\nSuspendEstimationSec=10min", func(s *Sleep) { s.Delay, s.OnPower, s.Estimation = 2700e6, false, 600e6 }, ""},
		{"HibernateDelaySec=45min\nHibernateDelaySec=", func(*Sleep) {}, ""},
		{"HibernateOnACPower=no", func(s *Sleep) { s.OnPower = false }, "f: HibernateOnACPower=no has no effect without HibernateDelaySec=; set it too"},
		{"SuspendEstimationSec=0", func(*Sleep) {}, `f:2: "SuspendEstimationSec=0": it is a time of more than 0, such as 2h`},
		{"AllowSuspend=maybe", func(*Sleep) {}, `f:2: "AllowSuspend=maybe": the values are yes and no`},
		{"No=1", func(*Sleep) {}, `f:2: "No=1": there is no such setting; see systemd-sleep.conf(5)`},
		{"[Login]\nAllowSuspend=no", func(*Sleep) {}, `f:3: "AllowSuspend=no": it is not in section [Sleep]; put it there`},
	} {
		want := Sleep{Suspend: true, Hibernate: true, Hybrid: true, Both: true, States: []string{"mem", "standby", "freeze"}, Modes: []string{"platform", "shutdown"}, Estimation: 3600e6, OnPower: true}
		x.want(&want)
		got, wrong := ReadSleep([]File{{"f", "[Sleep]\n" + x.text + "\n"}})
		if w := strings.Join(wrong, "; "); w != x.wrong {
			t.Errorf("%q: %s", x.text, w)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v; want %+v", x.text, got, want)
		}
	}
}

// Whatever stands in a file, what comes out can be used.
func FuzzReadSleep(f *testing.F) {
	f.Add("[Sleep]\nSuspendState=freeze\nHibernateDelaySec=infinity", "[Sleep]\nSuspendEstimationSec=1us\nAllowHybridSleep=no")
	f.Fuzz(func(t *testing.T, a, b string) {
		s, _ := ReadSleep([]File{{"a", a}, {"b", b}})
		if len(s.States) == 0 || len(s.Modes) == 0 || s.Delay < 0 || s.Estimation <= 0 {
			t.Errorf("%q, %q give %+v", a, b, s)
		}
	})
}
