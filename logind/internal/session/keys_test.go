package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// keyRig is a core with the settings of logind.conf(5) and a clock.
type keyRig struct {
	t   *testing.T
	c   *Core
	now Now
}

func newKeyRig(t *testing.T) *keyRig {
	c := New(Limits{Sessions: 8, Inhibitors: 8, PerUser: 8, InhibitDelay: 5e6}, true)
	c.Sleeps = []string{"suspend", "hibernate"}
	c.Handling = Handling{Do: map[string]string{"HandlePowerKey": "poweroff", "HandlePowerKeyLongPress": "ignore", "HandleRebootKey": "reboot",
		"HandleRebootKeyLongPress": "poweroff", "HandleSuspendKey": "sleep", "HandleSuspendKeyLongPress": "hibernate", "HandleHibernateKey": "lock",
		"HandleLidSwitch": "suspend", "HandleLidSwitchDocked": "ignore", "IdleAction": "suspend"},
		Ignore: map[string]bool{"LidSwitch": true}, Holdoff: 30e6, IdleAfter: 600e6, Sleep: []string{"suspend-then-hibernate", "suspend"}}
	r := &keyRig{t: t, c: c, now: Now{Wall: 1e15, Mono: 1e6}}
	c.Started(r.now)
	return r
}

// do handles an event and gives the names of what is to be done, with the verb.
func (r *keyRig) do(e Event) string {
	var out []string
	for _, a := range r.c.Handle(r.now, e) {
		switch a := a.(type) {
		case Execute:
			out = append(out, a.Transition.Verb)
		case LockAll, Logins, SecureAttention:
			out = append(out, fmt.Sprintf("%T%v", a, a)[len("session."):])
		case Announce:
			out = append(out, fmt.Sprintf("%dm", a.Left/minute))
		case Note:
			if strings.Contains(a.Text, " ") {
				out = append(out, "("+a.Text+")")
			}
		}
	}
	if r.c.Pending != nil {
		r.c.Handle(r.now, PowerDone{})
	}
	return strings.Join(out, " ")
}

// after lets time pass as a timer does: through every deadline.
func (r *keyRig) after(us int64) string {
	end := r.now.Mono + us
	var out []string
	for {
		step := end - r.now.Mono
		if d := r.c.Deadline(); d != 0 && d < end {
			step = max(d-r.now.Mono, 1)
		}
		r.now.Mono += step
		r.now.Wall += step
		if s := r.do(Tick{}); s != "" {
			out = append(out, s)
		}
		if r.now.Mono >= end {
			return strings.Join(out, " ")
		}
	}
}

func (r *keyRig) want(got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("got %q, want %q", got, want)
	}
}

// Keys act when they go down, or, where a long press means something, when they are let
// go; inhibitors hold them (W72 of the original).
func TestKeys(t *testing.T) {
	r := newKeyRig(t)
	r.want(r.do(Key{"power", true}), "poweroff")
	r.want(r.do(Key{"power", false}), "")
	r.want(r.do(Key{"hibernate", true}), "LockAll{}")
	r.want(r.do(Key{"hibernate", false}), "")
	r.want(r.do(Key{"reboot", true}), "")
	r.want(r.do(Key{"reboot", false}), "reboot")
	r.want(r.do(Key{"reboot", true}), "")
	r.want(r.after(6e6), "poweroff")
	r.want(r.do(Key{"reboot", false}), "")
	r.want(r.do(Key{"suspend", true}), "")
	r.want(r.do(Key{"suspend", false}), "suspend")
	r.want(r.do(Key{"meta", true}), "")
	r.do(Inhibit{1, Inhibitor{What: []string{"handle-power-key"}, Mode: "block", Who: "GNOME"}})
	r.want(r.do(Key{"power", true}), "(inhibited by GNOME)")
	r.do(InhibitorGone{1})
	r.do(Inhibit{2, Inhibitor{What: []string{"shutdown"}, Mode: "block-weak", Who: "apt"}})
	r.want(r.do(Key{"power", true}), "(blocked by apt)")
	r.c.Handling.Ignore["PowerKey"] = true
	r.want(r.do(Key{"power", true}), "poweroff")
	r.c.Sleeps = nil
	r.do(Key{"suspend", true})
	r.want(r.do(Key{"suspend", false}), "(the machine cannot sleep)")
}

// The lid is not looked at before the machine has found its screens; then it matters
// whether there are others, and whether somebody inhibits it.
func TestLid(t *testing.T) {
	r := newKeyRig(t)
	r.want(r.do(Lid{Closed: true, Displays: 1}), "")
	r.want(r.after(31e6), "suspend")
	r.want(r.do(Lid{Displays: 1}), "")
	r.after(31e6)
	r.want(r.do(Lid{Closed: true, Displays: 2}), "")
	r.want(r.do(Lid{Closed: true, Displays: 1}), "suspend")
	r.do(Lid{Displays: 1})
	r.after(31e6)
	r.do(Inhibit{1, Inhibitor{What: []string{"sleep"}, Mode: "block", Who: "music"}})
	r.want(r.do(Lid{Closed: true, Displays: 1}), "suspend") // LidSwitchIgnoreInhibited=yes
	r.do(Lid{Displays: 1})
	r.after(31e6)
	r.do(Inhibit{2, Inhibitor{What: []string{"handle-lid-switch"}, Mode: "block", Who: "gsd"}})
	r.want(r.do(Lid{Closed: true, Displays: 1}), "(inhibited by gsd)")
	r.do(InhibitorGone{2})
	r.do(Lid{Displays: 1})
	r.c.Handling.Do["HandleLidSwitchExternalPower"] = "lock"
	r.want(r.do(Lid{Closed: true, Displays: 1, External: true}), "LockAll{}")
	r.want(r.do(Lid{Closed: true, Displays: 1}), "suspend")
}

// Idleness counts from the last one who went, and not while somebody inhibits it.
func TestIdleAction(t *testing.T) {
	r := newKeyRig(t)
	r.want(r.after(2000e6), "")
	for k := range uint32(2) {
		r.do(Create{Session: Session{UID: 1000 + k, Leader: 1, Class: "user", Type: "wayland"}})
		r.do(UserOpened{1000 + k, true})
		r.do(Opened{ID: fmt.Sprint("c", k+1)})
	}
	r.do(SetIdle{"c1", true})
	r.want(r.after(2000e6), "")
	r.do(SetIdle{"c2", true})
	r.want(r.after(599e6), "")
	r.want(r.after(2e6), "suspend")
	r.do(Inhibit{1, Inhibitor{What: []string{"idle"}, Mode: "block", Who: "film"}})
	r.want(r.after(2000e6), "")
	r.do(InhibitorGone{1})
	r.want(r.after(599e6), "")
	r.want(r.after(2e6), "suspend")
	r.c.Handling.Do["IdleAction"], r.c.Handling.StopIdle = "ignore", 700e6
	r.after(1e9)
	if c := r.c; len(c.Sorted(func(s *Session) bool { return s.Stage == Running })) != 0 {
		t.Error("idle sessions are not stopped")
	}
}

// A scheduled shutdown is announced, refuses logins in its last minutes, and follows the
// wall clock when that is set.
func TestSchedule(t *testing.T) {
	r := newKeyRig(t)
	at := func(minutes int64) Scheduled { return Scheduled{Kind: "reboot", At: r.now.Wall + minutes*minute} }
	r.want(r.do(Schedule{Request: 1, Shutdown: at(12)}), "12m")
	r.want(r.after(3*minute), "10m")
	r.want(r.after(5*minute), "Logins{false} 5m 4m")
	r.want(r.do(CancelSchedule{2}), "Logins{true} 0m")
	r.want(r.after(60*minute), "")
	r.want(r.do(Schedule{Request: 3, Shutdown: at(1)}), "Logins{false} 1m")
	r.want(r.after(2*minute), "0m reboot")
	r.do(Schedule{Request: 4, Shutdown: at(30)})
	r.now.Wall += 26 * minute // the clock is set
	r.want(r.after(5*minute), "Logins{false} 3m 2m 1m 0m reboot")
	n := at(0)
	n.Kind = "dry-poweroff"
	r.want(r.do(Schedule{Request: 5, Shutdown: n}), "0m")
	if r.c.Scheduled != nil || r.c.closed {
		t.Error("a dry shutdown is left")
	}
	r.do(Inhibit{6, Inhibitor{What: []string{"shutdown"}, Mode: "block", Who: "dpkg"}})
	refused := slices.ContainsFunc(r.c.Handle(r.now, Schedule{Request: 7, Shutdown: at(5)}), func(a Action) bool {
		x, ok := a.(Refuse)
		return ok && x.Name == ErrDenied
	})
	if !refused {
		t.Error("a block inhibitor is passed over")
	}
}

// A block that comes after a shutdown was scheduled does not hold it, as recorded with
// systemd-logind 257.13 (ScheduleShutdown of dry-poweroff in 4 s, systemd-inhibit
// --mode=block by root after 1 s: "System is powering down"). A delay does.
func TestBlockAfterSchedule(t *testing.T) {
	for mode, atOnce := range map[string]bool{"block": true, "block-weak": true, "delay": false} {
		r := newKeyRig(t)
		r.do(Schedule{Request: 1, Shutdown: Scheduled{Kind: "poweroff", At: r.now.Wall + 4e6}})
		r.c.Handle(r.now, Inhibit{Request: 2, Inhibitor: Inhibitor{What: []string{"shutdown"}, Who: "me", Mode: mode, UID: 1000}})
		if len(r.c.Inhibitors) != 1 {
			t.Fatalf("%s: there are %d inhibitors", mode, len(r.c.Inhibitors))
		}
		r.now.Mono += 4e6
		r.now.Wall += 4e6
		done := func() bool {
			return slices.ContainsFunc(r.c.Handle(r.now, Tick{}), func(a Action) bool { x, ok := a.(Execute); return ok && x.Transition.Verb == "poweroff" })
		}
		if got := done(); got != atOnce {
			t.Errorf("%s: at the time, done is %v", mode, got)
		}
		r.now.Mono += 5e6
		r.now.Wall += 5e6
		if got := done(); got == atOnce {
			t.Errorf("%s: after InhibitDelayMaxSec=, done is %v", mode, got)
		}
	}
}

// A shutdown whose time comes while the machine goes to sleep is not lost: it begins when
// the machine is awake.
func TestScheduleWaitsForSleep(t *testing.T) {
	r := newKeyRig(t)
	begins := func(e Event) bool {
		return slices.ContainsFunc(r.c.Handle(r.now, e), func(a Action) bool {
			x, ok := a.(Execute)
			return ok && x.Transition.Verb == "reboot"
		})
	}
	r.do(Schedule{Request: 1, Shutdown: Scheduled{Kind: "reboot", At: r.now.Wall + minute}})
	r.c.Handle(r.now, Key{"suspend", true})
	r.c.Handle(r.now, Key{"suspend", false})
	if r.c.Pending == nil {
		t.Fatal("the machine does not go to sleep")
	}
	r.now.Mono, r.now.Wall = r.now.Mono+2*minute, r.now.Wall+2*minute
	if begins(Tick{}) || r.c.Scheduled == nil {
		t.Error("it begins in the middle of another transition, or is forgotten")
	}
	if d := r.c.Deadline(); d <= r.now.Mono+1 {
		t.Errorf("it is looked at all the time: again in %d µs", d-r.now.Mono)
	}
	if !begins(PowerDone{}) || r.c.Scheduled != nil {
		t.Error("it does not begin when the machine is awake")
	}
}

// Ctrl+Alt+Shift+Esc asks for the login manager of its seat, or does what else it is said
// to; no inhibitor of keys is for it.
func TestAttention(t *testing.T) {
	r := newKeyRig(t)
	r.want(r.do(Attention{"seat0"}), "")
	r.c.Handling.Do["HandleSecureAttentionKey"] = "secure-attention-key"
	r.do(Inhibit{1, Inhibitor{What: []string{"handle-power-key", "handle-reboot-key", "handle-suspend-key", "handle-hibernate-key", "handle-lid-switch", "sleep", "shutdown"}, Mode: "block", Who: "x"}})
	r.want(r.do(Attention{"seat0"}), "SecureAttention{seat0}")
	r.want(r.do(Attention{"seat7"}), "")
	r.c.Handling.Do["HandleSecureAttentionKey"] = "lock"
	r.want(r.do(Attention{"seat0"}), "LockAll{}")
	r.c.Handling.Do["HandleSecureAttentionKey"] = "poweroff"
	r.want(r.do(Attention{"seat0"}), "(blocked by x)")
	r.c.Handling.Do["HandleSecureAttentionKey"] = "ignore"
	r.want(r.do(Attention{"seat0"}), "")
	// The word is one for the other keys as well.
	r = newKeyRig(t)
	r.c.Handling.Do["HandlePowerKey"] = "secure-attention-key"
	r.want(r.do(Key{"power", true}), "SecureAttention{seat0}")
}
