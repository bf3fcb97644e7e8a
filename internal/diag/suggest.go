package diag

import (
	"strings"
	"unicode/utf8"
)

// Suggest returns the candidate nearest to word, or "" when none is near
// enough to be a plausible typo: at most a third of the word may differ.
// Comparison ignores case and treats '-' and '_' alike, because kebab-case
// keys written in snake_case are the commonest slip.
func Suggest(word string, candidates []string) string {
	best, _ := Nearest(word, candidates)
	return best
}

// Nearest is Suggest, and how many letters the candidate is away from word, for who has
// several lists of candidates; the distance of none is greater than that of any.
func Nearest(word string, candidates []string) (best string, at int) {
	const longest = 64 // no key is longer; a megabyte "key" must stay cheap
	if word == "" || len(word) > longest {
		return "", longest
	}
	w := fold(word)
	at = max(1, utf8.RuneCountInString(w)/3) + 1
	for _, c := range candidates {
		f := fold(c)
		if diff := len(f) - len(w); diff > at || -diff > at {
			continue
		}
		if d := distance(w, f, at); d < at {
			best, at = c, d
		}
	}
	return best, at
}

func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}

// distance is the optimal string alignment distance (insertions, deletions,
// substitutions and swaps of neighbours); values above bound are not exact.
func distance(a, b string, bound int) int {
	ra, rb := []rune(a), []rune(b)
	older := make([]int, len(rb)+1)
	prev := make([]int, len(rb)+1)
	cur := make([]int, len(rb)+1)
	for j := range prev {
		prev[j] = j
	}
	for i, x := range ra {
		cur[0] = i + 1
		low := cur[0]
		for j, y := range rb {
			cost := 1
			if x == y {
				cost = 0
			}
			v := min(prev[j]+cost, prev[j+1]+1, cur[j]+1)
			if i > 0 && j > 0 && x == rb[j-1] && ra[i-1] == y {
				v = min(v, older[j-1]+1)
			}
			cur[j+1] = v
			low = min(low, v)
		}
		if low > bound {
			return low
		}
		older, prev, cur = prev, cur, older
	}
	return prev[len(rb)]
}
