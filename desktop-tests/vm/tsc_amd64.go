package vm

import (
	"slices"
	"sync"
	"time"
)

// rdtsc reads the time stamp counter.
func rdtsc() uint64

// hostTSC is how fast the host's time stamp counter runs, in kHz. Guests that are told
// another rate have a clock that runs fast or slow by as much, and all their time-outs
// with it.
var hostTSC = sync.OnceValue(func() int {
	// A process that is put aside between a clock and its counter measures too
	// much or too little; the middle of several does not.
	const tries, each = 5, 20 * time.Millisecond
	var rates []int
	for range tries {
		began, from := time.Now(), rdtsc()
		<-time.After(each)
		took, to := time.Since(began), rdtsc()
		rates = append(rates, int(float64(to-from)*1e6/float64(took.Nanoseconds())))
	}
	slices.Sort(rates)
	return rates[tries/2]
})
