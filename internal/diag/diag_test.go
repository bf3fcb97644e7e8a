package diag

import (
	"strings"
	"testing"
)

func TestStringForms(t *testing.T) {
	for _, c := range []struct {
		d    Diag
		want string
	}{
		{Diag{Pos: Pos{"a.service", 3, 5}, Severity: Error, Code: "bad-value", Message: "no"}, "a.service:3:5: error: no [bad-value]"},
		{Diag{Pos: Pos{"a.service", 3, 0}, Severity: Warning, Code: "x", Message: "m", Hint: "h"}, "a.service:3: warning: m; h [x]"},
		{Diag{Unit: "a.service", Severity: Note, Code: "x", Message: "m"}, "a.service: note: m [x]"},
	} {
		if got := c.d.String(); got != c.want {
			t.Errorf("String() = %q; want %q", got, c.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	keys := []string{"ExecStart", "ExecStop", "Restart", "RestartSec", "max-restarts", "memory-max"}
	for _, c := range []struct{ in, want string }{
		{"ExecStrat", "ExecStart"},
		{"execstart", "ExecStart"},
		{"Restartsec", "RestartSec"},
		{"max_restarts", "max-restarts"},
		{"memroy-max", "memory-max"},
		{"Frobnicate", ""},
		{"", ""},
		{strings.Repeat("x", 1<<20), ""},
	} {
		if got := Suggest(c.in, keys); got != c.want {
			t.Errorf("Suggest(%.20q) = %q; want %q", c.in, got, c.want)
		}
	}
}

func TestSortDropsRepetitions(t *testing.T) {
	a := Diag{Pos: Pos{File: "b", Line: 1}, Code: "x"}
	b := Diag{Pos: Pos{File: "a", Line: 9}, Code: "x"}
	got := Sort([]Diag{a, b, a})
	if len(got) != 2 || got[0] != b || got[1] != a {
		t.Errorf("Sort = %v; want [b a]", got)
	}
}

func TestClipHidesControlCharacters(t *testing.T) {
	if got := Clip("a\x1b[31m"); strings.ContainsRune(got, '\x1b') {
		t.Errorf("Clip kept an escape: %q", got)
	}
	if got := Clip(strings.Repeat("é", 1<<20)); len(got) > 4*maxShown {
		t.Errorf("Clip gave %d bytes", len(got))
	}
	if got := Clip("plain = text"); got != "plain = text" {
		t.Errorf("Clip = %q", got)
	}
}

func FuzzSuggest(f *testing.F) {
	f.Add("ExecStrat", "ExecStart")
	f.Fuzz(func(t *testing.T, w, c string) {
		if len(w) > 64 || len(c) > 64 {
			return
		}
		if got := Suggest(w, []string{c}); got != "" && got != c {
			t.Fatalf("Suggest(%q, [%q]) = %q", w, c, got)
		}
		if w != "" && Suggest(w, []string{w}) != w {
			t.Fatalf("Suggest(%q) misses itself", w)
		}
	})
}
