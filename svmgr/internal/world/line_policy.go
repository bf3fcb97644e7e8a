package world

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// Line is one line of output with what the settings of its unit make of it
// (systemd.exec(5), "Logging and Standard Input/Output").
type Line struct {
	Unit   string
	Run    core.RunID
	Stderr bool
	// Level and Facility are those of syslog(3). Identifier is SyslogIdentifier=, "" where
	// the unit has none.
	Level, Facility uint8
	Identifier      string
	// Fields are LogExtraFields=, as NAME=VALUE.
	Fields []string
	// Text belongs to the reader; the sink copies it.
	Text []byte
	// Policy is of the unit, shared by all its lines.
	Policy *LinePolicy
}

// LinePolicy is what a unit says of its lines.
type LinePolicy struct {
	level, max, facility uint8
	prefix               bool
	identifier           string
	fields               []string
	allow, deny          []*regexp.Regexp

	// Keep is how many lines of the unit are kept in memory.
	Keep int
	// Burst lines are taken in each Interval; 0 of either sets no limit.
	Burst    int64
	Interval time.Duration
}

// maxLineFields bounds what is kept beside each line, in bytes: a line must fit into a
// message of the control socket.
const maxLineFields = 4096

// newLinePolicy reads the settings. Patterns that cannot be compiled are returned:
// systemd's are those of PCRE, ours those of RE2, which has no references back.
func newLinePolicy(u *unit.Unit) (*LinePolicy, error) {
	l := &LinePolicy{level: uint8(unit.SyslogLevel.Of(u)), max: uint8(unit.LogLevelMax.Of(u)), facility: uint8(unit.SyslogFacility.Of(u)),
		prefix: unit.SyslogLevelPrefix.Of(u), identifier: unit.SyslogIdentifier.Of(u), fields: unit.LogExtraFields.Of(u),
		Keep: int(unit.LogBufferLines.Of(u)), Burst: unit.LogRateLimitBurst.Of(u), Interval: unit.LogRateLimitIntervalSec.Of(u)}
	var bad error
	size := len(l.identifier)
	if size > maxLineFields {
		bad = fmt.Errorf("SyslogIdentifier= has %d bytes; at most %d", size, maxLineFields)
		l.identifier, size = "", 0
	}
	for k, f := range l.fields {
		if size += len(f); size > maxLineFields {
			l.fields = l.fields[:k]
			bad = fmt.Errorf("LogExtraFields= has more than %d bytes", maxLineFields)
			break
		}
	}
	for _, p := range unit.LogFilterPatterns.Of(u) {
		list := &l.allow
		if rest, ok := strings.CutPrefix(p, "~"); ok {
			p, list = rest, &l.deny
		}
		re, err := regexp.Compile(p)
		if err != nil {
			bad = fmt.Errorf("LogFilterPatterns=%s: %w", p, err)
			continue
		}
		*list = append(*list, re)
	}
	return l, bad
}

// judge fills in what the line itself says, and returns whether it is wanted.
func (l *LinePolicy) judge(x *Line) bool {
	x.Level, x.Facility, x.Identifier, x.Fields, x.Policy = l.level, l.facility, l.identifier, l.fields, l
	if l.prefix {
		if n, rest, ok := levelPrefix(x.Text); ok {
			x.Text, x.Level = rest, n&7
			if n > 7 { // a facility as well
				x.Facility = n >> 3
			}
		}
	}
	if x.Level > l.max {
		return false
	}
	for _, re := range l.deny {
		if re.Match(x.Text) {
			return false
		}
	}
	for _, re := range l.allow {
		if re.Match(x.Text) {
			return true
		}
	}
	return len(l.allow) == 0
}

// levelPrefix is the "<N>" of sd-daemon(3) before a line: a level, or a level and eight
// times a facility.
func levelPrefix(p []byte) (n uint8, rest []byte, ok bool) {
	if len(p) < 3 || p[0] != '<' {
		return 0, p, false
	}
	v, i := 0, 1
	for ; i < len(p) && i < 4 && p[i] >= '0' && p[i] <= '9'; i++ {
		v = v*10 + int(p[i]-'0')
	}
	if i == 1 || i == len(p) || p[i] != '>' || v > 191 {
		return 0, p, false
	}
	return uint8(v), p[i+1:], true
}

// plainLines is for lines whose unit is not known (any more).
var plainLines = &LinePolicy{level: 6, max: 7, facility: 3, prefix: true, Keep: 1000}

// linesOf is the policy of the unit that a stream belongs to; nil while the unit is not
// known, which a manager that takes over finds out later.
func (w *World) linesOf(name string, u *unit.Unit) *LinePolicy {
	if u == nil {
		w.reg.mu.Lock()
		if g := w.reg.current[name]; g != nil {
			u = g.u
		}
		w.reg.mu.Unlock()
	}
	if u == nil {
		return nil
	}
	l, err := newLinePolicy(u)
	if err != nil {
		w.warn(name, "what is asked of log lines is left out: "+err.Error())
	}
	return l
}
