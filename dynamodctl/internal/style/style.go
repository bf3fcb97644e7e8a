// Package style decides whether output is coloured and colours it. It knows a
// handful of ANSI attributes and nothing of what is printed.
package style

import (
	"os"

	"golang.org/x/sys/unix"
)

// Style colours text, or leaves it alone: the zero Style is plain.
type Style struct{ on bool }

// For is the style for a file: coloured on a terminal, unless NO_COLOR
// (no-color.org) or TERM=dumb say otherwise.
func For(w any) Style {
	return Style{on: os.Getenv("NO_COLOR") == "" && Terminal(w)}
}

// Always is the style that colours whatever the output is.
func Always() Style { return Style{on: true} }

func (s Style) wrap(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold is for places and names.
func (s Style) Bold(t string) string { return s.wrap("1", t) }

// Dim is for what matters least.
func (s Style) Dim(t string) string { return s.wrap("2", t) }

// Red is for errors.
func (s Style) Red(t string) string { return s.wrap("1;31", t) }

// Yellow is for warnings.
func (s Style) Yellow(t string) string { return s.wrap("1;33", t) }

// Green is for success.
func (s Style) Green(t string) string { return s.wrap("1;32", t) }

// Cyan is for notes and hints.
func (s Style) Cyan(t string) string { return s.wrap("36", t) }

// Width is how many columns the terminal has that w is, 0 if it is none: then
// lines are not cut.
func Width(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// Terminal says whether w is a terminal that lines can be overwritten on.
func Terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
