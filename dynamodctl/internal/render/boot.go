package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dynamod/internal/ipc"
)

func moment(usec int64) string {
	return fmt.Sprintf("%.3fs", float64(usec)/1e6)
}

// sinceManager counts from the begin of the manager where there was no boot, in a
// container and the like: the time since the machine booted says nothing there.
func sinceManager(b *ipc.BootResult) *ipc.BootResult {
	if b.Kernel != 0 {
		return b
	}
	out := *b
	shift := func(usec *int64) {
		if *usec != 0 {
			*usec = max(*usec-b.Manager, 1)
		}
	}
	shift(&out.Finished)
	out.Manager = 0
	out.Units = slices.Clone(b.Units)
	for i := range out.Units {
		shift(&out.Units[i].Activating)
		shift(&out.Units[i].Active)
	}
	return &out
}

// summary is one line about the whole boot.
func summary(b *ipc.BootResult) string {
	switch {
	case b.Kernel == 0 && b.Finished == 0:
		return "the start is not finished"
	case b.Kernel == 0:
		return fmt.Sprintf("the start took %s", moment(b.Finished))
	}
	if b.Finished == 0 {
		return fmt.Sprintf("the boot is not finished; the kernel took %s, the manager began at %s", moment(b.Kernel), moment(b.Manager))
	}
	return fmt.Sprintf("the boot took %s: kernel %s, init %s, units %s", moment(b.Finished), moment(b.Kernel),
		moment(max(b.Manager-b.Kernel, 0)), moment(max(b.Finished-b.Manager, 0)))
}

// Blame lists units by how long they took to come up; what took no time at all,
// such as targets, is left out.
func Blame(w io.Writer, b *ipc.BootResult, o Options) {
	b = sinceManager(b)
	rows := slices.DeleteFunc(slices.Clone(b.Units), func(r ipc.BootRow) bool { return r.Activating == 0 || r.Active <= r.Activating })
	slices.SortStableFunc(rows, func(x, y ipc.BootRow) int {
		return cmp.Or(cmp.Compare(y.Active-y.Activating, x.Active-x.Activating), strings.Compare(x.Unit, y.Unit))
	})
	for _, r := range rows {
		took := time.Duration(r.Active-r.Activating) * time.Microsecond
		s := fmt.Sprintf("%10s", Span(took))
		if took >= time.Second {
			s = o.Style.Red(s)
		}
		o.line(w, s+" "+Safe(r.Unit))
	}
	fmt.Fprintf(w, "\n%s\n", summary(b))
}

// CriticalChain is what the boot, or one unit, waited for last at each step. The
// last unit to come up is taken if none is named; a bare name means a service.
// It says whether there is such a unit.
func CriticalChain(w io.Writer, b *ipc.BootResult, unit string, o Options) bool {
	b = sinceManager(b)
	rows := map[string]ipc.BootRow{}
	var last ipc.BootRow
	for _, r := range b.Units {
		rows[r.Unit] = r
		if r.Active > last.Active && (b.Finished == 0 || r.Active <= b.Finished) {
			last = r
		}
	}
	at := last
	if unit != "" {
		var ok bool
		if at, ok = rows[unit]; !ok {
			if at, ok = rows[unit+".service"]; !ok {
				return false
			}
		}
	}
	if at.Unit == "" {
		fmt.Fprintln(w, "no unit was started yet")
		return true
	}
	fmt.Fprintf(w, "%s\n\n", summary(b))
	seen := map[string]bool{}
	for depth := 0; ; depth++ {
		seen[at.Unit] = true
		lead := ""
		if depth > 0 {
			lead = strings.Repeat("  ", min(depth, 30)-1) + o.Style.Dim("└─")
		}
		s := lead + o.Style.Bold(Safe(at.Unit))
		switch {
		case at.Active > 0:
			s += " up at " + moment(at.Active)
		default:
			s += o.Style.Dim(" not up")
		}
		if took := at.Active - at.Activating; at.Activating > 0 && took > 0 {
			s += o.Style.Yellow(" +" + Span(time.Duration(took)*time.Microsecond))
		}
		o.line(w, s)
		next, ok := rows[at.After]
		if at.After == "" || seen[at.After] {
			return true
		}
		if !ok {
			next = ipc.BootRow{Unit: at.After}
		}
		at = next
	}
}
