package access

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/diag"
)

var accounts = Accounts{
	User: func(n string) (uint32, bool) {
		id, ok := map[string]uint32{"root": 0, "alice": 1000, "bob": 1001}[n]
		return id, ok
	},
	Group: func(n string) (uint32, bool) { id, ok := map[string]uint32{"wheel": 10, "web": 33}[n]; return id, ok },
}

func mustParse(t *testing.T, text string) *Rules {
	t.Helper()
	r, ds := Parse("access.toml", []byte(text), accounts)
	if r.Closed {
		t.Fatal(ds)
	}
	return r
}

const example = `
# hidden from all but the web group
[[rule]]
groups = ["web"]
services = ["web-*", "nginx"]
rights = ["query", "start", "stop", "reload"]

[[rule]]
services = ["web-*"]
rights = "query"
effect = "deny"

[[rule]]
users = ["alice", 1002]
rights = ["start"]

[[rule]]
users = ["bob"]
rights = ["system"]

[[rule]]
users = ["nobody-of-this-name"]
rights = ["start", "stop", "system"]
`

func TestDecide(t *testing.T) {
	rules := mustParse(t, example)
	alice, bob := Subject{UID: 1000, GID: 1000}, Subject{UID: 1001, GID: 1001}
	web := Subject{UID: 1003, GID: 33}
	also := Subject{UID: 1004, GID: 100, Groups: []uint32{5, 33}}
	for _, c := range []struct {
		rules   *Rules
		who     Subject
		right   Right
		service string
		want    bool
		line    int32
	}{
		{nil, alice, Query, "a.service", true, 0},
		{nil, alice, Start, "a.service", false, 0},
		{nil, alice, System, "", false, 0},
		{nil, Subject{}, System, "", true, 0},
		{&Rules{Closed: true}, alice, Query, "a.service", false, 0},
		{&Rules{Closed: true}, Subject{}, System, "", true, 0},
		{rules, Subject{}, Query, "web-1.service", true, 0},
		{rules, alice, Query, "web-1.service", false, 8},
		{rules, alice, Query, "nginx.service", true, 0},
		{rules, web, Query, "web-1.service", true, 3},
		{rules, also, Stop, "nginx.service", true, 3},
		{rules, also, Stop, "nginx.socket", false, 0},
		{rules, also, Stop, "apache.service", false, 0},
		{rules, also, Start, "", false, 0},
		{rules, alice, Start, "apache.service", true, 13},
		{rules, Subject{UID: 1002}, Start, "", true, 13},
		{rules, alice, Stop, "apache.service", false, 0},
		{rules, bob, System, "", true, 17},
		{rules, bob, System, "a.service", true, 17},
		{rules, Subject{UID: 65534, GID: 65534}, System, "", false, 0},
		{rules, bob, Right("nonsense"), "", false, 0},
	} {
		d := c.rules.Decide(c.who, c.right, c.service)
		var line int32
		if d.Rule != nil {
			line = d.Rule.Pos.Line
		}
		if d.Allowed != c.want || line != c.line {
			t.Errorf("Decide(%+v, %s, %q) = %v by line %d; want %v by %d", c.who, c.right, c.service, d.Allowed, line, c.want, c.line)
		}
	}
	if d := rules.All(alice, []Right{Start, Stop}, "x.service"); d.Allowed || d.Right != Stop {
		t.Errorf("start and stop: %+v; want no because of stop", d)
	}
	if d := rules.All(alice, nil, ""); !d.Allowed {
		t.Errorf("no rights needed, but %+v", d)
	}
}

func TestDenialSaysWhoWhatWhomAndWhy(t *testing.T) {
	rules := mustParse(t, example)
	who := Subject{UID: 1000, GID: 100}
	for _, c := range []struct{ service, want string }{
		{"web-1.service", "denied: uid 1000 (gid 100, pid 42) may not status web-1.service: access.toml:8:3 denies query on web-1.service"},
	} {
		if got := rules.Decide(who, Query, c.service).Denial(who, 42, "status"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	got := rules.Decide(who, System, "").Denial(who, 42, "shut\ndown")
	if want := `may not "shut\ndown": no rule of access.toml gives the right system on the system`; !strings.HasSuffix(got, want) {
		t.Errorf("got  %s\nwant …%s", got, want)
	}
}

func TestMistakesCloseTheFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[[rule]]\nrights = [\"strat\"]\n", `access.toml:2:11: error: there is no right "strat"`},
		{"[[rule]]\nright = [\"start\"]\n", `access.toml:2:1: error: a rule has no key right`},
		{"[[rules]]\nrights = [\"start\"]\n", `access.toml:1:3: error: there is no table [[rules]]`},
		{"[rule]\nrights = [\"start\"]\n", `access.toml:1:2: error: there is no table [rule]`},
		{"rights = [\"start\"]\n", `access.toml:1:1: error: rights belongs to no rule`},
		{"[[rule]]\nusers = [\"alice\"]\n", `access.toml:1:3: error: the rule says no rights`},
		{"[[rule]]\nrights = [\"start\"]\nusers = []\n", `access.toml:3:1: error: users is empty`},
		{"[[rule]]\nrights = [\"start\"]\nservices = []\n", `access.toml:3:1: error: services is empty`},
		{"[[rule]]\nrights = [\"start\"]\nservices = [\"[\"]\n", `error: "[" is no name or pattern`},
		{"[[rule]]\nrights = [\"start\"]\neffect = \"maybe\"\n", `error: effect must be`},
		{"[[rule]]\nrights = [\"start\"]\nusers = [-1]\n", `error: -1 is no id`},
		{"[[rule]]\nrights = [\"start\"]\nusers = [{a = 1}]\n", `error: users must be a list`},
		{"[[rule]]\nrights = [\"start\"]\nrights = [\"stop\"]\n", `access.toml:3:1: error: rights is already set`},
		{"[[rule]]\nrights = [\"system\"]\nservices = [\"a\"]\n", `error: the right system concerns`},
		{"[[rule]]\nrights = [\"start\"\n", `error: not TOML`},
		{strings.Repeat("#", maxFile+1), `longer than`},
		{strings.Repeat("[[rule]]\nrights=[\"start\"]\n", maxRules+1), `more than 1024 rules`},
		{"[[rule]]\nrights = [" + strings.Repeat(`"start",`, maxItems+1) + "]\n", `more than 256 elements`},
	} {
		r, ds := Parse("access.toml", []byte(c.text), accounts)
		found := slices.ContainsFunc(ds, func(d diag.Diag) bool { return strings.Contains(d.String(), c.want) })
		if !found || !r.Closed || len(r.Rules) > 0 {
			t.Errorf("%.80q: closed %v, %v; want %s", c.text, r.Closed, ds, c.want)
		}
	}
	r, ds := Parse("access.toml", []byte("[[rule]]\nrights = [\"start\"]\nusers = [\"carol\"]\n"), accounts)
	if r.Closed || len(ds) != 1 || ds[0].Severity != diag.Warning || !r.Rules[0].Nobody {
		t.Errorf("an unknown user: %+v, %v; want a warning and a rule for nobody", r, ds)
	}
	if r, ds := Parse("f", nil, accounts); r.Closed || len(ds) > 0 {
		t.Error("an empty file is fine, but", ds)
	}
}

func TestLive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.toml")
	var live Live
	alice := Subject{UID: 1000}
	can := func() string {
		return fmt.Sprint(live.Rules().Decide(alice, Query, "a").Allowed, live.Rules().Decide(alice, Start, "a").Allowed)
	}
	step := func(what, text string, mode os.FileMode, want string, errors int) {
		t.Helper()
		os.Remove(file)
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
		ds := live.Reload(file, accounts)
		if got := can(); got != want || len(ds) != errors {
			t.Errorf("%s: query and start %s, %v; want %s and %d findings", what, got, ds, want, errors)
		}
	}
	if got := can(); got != "false false" {
		t.Errorf("before the first file: %s", got)
	}
	good := "[[rule]]\nrights = [\"start\"]\n"
	step("broken at first", "[[rule", 0o644, "false false", 1)
	step("no file", "", 0, "true false", 0)
	step("good", good, 0o644, "true true", 0)
	step("broken later", "[[rule", 0o644, "true true", 1)
	step("gone", "", 0, "true false", 0)
	step("writable by others", good, 0o646, "true false", 1)
	step("writable by the group", good, 0o664, "true false", 1)
	os.Remove(file)
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if ds := live.Reload(file, accounts); len(ds) != 1 || can() != "true false" {
		t.Errorf("a directory: %v", ds)
	}
}

// FuzzParse: nothing panics; a file with an error gives nobody anything, and no
// finding points beyond the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("[[rule]]\nusers=[[],{}]\n a.b=1\n[rule.x]\ny=1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, ds := Parse("f", text, accounts)
		lines := int32(strings.Count(string(text), "\n") + 1)
		for _, d := range ds {
			if d.Pos.Line > lines {
				t.Fatalf("%v is beyond the %d lines of the file", d, lines)
			}
		}
		worst, _ := diag.Worst(ds)
		if r.Closed != (worst == diag.Error) {
			t.Fatalf("closed is %v with %v", r.Closed, ds)
		}
		if who := (Subject{UID: 7}); r.Closed && r.Decide(who, Query, "a.service").Allowed {
			t.Fatal("a broken file lets somebody in")
		}
	})
}
