package unit

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// docs/settings.md is the table itself, written out.
func TestMarkdownIsUpToDate(t *testing.T) {
	const file = "../../docs/settings.md"
	want := SettingsMarkdown()
	if *update {
		if err := os.MkdirAll("../../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/settings.md is out of date: go test ./internal/unit -run Markdown -update")
	}
}
