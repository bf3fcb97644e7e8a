package world

import (
	"slices"
	"strings"
	"testing"
)

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "ab", false},
		{"?", "a", true}, {"?", "", false}, {"[a-c]x", "bx", true}, {"[!a-c]x", "bx", false}, {"[^a]", "b", true}, {"[]]", "]", true}, {"[!]]", "]", false},
		{"[a-]", "-", true}, {"[", "[", true}, {"[a", "[a", true}, {`\*`, "*", true}, {`\*`, "a", false}, {`a\`, `a\`, true}, {`[\]]`, "]", true},
		{"*a*b*c", "xaxbxc", true}, {"*a*b*c", "xaxbx", false},
		{strings.Repeat("a*", 60) + "b", strings.Repeat("a", 3000), false},
	} {
		if got := matchGlob(c.pattern, c.s); got != c.want {
			t.Errorf("matchGlob(%q, %.20q) = %v", c.pattern, c.s, got)
		}
	}
}

func TestExpandBraces(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "{a,b}": "a b", "x{a,b}y{c,}z": "xaycz xayz xbycz xbyz", "{a,{b,c}}": "a b c", "{a}": "{a}", "{a": "{a", "a,b": "a,b", "{": "{", "}": "}",
	} {
		if got := strings.Join(expandBraces(in), " "); got != want {
			t.Errorf("%q → %q, want %q", in, got, want)
		}
	}
	if got := expandBraces(strings.Repeat("{a,b}", 30)); got != nil {
		t.Error("2^30 patterns:", len(got))
	}
}

func TestWords(t *testing.T) {
	if got := words(` a "b c"  d'e f' "" `); !slices.Equal(got, []string{"a", "b c", "de f", ""}) {
		t.Errorf("%q", got)
	}
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "10": 10, "1K": 1024, "1.5G": 3 << 29, "2 M": 2 << 20, "1KiB": 1024, "16E": 0, "": 0, "K": 0, "1X": 0, "-1": 0, "99999999999999999999": 0} {
		got, err := parseBytes(in)
		if got != want || (err != nil) != (want == 0 && in != "0") {
			t.Errorf("%q = %d, %v", in, got, err)
		}
	}
}
