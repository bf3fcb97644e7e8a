package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"dynamod/internal/ipc"
)

// Timers is the table of timers by their next elapse, those without one last.
func Timers(w io.Writer, timers []ipc.Status, o Options) {
	if len(timers) == 0 {
		fmt.Fprintln(w, "no timers match")
		return
	}
	timers = slices.Clone(timers)
	slices.SortStableFunc(timers, func(a, b ipc.Status) int {
		x, y := a.NextElapse, b.NextElapse
		switch {
		case x == nil && y == nil:
			return strings.Compare(a.Name, b.Name)
		case x == nil:
			return 1
		case y == nil:
			return -1
		}
		return cmp.Or(cmp.Compare(x.Wall, y.Wall), strings.Compare(a.Name, b.Name))
	})
	t := table{cols: []column{{title: "NEXT"}, {title: "LEFT", right: true, drop: 2}, {title: "LAST", drop: 3},
		{title: "PASSED", right: true, drop: 4}, {title: "TIMER", least: 16}, {title: "STARTS", least: 12, drop: 1}}}
	for i := range timers {
		s := &timers[i]
		next, left, last, passed := "-", "-", "-", "-"
		if n := s.NextElapse; n != nil && n.Wall != 0 {
			at := o.wall(n.Wall)
			next, left = at.Format(whenLayout), whole(at.Sub(o.Now))
		}
		if l := s.LastElapse; l != nil && l.Wall != 0 {
			at := o.wall(l.Wall)
			last, passed = at.Format(whenLayout), whole(o.Now.Sub(at))
		}
		t.add(text(next), text(left), text(last), text(passed), cell{Safe(s.Name), o.paint(s.State)}, cell{text: safeAll(s.Triggers, ", ")})
	}
	t.write(w, o)
	fmt.Fprintf(w, "\n%s\n", noun(len(timers), "timer"))
}

const whenLayout = "Mon 2006-01-02 15:04:05 MST"

// Sockets is the table of what socket units listen on, by address: a line for each.
func Sockets(w io.Writer, sockets []ipc.Status, o Options) {
	type line struct {
		listen string
		unit   *ipc.Status
	}
	var lines []line
	for i := range sockets {
		for _, l := range sockets[i].Listens {
			lines = append(lines, line{l, &sockets[i]})
		}
	}
	if len(lines) == 0 {
		fmt.Fprintln(w, "no sockets match")
		return
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(strings.Compare(a.listen, b.listen), strings.Compare(a.unit.Name, b.unit.Name))
	})
	t := table{cols: []column{{title: "LISTEN", least: 16}, {title: "SOCKET", least: 16}, {title: "STATE", drop: 2}, {title: "STARTS", least: 12, drop: 1}}}
	for _, l := range lines {
		t.add(text(l.listen), cell{Safe(l.unit.Name), o.Style.Bold}, cell{Safe(l.unit.Sub), o.paint(l.unit.State)}, cell{text: safeAll(l.unit.Triggers, ", ")})
	}
	t.write(w, o)
	fmt.Fprintf(w, "\n%s, %s\n", noun(len(lines), "place"), noun(len(sockets), "unit"))
}
