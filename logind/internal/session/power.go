package session

import (
	"slices"
	"strings"
)

// What may be inhibited, and how (systemd-inhibit(1)).
var (
	whats = []string{"shutdown", "sleep", "idle", "handle-power-key", "handle-suspend-key", "handle-hibernate-key", "handle-lid-switch", "handle-reboot-key"}
	modes = []string{"block", "block-weak", "delay"}
)

// Inhibitor is a lock that holds off what it names, as long as its holder has a
// descriptor open.
type Inhibitor struct {
	ID             uint64
	What           []string
	Who, Why, Mode string
	UID            uint32
	PID            int32
	Since          Now
}

// Transition is a change of the machine's power.
type Transition struct {
	// Verb is poweroff, reboot, halt, kexec, soft-reboot, suspend, hibernate,
	// hybrid-sleep or suspend-then-hibernate.
	Verb string
	// Ignore passes block inhibitors; the caller was asked for the right to.
	Ignore bool
	UID    uint32

	until   int64
	running bool
}

// What is the inhibitor word of the transition: shutdown or sleep.
func (t *Transition) What() string {
	switch t.Verb {
	case "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate":
		return "sleep"
	}
	return "shutdown"
}

// Inhibited are the words that inhibitors of a mode name, in the order of whats.
func (c *Core) Inhibited(mode string) string {
	var out []string
	for _, w := range whats {
		for _, i := range c.Inhibitors {
			if i.Mode == mode && slices.Contains(i.What, w) {
				out = append(out, w)
				break
			}
		}
	}
	return strings.Join(out, ":")
}

// Blocker is an inhibitor that blocks what for the user, nil for none. A weak block
// does not hold root or its own user (org.freedesktop.login1(5), Inhibit).
func (c *Core) Blocker(what string, uid uint32) *Inhibitor {
	var found *Inhibitor
	for _, i := range c.Inhibitors {
		if !slices.Contains(i.What, what) || i.Mode == "delay" {
			continue
		}
		if i.Mode == "block-weak" && (uid == 0 || uid == i.UID) {
			continue
		}
		if found == nil || i.ID < found.ID {
			found = i
		}
	}
	return found
}

// ParseWhat reads "shutdown:sleep"; false if a word is unknown or nothing is named.
func ParseWhat(text string) ([]string, bool) {
	var out []string
	for w := range strings.SplitSeq(text, ":") {
		if !slices.Contains(whats, w) {
			return nil, false
		}
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out, len(out) > 0
}

func (c *Core) inhibit(e Inhibit) {
	i := e.Inhibitor
	refuse := func(name, format string, args ...any) { c.refuse(e.Request, name, format, args...) }
	mine := 0
	for _, o := range c.Inhibitors {
		if o.UID == i.UID {
			mine++
		}
	}
	switch {
	case !slices.Contains(modes, i.Mode):
		refuse(errInvalid, "Invalid mode specification %s", i.Mode)
		return
	case i.Mode == "delay" && slices.ContainsFunc(i.What, func(w string) bool { return w != "shutdown" && w != "sleep" }):
		refuse(errInvalid, "Delay inhibitors only supported for shutdown and sleep")
		return
	case len(c.Inhibitors) >= c.Limits.Inhibitors:
		refuse(errLimits, "Maximum number of inhibitors (%d) reached, refusing further inhibitors.", c.Limits.Inhibitors)
		return
	case i.UID != 0 && mine >= c.Limits.PerUser:
		refuse(errLimits, "User %d has %d inhibitors already, refusing further ones.", i.UID, mine)
		return
	case c.Pending != nil && slices.Contains(i.What, c.Pending.What()):
		refuse(ErrProgress, "The operation inhibition has been requested for is already running")
		return
	}
	c.inhibited++
	i.ID, i.Since = c.inhibited, c.now
	c.Inhibitors[i.ID] = &i
	c.do(Grant{Request: e.Request, Inhibitor: i.ID})
	c.toldInhibited(i.Mode)
}

func (c *Core) toldInhibited(mode string) {
	c.changed(AManager, "", map[string]string{"block": "BlockInhibited", "block-weak": "BlockWeakInhibited", "delay": "DelayInhibited"}[mode])
}

func (c *Core) inhibitorGone(id uint64) {
	i := c.Inhibitors[id]
	if i == nil {
		return
	}
	delete(c.Inhibitors, id)
	if slices.Contains(i.What, "idle") {
		c.idleFrom = c.now.Mono // the time counts from here (logind.conf(5), IdleAction=)
	}
	c.toldInhibited(i.Mode)
	c.powerTick()
}

func (c *Core) power(e Power) {
	t := e.Transition
	if c.Pending != nil {
		c.refuse(e.Request, ErrProgress, "There's already a shutdown or sleep operation in progress")
		return
	}
	if b := c.Blocker(t.What(), t.UID); b != nil && !t.Ignore {
		c.refuse(e.Request, ErrDenied, "Access denied due to active block inhibitor")
		return
	}
	c.do(Grant{Request: e.Request})
	c.begin(&t)
}

// begin begins a transition that nobody is in the way of.
func (c *Core) begin(t *Transition) {
	t.until, t.running = c.now.Mono+c.Limits.InhibitDelay, false
	c.Pending = t
	c.do(Prepare{*t, true})
	c.powerTick()
}

// powerTick carries the pending transition out when nobody delays it any more.
func (c *Core) powerTick() {
	t := c.Pending
	if t == nil || t.running {
		return
	}
	if c.now.Mono < t.until {
		for _, i := range c.Inhibitors {
			if i.Mode == "delay" && slices.Contains(i.What, t.What()) {
				return
			}
		}
	}
	t.running = true
	c.do(Execute{*t})
}

func (c *Core) powerDone() {
	if c.Pending == nil {
		return
	}
	t := *c.Pending
	c.Pending = nil
	c.do(Prepare{t, false})
	c.logins(true) // a shutdown that failed
	if t.What() == "sleep" {
		// Screens and docks are found again after the lid is (HoldoffTimeoutSec=).
		c.holdoff, c.idleFrom = c.now.Mono+c.Handling.Holdoff, c.now.Mono
	}
	c.scheduleTick() // whose time may have come meanwhile
}

// Started is the moment from which on the lid is looked at.
func (c *Core) Started(now Now) { c.holdoff = now.Mono + c.Handling.Holdoff }
