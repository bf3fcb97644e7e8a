package api

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dynamod/internal/ipc"
)

var update = flag.Bool("update", false, "write the golden files")

// The explanations are read and judged as a whole: testdata/why.golden.
func TestWhy(t *testing.T) {
	units := []string{
		"idle.service |", "asked.service |", "user.service |Requires=asked.service;After=asked.service",
		"crash.service |[Service];Restart=no", "needs.service |Requires=crash2.service;After=crash2.service",
		"crash2.service |[Service];Type=notify", "slow.service |[Service];Type=notify;TimeoutStartSec=60",
		"mid.service |Requires=slow.service;After=slow.service", "end.service |Requires=mid.service;After=mid.service slow.service",
		"again.service |[Service];Restart=always;RestartSec=10", "blocked.toml |dependencies.requires=[\"nowhere\"];dependencies.after=[\"nowhere\"]",
		"blocked2.toml |dependencies.requires=[\"crash3\"];dependencies.after=[\"crash3\"]", "crash3.toml |restart.policy=\"no\";readiness.type=\"notify\"",
		"boss.service |", "bound.service |BindsTo=boss.service;After=boss.service", "broken.service |[Service];Type=oneshot", "killed.service |[Service];Restart=no",
	}
	f := newFake(t, "", units...)
	f.lines = []ipc.LogLine{{Cursor: "1", Unit: "crash.service", Text: "cannot open /etc/crash.conf"}}
	f.mute["broken.service"] = true
	try := func(name string) { f.call(root, ipc.VerbStart, &ipc.JobArgs{Unit: name}) }
	f.start("user", "crash", "needs", "end", "again", "bound", "broken", "killed")
	try("blocked")
	try("blocked2")
	f.exit("crash.service", 3)
	f.exit("crash2.service", 1)
	f.exit("crash3.service", 1)
	f.exit("again.service", 0)
	f.stubborn["killed.service"] = false
	do[any](f, ipc.VerbKill, &ipc.KillArgs{Unit: "killed", Signal: "SEGV"})
	f.exit("boss.service", 0)
	f.start("end")
	f.advance(time.Second)

	var b strings.Builder
	for _, text := range units {
		name, _, _ := strings.Cut(text, " ")
		name = strings.TrimSuffix(name, ".toml")
		r := do[*ipc.WhyResult](f, ipc.VerbWhy, &ipc.UnitArgs{Unit: name})
		fmt.Fprintf(&b, "%s is %s\n", r.Unit, r.State)
		for _, s := range r.Chain {
			fmt.Fprintf(&b, "  %s (%s) [%s] %s\n", s.Unit, s.State, s.Cause.Kind, s.Cause.Sentence)
			if len(s.WaitsFor) > 0 {
				fmt.Fprintf(&b, "    waits for %s\n", strings.Join(s.WaitsFor, ", "))
			}
			if s.Last != nil {
				fmt.Fprintf(&b, "    last exit %d\n", s.Last.Code)
			}
			for _, l := range s.Log {
				fmt.Fprintf(&b, "    | %s\n", l.Text)
			}
		}
	}
	const file = "testdata/why.golden"
	if *update {
		os.MkdirAll("testdata", 0o755)
		os.WriteFile(file, []byte(b.String()), 0o644)
	}
	golden, _ := os.ReadFile(file)
	want(t, "explanations", b.String(), string(golden))
}
