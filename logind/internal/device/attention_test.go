package device

import (
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"

	"dynamod/logind/internal/session"
)

// Ctrl, Alt and Shift of either side, and then Esc; in every order of the first three, and
// as long as they are held.
func TestChord(t *testing.T) {
	m := New(t.TempDir())
	for name, x := range map[string]struct {
		events [][3]int32
		want   int
		off    bool
	}{
		"left":              {[][3]int32{{1, 29, 1}, {1, 56, 1}, {1, 42, 1}, {1, 1, 1}, {1, 1, 0}}, 1, false},
		"right, other way":  {[][3]int32{{1, 54, 1}, {1, 97, 1}, {1, 100, 1}, {1, 1, 1}}, 1, false},
		"twice":             {[][3]int32{{1, 29, 1}, {1, 56, 1}, {1, 42, 1}, {1, 1, 1}, {1, 1, 2}, {1, 1, 0}, {1, 1, 1}}, 2, false},
		"let go":            {[][3]int32{{1, 29, 1}, {1, 56, 1}, {1, 42, 1}, {1, 56, 0}, {1, 1, 1}}, 0, false},
		"one of two let go": {[][3]int32{{1, 29, 1}, {1, 97, 1}, {1, 56, 1}, {1, 42, 1}, {1, 97, 0}, {1, 1, 1}}, 1, false},
		"Esc too early":     {[][3]int32{{1, 1, 1}, {1, 29, 1}, {1, 56, 1}, {1, 42, 1}, {1, 1, 0}}, 0, false},
		"Esc alone":         {[][3]int32{{1, 1, 1}}, 0, false},
		"no Shift":          {[][3]int32{{1, 29, 1}, {1, 56, 1}, {1, 1, 1}}, 0, false},
		"events were lost":  {[][3]int32{{1, 29, 1}, {1, 56, 1}, {1, 42, 1}, {0, 3, 0}, {1, 1, 1}}, 0, false},
		"not keys":          {[][3]int32{{2, 29, 1}, {2, 56, 1}, {2, 42, 1}, {2, 1, 1}}, 0, false},
		"nobody listens":    {[][3]int32{{1, 29, 1}, {1, 56, 1}, {1, 42, 1}, {1, 1, 1}}, 0, true},
	} {
		var told []session.Event
		f := newFollower(m, slog.New(slog.DiscardHandler), func(e session.Event) { told = append(told, e) })
		b := &switchBox{seat: "seat1"}
		f.boxes["/devices/keyboard"] = b
		f.attend(!x.off)
		for _, e := range x.events {
			raw := make([]byte, inputEventSize)
			binary.NativeEndian.PutUint16(raw[inputEventSize-8:], uint16(e[0]))
			binary.NativeEndian.PutUint16(raw[inputEventSize-6:], uint16(e[1]))
			binary.NativeEndian.PutUint32(raw[inputEventSize-4:], uint32(e[2]))
			f.take(b, raw)
		}
		want := slices.Repeat([]session.Event{session.Attention{Seat: "seat1"}}, x.want)
		if !slices.Equal(told, want) {
			t.Errorf("%s: told %v", name, told)
		}
	}
}

// Of a keyboard, the kernel is asked for no key that stands for a letter or a digit, and
// for none of it when nobody listens.
func TestHeardKeys(t *testing.T) {
	has := func(mask []byte, code int) bool { return mask[code/8]>>(code%8)&1 != 0 }
	for _, attention := range []bool{false, true} {
		keys, _ := wanted(attention)
		n := 0
		for code := range len(keys) * 8 {
			if has(keys, code) {
				n++
			}
		}
		if want := map[bool]int{false: 5, true: 12}[attention]; n != want || has(keys, keyEsc) != attention || has(keys, 42) != attention || !has(keys, 116) {
			t.Errorf("attention %v: %d keys are heard, want %d", attention, n, want)
		}
	}
}
