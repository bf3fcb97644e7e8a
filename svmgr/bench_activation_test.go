package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynamod/internal/ipc"
)

// started starts a unit and waits for it.
func (r *running) started(c *ipc.Client, name string) {
	r.t.Helper()
	if res, err := call[ipc.JobResult](r.t, c, ipc.VerbStart, ipc.JobArgs{Unit: name, Wait: true}); err != nil || res.Result != "done" {
		r.t.Fatalf("start %s: %v %+v", name, err, res)
	}
}

// acceptor is the least that a service can do with its socket: a shell's worth of perl
// that accepts, answers and ends.
const acceptor = `open(my $l, "+<&=", 3) or die; accept(my $c, $l) or die; syswrite($c, "x\n");`

// BenchmarkActivation is the time from connect(2) to the answer of the service that was
// started for it; the time that its program itself takes to begin is told beside.
func BenchmarkActivation(b *testing.B) {
	r := prepare(b, nil)
	path, program := filepath.Join(r.run, "sock"), filepath.Join(b.TempDir(), "acceptor.pl")
	if err := os.WriteFile(program, []byte(acceptor), 0o644); err != nil {
		b.Fatal(err)
	}
	r.writeUnit("a.socket", "[Socket]\nListenStream="+path+"\nTriggerLimitIntervalSec=0\nPollLimitIntervalSec=0\n")
	r.writeUnit("a.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/usr/bin/perl "+program+"\n")
	r.start()
	c := r.client()
	r.started(c, "a.socket")
	var sum time.Duration
	for b.Loop() {
		begun := time.Now()
		if err := askEcho(path, "x\n"); err != nil {
			b.Fatal(err)
		}
		sum += time.Since(begun)
		r.until(c, "a.service", "inactive")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(sum.Microseconds())/float64(b.N), "connect-to-answer-µs")
}

// BenchmarkTimers is what a thousand timers cost the manager: to be started, to elapse,
// and to wait, in memory.
func BenchmarkTimers(b *testing.B) {
	const n = 1000
	for b.Loop() {
		r := prepare(b, nil)
		for i := range n {
			r.writeUnit(fmt.Sprintf("t%03d.timer", i), fmt.Sprintf("[Timer]\nOnCalendar=*-*-* *:*:%02d.%03d\nAccuracySec=1us\nUnit=t%03d.target\n", i%60, i, i))
			r.writeUnit(fmt.Sprintf("t%03d.target", i), "[Unit]\nDescription=nothing\n")
		}
		r.start()
		c := r.client()
		used := r.cpu()
		res, err := call[ipc.ManyResult](b, c, ipc.VerbStartAll, ipc.ManyArgs{Units: []string{"t*.timer"}, Wait: true})
		if err != nil || len(res.Units) != n {
			b.Fatalf("%d timers were started: %v", len(res.Units), err)
		}
		b.ReportMetric((r.cpu()-used)/n*1e6, "start-cpu-µs/timer")
		up := func() (up int) {
			for after := ""; ; {
				res, err := call[ipc.ListResult](b, c, ipc.VerbList, ipc.ListArgs{Types: []string{"target"}, States: []string{"active"}, Page: ipc.Page{After: after}})
				if err != nil {
					b.Fatal(err)
				}
				for _, u := range res.Units {
					if strings.HasPrefix(u.Name, "t") {
						up++
					}
				}
				if after = res.Next; after == "" {
					return up
				}
			}
		}
		// Each elapses once in a minute. The looks at them are not counted: there is
		// none in between.
		c.Close() // it would be idle for too long
		used = r.cpu()
		time.Sleep(61 * time.Second)
		b.ReportMetric((r.cpu()-used)/n*1e6, "elapse-cpu-µs/timer")
		c = r.client()
		if k := up(); k < n {
			b.Fatalf("%d of %d have elapsed in a minute", k, n)
		}
		c.Close()
		r.end()
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkUnitMemory is what one more unit adds to a manager at rest.
func BenchmarkUnitMemory(b *testing.B) {
	const n = 10_000
	at := func(n int) float64 {
		r := prepare(b, nil)
		for i := range n {
			r.writeUnit(fmt.Sprintf("u%05d.service", i), fmt.Sprintf("[Unit]\nDescription=Unit %d\nAfter=network.target\n[Service]\nExecStart=/usr/bin/program --number %d\nRestart=on-failure\n", i, i))
		}
		r.start()
		r.client().Close()
		least := r.field("VmRSS")
		// What only the loading needed is given back by and by.
		for range 20 {
			time.Sleep(time.Second)
			least = min(least, r.field("VmRSS"))
		}
		r.end()
		return least
	}
	for b.Loop() {
		few, many := at(1), at(n)
		b.ReportMetric((many-few)/n*1024, "RSS-bytes/unit")
	}
	b.ReportMetric(0, "ns/op")
}
