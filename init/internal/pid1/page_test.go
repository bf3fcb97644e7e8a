package pid1

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/pid1.md")

const page = "../../../docs/pid1.md"

func renderTable() string {
	var b strings.Builder
	b.WriteString("| state |")
	for in := range numInputs {
		fmt.Fprintf(&b, " %s |", in)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", int(numInputs)) + "\n")
	for s := range numStates {
		fmt.Fprintf(&b, "| %s |", s)
		for in := range numInputs {
			cell := "·"
			if a := table[s][in]; a != Ignore {
				cell = a.String()
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func renderSignals() string {
	var b strings.Builder
	for s := 1; s <= MaxSignal; s++ {
		native, ok := Means(s, false)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", native.Name, meaningText(s, false), meaningText(s, true))
	}
	return b.String()
}

func meaningText(s int, container bool) string {
	m, ok := Means(s, container)
	switch {
	case !ok:
		return "–"
	case m.In == InForward:
		return "told to the manager"
	case m.Kind == 0:
		return m.In.String()
	}
	return m.In.String() + ": " + m.Kind.String()
}

// between replaces what is between two lines of doc.
func between(t *testing.T, doc, begin, end, with string) string {
	head, rest, ok := strings.Cut(doc, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	line, _, _ := strings.Cut(rest, "\n")
	if !ok || !ok2 {
		t.Fatalf("%s has lost %q", page, begin)
	}
	return head + begin + line + "\n" + with + end + tail
}

// TestPage holds docs/pid1.md and the code together.
func TestPage(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(data)
	want := between(t, doc, "<!-- table:", "<!-- end of table -->", renderTable())
	want = between(t, want, "<!-- signals:", "<!-- end of signals -->", renderSignals())
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if doc != want {
		t.Errorf("%s is not what the code does; it would be:\n%s\n%s", page, renderTable(), renderSignals())
	}
	for what, names := range map[string][]string{"## States": stateNames[:], "## Inputs": inputNames[:], "## Acts": actNames[:]} {
		_, section, _ := strings.Cut(doc, what)
		section, _, _ = strings.Cut(section, "\n## ")
		for k, n := range names {
			found := false
			for line := range strings.Lines(section) {
				cells := strings.SplitN(line, "|", 3)
				for word := range strings.SplitSeq(cells[min(1, len(cells)-1)], ",") {
					found = found || strings.TrimSpace(word) == n
				}
			}
			if n == "" || !found {
				t.Errorf("%s: number %d, %q, is not described", what, k, n)
			}
		}
	}
}

// TestTableUsesEverything: an act or input that no cell has would be dead.
func TestTableUsesEverything(t *testing.T) {
	acts, inputs := map[Act]bool{}, map[Input]bool{}
	for s := range numStates {
		for in, a := range table[s] {
			acts[a] = true
			if a != Ignore {
				inputs[Input(in)] = true
			}
		}
	}
	for a := range numActs {
		if !acts[a] {
			t.Errorf("act %s is nowhere in the table", a)
		}
	}
	for in := range numInputs {
		if !inputs[in] {
			t.Errorf("input %s is ignored everywhere", in)
		}
	}
	for n := Notice(1); n < numNotices; n++ {
		if notices[n].Text == "" {
			t.Errorf("notice %d has no text", n)
		}
	}
}
