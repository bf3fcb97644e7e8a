package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"dynamod/svmgr/internal/core"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Coverage counts what was seen, so that it shows what never was.
type Coverage struct {
	Events, Actions, States, Subs, Results, Causes, Verbs, Jobs, Errors map[string]int
	Steps                                                               int
}

// NewCoverage is empty but knows all names, with a count of 0.
func NewCoverage() *Coverage {
	c := &Coverage{Events: map[string]int{}, Actions: map[string]int{}, States: map[string]int{}, Subs: map[string]int{},
		Results: map[string]int{}, Causes: map[string]int{}, Verbs: map[string]int{}, Jobs: map[string]int{},
		Errors: map[string]int{}}
	for _, e := range allEvents {
		c.Events[reflect.TypeOf(e).Name()] = 0
	}
	for _, a := range allActions {
		c.Actions[reflect.TypeOf(a).Name()] = 0
	}
	for s := core.Inactive; s <= core.Skipped; s++ {
		c.States[s.String()] = 0
	}
	for s := core.SubDead; s <= core.SubAbandoned; s++ {
		c.Subs[s.String()] = 0
	}
	for r := core.JobDone; r <= core.JobMerged; r++ {
		c.Results[r.String()] = 0
	}
	for k := core.NoCause; k <= core.OrderingCycle; k++ {
		c.Causes[causeName(k)] = 0
	}
	for v := core.VerbStart; v <= core.VerbMark; v++ {
		c.Verbs[v.String()] = 0
	}
	return c
}

// causeName adds the number, as several causes share systemd's word.
func causeName(k core.CauseKind) string { return fmt.Sprintf("%02d-%s", int(k), k) }

func (c *Coverage) count(ev core.Event, out []core.Action) {
	c.Steps++
	c.Events[typeName(ev)]++
	if r, ok := ev.(core.Request); ok {
		c.Verbs[r.Verb.String()]++
	}
	for _, a := range out {
		c.Actions[typeName(a)]++
		switch a := a.(type) {
		case core.Publish:
			switch a.What {
			case core.UnitChanged:
				c.States[a.To.String()]++
				c.Subs[a.Sub.String()]++
				c.Causes[causeName(a.Cause.Kind)]++
			case core.JobNew:
				c.Jobs[a.JobType+" by "+a.Source.String()]++
			case core.JobRemoved:
				c.Results[a.JobResult.String()]++
			}
		case core.Reply:
			if a.Err != nil {
				c.Errors[a.Err.Kind]++
			}
		}
	}
}

var typeNames = func() map[reflect.Type]string {
	m := map[reflect.Type]string{}
	for _, e := range allEvents {
		m[reflect.TypeOf(e)] = reflect.TypeOf(e).Name()
	}
	for _, a := range allActions {
		m[reflect.TypeOf(a)] = reflect.TypeOf(a).Name()
	}
	return m
}()

func typeName(v any) string { return typeNames[reflect.TypeOf(v)] }

// Add sums another worker's counts into c.
func (c *Coverage) Add(o *Coverage) {
	c.Steps += o.Steps
	for i, m := range c.maps() {
		for k, n := range o.maps()[i] {
			m[k] += n
		}
	}
}

func (c *Coverage) maps() []map[string]int {
	return []map[string]int{c.Events, c.Actions, c.States, c.Subs, c.Results, c.Causes, c.Verbs, c.Jobs, c.Errors}
}

// String is a table of all counts, and what was never seen.
func (c *Coverage) String() string {
	titles := []string{"events", "actions", "states", "sub-states", "job results", "causes", "verbs", "jobs", "errors"}
	var b, never strings.Builder
	fmt.Fprintf(&b, "%d steps\n", c.Steps)
	for i, m := range c.maps() {
		fmt.Fprintf(&b, "%s:", titles[i])
		keys := sortedKeys(m)
		slices.SortStableFunc(keys, func(x, y string) int { return m[y] - m[x] })
		for _, k := range keys {
			if m[k] == 0 {
				fmt.Fprintf(&never, " %s:%s", titles[i], k)
				continue
			}
			fmt.Fprintf(&b, " %s=%d", k, m[k])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "never seen:%s\n", never.String())
	return b.String()
}
