package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestManual: the manual page names every command and every option.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../../docs/man/dynamodctl.1")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	command().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(page, "\n.It Fl -"+f.Name) {
			t.Errorf("the manual lacks --%s", f.Name)
		}
	})
	for _, cmd := range command().Commands() {
		if cmd.Hidden || cmd.Name() == "help" {
			continue
		}
		if !strings.Contains(page, "\n.Cm "+cmd.Name()+"\n") || !strings.Contains(page, "\n.It Cm "+cmd.Name()+"\n") {
			t.Errorf("the manual lacks the command %s", cmd.Name())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if strings.Contains(page, "Fl -"+f.Name) || f.Shorthand != "" && strings.Contains(page, "Fl "+f.Shorthand) ||
				strings.Contains(page, "| "+f.Shorthand+"\n") {
				return
			}
			t.Errorf("the manual lacks %s --%s", cmd.Name(), f.Name)
		})
	}
}
