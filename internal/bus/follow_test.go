package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
	"dynamod/internal/testkit/testbus"
)

// followed is a service on a bus, and what it hears there.
func followed(t *testing.T) (d *testbus.Daemon, k *Client, heard chan string) {
	t.Helper()
	d = testbus.NewDaemon(t, testbus.Open).Start()
	s, _ := newService(t)
	joined, done := make(chan *Client, 1), make(chan struct{})
	heard = make(chan string, 64)
	go func() {
		defer close(done)
		s.Join(Bus{Address: d.Socket, Joined: func(k *Client) { joined <- k }, Heard: func(m *dbus.Message) {
			if m.Headers[dbus.FieldMember].Value() == "NameOwnerChanged" {
				heard <- fmt.Sprintf("%v %v", m.Body[0], m.Body[2] == "")
			}
		}})
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return d, testkit.Receive(t, joined, "the service is on the bus"), heard
}

// rules are the service's match rules, as the bus has them after all that the service told it.
func rules(t *testing.T, k *Client) []string {
	t.Helper()
	var all map[string][]string
	if err := k.Call(t.Context(), busName, busPath, busName+".Debug.Stats", "GetAllMatchRules", nil, &all); err != nil {
		t.Fatal(err)
	}
	return all[k.Unique()]
}

// Of all the clients of a bus only those are told of that are followed, and they are even if
// they left before.
func TestFollow(t *testing.T) {
	d, k, heard := followed(t)
	next := func(want string) {
		t.Helper()
		if got := testkit.Receive(t, heard, want); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	if got := rules(t, k); len(got) != 0 {
		t.Errorf("the service listens to %q and follows nobody", got)
	}
	one, other := d.Client(), d.Client()
	name := one.Names()[0]
	k.Follow(name)
	k.Follow(name)
	if got := rules(t, k); len(got) != 1 || !strings.Contains(got[0], "arg0='"+name+"'") {
		t.Errorf("the rules are %q, want one for %s", got, name)
	}
	other.Close()
	one.Close()
	next(name + " true")
	k.Follow(name)
	next(name + " true")
	testkit.Eventually(t, "no rule is left", func() bool { return len(rules(t, k)) == 0 })

	k.Follow("org.example.Known")
	client := d.Client()
	for _, n := range []string{"org.example.Unknown", "org.example.Known"} {
		if _, err := client.RequestName(n, 0); err != nil {
			t.Fatal(err)
		}
	}
	next("org.example.Known false")
	k.Unfollow("org.example.Known")
	k.Unfollow("org.example.Known")
	if got := rules(t, k); len(got) != 0 {
		t.Errorf("after the end of following %q", got)
	}
	if _, err := client.ReleaseName("org.example.Known"); err != nil {
		t.Fatal(err)
	}
	if rules(t, k); len(heard) != 0 { // the bus told us everything before that answer
		t.Errorf("after the end of following there are %d signals", len(heard))
	}
}

// However many are followed, the bus does not refuse: it bounds the rules of a client.
func TestFollowMany(t *testing.T) {
	d, k, heard := followed(t)
	name := func(n int) string { return fmt.Sprintf("org.example.N%d", n) }
	const many = 1000
	for n := range many {
		k.Follow(name(n))
	}
	if got := rules(t, k); len(got) != maxRules+1 {
		t.Errorf("%d rules for %d names, want %d", len(got), many, maxRules+1)
	}
	client := d.Client()
	for _, n := range []int{0, maxRules, many - 1} {
		if _, err := client.RequestName(name(n), 0); err != nil {
			t.Fatal(err)
		}
		want := name(n) + " false"
		for testkit.Receive(t, heard, want) != want { // the rule for all tells of others
		}
	}
	for n := range many {
		k.Unfollow(name(n))
	}
	if got := rules(t, k); len(got) != 0 {
		t.Errorf("after the end of following %q", got)
	}
}
