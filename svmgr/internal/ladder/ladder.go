// Package ladder decides which kind of boot comes after boots that went wrong, and reads
// and writes the small texts that this is remembered by (docs/boot-health.md). It touches
// no file and has no clock.
package ladder

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Rung is a kind of boot, from the ordinary one downwards.
type Rung uint8

const (
	// Full is the boot that the files on disk ask for.
	Full Rung = iota
	// Rollback is the same with the configuration that booted well last.
	Rollback
	// Safe starts only what safe mode has.
	Safe
	// Emergency opens the emergency shell before anything is started.
	Emergency
	numRungs
)

var words = [numRungs]string{"full", "rollback", "safe", "emergency"}

func (r Rung) String() string { return words[r] }

// Parse finds a rung by its word.
func Parse(word string) (Rung, error) {
	for r, w := range words {
		if w == word {
			return Rung(r), nil
		}
	}
	return Full, fmt.Errorf("%.20q is no kind of boot", word)
}

// Situation is what is known when the manager of a machine begins.
type Situation struct {
	// Failed counts the boots that went wrong in a row before this one, Attempts is
	// after how many of them the ladder begins, 0 for never.
	Failed, Attempts int
	// Good says that another configuration than the one on disk booted well and is kept.
	Good bool
	// KnownBad says that the one on disk is that which a rollback was for.
	KnownBad bool
	// SafeAsked and Off are the kernel command line's: dynamod.safe-mode and
	// dynamod.safe-mode=no.
	SafeAsked, Off bool
}

// Choose says what kind of boot it is to be, and why; the reason of a full one is "".
func Choose(s Situation) (Rung, string) {
	in := func(text string) string {
		return fmt.Sprintf("%d boots in a row have failed: %s", s.Failed, text)
	}
	switch {
	case s.SafeAsked:
		return Safe, "the kernel command line asks for safe mode"
	case s.Off || s.Attempts <= 0:
		return Full, ""
	case s.Failed < s.Attempts:
		if s.KnownBad && s.Good {
			return Rollback, "the configuration on disk is the one that was rolled back from, unchanged: the one that booted well last takes its place"
		}
		return Full, ""
	}
	rungs := []Rung{Safe, Emergency}
	if s.Good {
		rungs = []Rung{Rollback, Safe, Emergency}
	}
	switch r := rungs[min(s.Failed-s.Attempts, len(rungs)-1)]; r {
	case Rollback:
		return r, in("the configuration that booted well last takes the place of the one on disk")
	case Safe:
		return r, in("safe mode")
	default:
		return r, in("the emergency shell")
	}
}

// maxCount bounds the counter: nobody fails to boot a million times.
const maxCount = 1_000_000

// ReadCount reads the counter's file: a whole number, perhaps with a line's end.
func ReadCount(text string) (int, error) {
	digits := strings.TrimSuffix(text, "\n")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n > maxCount || digits != strconv.FormatUint(n, 10) {
		return 0, fmt.Errorf("%.40q is no number of boots", text)
	}
	return int(n), nil
}

// Count is the text of the counter.
func Count(n int) string { return strconv.Itoa(min(max(n, 0), maxCount)) + "\n" }

// maxID bounds the name of a generation, which becomes a part of a path.
const maxID = 255

// StatusPath is where the status of a generation stands: id comes from a file or the
// kernel command line, and must not lead anywhere else.
func StatusPath(template, id string) (string, error) {
	if !strings.Contains(template, "{id}") {
		return template, nil
	}
	switch {
	case id == "":
		return "", errors.New("the generation has no name")
	case len(id) > maxID || id == "." || id == "..":
		return "", fmt.Errorf("%.40q cannot be the name of a generation in a path", id)
	}
	for _, r := range id {
		if r <= ' ' || r == '/' || r >= 0x7f {
			return "", fmt.Errorf("%.40q cannot be the name of a generation in a path: letters, digits and signs other than / can", id)
		}
	}
	return strings.ReplaceAll(template, "{id}", id), nil
}
