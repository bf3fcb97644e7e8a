package timedate

import (
	"slices"
	"strings"
	"time"
)

// Directory is where the zones are, in the tree.
const Directory = "usr/share/zoneinfo"

// UTC is the zone of a machine that has chosen none (localtime(5)).
const UTC = "UTC"

// MaxZone bounds the name of a zone, in bytes.
const MaxZone = 255

// ValidZone says that a name can be one of a zone: a relative path of words that lead
// nowhere else. Whether there is such a file, and what it is, ValidData says.
func ValidZone(name string) bool {
	if name == "" || len(name) > MaxZone {
		return false
	}
	for word := range strings.SplitSeq(name, "/") {
		if word == "" || word == "." || word == ".." || word[0] == '-' {
			return false
		}
		for i := range len(word) {
			c := word[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '+' || c == '.') {
				return false
			}
		}
	}
	return true
}

// Zone is a zone's rules from the content of its file (tzfile(5)).
func Zone(name, data string) (*time.Location, error) {
	return time.LoadLocationFromTZData(name, []byte(data))
}

// LinkTarget is where /etc/localtime leads for a zone: relative, so that a tree can be
// looked at from outside.
func LinkTarget(name string) string { return "../" + Directory + "/" + name }

// ZoneOf is the name of the zone that /etc/localtime is a link to; "" if the link leads
// to something else.
func ZoneOf(target string) string {
	_, name, ok := strings.Cut(target, "/zoneinfo/")
	if !ok || !ValidZone(name) {
		return ""
	}
	return name
}

// ListZones are the names in tzdata.zi, the zones and links of zic(8) in short form, sorted
// by bytes; there says which of them have a file. UTC is always one of them.
func ListZones(tzdata string, there func(string) bool) []string {
	out := []string{UTC}
	for line := range strings.Lines(tzdata) {
		f := strings.Fields(line)
		name := ""
		switch {
		case len(f) >= 2 && f[0] == "Z":
			name = f[1]
		case len(f) >= 3 && f[0] == "L":
			name = f[2]
		}
		if ValidZone(name) && name != UTC && there(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ListTab are the names in zone.tab or zone1970.tab: the third word of each line. It is for
// systems without tzdata.zi.
func ListTab(tab string, there func(string) bool) []string {
	out := []string{UTC}
	for line := range strings.Lines(tab) {
		f := strings.Fields(line)
		if len(f) >= 3 && f[0][0] != '#' && ValidZone(f[2]) && f[2] != UTC && there(f[2]) {
			out = append(out, f[2])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
