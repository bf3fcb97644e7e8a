package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"dynamod/internal/ipc"
)

// What a unit had used is remembered, but not what it holds no more, and not of all the
// units that ever were.
func TestSpent(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"memory.current": "1", "memory.peak": "4096", "memory.swap.peak": "7", "pids.current": "3", "cpu.stat": "usage_usec 5\nuser_usec 4\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var s spent
	if _, ok := s.of("a.service"); ok {
		t.Error("known before it ended")
	}
	s.note("a.service", usageOf(dir))
	got, ok := s.of("a.service")
	if want := (ipc.Usage{Memory: -1, MemoryPeak: 4096, MemoryMax: -1, Swap: -1, SwapPeak: 7, CPU: 5, Tasks: -1, TasksMax: -1, IORead: -1, IOWrite: -1, OOMKills: -1}); !ok || got != want {
		t.Errorf("%+v, %v; want %+v", got, ok, want)
	}
	s.forget("other.service")
	s.note("gone.service", ipc.Usage{})
	s.forget("gone.service")
	if _, known := s.of("gone.service"); known || len(s.by) != 1 || len(s.order) != 1 {
		t.Errorf("after one of two is gone: %v, %v", s.by, s.order)
	}
	for k := range maxSpent {
		s.note(fmt.Sprint(k), ipc.Usage{CPU: int64(k)})
		s.note(fmt.Sprint(k), ipc.Usage{CPU: int64(k) + 1})
	}
	_, old := s.of("a.service")
	if last, ok := s.of(fmt.Sprint(maxSpent - 1)); old || !ok || last.CPU != maxSpent || len(s.by) != maxSpent || len(s.order) != maxSpent {
		t.Errorf("after %d more: the first is there: %v, the last is %+v, %d in all", maxSpent, old, last, len(s.by))
	}
}
