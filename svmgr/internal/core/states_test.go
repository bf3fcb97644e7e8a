package core

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/states.md")

const (
	statesFile  = "../../../docs/states.md"
	tablesBegin = "<!-- tables: kept by TestStatesDocument; go test ./svmgr/internal/core -run TestStatesDocument -update -->\n"
	tablesEnd   = "<!-- end of tables -->"
)

func renderTables() string {
	var b strings.Builder
	for _, m := range machines() {
		fmt.Fprintf(&b, "\n### %s%s\n\n| sub-state |", strings.ToUpper(m.name[:1]), m.name[1:])
		for _, in := range m.inputs {
			fmt.Fprintf(&b, " %s |", in)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(m.inputs)) + "\n")
		for _, s := range m.subs {
			fmt.Fprintf(&b, "| %s |", s)
			for _, in := range m.inputs {
				cell := "·"
				if a := m.cells[s][in]; a != Ignore {
					cell = a.String()
				}
				b.WriteString(" " + cell + " |")
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
	return b.String()
}

// TestStatesDocument holds docs/states.md and the code together.
func TestStatesDocument(t *testing.T) {
	data, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	head, rest, ok := strings.Cut(doc, tablesBegin)
	_, tail, ok2 := strings.Cut(rest, tablesEnd)
	if !ok || !ok2 {
		t.Fatal("docs/states.md has lost the marks around its tables")
	}
	want := head + tablesBegin + renderTables() + tablesEnd + tail
	if *update {
		if err := os.WriteFile(statesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if doc != want {
		got, exp := strings.Split(doc, "\n"), strings.Split(want, "\n")
		for k := range exp {
			if k >= len(got) || got[k] != exp[k] {
				t.Fatalf("docs/states.md line %d differs from the code:\n doc  %s\n code %s", k+1, at(got, k), exp[k])
			}
		}
		t.Fatal("docs/states.md has rows that the code lacks")
	}
	for _, s := range stateNames {
		if !strings.Contains(head, "| "+s+" |") {
			t.Errorf("state %q is not described", s)
		}
	}
	for a := range numActs {
		if !describes(head, "## Acts", a.String()) {
			t.Errorf("act %q is not described", a)
		}
	}
	for in := range numInputs {
		if !describes(head, "## Inputs", in.String()) {
			t.Errorf("input %q is not described", in)
		}
	}
}

func at(lines []string, k int) string {
	if k < len(lines) {
		return lines[k]
	}
	return "(missing)"
}

// describes says whether a row of the table below heading names word.
func describes(doc, heading, word string) bool {
	_, sect, _ := strings.Cut(doc, heading)
	sect, _, _ = strings.Cut(sect, "\n## ")
	for _, line := range strings.Split(sect, "\n") {
		cells := strings.SplitN(line, "|", 3)
		if len(cells) < 3 {
			continue
		}
		if slices.Contains(strings.Split(strings.TrimSpace(cells[1]), ", "), word) {
			return true
		}
	}
	return false
}

// TestTablesAreTotal walks every state and input: each act of a table must be one
// that its family carries out, each up sub-state must know stop, and every enum
// value must have a name.
func TestTablesAreTotal(t *testing.T) {
	for _, m := range machines() {
		if m.family != familyDevice && m.cells[m.upSub][InStop] == Ignore {
			t.Errorf("%s: %s cannot be stopped", m.name, m.upSub)
		}
		if m.cells[SubDead][InStart] != ActBegin {
			t.Errorf("%s: dead cannot be started", m.name)
		}
		for _, s := range m.subs {
			timed := false
			for _, in := range m.inputs {
				timed = timed || m.cells[s][in] != Ignore
			}
			if !timed {
				t.Errorf("%s: %s has no way out", m.name, s)
			}
		}
	}
	for k, n := range actNames {
		if n == "" {
			t.Errorf("act %d has no name", k)
		}
	}
	for k, n := range inputNames {
		if n == "" {
			t.Errorf("input %d has no name", k)
		}
	}
	for k, n := range subNames {
		if n == "" {
			t.Errorf("sub-state %d has no name", k)
		}
	}
	for k, w := range causeTable {
		if w.name == "" || w.what == "" {
			t.Errorf("cause %d has no words", k)
		}
	}
}
