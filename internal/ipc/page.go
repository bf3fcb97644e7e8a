package ipc

import (
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Offset is After as a number of rows, for the verbs whose pages count rows
// (show, tree, deps, boot, dynamic-users, stored, debug-state) and are not named by their last one.
func (p Page) Offset() int {
	n, err := strconv.Atoi(p.After)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

type pager interface{ Offset() int }

// sizable is an answer of many rows that can be made shorter. keep is called with
// fewer rows than count gives; offset is the request's.
type sizable interface {
	count() int
	keep(n, offset int)
}

// cut shortens an answer that takes size bytes; it says whether it could.
func cut(result, args any, size int) bool {
	r, ok := result.(sizable)
	if !ok {
		return false
	}
	have := r.count()
	n := min(have-1, int(int64(have)*MaxMessage/int64(size)))
	if have == 0 || n == 0 && !shrinksToNothing(result) {
		return false
	}
	offset := 0
	if p, ok := args.(pager); ok {
		offset = p.Offset()
	}
	r.keep(n, offset)
	return true
}

// shrinksToNothing: an answer whose rows are only part of it. A page without rows
// would make its reader ask for ever.
func shrinksToNothing(result any) bool {
	switch result.(type) {
	case *Status, *JobResult, *ReloadResult, *ManyResult, *WhyResult:
		return true
	}
	return false
}

func (m *More) at(offset int) { m.Next = strconv.Itoa(offset) }

func (r *ListResult) count() int { return len(r.Units) }
func (r *ListResult) keep(n, _ int) {
	r.Units, r.Next = r.Units[:n], r.Units[n-1].Name
}

func (r *ShowResult) count() int { return len(r.Settings) }
func (r *ShowResult) keep(n, offset int) {
	r.Settings = r.Settings[:n]
	r.at(offset + n)
}

// UnitResult keeps one row at least, and loses of its facts only lists that other verbs
// have as well, once the rows are not what is too long.
func (r *UnitResult) count() int {
	n := len(r.Settings) + len(r.Relations)
	if r.Facts != nil {
		n += countLists(&r.Facts.Status) - len(r.Facts.Files) - len(r.Facts.Aliases)
	}
	return n
}

func (r *UnitResult) keep(n, offset int) {
	have := len(r.Settings) + len(r.Relations)
	if have < 2 && r.Facts != nil {
		files, aliases := r.Facts.Files, r.Facts.Aliases
		r.Facts.Files, r.Facts.Aliases = nil, nil
		r.Facts.keep(max(n-have, 0), 0)
		r.Facts.Files, r.Facts.Aliases = files, aliases
		return
	}
	n = min(max(n, 1), have-1)
	settings := min(n, len(r.Settings))
	r.Settings, r.Relations = r.Settings[:settings], r.Relations[:n-settings]
	r.at(offset + n)
}

func (r *TreeResult) count() int { return len(r.Rows) }
func (r *TreeResult) keep(n, offset int) {
	r.Rows = r.Rows[:n]
	r.at(offset + n)
}

func (r *DepsResult) count() int { return len(r.Rows) }
func (r *DepsResult) keep(n, offset int) {
	r.Rows = r.Rows[:n]
	r.at(offset + n)
}

func (r *JobsResult) count() int { return len(r.Jobs) }
func (r *JobsResult) keep(n, _ int) {
	r.Jobs, r.Next = r.Jobs[:n], strconv.FormatUint(uint64(r.Jobs[n-1].ID), 10)
}

func (r *LogsResult) count() int { return len(r.Lines) }
func (r *LogsResult) keep(n, _ int) {
	r.Lines, r.Next = r.Lines[:n], r.Lines[n-1].Cursor
}

func (r *StatsResult) count() int { return len(r.Units) }
func (r *StatsResult) keep(n, _ int) {
	r.Units, r.Next = r.Units[:n], r.Units[n-1].Unit
}

func (r *ProcsResult) count() int { return len(r.Units) }
func (r *ProcsResult) keep(n, _ int) {
	r.Units, r.Next = r.Units[:n], r.Units[n-1].Unit
}

func (r *BootResult) count() int { return len(r.Units) }
func (r *BootResult) keep(n, offset int) {
	r.Units = r.Units[:n]
	r.at(offset + n)
}

func (r *DynamicUsersResult) count() int { return len(r.Users) }
func (r *DynamicUsersResult) keep(n, offset int) {
	r.Users = r.Users[:n]
	r.at(offset + n)
}

func (r *StoredResult) count() int { return len(r.Stored) }
func (r *StoredResult) keep(n, offset int) {
	r.Stored = r.Stored[:n]
	r.at(offset + n)
}

// The rows of DebugResult are bytes.
func (r *DebugResult) count() int { return len(r.Text) }
func (r *DebugResult) keep(n, offset int) {
	for n > 1 && !utf8.RuneStart(r.Text[n]) {
		n--
	}
	r.Text = r.Text[:n]
	r.at(offset + n)
}

// The rest has no further pages: what does not fit is left out and counted.

func (r *ManyResult) count() int { return len(r.Units) }
func (r *ManyResult) keep(n, _ int) {
	r.Omitted += len(r.Units) - n
	r.Units = r.Units[:n]
}

// WhyResult loses log lines first, then the middle of its chain: the last step is
// the root of the matter.
func (r *WhyResult) count() int {
	n := len(r.Chain)
	for i := range r.Chain {
		n += len(r.Chain[i].Log)
	}
	return n
}

func (r *WhyResult) keep(n, _ int) {
	have := len(r.Chain)
	if r.count() > have {
		for i := range r.Chain {
			r.Chain[i].Log = nil
		}
		return
	}
	if n > 0 {
		r.Chain[n-1] = r.Chain[have-1]
	}
	r.Chain = r.Chain[:n]
	r.Omitted += have - n
}

func (r *Status) count() int { return countLists(r) }
func (r *Status) keep(n, _ int) {
	lines := len(r.Log)
	newest := r.Log
	keepLists(r, n)
	r.Log = newest[lines-len(r.Log):] // of a log the end says most
	r.Cut = true
}

func (r *JobResult) count() int       { return countLists(r) }
func (r *JobResult) keep(n, _ int)    { r.Omitted += keepLists(r, n) }
func (r *ReloadResult) count() int    { return countLists(r) }
func (r *ReloadResult) keep(n, _ int) { r.Omitted += keepLists(r, n) }

// lists are the slices of a struct.
func lists(result any) []reflect.Value {
	var out []reflect.Value
	v := reflect.ValueOf(result).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Len() > 0 {
			out = append(out, f)
		}
	}
	return out
}

func countLists(result any) (n int) {
	for _, l := range lists(result) {
		n += l.Len()
	}
	return n
}

// keepLists shortens all slices of a struct in proportion, to n elements
// together, and says how many it left out.
func keepLists(result any, n int) (omitted int) {
	have := countLists(result)
	for _, l := range lists(result) {
		share := int(int64(l.Len()) * int64(n) / int64(have))
		omitted += l.Len() - share
		l.SetLen(share)
	}
	return omitted
}
