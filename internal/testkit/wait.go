package testkit

import (
	"testing"
	"time"
)

// Patience bounds every wait of a test: it is there to end a hopeless one, not to
// measure anything.
const Patience = 60 * time.Second

// Eventually waits until cond holds and fails the test when it does not within
// Patience. It is for facts outside this process that nothing announces; a test
// that can wait for an event does that.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for pause := time.Millisecond; !cond(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", Patience, what)
		}
		<-time.After(pause)
	}
}

// Receive takes the next value of a channel, or fails the test after Patience.
func Receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(Patience):
		t.Fatalf("waited %s in vain: %s", Patience, what)
		panic("unreachable")
	}
}
