package timedate

import (
	"slices"
	"strings"
)

// Bounds of lists of services.
const (
	maxUnits = 64
	maxUnit  = 255
)

// UnitsOf reads a file of ntp-units.d (systemd-timedated.service(8)): a service on each
// line, and comments. What is no name of a service is left out.
func UnitsOf(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' && service(line) && len(out) < maxUnits {
			out = append(out, line)
		}
	}
	return out
}

// service says that a word is the name of a service: these go on to the manager.
func service(s string) bool {
	stem, ok := strings.CutSuffix(s, ".service")
	if !ok || stem == "" || len(s) > maxUnit {
		return false
	}
	for i := range len(stem) {
		c := stem[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(":-_.\\@", c) >= 0) {
			return false
		}
	}
	return true
}

// File is one of ntp-units.d: its name, and the index of its directory.
type File struct {
	Dir  int
	Name string
}

// Files picks the files of ntp-units.d that count, in their order: of the directories, the
// first one with a name has it; names are in order; only *.list is looked at. dirs are the
// names in each directory, the most important one first.
func Files(dirs [][]string) []File {
	var out []File
	seen := map[string]bool{}
	for d, names := range dirs {
		for _, n := range names {
			if strings.HasSuffix(n, ".list") && !seen[n] {
				seen[n] = true
				out = append(out, File{d, n})
			}
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Unit is a service that could keep the time.
type Unit struct {
	Name string
	// Exists says that there is such a service, and that it may be started.
	Exists bool
	// Active says that it runs, or is about to.
	Active bool
}

// CanNTP says that there is any.
func CanNTP(units []Unit) bool {
	return slices.ContainsFunc(units, func(u Unit) bool { return u.Exists })
}

// NTP says that one of them runs.
func NTP(units []Unit) bool {
	return slices.ContainsFunc(units, func(u Unit) bool { return u.Exists && u.Active })
}

// Plan is what to do so that a service keeps the clock, or none: the first of those that
// can be started is to be enabled, in the order of candidates; the others, and all of off,
// are to be disabled and stopped.
func Plan(units []Unit, keep bool) (candidates, off []string) {
	for _, u := range units {
		switch {
		case !u.Exists:
		case keep:
			candidates = append(candidates, u.Name)
		default:
			off = append(off, u.Name)
		}
	}
	return candidates, off
}
