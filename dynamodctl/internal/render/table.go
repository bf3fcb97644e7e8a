package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// column is one column of a table. On a narrow terminal columns first shrink to
// their least width, then those with the highest drop number go.
type column struct {
	title string
	right bool
	// least is how far it may shrink; 0 means not at all.
	least int
	// drop is the order in which columns go; 0 means never.
	drop int
}

// cell is text that is safe already, and its colour.
type cell struct {
	text  string
	paint func(string) string
}

// text is a cell without colour.
func text(s string) cell { return cell{text: Safe(s)} }

func number(n int32) cell {
	if n == 0 {
		return cell{text: "-"}
	}
	return cell{text: fmt.Sprint(n)}
}

type table struct {
	cols []column
	rows [][]cell
}

const gap = "  "

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// widths works out how wide each column is; 0 for those that are left out.
func (t *table) widths(limit int) []int {
	w := make([]int, len(t.cols))
	for i, c := range t.cols {
		w[i] = max(ansi.StringWidth(c.title), 1)
		for _, r := range t.rows {
			w[i] = max(w[i], ansi.StringWidth(r[i].text))
		}
	}
	if limit == 0 {
		return w
	}
	over := func() int {
		sum := -len(gap)
		for _, n := range w {
			if n > 0 {
				sum += n + len(gap)
			}
		}
		return sum - limit
	}
	for over() > 0 {
		// The widest of those that can shrink gives way first, down to its
		// least width or until it is enough.
		best := -1
		for i, c := range t.cols {
			if c.least > 0 && w[i] > c.least && (best < 0 || w[i]-c.least > w[best]-t.cols[best].least) {
				best = i
			}
		}
		if best >= 0 {
			w[best] = max(w[best]-over(), t.cols[best].least)
			continue
		}
		for i, c := range t.cols {
			if c.drop > 0 && w[i] > 0 && (best < 0 || c.drop > t.cols[best].drop) {
				best = i
			}
		}
		if best < 0 {
			break // what is left is cut at the edge
		}
		w[best] = 0
		// What remains may grow back to its natural width.
		for i, c := range t.cols {
			if w[i] == 0 || c.least == 0 {
				continue
			}
			w[i] = max(ansi.StringWidth(c.title), 1)
			for _, r := range t.rows {
				w[i] = max(w[i], ansi.StringWidth(r[i].text))
			}
		}
	}
	return w
}

func (t *table) write(w io.Writer, o Options) {
	widths := t.widths(o.Width)
	last := 0
	for i, n := range widths {
		if n > 0 {
			last = i
		}
	}
	put := func(cells func(i int) cell) {
		var b strings.Builder
		for i, n := range widths {
			if n == 0 {
				continue
			}
			c := cells(i)
			s := fit(c.text, n)
			shown := s
			if c.paint != nil {
				shown = c.paint(s)
			}
			space := strings.Repeat(" ", max(n-ansi.StringWidth(s), 0))
			switch {
			case t.cols[i].right:
				b.WriteString(space + shown)
			case i == last:
				b.WriteString(shown)
			default:
				b.WriteString(shown + space)
			}
			if i != last {
				b.WriteString(gap)
			}
		}
		o.line(w, strings.TrimRight(b.String(), " "))
	}
	put(func(i int) cell { return cell{text: t.cols[i].title, paint: o.Style.Dim} })
	for _, r := range t.rows {
		put(func(i int) cell { return r[i] })
	}
}

// guides are the lines of a tree before each row, from the rows' depths. Rows of
// depth 0 have none.
func guides(depths []int) []string {
	out := make([]string, len(depths))
	// open[d] says whether a later row of depth d belongs to the same parent.
	var open []bool
	for i := len(depths) - 1; i >= 0; i-- {
		d := max(depths[i], 0)
		for len(open) <= d {
			open = append(open, false)
		}
		var b strings.Builder
		for level := 1; level < d; level++ {
			if open[level] {
				b.WriteString("│ ")
			} else {
				b.WriteString("  ")
			}
		}
		if d > 0 {
			if open[d] {
				b.WriteString("├─")
			} else {
				b.WriteString("└─")
			}
		}
		out[i] = b.String()
		open[d] = true
		open = open[:d+1]
	}
	return out
}
