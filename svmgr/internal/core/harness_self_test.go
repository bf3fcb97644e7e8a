package core

import "testing"

// The mark for open bugs must let a failing story pass, whether it fails softly,
// hard, or by a panic. No bug carries the mark at present.
func TestKnownBugMark(t *testing.T) {
	knownBug(t, "an example", func(t tb) { load(t, "a.service ||").is("a.service", "active") })
	knownBug(t, "an example", func(t tb) { load(t, "a.service ||").main("a.service") })
	knownBug(t, "an example", func(tb) { panic("on purpose") })
}
