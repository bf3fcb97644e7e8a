package session

import (
	"fmt"
	"strings"
	"testing"
)

// The user's manager may be asked for later than the rest: a session is opened once, and
// nobody waits for an answer that does not come.
func TestManagerWantedLater(t *testing.T) {
	light, full := Session{UID: 1000, Leader: 1, Class: "background-light", Type: "tty"}, Session{UID: 1000, Leader: 2, Class: "user", Type: "tty"}
	for name, c := range map[string]struct {
		events []Event
		want   string
	}{
		"two logins": {[]Event{Create{Request: 1, Session: light}, UserOpened{1000, false}, Create{Request: 2, Session: full}, UserOpened{1000, true},
			Opened{ID: "c1"}, Opened{ID: "c2"}}, "OpenUser{1000 false} Open{c1 session-c1.scope} OpenUser{1000 true} Open{c2 session-c2.scope} Grant Grant"},
		"one is restored": {[]Event{Create{Request: 1, Session: light}, Restore{Session: Session{ID: "r", UID: 1000, Leader: 3, Class: "user", Type: "tty"}},
			UserOpened{1000, false}, UserOpened{1000, true}}, "OpenUser{1000 false} OpenUser{1000 true} Open{c1 session-c1.scope}"},
	} {
		core := New(Limits{Sessions: 8, Inhibitors: 8, PerUser: 8}, true)
		var got []string
		for _, e := range c.events {
			for _, a := range core.Handle(Now{}, e) {
				switch a.(type) {
				case OpenUser, Open, Refuse:
					got = append(got, fmt.Sprintf("%T%v", a, a)[len("session."):])
				case Grant:
					got = append(got, "Grant")
				}
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s\nwant %s", name, s, c.want)
		}
	}
}
