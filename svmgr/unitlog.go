package main

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"

	"dynamod/svmgr/internal/core"
)

// unitJournal is where the log daemon takes lines that are a unit's, so that `journalctl -u`
// and `systemctl status` show them: those of the manager's own lines that name a unit, and
// what becomes of units.
type unitJournal struct {
	kernel *kernelText
	mode   mode
	// send hands a record to the daemon and never waits; false if nobody takes it.
	send func(record string) bool
}

func newUnitJournal(of mode, kernel *kernelText) *unitJournal {
	return &unitJournal{kernel: kernel, mode: of, send: func(record string) bool { return toSocket(journalSocket, record) }}
}

// tell hands a line to the daemon; false if that does not take it, or is not to have it:
// this is a manager for itself, whose units the machine's daemon does not know, or
// somebody has chosen another place for the manager's lines.
func (j *unitJournal) tell(level int32, unit, text string) bool {
	if j.mode == standalone {
		return false
	}
	switch *j.kernel.target.Load() {
	case "", "journal", "journal-or-kmsg", "auto":
		return j.send(j.record(level, unit, text))
	}
	return false
}

// record is in the journal's native protocol. By UNIT= and its kind the line is the
// unit's: OBJECT_SYSTEMD_UNIT= from root is one that journalctl(1) believes, though it does
// not come from process 1 (seen with systemd 257).
func (j *unitJournal) record(level int32, unit, text string) string {
	fields := [2]string{"UNIT", "OBJECT_SYSTEMD_UNIT"}
	if j.mode == user {
		fields = [2]string{"USER_UNIT", "OBJECT_SYSTEMD_USER_UNIT"}
	}
	var b strings.Builder
	for _, f := range [][2]string{{"MESSAGE", oneLine(text)}, {"PRIORITY", strconv.Itoa(int(level))}, {"SYSLOG_FACILITY", "3"},
		{"SYSLOG_IDENTIFIER", "dynamod-svmgr"}, {fields[0], oneLine(unit)}, {fields[1], oneLine(unit)}} {
		b.WriteString(f[0] + "=" + f[1] + "\n")
	}
	return b.String()
}

// oneLine is a text without line breaks, which would begin another field.
func oneLine(s string) string { return strings.Map(printable, strings.ReplaceAll(s, "\n", " ")) }

// unitChanges are what becomes of units, on its way to the journal.
type unitChanges struct {
	journal *unitJournal
	queue   chan core.Publish
	lost    atomic.Uint64
	log     *slog.Logger
}

// unitQueue bounds the changes that wait; a burst is as large as the boot of a desktop.
const unitQueue = 1024

func newUnitChanges(j *unitJournal, log *slog.Logger) *unitChanges {
	return &unitChanges{journal: j, queue: make(chan core.Publish, unitQueue), log: log}
}

// published is called on the loop's goroutine.
func (c *unitChanges) published(p core.Publish) {
	if word, failed := changeWord(p); word == "" || failed { // the core's line about a failure says more
		return
	}
	select {
	case c.queue <- p:
	default:
		c.lost.Add(1)
	}
}

// run tells changes until ctx ends, and then what is left of them; look finds a unit.
func (c *unitChanges) run(ctx context.Context, look func(name string) core.UnitView) {
	for {
		select {
		case p := <-c.queue:
			c.tell(p, look)
		case <-ctx.Done():
			for {
				select {
				case p := <-c.queue:
					c.tell(p, func(string) core.UnitView { return core.UnitView{} }) // the loop is gone
				default:
					return
				}
			}
		}
	}
}

// tell is for those who look later: a change that no daemon takes was on the console.
func (c *unitChanges) tell(p core.Publish, look func(name string) core.UnitView) {
	if n := c.lost.Swap(0); n > 0 {
		c.log.Warn("lines about units were lost", "lines", n)
	}
	if c.journal.kernel.level.Load() < infoLevel {
		return
	}
	u := look(p.Unit)
	word, _ := changeWord(p)
	c.journal.tell(infoLevel, p.Unit, word+" "+named(p.Unit, &u)+".")
}
