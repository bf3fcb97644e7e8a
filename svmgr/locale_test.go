package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLocale(t *testing.T) {
	root := t.TempDir()
	if got := locale(root, "quiet"); !slices.Equal(got, []string{"LANG=C.UTF-8"}) {
		t.Errorf("without a file: %q", got)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "# comment\nLANG=\"de_DE.UTF-8\"\nLC_TIME=C\nPATH=/tmp\nLC_NAME=a\x01\n"
	if err := os.WriteFile(filepath.Join(root, "etc/locale.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := locale(root, ""); !slices.Equal(got, []string{"LANG=de_DE.UTF-8", "LC_TIME=C"}) {
		t.Errorf("with a file: %q", got)
	}
	if got := locale(root, "locale.LANG=fr_FR.UTF-8 locale.HOME=/"); !slices.Equal(got, []string{"LANG=fr_FR.UTF-8", "LC_TIME=C"}) {
		t.Errorf("with a command line: %q", got)
	}
}
