package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestAnswers: lines are shown, files are kept, in whatever pieces they come; a name
// with a path in it stays in the directory.
func TestAnswers(t *testing.T) {
	said := "one\n@file ../../a.svg\n<svg>\n</svg>\n@end\ntwo\n@file a.svg\nagain\n@end\nthree"
	for size := range 20 {
		dir := t.TempDir()
		var shown bytes.Buffer
		a := newAnswers(&shown, dir)
		for rest := []byte(said); len(rest) > 0; {
			n := min(size+1, len(rest))
			if got, err := a.Write(rest[:n]); got != n || err != nil {
				t.Fatal(got, err)
			}
			rest = rest[n:]
		}
		if err := a.wait(t.Context(), "a.svg"); err != nil {
			t.Fatal(err)
		}
		if got := shown.String(); got != "one\ntwo\n" {
			t.Errorf("in pieces of %d: shown %q", size+1, got)
		}
		got, err := os.ReadFile(filepath.Join(dir, "a.svg"))
		if err != nil || string(got) != "again\n" {
			t.Errorf("in pieces of %d: kept %q, %v", size+1, got, err)
		}
	}
}

func TestAnswersMissing(t *testing.T) {
	a := newAnswers(&bytes.Buffer{}, t.TempDir())
	if _, err := a.Write([]byte("@file a.svg\n\n@end\n")); err != nil {
		t.Fatal(err)
	}
	if err := a.wait(t.Context(), "a.svg"); err == nil {
		t.Error("an empty file is taken for one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.wait(ctx, "b.svg"); err == nil {
		t.Error("a file that never comes is waited for without an end")
	}
}
