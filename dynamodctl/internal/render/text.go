package render

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"dynamod/dynamodctl/internal/style"
)

// Options say for whom text is made.
type Options struct {
	Style style.Style
	// Width is that of the terminal in columns; 0 means that lines may be as
	// long as they like, as in files and pipes.
	Width int
	Now   time.Time
	Zone  *time.Location
}

// Safe makes control characters, invalid UTF-8 and invisible characters, such as
// those that reverse the direction of writing, visible. A tab becomes a blank.
func Safe(s string) string {
	clean := true
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		case r == '\n':
			b.WriteString(`\n`)
		case r == 0x1b:
			b.WriteString(`\e`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		i += n
	}
	return b.String()
}

// safeAll is Safe for each, joined.
func safeAll(list []string, sep string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Safe(s)
	}
	return strings.Join(out, sep)
}

// fit cuts text to a number of columns.
func fit(s string, width int) string {
	if ansi.StringWidth(s) <= width {
		return s
	}
	return ansi.Truncate(s, max(width, 1), "…")
}

func pad(s string, width int, right bool) string {
	gap := strings.Repeat(" ", max(width-ansi.StringWidth(s), 0))
	if right {
		return gap + s
	}
	return s + gap
}

// wrap writes text after a label and breaks it at blanks, so that continuation
// lines stand under the text. The label must be as wide as indent.
func (o Options) wrap(w io.Writer, label string, indent int, text string) {
	if o.Width == 0 || o.Width-indent < 20 {
		fmt.Fprintf(w, "%s%s\n", label, text)
		return
	}
	for i, line := range strings.Split(ansi.Wrap(text, o.Width-indent, " "), "\n") {
		if i > 0 {
			label = strings.Repeat(" ", indent)
		}
		fmt.Fprintf(w, "%s%s\n", label, line)
	}
}

// line writes one line, cut to the terminal.
func (o Options) line(w io.Writer, s string) {
	if o.Width > 0 {
		s = fit(s, o.Width)
	}
	fmt.Fprintln(w, s)
}

// noun is "1 unit", "2 units".
func noun(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// Span says how long something took, to two places of what matters.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%dus", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return two(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 24*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	days := int(d.Hours()) / 24
	word := "days"
	if days == 1 {
		word = "day"
	}
	if h := int(d.Hours()) % 24; days < 10 && h > 0 {
		return fmt.Sprintf("%d %s %dh", days, word, h)
	}
	return fmt.Sprintf("%d %s", days, word)
}

func two(a int, au string, b int, bu string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, au)
	}
	return fmt.Sprintf("%d%s %d%s", a, au, b, bu)
}

// whole is Span without fractions: for moments in the past.
func whole(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	}
	return Span(d)
}

// Bytes says how much memory; a negative number is not known.
func Bytes(n int64) string {
	if n < 0 {
		return "-"
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	switch {
	case unit == 0:
		return fmt.Sprintf("%dB", n)
	case f < 10:
		return fmt.Sprintf("%.1f%c", f, "BKMGTP"[unit])
	}
	return fmt.Sprintf("%.0f%c", f, "BKMGTP"[unit])
}

// count is a number, or "-" when it is not known.
func count(n int64) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
