package main

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"dynamod/internal/ipc"
)

// BenchmarkScope is what the manager does of a login and its logout: the scope of a session
// is made of a process, is abandoned, and goes when the process has ended; beside 200 other
// units, as on a machine. It reports the time until the scope is there, that until
// everybody has been told that it is gone, and the CPU time of the manager for both.
func BenchmarkScope(b *testing.B) {
	r := prepare(b, nil)
	for i := range 200 {
		r.writeUnit(fmt.Sprintf("u%03d.service", i), fmt.Sprintf("[Unit]\nDescription=Unit %d\n[Service]\nExecStart=/bin/sleep 1000000\n", i))
	}
	r.writeUnit("user-runtime-dir@.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
	r.writeUnit("user@.service", "[Service]\nExecStart=/bin/sleep 1000000\n")
	r.start()
	c, listener := r.client(), r.client()
	for _, unit := range []string{"user-runtime-dir@1000.service", "user@1000.service"} {
		if _, err := call[ipc.JobResult](b, c, ipc.VerbStart, ipc.JobArgs{Unit: unit, Wait: true}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	events, err := listener.Subscribe(ctx, ipc.SubscribeArgs{Kinds: []string{ipc.EventUnit, ipc.EventUnitGone}, Units: []string{"session-*.scope"}})
	if err != nil {
		b.Fatal(err)
	}
	var up, down time.Duration
	used := r.cpu()
	for i := 0; b.Loop(); i++ {
		p := exec.Command("/bin/sleep", "1000000")
		if err := p.Start(); err != nil {
			b.Fatal(err)
		}
		unit := fmt.Sprintf("session-%d.scope", i)
		begun := time.Now()
		set := []ipc.Setting{{Section: "Unit", Key: "Description", Value: "Session " + unit}, {Section: "Scope", Key: "Slice", Value: "user-1000.slice"},
			{Section: "Scope", Key: "SendSIGHUP", Value: "yes"}, {Section: "Scope", Key: "TasksMax", Value: "infinity"}}
		for _, w := range []string{"user-runtime-dir@1000.service", "user@1000.service"} {
			set = append(set, ipc.Setting{Section: "Unit", Key: "Wants", Value: w}, ipc.Setting{Section: "Unit", Key: "After", Value: w})
		}
		res, err := call[ipc.JobResult](b, c, ipc.VerbAdd, ipc.AddArgs{Unit: unit, Settings: set, PIDs: []int32{int32(p.Process.Pid)}, Start: true, Wait: true})
		if err != nil || res.Result != "done" {
			b.Fatal(res, err)
		}
		up += time.Since(begun)
		begun = time.Now()
		if _, err := call[ipc.Done](b, c, ipc.VerbAbandon, ipc.UnitArgs{Unit: unit}); err != nil {
			b.Fatal(err)
		}
		_ = p.Process.Kill()
		_ = p.Wait() // it was killed
		for {
			e, err := events.Next(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if e.Kind == ipc.EventUnitGone && e.Unit == unit {
				break
			}
		}
		down += time.Since(begun)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(ms(up), "start-ms")
	b.ReportMetric(ms(down), "end-ms")
	b.ReportMetric((r.cpu()-used)*1000/float64(b.N), "cpu-ms")
	b.ReportMetric(0, "ns/op")
}
