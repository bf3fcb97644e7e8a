package graph

// Waits says whether job a of a unit must wait for job b of another unit, where
// rel is the relation of a's unit to b's unit (both ends of an edge give the
// same answer as a whole: at most one of the two waits, unless the units are
// ordered both ways).
//
// systemd.unit(5), "Before=, After=": starts go in the given order; when both
// are stopped "the inverse of the start-up order is applied"; when one is
// stopped and the other started, "the shutdown is ordered before the start-up",
// whichever way they are ordered. A Restart counts as a Stop until the unit is
// down; the core then turns it into a Start and asks again.
func Waits(a JobType, rel Rel, b JobType) bool {
	if !ordered(a) || !ordered(b) {
		return false
	}
	return rel.Has(After) && !stopping(a) || rel.Has(Before) && stopping(b)
}

func ordered(t JobType) bool { return t != Nop && t != Reset }

func stopping(t JobType) bool { return t == Stop || t == Restart || t == TryRestart }
