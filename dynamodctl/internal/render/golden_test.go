package render_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"dynamod/dynamodctl/internal/fake"
	"dynamod/dynamodctl/internal/render"
	"dynamod/dynamodctl/internal/style"
	"dynamod/internal/ipc"
)

var update = flag.Bool("update", false, "rewrite testdata")

func unitNamed(name string) *ipc.Unit {
	for _, u := range fake.Units() {
		if u.Name == name {
			return &u
		}
	}
	panic(name)
}

func options(width int, coloured bool) render.Options {
	o := render.Options{Width: width, Now: time.UnixMicro(fake.Now), Zone: time.UTC}
	if coloured {
		o.Style = style.Always()
	}
	return o
}

// pages are all that can be shown, by the verb that shows it.
var pages = map[string]func(io.Writer, render.Options){
	"list":        func(w io.Writer, o render.Options) { render.List(w, fake.Units(), o) },
	"list-empty":  func(w io.Writer, o render.Options) { render.List(w, nil, o) },
	"status-web":  func(w io.Writer, o render.Options) { render.Status(w, fake.Status(unitNamed("web.service")), o) },
	"status-db":   func(w io.Writer, o render.Options) { render.Status(w, fake.Status(unitNamed("db.service")), o) },
	"status-evil": func(w io.Writer, o render.Options) { render.Status(w, fake.Status(unitNamed("evil.service")), o) },
	"status-tidy": func(w io.Writer, o render.Options) { render.Status(w, fake.Status(unitNamed("tidy.timer")), o) },
	"overview": func(w io.Writer, o render.Options) {
		render.Overview(w, &ipc.PingResult{Program: "dynamod-svmgr", Version: "1.0", PID: 2, Mode: "system", State: "degraded", Generation: 3,
			Started: fake.At(7200)}, fake.Units(), fake.Jobs(), o)
	},
	"ping": func(w io.Writer, o render.Options) {
		render.Ping(w, &ipc.PingResult{Program: "dynamod-svmgr", Version: "1.0", PID: 2, Mode: "system", State: "running"}, 130*time.Microsecond, o)
	},
	"timers": func(w io.Writer, o render.Options) {
		idle := ipc.Status{Unit: ipc.Unit{Name: "idle.timer", State: "active"}, Triggers: []string{"idle.service"}}
		late := *fake.Status(unitNamed("tidy.timer"))
		late.Name, late.LastElapse = "late.timer", nil
		late.NextElapse = &ipc.Stamp{Wall: fake.Now + 90_000*1e6}
		render.Timers(w, []ipc.Status{idle, late, *fake.Status(unitNamed("tidy.timer"))}, o)
		render.Timers(w, nil, o)
	},
	"sockets": func(w io.Writer, o render.Options) {
		s := ipc.Status{Unit: ipc.Unit{Name: "web.socket", State: "active", Sub: "running"}, Triggers: []string{"web.service"},
			Listens: []string{"stream [::]:80", "stream /run/web"}}
		evil := ipc.Status{Unit: ipc.Unit{Name: "evil.socket", State: "failed", Sub: "failed"}, Listens: []string{"stream " + fake.Hostile}}
		render.Sockets(w, []ipc.Status{s, evil}, o)
		render.Sockets(w, nil, o)
	},
	"tree":     func(w io.Writer, o render.Options) { render.Tree(w, fake.Tree().Rows, o) },
	"why-app":  func(w io.Writer, o render.Options) { render.Why(w, fake.Why(unitNamed("app.service")), o) },
	"why-slow": func(w io.Writer, o render.Options) { render.Why(w, fake.Why(unitNamed("slow.service")), o) },
	"why-nothing": func(w io.Writer, o render.Options) {
		render.Why(w, &ipc.WhyResult{Unit: "x.service", State: "active"}, o)
	},
	"deps":      func(w io.Writer, o render.Options) { render.Deps(w, "app.service", fake.Deps().Rows, false, o) },
	"deps-none": func(w io.Writer, o render.Options) { render.Deps(w, "app.service", nil, true, o) },
	"jobs":      func(w io.Writer, o render.Options) { render.Jobs(w, fake.Jobs(), o) },
	"blame":     func(w io.Writer, o render.Options) { render.Blame(w, fake.Boot(), o) },
	"chain":     func(w io.Writer, o render.Options) { render.CriticalChain(w, fake.Boot(), "", o) },
	"chain-container": func(w io.Writer, o render.Options) {
		b := fake.Boot()
		b.Kernel = 0
		render.CriticalChain(w, b, "", o)
		render.Blame(w, b, o)
	},
	"chain-db": func(w io.Writer, o render.Options) { render.CriticalChain(w, fake.Boot(), "db", o) },
	"stats":    func(w io.Writer, o render.Options) { render.Stats(w, fake.Stats(1).Units, o) },
	"procs":    func(w io.Writer, o render.Options) { render.Procs(w, fake.Procs().Units, o) },
	"logs": func(w io.Writer, o render.Options) {
		fmt.Fprintln(w, render.Lost(3, o))
		render.Log(w, fake.Lines(), o)
	},
	"plan":       func(w io.Writer, o render.Options) { render.Plan(w, fake.Plan("db.service", "stop"), o) },
	"plan-empty": func(w io.Writer, o render.Options) { render.Plan(w, &ipc.JobResult{}, o) },
	"reload":     func(w io.Writer, o render.Options) { render.Reload(w, fake.Reload(true), o) },
	"reload-dry": func(w io.Writer, o render.Options) { render.Reload(w, fake.Reload(false), o) },
	"reload-same": func(w io.Writer, o render.Options) {
		render.Reload(w, &ipc.ReloadResult{Generation: 3, Applied: true}, o)
	},
	"failure": func(w io.Writer, o render.Options) {
		fmt.Fprintln(w, render.Failure("dependency", fake.Why(unitNamed("app.service")), o))
	},
	"progress":     func(w io.Writer, o render.Options) { fmt.Fprintln(w, render.Progress(fake.Jobs(), o)) },
	"compat-list":  func(w io.Writer, _ render.Options) { render.CompatList(w, fake.Units()) },
	"compat-empty": func(w io.Writer, _ render.Options) { render.CompatList(w, nil) },
	"compat-tree":  func(w io.Writer, _ render.Options) { render.CompatTree(w, fake.Tree().Rows) },
	"compat-status": func(w io.Writer, _ render.Options) {
		render.CompatStatus(w, fake.Status(unitNamed("web.service")))
		render.CompatStatus(w, fake.Status(unitNamed("db.service")))
	},
	"many": func(w io.Writer, o render.Options) {
		render.Many(w, "stop-all", &ipc.ManyResult{Units: []ipc.ManyRow{{Unit: "a.service", Job: 1, Result: "done"}, {Unit: "b.service", Job: 2},
			{Unit: "c.service", Error: "it is protected"}, {Unit: "d.service"}, {Unit: "e.service", Job: 3, Result: "timeout"}}, Omitted: 2}, false, o)
	},
	"events": func(w io.Writer, o render.Options) {
		for _, k := range append(ipc.EventKinds, "a-kind-to-come") {
			e := ipc.Event{At: fake.At(5), Kind: k, Unit: "web.service", Count: 7}
			switch k {
			case ipc.EventUnit:
				e.From, e.State, e.Sub = "starting", "failed", "failed"
				e.Cause = &ipc.Cause{Kind: "exit-code", Sentence: "its main process exited with code 1"}
			case ipc.EventStatus:
				e.PID, e.Text = 12, "\x1b[31mserving"
			case ipc.EventJobNew:
				e.Job, e.JobType, e.Source = 3, "start", "operator"
			case ipc.EventJobDone:
				e.Job, e.JobType, e.Result = 3, "start", "failed"
			case ipc.EventReloaded, ipc.EventStarted, ipc.EventShutdown, ipc.EventDropped, ipc.EventServerGone, ipc.EventDegraded:
				e.Unit = ""
			}
			render.Event(w, &e, o)
		}
	},
}

// TestGolden compares every page with what was looked at and found good: as in a
// file, on a terminal with colours, and on a narrow one.
func TestGolden(t *testing.T) {
	for name, page := range pages {
		var b bytes.Buffer
		page(&b, options(0, false))
		b.WriteString("\n==== 80 columns, coloured\n")
		var c bytes.Buffer
		page(&c, options(80, true))
		b.WriteString(strings.ReplaceAll(c.String(), "\x1b", "␛"))
		b.WriteString("\n==== 40 columns\n")
		page(&b, options(40, false))
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != string(want) {
			t.Errorf("%s differs from %s (-update rewrites it); got:\n%s", name, file, got)
		}
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pages[strings.TrimSuffix(filepath.Base(f), ".txt")] == nil {
			t.Errorf("%s belongs to no page", f)
		}
	}
}

// free are pages whose lines are not cut: what scripts read, and lines of log,
// which the terminal may wrap itself.
var free = map[string]bool{"compat-list": true, "compat-tree": true, "compat-status": true, "compat-empty": true, "logs": true, "events": true,
	"failure": true, "reload": true, "reload-dry": true, "reload-same": true, "ping": true, "blame": true, "chain": true, "chain-db": true, "chain-container": true,
	"status-evil": true, "status-db": true, "why-app": true}

// TestWidth: no line is longer than the terminal is wide, but for those of log
// and of findings.
func TestWidth(t *testing.T) {
	for name, page := range pages {
		for _, width := range []int{40, 60, 80, 120} {
			if free[name] {
				continue
			}
			var b bytes.Buffer
			page(&b, options(width, true))
			for line := range strings.SplitSeq(b.String(), "\n") {
				if n := ansi.StringWidth(line); n > width {
					t.Errorf("%s at %d columns has a line of %d: %q", name, width, n, line)
				}
			}
		}
	}
}

// TestHostile: no page lets a byte through that a terminal acts on.
func TestHostile(t *testing.T) {
	for name, page := range pages {
		for _, width := range []int{0, 40, 80} {
			var b bytes.Buffer
			page(&b, options(width, false))
			for i, r := range b.String() {
				if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2066 {
					t.Errorf("%s at %d columns has %U at byte %d: %q", name, width, r, i, b.String())
					break
				}
			}
		}
	}
}
