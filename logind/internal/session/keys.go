package session

import "slices"

// Handling is what the machine's keys, its lid and idleness do (logind.conf(5)).
type Handling struct {
	// Do has the word of each Handle… setting, and of IdleAction.
	Do map[string]string
	// Ignore are the …IgnoreInhibited settings that are on, such as "LidSwitch".
	Ignore map[string]bool
	// Holdoff is HoldoffTimeoutSec=, IdleAfter IdleActionSec=, StopIdle
	// StopIdleSessionSec= in microseconds; a StopIdle of 0 stops nothing.
	Holdoff, IdleAfter, StopIdle int64
	// Sleep are the words of SleepOperation=.
	Sleep []string
}

// longPress is how long a key is held down for the action of a long press
// (systemd-logind.service(8): 5 s).
const longPress = 5_000_000

// keys are the keys that are watched: their names in the settings, and the inhibitor.
var keys = map[string]struct{ setting, what string }{
	"power":     {"PowerKey", "handle-power-key"},
	"reboot":    {"RebootKey", "handle-reboot-key"},
	"suspend":   {"SuspendKey", "handle-suspend-key"},
	"hibernate": {"HibernateKey", "handle-hibernate-key"},
}

// sleepOrder is the fixed order in which "sleep" looks for what the machine can do.
var sleepOrder = []string{"suspend-then-hibernate", "hybrid-sleep", "suspend", "hibernate"}

// SleepVerb is what "sleep" does on this machine, "" for nothing.
func (c *Core) SleepVerb() string {
	for _, v := range sleepOrder {
		if slices.Contains(c.Handling.Sleep, v) && slices.Contains(c.Sleeps, v) {
			return v
		}
	}
	return ""
}

// key takes in that a key went down or up. A key without an action for a long press acts
// when it goes down.
func (c *Core) key(e Key) {
	k, known := keys[e.Name]
	if !known {
		return
	}
	since, down := c.pressed[e.Name]
	long := c.Handling.Do["Handle"+k.setting+"LongPress"]
	switch {
	case e.Down && down:
	case e.Down && (long == "" || long == "ignore"):
		c.react("Handle"+k.setting, k.setting, k.what)
	case e.Down:
		c.pressed[e.Name] = c.now.Mono
	case down:
		delete(c.pressed, e.Name)
		if c.now.Mono < since+longPress {
			c.react("Handle"+k.setting, k.setting, k.what)
		} else {
			c.react("Handle"+k.setting+"LongPress", k.setting, k.what)
		}
	}
}

// keysTick acts upon keys that were held down for long.
func (c *Core) keysTick() {
	for _, name := range []string{"power", "reboot", "suspend", "hibernate"} {
		if since, down := c.pressed[name]; down && c.now.Mono >= since+longPress {
			delete(c.pressed, name)
			c.react("Handle"+keys[name].setting+"LongPress", keys[name].setting, keys[name].what)
		}
	}
}

// react does what a setting says, unless an inhibitor is in the way: a low-level one
// always is, others unless the settings pass over them.
func (c *Core) react(setting, source, low string) {
	word := c.Handling.Do[setting]
	if word == "" || word == "ignore" {
		return
	}
	for _, i := range c.Inhibitors {
		if i.Mode != "delay" && slices.Contains(i.What, low) {
			c.do(Note{setting, "inhibited by " + i.Who})
			return
		}
	}
	c.automatic(setting, word, c.Handling.Ignore[source])
}

// toLogin is the word that asks for the login manager.
const toLogin = "secure-attention-key"

// attention does what HandleSecureAttentionKey= says; no inhibitor holds the key back
// (logind.conf(5)).
func (c *Core) attention(seat string) {
	const setting = "HandleSecureAttentionKey"
	switch word := c.Handling.Do[setting]; {
	case c.Seats[seat] == nil || word == "" || word == "ignore":
	case word == toLogin:
		c.do(Note{setting, word}, SecureAttention{seat})
	default:
		c.automatic(setting, word, false)
	}
}

// automatic carries out a word of the settings on behalf of nobody.
func (c *Core) automatic(setting, word string, ignore bool) {
	if word == "lock" {
		c.do(LockAll{})
		return
	}
	if word == toLogin { // of a key or a lid, which are seat0's
		c.do(SecureAttention{"seat0"})
		return
	}
	if word == "sleep" {
		if word = c.SleepVerb(); word == "" {
			c.do(Note{setting, "the machine cannot sleep"})
			return
		}
	}
	t := &Transition{Verb: word, UID: nobodyUID}
	switch b := c.Blocker(t.What(), nobodyUID); {
	case t.What() == "sleep" && !slices.Contains(c.Sleeps, word):
		c.do(Note{setting, "the machine cannot do " + word})
	case c.Pending != nil:
		c.do(Note{setting, c.Pending.Verb + " is in progress"})
	case b != nil && !ignore:
		c.do(Note{setting, "blocked by " + b.Who})
	default:
		c.do(Note{setting, word})
		c.begin(t)
	}
}

// nobodyUID is no user's: no weak inhibitor is passed over for it.
const nobodyUID = 1<<32 - 1

// lid looks whether the lid's being closed means something: when it closes, and when
// what decides about that has changed.
func (c *Core) lid() {
	if !c.Lid.Closed || c.now.Mono < c.holdoff {
		return
	}
	setting := "HandleLidSwitch"
	switch {
	case c.Lid.Docked || c.Lid.Displays > 1:
		setting = "HandleLidSwitchDocked"
	case c.Lid.External && c.Handling.Do["HandleLidSwitchExternalPower"] != "":
		setting = "HandleLidSwitchExternalPower"
	}
	c.react(setting, "LidSwitch", "handle-lid-switch")
}

// Lid is the state of what decides about the lid.
type Lid struct {
	Closed, Docked, External bool
	// Displays is how many screens are connected.
	Displays int
}

// setLid takes in a change. Opening, docking and power coming do nothing.
func (c *Core) setLid(e Lid) {
	was := c.Lid
	c.Lid = e
	if was.Closed != e.Closed {
		c.changed(AManager, "", "LidClosed")
	}
	if !was.Closed || was.Docked && !e.Docked || was.Displays > 1 && e.Displays <= 1 || was.External && !e.External {
		c.lid()
	}
}

// Idle says whether everybody who can be idle is, and since when in microseconds since
// boot. Without anybody, nobody is idle.
func (c *Core) Idle() (since int64, idle bool) {
	n := 0
	for _, s := range c.Sessions {
		if s.Stage == Closing || !s.CanIdle() {
			continue
		}
		if !s.Idle {
			return 0, false
		}
		n++
		since = max(since, s.IdleSince.Mono)
	}
	return since, n > 0
}

// CanIdle says that there is somebody in the session who may be away (seen with systemd
// 257: the classes that can stand for their user).
func (s *Session) CanIdle() bool { return s.display() }

// idleDue is when IdleAction= is to be done, 0 for never.
func (c *Core) idleDue() int64 {
	word := c.Handling.Do["IdleAction"]
	since, idle := c.Idle()
	if word == "" || word == "ignore" || !idle || c.Pending != nil || c.Blocker("idle", nobodyUID) != nil {
		return 0
	}
	return max(since, c.idleFrom) + max(c.Handling.IdleAfter, 1)
}

// stopDue is when an idle session is to be stopped (StopIdleSessionSec=), 0 for never.
func (c *Core) stopDue(s *Session) int64 {
	if c.Handling.StopIdle == 0 || s.Stage != Running || !s.CanIdle() || !s.Idle || s.Class == "greeter" || s.Class == "lock-screen" {
		return 0
	}
	return s.IdleSince.Mono + c.Handling.StopIdle
}

func (c *Core) idleTick() {
	if d := c.idleDue(); d != 0 && d <= c.now.Mono {
		c.idleFrom = c.now.Mono // not again at once
		c.automatic("IdleAction", c.Handling.Do["IdleAction"], false)
	}
	for _, s := range c.Sorted(func(s *Session) bool { d := c.stopDue(s); return d != 0 && d <= c.now.Mono }) {
		c.ended(s.ID, true)
	}
}
