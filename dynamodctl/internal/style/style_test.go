package style

import (
	"os"
	"strings"
	"testing"
)

func TestColourOnTerminalsOnly(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminal here: ", err)
	}
	defer terminal.Close()
	plain, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for _, c := range []struct {
		name          string
		out           any
		noColor, term string
		want          string
	}{
		{"terminal", terminal, "", "xterm", "\x1b[1;31mx\x1b[0m"},
		{"NO_COLOR", terminal, "1", "xterm", "x"},
		{"dumb terminal", terminal, "", "dumb", "x"},
		{"file", plain, "", "xterm", "x"},
		{"buffer", &strings.Builder{}, "", "xterm", "x"},
	} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		if got := For(c.out).Red("x"); got != c.want {
			t.Errorf("%s: Red(x) = %q; want %q", c.name, got, c.want)
		}
	}
}
