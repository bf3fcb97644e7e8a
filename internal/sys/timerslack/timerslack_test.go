package timerslack

import (
	"runtime"
	"testing"
)

// What is set is there for f, and gone after it.
func TestWhile(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, during := Own(), 0
	While(Lazy, func() { during = Own() })
	if during != Lazy || Own() != before || before <= 0 {
		t.Errorf("%d ns, then %d, then %d; want %d in the middle", before, during, Own(), Lazy)
	}
}
