package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const events = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: got 1; want 2\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: no network\n"}
{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.01s\n"}
{"Action":"fail","Package":"p"}
{"ImportPath":"q","Action":"build-output","Output":"q/q.go:1: syntax error\n"}
{"ImportPath":"q","Action":"build-fail"}
go: a complaint of the go command
{"Action":"skip","Package":"empty"}
`

func TestRead(t *testing.T) {
	var echoed []string
	s, err := read(strings.NewReader(events), "    b_test", func(l string) { echoed = append(echoed, l) })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"    b_test.go:3: got 1; want 2", "FAIL\tp\t0.01s", "go: a complaint of the go command"}; !slices.Equal(echoed, want) {
		t.Errorf("echoed %q; want %q", echoed, want)
	}
	if s.passed != 1 || s.failed != 1 {
		t.Errorf("passed, failed = %d, %d; want 1, 1", s.passed, s.failed)
	}
	var out strings.Builder
	if s.print(&out, 1) {
		t.Error("print is content although a test failed")
	}
	for _, want := range []string{"got 1; want 2", "q/q.go:1: syntax error", "skipped: p.TestC: c_test.go:9: no network\n", "1 passed, 1 failed, 1 skipped (1 skips allowed)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("closing lines lack %q:\n%s", want, out.String())
		}
	}
}

func TestSkipsMustNotGrow(t *testing.T) {
	s := &summary{passed: 3, skips: []string{"p.TestC: why"}}
	var out strings.Builder
	if !s.print(&out, 1) {
		t.Error("one skip, one allowed: refused")
	}
	if s.print(&out, 0) || !strings.Contains(out.String(), "more tests were skipped") {
		t.Errorf("one skip, none allowed: accepted\n%s", out.String())
	}
}

func TestAllowance(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	for text, want := range map[string]int{"3\n": 3, "# why\n\n2 # reason\n": 2, "": -1, "many\n": -1, "-1": -1} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		n, err := allowance(file)
		if want < 0 && err == nil || want >= 0 && (err != nil || n != want) {
			t.Errorf("allowance(%q) = %d, %v; want %d", text, n, err, want)
		}
	}
}
