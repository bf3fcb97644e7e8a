package calendar

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// maxComponents is the number of entries that one list may have (systemd 252
// refuses longer ones).
const maxComponents = 241

// lastSecond is 2199-12-31 23:59:59 UTC, the last second of yearField.
const lastSecond = 7258118399

var shorthands = map[string]string{
	"minutely":      "*-*-* *:*:00",
	"hourly":        "*-*-* *:00:00",
	"daily":         "*-*-* 00:00:00",
	"monthly":       "*-*-01 00:00:00",
	"weekly":        "Mon *-*-* 00:00:00",
	"yearly":        "*-01-01 00:00:00",
	"annually":      "*-01-01 00:00:00",
	"anually":       "*-01-01 00:00:00",
	"quarterly":     "*-01,04,07,10-01 00:00:00",
	"semiannually":  "*-01,07-01 00:00:00",
	"semi-annually": "*-01,07-01 00:00:00",
	"biannually":    "*-01,07-01 00:00:00",
	"bi-annually":   "*-01,07-01 00:00:00",
}

// Parse reads a calendar event expression (systemd.time(7), "Calendar
// Events"). Time zones are looked up with time.LoadLocation; the local zone's
// abbreviations ("CEST") are no time zones here.
func Parse(s string) (Spec, error) {
	return ParseWith(s, time.LoadLocation)
}

// ParseWith is Parse with another source of time zones.
func ParseWith(s string, load func(name string) (*time.Location, error)) (Spec, error) {
	text, zone, loc := splitZone(s, load)
	if strings.HasPrefix(s, "@") {
		return parseEpoch(s, text)
	}
	if long, ok := shorthands[strings.ToLower(text)]; ok {
		text = long // never wrong, so that no message shows its offsets
	}
	p := parser{input: s, text: text}
	spec, err := p.event()
	if err != nil {
		return Spec{}, err
	}
	spec.zone, spec.loc = zone, loc
	spec.index()
	return spec, nil
}

// splitZone cuts a trailing " UTC" or " Area/City" off.
func splitZone(s string, load func(string) (*time.Location, error)) (rest, zone string, loc *time.Location) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", nil
	}
	word := s[i+1:]
	if strings.EqualFold(word, "UTC") {
		return s[:i], "UTC", time.UTC
	}
	if loc := lookupZone(word, load); loc != nil {
		return s[:i], word, loc
	}
	return s, "", nil
}

// lookupZone refuses what time.LoadLocation has a meaning of its own for, and
// what cannot be a name of the time zone database.
func lookupZone(word string, load func(string) (*time.Location, error)) *time.Location {
	if word == "" || word == "Local" || !letter(word[0]) {
		return nil
	}
	for i := range len(word) {
		if c := word[i]; !letter(c) && !digit(c) && strings.IndexByte("/_+-", c) < 0 {
			return nil
		}
	}
	loc, err := load(word)
	if err != nil {
		return nil
	}
	return loc
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// parseEpoch reads "@" and seconds since 1970, which is always UTC.
func parseEpoch(s, text string) (Spec, error) {
	p := parser{input: s, text: text, pos: 1}
	v, err := p.number(lastSecond)
	if err != nil {
		return Spec{}, err
	}
	if p.pos != len(text) {
		return Spec{}, p.fail(p.pos, "expected digits only after \"@\"")
	}
	t := time.Unix(v, 0).UTC()
	one := func(v int) []component { return []component{{int64(v), none, 0}} }
	spec := Spec{
		weekdays: allDays,
		year:     one(t.Year()), month: one(int(t.Month())), day: one(t.Day()),
		hour: one(t.Hour()), minute: one(t.Minute()), second: one(t.Second() * second),
		zone: "UTC", loc: time.UTC,
	}
	spec.index()
	return spec, nil
}

type parser struct {
	input string // what the caller wrote, for messages
	text  string // what is left of it without the time zone
	pos   int
}

func (p *parser) fail(off int, format string, args ...any) error {
	return &ParseError{"calendar event", p.input, off, fmt.Sprintf(format, args...)}
}

// peek is the next byte, and 0 at the end; a NUL byte in the text is never
// accepted where it matters, because every caller also checks the position.
func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *parser) atEnd() bool { return p.pos == len(p.text) }

func (p *parser) accept(token string) bool {
	if strings.HasPrefix(p.text[p.pos:], token) {
		p.pos += len(token)
		return true
	}
	return false
}

func (p *parser) skipBlanks() {
	for p.peek() == ' ' {
		p.pos++
	}
}

// event: [weekdays] [date] [time], at least one of them.
func (p *parser) event() (Spec, error) {
	var s Spec
	if p.atEnd() {
		return s, p.fail(0, "empty")
	}
	if p.peek() == ' ' {
		return s, p.fail(0, "leading space")
	}
	if err := p.weekdays(&s); err != nil {
		return s, err
	}
	if s.weekdays == 0 {
		s.weekdays = allDays
	}
	zero := []component{{0, none, 0}}
	s.hour, s.minute, s.second = zero, zero, zero
	if p.atEnd() {
		return s, nil
	}
	first, err := p.list(false)
	if err != nil {
		return s, err
	}
	if p.peek() != ':' {
		if err := p.date(&s, first); err != nil {
			return s, err
		}
		if p.atEnd() {
			return s, nil
		}
		if p.peek() != ' ' {
			return s, p.unexpected("the end of the date")
		}
		p.skipBlanks()
		if p.atEnd() {
			return s, nil
		}
		if first, err = p.list(false); err != nil {
			return s, err
		}
	}
	if err := p.time(&s, first); err != nil {
		return s, err
	}
	if !p.atEnd() {
		return s, p.unexpected("the end of the time")
	}
	return s, nil
}

// unexpected reports the text at the current position.
func (p *parser) unexpected(want string) error {
	if p.atEnd() {
		return p.fail(p.pos, "expected %s, found the end", want)
	}
	i := p.pos
	for i < len(p.text) && p.text[i] == ' ' {
		i++
	}
	if i < len(p.text) && letter(p.text[i]) {
		word, _, _ := strings.Cut(p.text[i:], " ")
		return p.fail(i, "%q is no time zone, or in the wrong place", word)
	}
	return p.fail(p.pos, "expected %s, found %q", want, p.text[p.pos:])
}

// weekday accepts a day name, long or short, in any case.
func (p *parser) weekday() (int, bool) {
	rest := p.text[p.pos:]
	for d, name := range weekdayNames {
		for _, n := range []string{name, name[:3]} {
			if len(rest) >= len(n) && strings.EqualFold(rest[:len(n)], n) {
				p.pos += len(n)
				return d, true
			}
		}
	}
	return 0, false
}

// weekdays: names and ranges separated by commas; one comma may trail
// ("Wed, 17:48").
func (p *parser) weekdays(s *Spec) error {
	for {
		start := p.pos
		from, ok := p.weekday()
		if !ok {
			if c := p.peek(); letter(c) {
				word, _, _ := strings.Cut(p.text[p.pos:], " ")
				return p.fail(p.pos, "%q is neither a weekday nor a shorthand such as \"daily\"", word)
			}
			if s.weekdays != 0 {
				return p.unexpected("a weekday")
			}
			return nil
		}
		to := from
		if p.accept("..") || p.accept("-") {
			if to, ok = p.weekday(); !ok {
				return p.unexpected("the last weekday of the range")
			}
			if to < from {
				return p.fail(start, "the week starts on Monday: write %s..Sun,Mon..%s", weekdayNames[from][:3], weekdayNames[to][:3])
			}
		}
		for d := from; d <= to; d++ {
			s.weekdays |= 1 << d
		}
		comma := p.accept(",")
		if p.atEnd() {
			return nil
		}
		if p.peek() == ' ' {
			p.skipBlanks()
			return nil
		}
		if !comma {
			return p.unexpected("\",\", \"..\" or a space after a weekday")
		}
	}
}

// date: year-month-day or month-day, where the last separator may be "~". Its
// first list was read already.
func (p *parser) date(s *Spec, first []entry) error {
	sep := func() byte {
		switch {
		case p.accept("-"):
			return '-'
		case p.accept("~"):
			return '~'
		}
		return 0
	}
	var year, month, days []entry
	last := sep()
	if last == 0 {
		return p.unexpected("\"-\" of a date or \":\" of a time")
	}
	second, err := p.list(false)
	if err != nil {
		return err
	}
	hasYear := false
	if c := p.peek(); last == '-' && (c == '-' || c == '~') {
		last, hasYear = sep(), true
		year, month = first, second
		if days, err = p.list(false); err != nil {
			return err
		}
	} else {
		month, days = first, second
	}
	if hasYear {
		for i := range year {
			year[i].start = fullYear(year[i].start)
			if year[i].stop != none {
				year[i].stop = fullYear(year[i].stop)
			}
		}
		if s.year, err = p.check(year, &yearField, false); err != nil {
			return err
		}
	}
	if s.month, err = p.check(month, &monthField, false); err != nil {
		return err
	}
	f := &dayField
	if s.last = last == '~' && days != nil; s.last {
		f = &lastField
	}
	s.day, err = p.check(days, f, s.last)
	return err
}

// fullYear completes a year of two digits.
func fullYear(v int64) int64 {
	switch {
	case v < 70:
		return v + 2000
	case v < 100:
		return v + 1900
	}
	return v
}

// time: hour:minute[:second]. The hours were read already.
func (p *parser) time(s *Spec, hours []entry) error {
	if !p.accept(":") {
		return p.unexpected("\":\" after the hour")
	}
	minutes, err := p.list(false)
	if err != nil {
		return err
	}
	if s.hour, err = p.check(hours, &hourField, false); err != nil {
		return err
	}
	if s.minute, err = p.check(minutes, &minuteField, false); err != nil {
		return err
	}
	if !p.accept(":") {
		return nil
	}
	seconds, err := p.list(true)
	if err != nil {
		return err
	}
	s.second, err = p.check(seconds, &secondField, false)
	return err
}

// An entry is a component as written: not yet checked against its field.
type entry struct {
	component
	off int
}

// list reads "*" (as nil) or comma-separated entries. Fractions are allowed in
// seconds only, whose numbers become microseconds.
func (p *parser) list(seconds bool) ([]entry, error) {
	if p.accept("*") {
		return nil, nil
	}
	number := func() (int64, error) {
		if seconds {
			return p.fraction()
		}
		return p.number(math.MaxInt32)
	}
	var entries []entry
	for {
		e := entry{component{stop: none}, p.pos}
		var err error
		if e.start, err = number(); err != nil {
			return nil, err
		}
		if p.accept("..") {
			if e.stop, err = number(); err != nil {
				return nil, err
			}
		}
		if p.accept("/") {
			at := p.pos
			if e.repeat, err = number(); err != nil {
				return nil, err
			}
			if e.repeat == 0 {
				return nil, p.fail(at, "repetition of zero")
			}
		}
		if entries = append(entries, e); len(entries) > maxComponents {
			return nil, p.fail(e.off, "more than %d entries", maxComponents)
		}
		if !p.accept(",") {
			return entries, nil
		}
	}
}

func (p *parser) number(limit int64) (int64, error) {
	start := p.pos
	var v int64
	for digit(p.peek()) {
		if v = v*10 + int64(p.peek()-'0'); v > limit {
			return 0, p.fail(start, "number larger than %d", limit)
		}
		p.pos++
	}
	if p.pos == start {
		return 0, p.unexpected("a number")
	}
	return v, nil
}

// fraction reads seconds with an optional fraction, rounded to microseconds.
func (p *parser) fraction() (int64, error) {
	v, err := p.number(math.MaxInt32)
	if err != nil {
		return 0, err
	}
	v *= second
	// A ".." that follows is a range.
	if p.peek() != '.' || strings.HasPrefix(p.text[p.pos:], "..") {
		return v, nil
	}
	p.pos++
	if !digit(p.peek()) {
		return 0, p.unexpected("digits after \".\"")
	}
	for unit := int64(second / 10); digit(p.peek()); unit /= 10 {
		d := int64(p.peek() - '0')
		if unit == 0 {
			if d >= 5 {
				v++
			}
			for digit(p.peek()) {
				p.pos++
			}
			break
		}
		v += d * unit
		p.pos++
	}
	return v, nil
}

// check tests the entries against the bounds of their field and normalizes
// them.
func (p *parser) check(entries []entry, f *field, last bool) ([]component, error) {
	if entries == nil {
		return nil, nil
	}
	show := func(v int64) string {
		var b strings.Builder
		f.appendValue(&b, v, 1)
		return b.String()
	}
	list := make([]component, 0, len(entries))
	for _, e := range entries {
		c := e.component
		for _, v := range []int64{c.start, c.stop} {
			if v != none && (v < f.min || v > f.max) {
				return nil, p.fail(e.off, "%s %s is not in %s..%s", f.name, show(v), show(f.min), show(f.max))
			}
		}
		switch {
		case c.stop != none:
			if c.stop < c.start {
				return nil, p.fail(e.off, "%s range %s..%s runs backwards", f.name, show(c.start), show(c.stop))
			}
			if f.step > 1 && c.repeat == 0 && c.stop < c.start+f.step {
				return nil, p.fail(e.off, "%s range %s..%s is shorter than its step of one second", f.name, show(c.start), show(c.stop))
			}
			step := c.repeat
			if step == 0 {
				step = f.step
			}
			c.stop -= (c.stop - c.start) % step
			if c.repeat == f.step {
				c.repeat = 0
			}
			if c.stop == c.start {
				c.stop, c.repeat = none, 0
			}
		case c.repeat != 0 && last && c.start-c.repeat < f.min,
			c.repeat != 0 && !last && c.start+c.repeat > f.max:
			return nil, p.fail(e.off, "%s %s/%s never repeats", f.name, show(c.start), show(c.repeat))
		}
		list = append(list, c)
	}
	return normalize(list), nil
}
