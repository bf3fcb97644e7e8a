package sandbox

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed filesystems.txt
var fileSystemText string

// FileSystems are the magic numbers (statfs(2)) that RestrictFileSystems= is about;
// except says that all others are allowed.
func FileSystems(words []string) (magics []uint32, except bool, err error) {
	for i, w := range words {
		w, inverted := strings.CutPrefix(w, "~")
		if i == 0 {
			except = inverted
		}
		if w == "" {
			continue
		}
		found := magicsOf(w)
		if found == nil {
			return nil, false, fmt.Errorf("RestrictFileSystems=%s: there is no such file system", w)
		}
		magics = slices.DeleteFunc(magics, func(m uint32) bool { return slices.Contains(found, m) })
		if inverted == except {
			magics = append(magics, found...)
		}
	}
	slices.Sort(magics)
	return slices.Compact(magics), except, nil
}

// magicsOf are those of one file system, or of a set such as "@network".
func magicsOf(name string) (out []uint32) {
	set := ""
	for line := range strings.SplitSeq(fileSystemText, "\n") {
		inner, member := strings.CutPrefix(line, "\t")
		if !member {
			set = line
			continue
		}
		fs, rest, _ := strings.Cut(inner, " ")
		if set != name && fs != name {
			continue
		}
		if strings.HasPrefix(fs, "@") {
			out = append(out, magicsOf(fs)...)
			continue
		}
		rest = strings.TrimPrefix(rest, "(magic: 0x")
		for i := range len(rest) {
			if !strings.ContainsRune("0123456789abcdef", rune(rest[i])) {
				rest = rest[:i]
				break
			}
		}
		if n, err := strconv.ParseUint(rest, 16, 32); err == nil {
			out = append(out, uint32(n))
		}
	}
	return out
}
