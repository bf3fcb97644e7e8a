package sim

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/unit"
)

// Trace is a history without its dice: a scenario and what happened in it. It
// is what is saved, replayed and shrunk.
type Trace struct {
	// Rule is what it violated when it was recorded.
	Rule     string
	Notes    []string
	Scenario *Scenario
	Entries  []Entry
}

// Write saves a trace as text, one event a line.
func (t *Trace) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, n := range t.Notes {
		for line := range strings.Lines(n) {
			fmt.Fprintf(b, "# %s\n", strings.TrimRight(line, "\n"))
		}
	}
	sc := t.Scenario
	fmt.Fprintf(b, "scenario rule=%s user=%v late=%v shutdown-timeout=%v\n", quoteIfNeeded(t.Rule), sc.User, sc.Late, sc.ShutdownTimeout)
	for i := range sc.Gens {
		g := &sc.Gens[i]
		fmt.Fprintf(b, "generation rejected=%v evict=%v\n", g.Rejected, g.Evict)
		for _, v := range g.Sups {
			fmt.Fprintf(b, "supervisor %s %s %v %d %v\n", v.Name, v.Parent, v.Strategy, v.MaxRestarts, v.Window)
		}
		for _, s := range g.Units {
			if i > 0 && slices.Contains(sc.Gens[i-1].Units, s) {
				fmt.Fprintf(b, "same %s\n", s.Name)
			} else {
				writeSpec(b, "unit", s)
			}
		}
	}
	for _, s := range sc.Extra {
		writeSpec(b, "extra", s)
	}
	for _, e := range t.Entries {
		fmt.Fprintf(b, "at %v %s\n", e.At, e.Text)
	}
	return b.Flush()
}

func writeSpec(w io.Writer, word string, s *Spec) {
	if s.Native {
		word += "-native"
	}
	fmt.Fprintf(w, "%s %s\n", word, s.Name)
	for _, l := range s.Lines {
		fmt.Fprintf(w, "\t%s %s=%s\n", l.Section, l.Key, l.Value)
	}
}

// ReadTrace reads what Write wrote.
func ReadTrace(r io.Reader) (*Trace, error) {
	t := &Trace{Scenario: &Scenario{}}
	p := traceReader{t: t}
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		if err := p.line(in.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if len(t.Scenario.Gens) == 0 {
		return nil, fmt.Errorf("no generation in the trace")
	}
	return t, in.Err()
}

type traceReader struct {
	t    *Trace
	spec *Spec
}

func (p *traceReader) line(line string) error {
	if strings.HasPrefix(line, "\t") {
		section, rest, ok := strings.Cut(line[1:], " ")
		key, val, ok2 := strings.Cut(rest, "=")
		if p.spec == nil || !ok || !ok2 {
			return fmt.Errorf("bad setting %q", line)
		}
		p.spec.add(section, key, val)
		return nil
	}
	word, rest, _ := strings.Cut(line, " ")
	sc := p.t.Scenario
	if word != "scenario" && word != "generation" && word != "#" && word != "" && word != "extra" && len(sc.Gens) == 0 {
		return fmt.Errorf("%q before the first generation", word)
	}
	switch word {
	case "":
	case "#":
		p.t.Notes = append(p.t.Notes, rest)
	case "scenario":
		return pairs(rest, func(k, v string) (err error) {
			switch k {
			case "rule":
				p.t.Rule, err = unquoteIfNeeded(v)
			case "user":
				sc.User = v == "true"
			case "late":
				sc.Late, err = time.ParseDuration(v)
			case "shutdown-timeout":
				sc.ShutdownTimeout, err = time.ParseDuration(v)
			}
			return err
		})
	case "generation":
		sc.Gens = append(sc.Gens, Generation{})
		g := &sc.Gens[len(sc.Gens)-1]
		return pairs(rest, func(k, v string) error {
			switch k {
			case "rejected":
				g.Rejected = v == "true"
			case "evict":
				g.Evict = v == "true"
			}
			return nil
		})
	case "supervisor":
		return p.supervisor(strings.Fields(rest))
	case "same":
		if len(sc.Gens) < 2 {
			return fmt.Errorf("%q in the first generation", line)
		}
		for _, s := range sc.Gens[len(sc.Gens)-2].Units {
			if s.Name == rest {
				sc.Gens[len(sc.Gens)-1].Units = append(sc.Gens[len(sc.Gens)-1].Units, s)
				return nil
			}
		}
		return fmt.Errorf("no %q in the generation before", rest)
	case "unit", "unit-native":
		if !validName(rest) {
			return fmt.Errorf("bad unit name %q", rest)
		}
		p.spec = &Spec{Name: rest, Native: word == "unit-native"}
		sc.Gens[len(sc.Gens)-1].Units = append(sc.Gens[len(sc.Gens)-1].Units, p.spec)
	case "extra", "extra-native":
		p.spec = &Spec{Name: rest, Native: word == "extra-native"}
		sc.Extra = append(sc.Extra, p.spec)
	case "at":
		at, text, _ := strings.Cut(rest, " ")
		d, err := time.ParseDuration(at)
		p.t.Entries = append(p.t.Entries, Entry{d, text})
		return err
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

func (p *traceReader) supervisor(f []string) error {
	if len(f) != 5 {
		return fmt.Errorf("supervisor needs five words")
	}
	v := SupSpec{Name: f[0], Parent: f[1]}
	for st := unit.OneForOne; ; st++ {
		if st > unit.RestForOne {
			return fmt.Errorf("strategy %q", f[2])
		}
		if st.String() == f[2] {
			v.Strategy = st
			break
		}
	}
	n, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return err
	}
	v.MaxRestarts = uint32(n)
	v.Window, err = time.ParseDuration(f[4])
	g := &p.t.Scenario.Gens[len(p.t.Scenario.Gens)-1]
	g.Sups = append(g.Sups, v)
	return err
}

func pairs(text string, f func(k, v string) error) error {
	words, err := splitWords(text)
	if err != nil {
		return err
	}
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("expected KEY=VALUE, got %q", w)
		}
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}
