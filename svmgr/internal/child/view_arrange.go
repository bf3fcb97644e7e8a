package child

import "slices"

// placed is a Mount whose place has been worked out: at is its path below the new
// root, without symbolic links.
type placed struct {
	Mount
	at string
	// handle is what was opened of the host for it, -1 for nothing.
	handle int
	// found says that at existed before anything was mounted.
	found bool
}

// area is a part of the tree in which the same restrictions hold, up to the areas
// within it.
type area struct {
	at               string
	readOnly, noExec bool
}

// arrange puts the mounts in an order in which none hides another that was asked
// for, leaves out what nothing would be seen of, and works out which restrictions
// hold where. What has to become a mount point of its own, so that it can have
// other restrictions than what is around it, comes as a MountAttr.
func arrange(in []placed) (steps []placed, areas []area) {
	list := slices.Clone(in)
	slices.SortStableFunc(list, func(a, b placed) int {
		if c := comparePaths(a.at, b.at); c != 0 {
			return c
		}
		return order(a.Kind) - order(b.Kind)
	})
	hidden := "" // the last path that was hidden, with all below it
	for i := 0; i < len(list); {
		at := list[i].at
		j := i
		for j < len(list) && list[j].at == at {
			j++
		}
		here := list[i:j]
		i = j
		if hidden != "" && below(at, hidden) {
			continue
		}
		if n := len(here) - 1; here[n].Kind == MountHide {
			// It comes last of its path; everything else there is unseen.
			hidden = at
			steps = append(steps, here[n])
			continue
		}
		around := areaOf(areas, at)
		now := area{at, around.readOnly, around.noExec}
		var ro, nx uint8
		made, changed := false, false
		for _, p := range here {
			if p.Kind != MountAttr {
				if !made {
					// What is mounted is as writable as where it comes from;
					// programs in it are no better than those around it.
					now.readOnly = false
				}
				made = true
				steps = append(steps, p)
				continue
			}
			pick(&now.readOnly, &ro, p.ReadOnly, p.Rank)
			pick(&now.noExec, &nx, p.NoExec, p.Rank)
		}
		changed = now.readOnly != around.readOnly || now.noExec != around.noExec
		if !made && changed && at != "/" {
			steps = append(steps, here[0])
		}
		if made || changed || at == "/" {
			areas = append(areas, now)
		}
	}
	return steps, areas
}

// pick takes an aspect over when it is of a higher rank than what was there; of
// two that are equal, the one that restricts.
func pick(on *bool, rank *uint8, a Aspect, r uint8) {
	if a == AspectKeep || r+1 < *rank || r+1 == *rank && a == AspectOff {
		return
	}
	*on, *rank = a == AspectOn, r+1
}

func order(kind uint8) int {
	switch kind {
	case MountAttr:
		return 1
	case MountHide:
		return 2
	}
	return 0
}

// areaOf is the innermost area around path. Areas come parents first.
func areaOf(areas []area, path string) area {
	best := area{at: "/"}
	for _, a := range areas {
		if a.at == path || below(path, a.at) {
			best = a
		}
	}
	return best
}

// below says whether path lies strictly below dir.
func below(path, dir string) bool {
	if dir == "/" {
		return path != "/"
	}
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// comparePaths orders a directory before what is below it, and that before its
// other siblings: "/a", "/a/b", "/a-c".
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' {
			return -1
		}
		if y == '/' {
			return 1
		}
		return int(x) - int(y)
	}
	return len(a) - len(b)
}

// cleanPath removes doubled and final slashes and "." parts. It refuses "..", which
// means something else once symbolic links are followed.
func cleanPath(p string) (string, bool) {
	if p == "" || p[0] != '/' {
		return "", false
	}
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); {
		for i < len(p) && p[i] == '/' {
			i++
		}
		j := i
		for j < len(p) && p[j] != '/' {
			if p[j] == 0 {
				return "", false
			}
			j++
		}
		switch part := p[i:j]; part {
		case "", ".":
		case "..":
			return "", false
		default:
			out = append(append(out, '/'), part...)
		}
		i = j
	}
	if len(out) == 0 {
		return "/", true
	}
	return string(out), true
}

// parentOf splits a clean path into its directory and its last part.
func parentOf(p string) (dir, name string) {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			if i == 0 {
				return "/", p[1:]
			}
			return p[:i], p[i+1:]
		}
	}
	return "/", p
}

// mountPoint is one line of mountinfo(5), as far as it matters here.
type mountPoint struct {
	id uint64
	at string
}

// mountPoints reads /proc/PID/mountinfo. A line that is none is left out.
func mountPoints(text string) (out []mountPoint) {
	for len(text) > 0 {
		line := text
		if i := index(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		var fields [5]string
		n := 0
		for n < len(fields) && line != "" {
			i := index(line, ' ')
			if i < 0 {
				i = len(line)
			}
			fields[n] = line[:i]
			n++
			line = line[min(i+1, len(line)):]
		}
		id, ok := number(fields[0])
		if n < len(fields) || !ok || fields[4] == "" || fields[4][0] != '/' {
			continue
		}
		out = append(out, mountPoint{id, unescapeOctal(fields[4])})
	}
	return out
}

func number(s string) (n uint64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 1<<58 {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, s != ""
}

// unescapeOctal undoes "\040" and its kind.
func unescapeOctal(s string) string {
	if index(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func isOctal(c byte) bool { return '0' <= c && c <= '7' }
