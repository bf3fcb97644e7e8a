package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestRingKeepsTheNewest(t *testing.T) {
	var r ring
	for k := range ringLines + 10 {
		r.Line("a.service", 1, false, []byte(fmt.Sprint(k)))
	}
	all := r.last(func(*outputLine) bool { return true }, 0)
	if len(all) != ringLines || all[0].Text != "10" || all[len(all)-1].Text != fmt.Sprint(ringLines+9) {
		t.Errorf("ring holds %d lines from %q to %q", len(all), all[0].Text, all[len(all)-1].Text)
	}
	if r.dropped != 10 {
		t.Errorf("dropped = %d; want 10", r.dropped)
	}
}

func TestRingIsBoundedInBytes(t *testing.T) {
	var r ring
	long := []byte(strings.Repeat("x", 8192))
	for range 2 * ringBytes / len(long) {
		r.Line("a.service", 1, false, long)
	}
	if r.bytes > ringBytes {
		t.Errorf("ring holds %d bytes; at most %d allowed", r.bytes, ringBytes)
	}
	r.Line("b.service", 2, true, []byte("short"))
	got := r.last(func(l *outputLine) bool { return l.Unit == "b.service" }, 5)
	if len(got) != 1 || got[0].Text != "short" || !got[0].Stderr {
		t.Errorf("last(b.service) = %+v", got)
	}
}
