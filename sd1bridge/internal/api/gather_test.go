package api

import (
	"testing"
	"time"
)

// Changes are gathered for longer where telling of them takes long, within bounds.
func TestGather(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{0: settle, time.Millisecond: settle, 20 * time.Millisecond: 80 * time.Millisecond, time.Minute: settleMost} {
		if got := gather(took); got != want {
			t.Errorf("gather(%v) = %v; want %v", took, got, want)
		}
	}
}
