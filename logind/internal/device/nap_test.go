package device

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// How long a machine sleeps before it hibernates, by systemd-sleep.conf(5).
func TestNap(t *testing.T) {
	const h = time.Hour
	full, flat, mains := charge{80, true, false}, charge{4, true, false}, charge{80, true, true}
	minutes := func(n int64) int64 { return n * 60e6 }
	for name, x := range map[string]struct {
		delay   int64
		onPower bool
		n       napping
		c       charge
		want    time.Duration
	}{
		"no battery":                     {0, true, napping{}, charge{}, 2 * h},
		"no battery, a delay":            {minutes(30), true, napping{}, charge{}, h / 2},
		"no battery, it has passed":      {minutes(30), true, napping{counted: h}, charge{}, 0},
		"no battery, power is no reason": {minutes(30), false, napping{}, charge{external: true}, h / 2},
		"a battery":                      {0, true, napping{}, full, h},
		"a battery that was seen":        {0, true, napping{counted: 9 * h, perHour: 38}, full, 2 * h},
		"a battery that lasts":           {0, true, napping{perHour: 0.1}, full, 24 * h},
		"a battery that will not last":   {0, true, napping{perHour: 1e6}, full, time.Minute},
		"a flat one":                     {0, true, napping{}, flat, 0},
		"a flat one that is charged":     {0, true, napping{}, charge{4, true, true}, h},
		"a delay that is shorter":        {minutes(30), true, napping{}, full, h / 2},
		"a delay that is longer":         {minutes(90), true, napping{}, full, h},
		"its rest":                       {minutes(90), true, napping{counted: h}, full, h / 2},
		"it has passed":                  {minutes(90), true, napping{counted: 90 * time.Minute}, full, 0},
		"it does not count with power":   {minutes(30), false, napping{}, mains, h},
		"it counts with power":           {minutes(30), true, napping{}, mains, h / 2},
	} {
		o := asDocumented
		o.Delay, o.OnPower = x.delay, x.onPower
		if got := x.n.next(&o, x.c); got != x.want {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
	o := asDocumented
	var n napping
	n.slept(&o, 2*h, charge{80, true, false}, charge{70, true, false})
	if n.counted != 2*h || n.perHour != 5 {
		t.Errorf("%+v", n)
	}
	o.OnPower = false
	n.slept(&o, h, charge{80, true, true}, charge{82, true, true})
	if n.counted != 2*h || n.perHour != 0 {
		t.Errorf("with power: %+v", n)
	}
}

// After the alarms it hibernates, with the mode of the settings. A clock that goes on with
// each look is a machine that slept long enough.
func TestNapHibernates(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{"sys/power/state": "freeze mem disk\n", "sys/power/disk": "[platform] shutdown suspend\n", "sys/power/resume": "254:2\n", "sys/power/mem_sleep": "s2idle [deep]\n",
		"proc/swaps": "Filename Type Size Used Priority\n/dev/vda2 partition 2000 100 -2\n", "proc/meminfo": "Active(anon):  1900 kB\n", "sys/class/rtc/rtc0/wakealarm": "",
		"sys/class/power_supply/BAT0/type": "Battery\n", "sys/class/power_supply/BAT0/status": "Discharging\n", "sys/class/power_supply/BAT0/capacity": "50\n"})
	m := New(root)
	o := asDocumented
	o.Modes, o.Memory, o.Delay = []string{"shutdown", "platform"}, []string{"shallow", "s2idle"}, 90*60e6
	m.Tune(func() *Sleeping { return &o })
	at := time.Unix(1e9, 0)
	looks := 0
	m.now = func() time.Time { looks++; at = at.Add(time.Hour); return at }
	if err := m.Sleep("suspend-then-hibernate"); err != nil {
		t.Fatal(err)
	}
	if looks != 4 {
		t.Errorf("it looked at the clock %d times: want two sleeps", looks)
	}
	for file, want := range map[string]string{"sys/power/mem_sleep": "s2idle", "sys/power/disk": "shutdown", "sys/power/state": "disk"} {
		if data, err := os.ReadFile(filepath.Join(root, file)); err != nil || !strings.HasPrefix(string(data), want) {
			t.Errorf("%s: %q, %v", file, data, err)
		}
	}
	// What the kernel does not have is passed over, and with nothing left it is an error.
	tree(t, root, map[string]string{"sys/power/state": "freeze mem disk\n", "sys/power/mem_sleep": "[deep]\n"})
	o.States = []string{"mem", "freeze"}
	if err := m.Sleep("suspend"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(root, "sys/power/state")); err != nil || !strings.HasPrefix(string(data), "freeze") {
		t.Errorf("no way of MemorySleepMode= is there, and state is %q, %v", data, err)
	}
	o.States = []string{"mem"}
	if err := m.Sleep("suspend"); !errors.Is(err, ErrCannotSleep) {
		t.Errorf("mem without a way: %v", err)
	}
	o.States = []string{"standby"}
	if got := m.Sleeps(); !slices.Equal(got, []string{"hibernate", "hybrid-sleep"}) {
		t.Errorf("without a state it can %q", got)
	}
	o.Hibernate, o.Hybrid, o.States = false, false, []string{"mem"}
	if got := m.Sleeps(); !slices.Equal(got, []string{"suspend", "suspend-then-hibernate"}) {
		t.Errorf("with some forbidden it can %q", got)
	}
}

// Where hibernation fails, the machine at least suspends, and says what failed.
func TestHibernationFails(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{"sys/power/state": "freeze mem disk\n"})
	m, o := New(root), asDocumented
	failed := errors.New("no room")
	if err := m.orSuspend(&o, failed); !errors.Is(err, failed) {
		t.Errorf("it says %v", err)
	}
	state := filepath.Join(root, "sys/power/state")
	if data, err := os.ReadFile(state); err != nil || !strings.HasPrefix(string(data), "mem") {
		t.Errorf("state is %q, %v", data, err)
	}
	tree(t, root, map[string]string{"sys/power/state": "freeze mem disk\n"})
	if err := m.orSuspend(&o, nil); err != nil {
		t.Errorf("hibernation went well: %v", err)
	}
	if data, err := os.ReadFile(state); err != nil || !strings.HasPrefix(string(data), "freeze") {
		t.Errorf("state is %q, %v", data, err)
	}
	// A nap whose machine has lost its modes while it slept ends suspended.
	tree(t, root, map[string]string{"sys/class/rtc/rtc0/wakealarm": "", "sys/power/disk": "[disabled]\n"})
	o.Delay = 60e6
	at := time.Unix(1e9, 0)
	m.now = func() time.Time { at = at.Add(time.Hour); return at }
	if err := m.nap(&o); !errors.Is(err, ErrCannotSleep) {
		t.Errorf("the nap says %v", err)
	}
	if data, err := os.ReadFile(state); err != nil || !strings.HasPrefix(string(data), "mem") {
		t.Errorf("after the nap, state is %q, %v", data, err)
	}
}
