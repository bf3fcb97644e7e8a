package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What clients set stands over what the manager was given, also for the next program.
func TestEnviron(t *testing.T) {
	path := filepath.Join(t.TempDir(), "environment")
	e, err := openEnviron(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.are([]string{"A=1", "B=2", "B=3", "nonsense"}); !slices.Equal(got, []string{"A=1", "B=3"}) {
		t.Errorf("at first %q", got)
	}
	for _, c := range []struct {
		unset, set []string
		want       string
	}{
		{nil, []string{"C=x y", "A=5"}, "A=5 B=3 C=x y"},
		{[]string{"A=1"}, nil, "A=5 B=3 C=x y"}, // not this value
		{[]string{"A=5"}, nil, "A=1 B=3 C=x y"},
		{[]string{"B", "D"}, []string{"B=new", "E=\n\t"}, "A=1 B=new C=x y E=\n\t"},
		{nil, []string{"AA=1"}, "A=1 B=new AA=1 C=x y E=\n\t"},
		{[]string{"B", "AA"}, nil, "A=1 B=3 C=x y E=\n\t"},
		{nil, []string{"1A=x"}, ""},
		{nil, []string{"A"}, ""},
		{nil, []string{"=x"}, ""},
		{[]string{"a-b"}, nil, ""},
		{nil, []string{"OK=1", "A=\x01"}, ""},
		{nil, []string{"A=\xff"}, ""},
		{nil, []string{"A=" + strings.Repeat("x", maxEnvironment)}, ""},
	} {
		got, err := e.change(c.unset, c.set)
		if (err != nil) != (c.want == "") || err == nil && strings.Join(got, " ") != c.want {
			t.Errorf("unset %q, set %.100q: %q, %v; want %q", c.unset, c.set, got, err, c.want)
		}
	}
	again, err := openEnviron(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.are([]string{"A=1", "B=3", "F=1"}); !slices.Equal(got, []string{"A=1", "B=3", "F=1", "C=x y", "E=\n\t"}) {
		t.Errorf("the next program has %q", got)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	e.path = filepath.Join(path, "nowhere")
	if _, err := e.change(nil, []string{"G=1"}); err == nil {
		t.Error("a change that cannot be kept is taken")
	}
	if slices.Contains(e.are(nil), "G=1") {
		t.Error("a refused change counts")
	}
}
