// Command sim runs seeds through the simulator of the core and reports the
// first histories that break an invariant, shrunk to a few lines.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dynamod/svmgr/internal/sim"
)

func main() {
	seeds := flag.Uint64("seeds", 1000, "how many seeds to run")
	from := flag.Uint64("from", 1, "the first seed")
	size := flag.String("units", "2-200", "least and most number of units")
	workers := flag.Int("workers", 2, "goroutines, 1 or 2")
	verbose := flag.Uint64("v", 0, "print every event and action of this seed, then stop")
	trace := flag.String("replay", "", "replay a trace file with every event and action, then stop")
	keep := flag.Int("keep", 3, "stop after so many different failures")
	dir := flag.String("dir", filepath.Join(os.TempDir(), "dynamod-sim"), "where traces of failures go")
	immortal := flag.Bool("nokills", false, "never kill the manager or compare snapshots")
	flag.Parse()
	least, most, err := bounds(*size)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	o := sim.Options{Least: least, Most: most, NoKills: *immortal}
	switch {
	case *trace != "":
		os.Exit(replay(*trace))
	case *verbose != 0:
		o.Tell = func(s string) { fmt.Println(s) }
		r, err := sim.Run(*verbose, o)
		os.Exit(verdict(r, err))
	}
	s := &search{next: *from, end: *from + *seeds, begun: time.Now(), o: o, keep: *keep, dir: *dir,
		found: map[string]int{}, total: sim.NewCoverage()}
	os.Exit(s.run(min(max(*workers, 1), 2)))
}

func bounds(s string) (least, most int, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		b = a
	}
	if least, err = strconv.Atoi(a); err == nil {
		most, err = strconv.Atoi(b)
	}
	if err == nil && (least < 1 || most < least || most > 5000) {
		err = fmt.Errorf("units %q: want MIN-MAX", s)
	}
	return least, most, err
}

func verdict(r *sim.Result, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		return 2
	}
	if r.Violation != nil {
		fmt.Println("VIOLATION", r.Violation)
		return 1
	}
	fmt.Printf("no violation: %d units, %d steps, %v of virtual time\n", r.Units, r.Steps, r.Virtual)
	return 0
}

func replay(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return verdict(nil, err)
	}
	defer f.Close()
	t, err := sim.ReadTrace(f)
	if err != nil {
		return verdict(nil, fmt.Errorf("%s: %w", path, err))
	}
	r, err := sim.Replay(t, sim.Options{Tell: func(s string) { fmt.Println(s) }})
	return verdict(r, err)
}

// search hands out seeds to its workers; mu guards everything below it.
type search struct {
	o     sim.Options
	end   uint64
	keep  int
	dir   string
	begun time.Time

	mu       sync.Mutex
	next     uint64
	done     uint64
	failures int
	found    map[string]int
	broken   error
	units    int
	total    *sim.Coverage
	printed  time.Time
}

// run owns the workers; they end when the seeds or the patience do.
func (s *search) run(workers int) int {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(s.work)
	}
	wg.Wait()
	fmt.Print(s.total)
	for _, k := range slices.Sorted(maps.Keys(s.found)) {
		fmt.Printf("failing with %s: %d\n", k, s.found[k])
	}
	fmt.Printf("%d seeds, %d units, %d steps in %v; %d failing\n", s.done, s.units, s.total.Steps,
		time.Since(s.begun).Round(time.Millisecond), s.failures)
	if s.broken != nil {
		return verdict(nil, s.broken)
	}
	if s.failures > 0 {
		return 1
	}
	return 0
}

func (s *search) work() {
	cov := sim.NewCoverage()
	for {
		s.mu.Lock()
		if s.next >= s.end || len(s.found) >= s.keep || s.broken != nil {
			s.total.Add(cov)
			s.mu.Unlock()
			return
		}
		seed := s.next
		s.next++
		s.mu.Unlock()
		o := s.o
		o.Coverage = cov
		r, err := sim.Run(seed, o)
		s.mu.Lock()
		s.done++
		fresh := false
		switch {
		case err != nil:
			s.broken = fmt.Errorf("seed %d: %w", seed, err)
		case r.Violation != nil:
			s.failures++
			key := r.Violation.Rule
			if key == "panic" || key == "check" {
				key += " " + r.Violation.Unit
			}
			if s.found[key]++; s.found[key] == 1 {
				fresh = true
				fmt.Printf("seed %d: %v\n", seed, firstLine(r.Violation.Error()))
			}
			fallthrough
		default:
			s.units += r.Units
		}
		if now := time.Now(); now.Sub(s.printed) > 10*time.Second {
			s.printed = now
			fmt.Printf("%d seeds done in %v, %d failing\n", s.done, now.Sub(s.begun).Round(time.Second), s.failures)
		}
		s.mu.Unlock()
		if fresh {
			s.shrink(seed, o)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func (s *search) shrink(seed uint64, o sim.Options) {
	o.Coverage = nil
	_, f, err := sim.Examine(seed, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || f == nil {
		s.broken = fmt.Errorf("seed %d failed once, then: %v", seed, err)
		return
	}
	var text strings.Builder
	if err := f.Shrunk.Write(&text); err != nil {
		s.broken = err
		return
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%s-%d.txt", f.Shrunk.Rule, seed))
	if err := os.MkdirAll(s.dir, 0o755); err == nil {
		err = os.WriteFile(path, []byte(text.String()), 0o644)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sim:", err)
		}
	}
	if len(f.Shrunk.Entries) > 60 {
		fmt.Printf("%s: %d events, %s\n", path, len(f.Shrunk.Entries), f.Result.Violation)
		return
	}
	fmt.Printf("%s:\n%s\n", path, text.String())
}
