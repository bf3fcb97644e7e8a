package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dynamod/svmgr/internal/world"
)

func TestRingKeepsTheNewest(t *testing.T) {
	var r ring
	for k := range ringLines + 10 {
		r.Line(&world.Line{Unit: "a.service", Run: 1, Text: []byte(fmt.Sprint(k))})
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
		r.Line(&world.Line{Unit: "a.service", Run: 1, Text: long})
	}
	if r.bytes > ringBytes {
		t.Errorf("ring holds %d bytes; at most %d allowed", r.bytes, ringBytes)
	}
	r.Line(&world.Line{Unit: "b.service", Run: 2, Stderr: true, Text: []byte("short")})
	got := r.last(func(l *outputLine) bool { return l.Unit == "b.service" }, 5)
	if len(got) != 1 || got[0].Text != "short" || !got[0].Stderr {
		t.Errorf("last(b.service) = %+v", got)
	}
}

// logging.buffer-lines: who writes much loses its own lines, not those of others. What
// is kept is compared with a plain list.
func TestRingKeepsLinesOfEachUnit(t *testing.T) {
	var r ring
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string][]string{"quiet.service": {"once"}}
	r.Line(&world.Line{Unit: "quiet.service", Text: []byte("once")})
	const keep = 50
	policy := &world.LinePolicy{Keep: keep}
	for k := range 3 * ringLines {
		name := fmt.Sprint("u", random.IntN(20), ".service")
		if random.IntN(3) > 0 {
			name = "flood.service"
		}
		text := fmt.Sprint(k)
		r.Line(&world.Line{Unit: name, Text: []byte(text), Policy: policy})
		want[name] = append(want[name], text)
		want[name] = want[name][max(0, len(want[name])-keep):]
	}
	for name, lines := range want {
		var got []string
		for _, l := range r.last(func(l *outputLine) bool { return l.Unit == name }, 0) {
			got = append(got, l.Text)
		}
		if strings.Join(got, " ") != strings.Join(lines, " ") {
			t.Fatalf("of %s the ring has %q; want %q", name, got, lines)
		}
	}
	if all := len(r.last(func(*outputLine) bool { return true }, 0)); uint64(all)+r.dropped != 3*ringLines+1 {
		t.Errorf("%d lines are there and %d dropped, of %d", all, r.dropped, 3*ringLines)
	}
	// A program that goes on has the same lines.
	var next ring
	next.restore(r.state())
	if a, b := fmt.Sprint(r.last(func(*outputLine) bool { return true }, 0)), fmt.Sprint(next.last(func(*outputLine) bool { return true }, 0)); a != b {
		t.Error("the ring of the next program has other lines")
	}
}

func TestRingRateLimit(t *testing.T) {
	var r ring
	now := time.Unix(1000, 0)
	policy := &world.LinePolicy{Keep: 100, Burst: 3, Interval: time.Second}
	for k := range 10 {
		r.line(&world.Line{Unit: "a.service", Text: []byte(fmt.Sprint(k)), Policy: policy}, now)
		r.line(&world.Line{Unit: "b.service", Text: []byte("free")}, now)
	}
	now = now.Add(time.Second)
	r.line(&world.Line{Unit: "a.service", Text: []byte("later"), Policy: policy}, now)
	var got []string
	for _, l := range r.last(func(l *outputLine) bool { return l.Unit == "a.service" }, 0) {
		got = append(got, l.Text)
	}
	want := "0 1 2 7 lines were suppressed: more than 3 within 1s (LogRateLimitBurst=) later"
	if strings.Join(got, " ") != want {
		t.Errorf("the ring has %q; want %q", strings.Join(got, " "), want)
	}
	if n := len(r.last(func(l *outputLine) bool { return l.Unit == "b.service" }, 0)); n != 10 {
		t.Errorf("a unit without a limit has %d lines; want 10", n)
	}
}
