package bus

import (
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"
)

// follows are the names whose owners the bus tells of: only those, or each program that
// came to the bus and left it would wake us up twice.
type follows struct {
	mu sync.Mutex
	// own are names with a match rule of their own, others are those that the rule for all
	// names is there for.
	own, others map[string]bool
}

// maxRules bounds the match rules for single names. A bus allows 512 for one client
// (dbus-daemon(1), max_match_rules_per_connection), and anybody can have himself followed.
const maxRules = 128

// ownerRule is the match rule for the owners of a name, or of all if it is "".
func ownerRule(name string) string {
	rule := "type='signal',sender='" + busName + "',path='" + busPath + "',interface='" + busName + "',member='NameOwnerChanged'"
	if name != "" {
		rule += ",arg0='" + name + "'"
	}
	return rule
}

// Follow has Heard get NameOwnerChanged of a name. What happened to it before is not told,
// but for one of a unique name: if that client is not there any more, it is told at once
// that it left, and following ends when it leaves. Follow does not wait.
func (k *Client) Follow(name string) { k.c.follow(name) }

// Unfollow ends Follow.
func (k *Client) Unfollow(name string) { k.c.unfollow(name) }

// Follow has Heard get NameOwnerChanged when the caller leaves the bus, at once if it has
// left already: whoever keeps something for a caller follows it afterwards. On a private
// socket it does nothing.
func (c *Call) Follow() {
	if who := c.Sender(); who != "" {
		c.conn.follow(who)
	}
}

func (c *conn) follow(name string) {
	f := &c.follows
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.own[name] || f.others[name] {
		return
	}
	if f.own == nil {
		f.own, f.others = map[string]bool{}, map[string]bool{}
	}
	rule, wide := "", len(f.own) >= maxRules
	if !wide {
		f.own[name], rule = true, ownerRule(name)
	} else {
		if f.others[name] = true; len(f.others) == 1 {
			rule = ownerRule("")
		}
	}
	if rule != "" {
		c.inquire(func(_ []any, err error) {
			if err != nil {
				c.service.log.Warn("the bus does not tell who owns a name", "name", name, "err", err)
				f.refused(name, wide)
			}
		}, "AddMatch", rule)
	}
	if !strings.HasPrefix(name, ":") {
		return
	}
	// The bus answers in the order in which it is asked: who leaves after this answer is told
	// of by a signal.
	c.inquire(func(body []any, err error) {
		there := false
		if err == nil {
			err = dbus.Store(body, &there)
		}
		switch {
		case err != nil:
			c.service.log.Warn("the bus does not tell whether a client is there", "name", name, "err", err)
		case !there:
			c.signal(&dbus.Message{Type: dbus.TypeSignal, Body: []any{name, name, ""}, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldSender: dbus.MakeVariant(busName), dbus.FieldInterface: dbus.MakeVariant(busName), dbus.FieldMember: dbus.MakeVariant("NameOwnerChanged")}})
		}
	}, "NameHasOwner", name)
}

// refused forgets a name, so that Follow asks again, or all that the rule for all was for.
func (f *follows) refused(name string, wide bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if wide {
		clear(f.others)
	} else {
		delete(f.own, name)
	}
}

func (c *conn) unfollow(name string) {
	f := &c.follows
	f.mu.Lock()
	defer f.mu.Unlock()
	rule := ""
	switch {
	case f.own[name]:
		delete(f.own, name)
		rule = ownerRule(name)
	case f.others[name]:
		if delete(f.others, name); len(f.others) == 0 {
			rule = ownerRule("")
		}
	}
	if rule != "" {
		c.inquire(func(_ []any, err error) {
			if err != nil {
				c.service.log.Warn("the bus goes on to tell who owns a name", "name", name, "err", err)
			}
		}, "RemoveMatch", rule)
	}
}

// inquire asks the bus daemon something and gives the answer to then, on a goroutine of its
// own. Nobody is told when the connection ends before that.
func (c *conn) inquire(then func(body []any, err error), member, arg string) {
	reply := make(chan *message, 1)
	_, err := c.send(methodCall(busName, busPath, busName, member, arg), reply)
	go func() { // ends with the answer, or with the connection
		if err != nil {
			if c.ctx.Err() == nil {
				then(nil, err)
			}
			return
		}
		select {
		case m, ok := <-reply:
			if !ok {
				return
			}
			defer m.closeFDs()
			if c.ctx.Err() == nil { // names are others' on the next bus
				then(m.Body, m.failure())
			}
		case <-c.ctx.Done():
		}
	}()
}

// signal hands a signal of the bus on.
func (c *conn) signal(m *dbus.Message) {
	if gone := leaver(m); gone != "" {
		c.unfollow(gone) // first: who follows it afterwards is told that it is gone
	}
	if c.heard != nil {
		c.heard(m)
	}
}

// leaver is the unique name of a client that has left, from NameOwnerChanged.
func leaver(m *dbus.Message) string {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	sender, _ := m.Headers[dbus.FieldSender].Value().(string)
	if member != "NameOwnerChanged" || sender != busName || len(m.Body) != 3 {
		return ""
	}
	name, _ := m.Body[0].(string)
	now, _ := m.Body[2].(string)
	if now == "" && strings.HasPrefix(name, ":") {
		return name
	}
	return ""
}
