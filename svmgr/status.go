package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// statusLines say on the console what starts, stops and fails while the machine boots and
// while it goes down (systemd(1), systemd.show_status=). They are for whoever looks at a
// machine that does not come up: a line that the console does not take is dropped.
type statusLines struct {
	// first is the mode of the kernel command line, mode what is in force.
	first  string
	mode   atomic.Pointer[string]
	queue  chan statusChange
	booted atomic.Bool
	began  time.Time
	// write puts a line on the console.
	write func(line string)
}

// statusChange waits to be shown; during says that it was a part of the boot.
type statusChange struct {
	core.Publish
	during bool
}

// showModes are the words of systemd.show_status=, beside those of booleans.
var showModes = []string{"yes", "no", "auto", "error"}

// showMode reads a mode; false for what is none.
func showMode(text string) (string, bool) {
	switch strings.ToLower(text) {
	case "yes", "y", "true", "t", "on", "1":
		return "yes", true
	case "no", "n", "false", "f", "off", "0":
		return "no", true
	}
	return text, slices.Contains(showModes, text)
}

// statusQueue bounds the lines that wait for a slow console.
const statusQueue = 64

// statusPatience is how long a boot may take before "auto" shows what it waits for.
const statusPatience = 25 * time.Second

func newStatusLines(first string, write func(line string)) *statusLines {
	s := &statusLines{first: first, queue: make(chan statusChange, statusQueue), began: time.Now(), write: write}
	s.set("")
	return s
}

// set changes the mode; "" is the first one.
func (s *statusLines) set(mode string) {
	if mode == "" {
		mode = s.first
	}
	s.mode.Store(&mode)
}

// published is called on the loop's goroutine.
func (s *statusLines) published(p core.Publish) {
	if p.What == core.StartupFinished {
		s.booted.Store(true)
	}
	mode := *s.mode.Load()
	word, failed := changeWord(p)
	switch {
	case word == "", mode == "no", mode == "error" && !failed,
		mode == "auto" && !failed && time.Since(s.began) < statusPatience:
		return
	}
	// Whoever shows it looks later, when the boot may have ended with this very change.
	select {
	case s.queue <- statusChange{p, !s.booted.Load()}:
	default:
	}
}

// run writes lines until stop is closed; look finds a unit, and says whether everything
// is being stopped.
func (s *statusLines) run(stop <-chan struct{}, look func(name string) (u core.UnitView, ending bool)) {
	for {
		select {
		case <-stop:
			return
		case p := <-s.queue:
			u, ending := look(p.Unit)
			if line := statusLine(p.Publish, &u); line != "" && (ending || p.during) {
				s.write(line)
			}
		}
	}
}

// upWords and downWords say what has become of a unit of a type.
var (
	upWords = map[unitname.Type]string{unitname.Service: "Started", unitname.Target: "Reached target", unitname.Socket: "Listening on",
		unitname.Mount: "Mounted", unitname.Swap: "Activated swap", unitname.Automount: "Set up automount", unitname.Slice: "Created slice",
		unitname.Timer: "Started", unitname.Path: "Started", unitname.Scope: "Started"}
	downWords = map[unitname.Type]string{unitname.Service: "Stopped", unitname.Target: "Stopped target", unitname.Socket: "Closed",
		unitname.Mount: "Unmounted", unitname.Swap: "Deactivated swap", unitname.Automount: "Unset automount", unitname.Slice: "Removed slice",
		unitname.Timer: "Stopped", unitname.Path: "Stopped", unitname.Scope: "Stopped"}
)

// changeWord says what has become of a unit, "" for what says nothing to people.
func changeWord(p core.Publish) (word string, failed bool) {
	n, err := unitname.Parse(p.Unit)
	if err != nil || p.What != core.UnitChanged {
		return "", false
	}
	switch {
	case p.To == core.Failed && p.From == core.Starting:
		return "Failed to start", true
	case p.To == core.Failed && p.From != core.Failed:
		return "failed", true
	case p.To == core.Active && p.From != core.Active && p.From != core.Reloading:
		return upWords[n.Type], false
	case p.To == core.Completed && p.From != core.Completed:
		return "Finished", false
	case p.To == core.Inactive && p.From == core.Stopping:
		return downWords[n.Type], false
	}
	return "", false
}

// named is a unit with its description.
func named(name string, u *core.UnitView) string {
	if u.Defined == nil {
		return name
	}
	if d := unit.Description.Of(u.Defined); d != "" && d != name {
		return name + " - " + strings.Map(printable, d)
	}
	return name
}

// statusLine is the line about a change, "" for one that says nothing to people.
func statusLine(p core.Publish, u *core.UnitView) string {
	word, failed := changeWord(p)
	switch {
	case word == "":
		return ""
	case !failed:
		return "[  OK  ] " + word + " " + named(p.Unit, u) + "."
	case word == "failed":
		word = named(p.Unit, u) + " " + word
	default:
		word += " " + named(p.Unit, u)
	}
	return "[FAILED] " + word + ".\nSee 'systemctl status " + p.Unit + "' for details."
}

// printable leaves out what a terminal would obey.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return -1
	}
	return r
}

// toConsole writes a line to the console, unless that would have to wait.
func toConsole(line string) {
	fd, err := syscall.Open("/dev/console", syscall.O_WRONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "/dev/console")
	defer f.Close()
	_ = f.SetWriteDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(f, "%s\r\n", strings.ReplaceAll(line, "\n", "\r\n"))
}
