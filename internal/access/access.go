package access

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"dynamod/internal/diag"
)

// Right is what a rule grants or denies.
type Right string

const (
	// Query is to see that a service exists, its state and its log.
	Query Right = "query"
	// Start is to start it, Stop to stop it and to send it signals.
	Start Right = "start"
	Stop  Right = "stop"
	// Reload is to let it read its own configuration again.
	Reload Right = "reload"
	// System is what concerns the whole machine or gives power over it:
	// shutting down, loading configuration, changing settings.
	System Right = "system"
)

// Rights are all rights.
var Rights = []Right{Query, Start, Stop, Reload, System}

// Subject is who asks.
type Subject struct {
	UID, GID uint32
	Groups   []uint32
}

// Rule is one [[rule]] of the file. It applies to those whom Users or Groups
// contain, to everybody if both are empty and not Nobody; to the services that
// match one of Services, to all if there are none; and to Rights.
type Rule struct {
	Users, Groups []uint32
	// Nobody says that all of its users and groups are unknown.
	Nobody   bool
	Services []string
	Rights   []Right
	Deny     bool
	Pos      diag.Pos
}

// Rules are a whole file. The first rule that applies decides; if none does,
// everybody may query and nobody but root may do more. Root may do everything,
// whatever the rules say: they cannot lock the operator out.
type Rules struct {
	Rules []Rule
	// Closed refuses everything to everybody but root: the file could not be
	// understood, and it may have been meant to hide something.
	Closed bool
}

// Decision is the answer, and why.
type Decision struct {
	Allowed bool
	Right   Right
	// Service is the target, "" for the machine.
	Service string
	// Rule is the one that decided, nil for the default.
	Rule   *Rule
	closed bool
}

// Decide says whether the subject has the right on a service ("" for the whole
// machine). A nil *Rules has no rules.
func (r *Rules) Decide(who Subject, right Right, service string) Decision {
	d := Decision{Right: right, Service: service}
	switch {
	case who.UID == 0:
		d.Allowed = true
		return d
	case r != nil && r.Closed:
		d.closed = true
		return d
	case r != nil:
		for i := range r.Rules {
			if rule := &r.Rules[i]; rule.applies(who, right, service) {
				d.Allowed, d.Rule = !rule.Deny, rule
				return d
			}
		}
	}
	d.Allowed = right == Query
	return d
}

// All asks for several rights and returns the first refusal, or the last consent.
// No rights at all are granted to everybody.
func (r *Rules) All(who Subject, rights []Right, service string) Decision {
	d := Decision{Allowed: true, Service: service}
	for _, right := range rights {
		if d = r.Decide(who, right, service); !d.Allowed {
			break
		}
	}
	return d
}

func (r *Rule) applies(who Subject, right Right, service string) bool {
	return slices.Contains(r.Rights, right) && r.means(who) && r.covers(service)
}

func (r *Rule) means(who Subject) bool {
	if r.Nobody {
		return false
	}
	if len(r.Users) == 0 && len(r.Groups) == 0 {
		return true
	}
	return slices.Contains(r.Users, who.UID) || slices.Contains(r.Groups, who.GID) ||
		slices.ContainsFunc(who.Groups, func(g uint32) bool { return slices.Contains(r.Groups, g) })
}

// covers says whether the rule is about the service. One that names services says
// nothing about the machine.
func (r *Rule) covers(service string) bool {
	if len(r.Services) == 0 {
		return true
	}
	return service != "" && slices.ContainsFunc(r.Services, func(p string) bool {
		if ok, _ := path.Match(p, service); ok {
			return true
		}
		ok, _ := path.Match(p+".service", service)
		return ok
	})
}

// Reason says in words for people why the decision is what it is.
func (d Decision) Reason() string {
	target := "the system"
	if d.Service != "" {
		target = diag.Clip(d.Service)
	}
	switch {
	case d.closed:
		return "access.toml has errors, so only root may do anything"
	case d.Rule != nil && d.Allowed:
		return fmt.Sprintf("%s allows %s on %s", d.Rule.Pos, d.Right, target)
	case d.Rule != nil:
		return fmt.Sprintf("%s denies %s on %s", d.Rule.Pos, d.Right, target)
	case d.Allowed:
		return "allowed by default"
	}
	return fmt.Sprintf("no rule of access.toml gives the right %s on %s", d.Right, target)
}

// Denial describes a refused request for the log: who, what, on what, and why.
func (d Decision) Denial(who Subject, pid int32, verb string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "denied: uid %d (gid %d, pid %d) may not %s", who.UID, who.GID, pid, diag.Clip(verb))
	if d.Service != "" {
		fmt.Fprintf(&b, " %s", diag.Clip(d.Service))
	}
	fmt.Fprintf(&b, ": %s", d.Reason())
	return b.String()
}
