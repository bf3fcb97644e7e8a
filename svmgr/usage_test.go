package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIOUsage(t *testing.T) {
	dir := t.TempDir()
	if r, w := cgroupIO(dir); r != -1 || w != -1 {
		t.Errorf("without the controller: %d, %d", r, w)
	}
	for text, want := range map[string][2]int64{
		"": {0, 0},
		"8:0 rbytes=4096 wbytes=10 rios=1 wios=1 dbytes=7 dios=1\n253:0 rbytes=1 wbytes=2 rios=0 wios=0 dbytes=0 dios=0\n": {4097, 12},
		"8:0\n":                    {0, 0}, // a device that was not used yet
		"8:0 rbytes=x wbytes=-1\n": {0, 0},
	} {
		if err := os.WriteFile(filepath.Join(dir, "io.stat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r, w := cgroupIO(dir); [2]int64{r, w} != want {
			t.Errorf("%q: %d, %d; want %v", text, r, w, want)
		}
	}
}
