package main

import (
	"fmt"
	"testing"
	"time"

	"dynamod/internal/ipc"
)

// BenchmarkOnDemand starts 500 instances of a template, one request each, that no
// generation has, beside 300 other unit files. It reports the wall time and the CPU time
// of the manager.
func BenchmarkOnDemand(b *testing.B) {
	const n = 500
	var wall, cpu float64
	for b.Loop() {
		r := prepare(b, nil)
		for i := range 300 {
			r.writeUnit(fmt.Sprintf("u%03d.service", i), fmt.Sprintf("[Unit]\nDescription=Unit %d\n[Service]\nExecStart=/bin/true\n", i))
		}
		r.writeUnit("fleet@.service", "[Service]\nExecStart=/bin/sleep 1000000\n")
		r.start()
		c := r.client()
		begun, used := time.Now(), r.cpu()
		for i := range n {
			if _, err := call[ipc.JobResult](b, c, ipc.VerbStart, ipc.JobArgs{Unit: fmt.Sprintf("fleet@%d.service", i)}); err != nil {
				b.Fatal(err)
			}
		}
		wall += time.Since(begun).Seconds()
		cpu += r.cpu() - used
		c.Close()
		r.end()
	}
	b.ReportMetric(wall/float64(b.N), "s/500")
	b.ReportMetric(cpu/float64(b.N), "cpu-s/500")
	b.ReportMetric(0, "ns/op")
}
