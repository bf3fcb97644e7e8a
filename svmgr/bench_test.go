package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/testkit"
)

// fleet is a manager with n services that sleep, none of them started yet.
func fleet(t testing.TB, n int) *running {
	services := make(map[string]string, n)
	for i := range n {
		services[fmt.Sprintf("s%03d.toml", i)] = fmt.Sprintf("[service]\nname = \"s%03d\"\nexec = [\"/bin/sleep\", \"1000000\"]\nstart = \"manual\"\n", i)
	}
	return begin(t, services)
}

// field reads a number of /proc/PID/status, in the unit that the kernel gives (kB
// for sizes).
func (r *running) field(name string) float64 {
	r.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				r.t.Fatal(err)
			}
			return n
		}
	}
	r.t.Fatalf("/proc/PID/status has no %s", name)
	return 0
}

// cpu is what the manager itself has used, without its children, in seconds; the
// kernel counts hundredths (proc_pid_stat(5), fields 14 and 15).
func (r *running) cpu() float64 {
	r.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		r.t.Fatal(err)
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	sys, _ := strconv.ParseFloat(f[12], 64)
	return (user + sys) / 100
}

// wakeups counts how often the manager's threads went to sleep by themselves, which
// is once for each time that something woke them.
func (r *running) wakeups() (n float64) {
	r.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", r.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		r.t.Fatalf("the manager has no threads: %v", err)
	}
	for _, p := range tasks {
		data, err := os.ReadFile(p)
		if err != nil {
			continue // a thread that ended
		}
		for line := range strings.Lines(string(data)) {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				v, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				n += v
			}
		}
	}
	return n
}

// many starts or stops all of the fleet by one request and waits for the last.
func (r *running) many(c *ipc.Client, v ipc.Verb, n int) {
	r.t.Helper()
	res, err := call[ipc.ManyResult](r.t, c, v, ipc.ManyArgs{Units: []string{"s*.service"}, Wait: true})
	if err != nil {
		r.t.Fatal(err)
	}
	done := 0
	for _, u := range res.Units {
		if u.Result == "done" {
			done++
		} else {
			r.t.Errorf("%s of %s: %s %s", v, u.Unit, u.Result, u.Error)
		}
	}
	if done != n {
		r.t.Fatalf("%s: %d of %d are done", v, done, n)
	}
}

// BenchmarkFleet starts sleeping services by one request, restarts twenty of them and
// stops all. It reports the wall time of each, the CPU time of the manager (without
// the helper between fork and exec, whose time is its service's), its memory with
// all of them up, and its threads.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{50, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var sum [9]float64
			for b.Loop() {
				r := fleet(b, n)
				c := r.client()
				at := func(k int, f func()) {
					begun, used := time.Now(), r.cpu()
					f()
					sum[k] += time.Since(begun).Seconds()
					sum[k+1] += r.cpu() - used
				}
				at(0, func() { r.many(c, ipc.VerbStartAll, n) })
				busy := r.field("VmRSS")
				testkit.Eventually(b, "what only the start needed is given back", func() bool { return r.field("VmRSS") < busy*3/4 })
				sum[6] += r.field("VmRSS") / 1024
				sum[7] += r.field("Threads")
				at(2, func() {
					ends := make(chan error)
					for i := range 20 {
						go func() {
							_, err := call[ipc.JobResult](b, c, ipc.VerbRestart, ipc.JobArgs{Unit: fmt.Sprintf("s%03d", i), Wait: true})
							ends <- err
						}()
					}
					for range 20 {
						if err := <-ends; err != nil {
							b.Error(err)
						}
					}
				})
				at(4, func() { r.many(c, ipc.VerbStopAll, n) })
				sum[8] += r.field("VmHWM") / 1024
				c.Close()
				r.end()
			}
			for k, unit := range []string{"start-s", "start-cpu-s", "restart20-s", "restart20-cpu-s", "stop-s", "stop-cpu-s", "RSS-MB", "threads", "peak-MB"} {
				b.ReportMetric(sum[k]/float64(b.N), unit)
			}
		})
	}
}

// BenchmarkIdle counts how often a manager of 50 sleeping services wakes up in a
// minute without anything to do; the kernel's own bookkeeping counts.
func BenchmarkIdle(b *testing.B) {
	r := fleet(b, 50)
	c := r.client()
	r.many(c, ipc.VerbStartAll, 50)
	c.Close()
	for b.Loop() {
		time.Sleep(20 * time.Second) // until the collector of garbage has come to rest
		before, used := r.wakeups(), r.cpu()
		time.Sleep(time.Minute)
		b.ReportMetric(r.wakeups()-before, "wakeups/min")
		b.ReportMetric(r.cpu()-used, "cpu-s/min")
		b.ReportMetric(r.field("VmRSS")/1024, "RSS-MB")
	}
}
