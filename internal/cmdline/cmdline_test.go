package cmdline

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	l := Parse("ro root=UUID=ab-cd root=/dev/x quiet  dynamod.boot_deadline=5s\tname=\"a b\" \"other=c d\" flag=no rw\n")
	for name, want := range map[string]string{"root": "UUID=ab-cd", "dynamod.boot-deadline": "5s", "name": "a b", "other": "c d"} {
		if got, ok := l.Value(name); !ok || got != want {
			t.Errorf("Value(%s) = %q, %v; want %q", name, got, ok, want)
		}
	}
	if _, ok := l.Value("quiet"); ok || !l.Has("quiet") || l.Has("qui") {
		t.Error("a bare word has a value, or is not there")
	}
	if on, bad := l.Switch("flag", true); on || bad != "" {
		t.Errorf("flag=no is %v, %q", on, bad)
	}
	if on, bad := l.Switch("name", true); !on || bad != "a b" {
		t.Errorf("a switch with another value: %v, %q", on, bad)
	}
	if on, _ := l.Switch("quiet", false); !on {
		t.Error("a bare word is not on")
	}
	if got := l.Last("ro", "rw"); got != "rw" {
		t.Errorf("Last = %q; want rw", got)
	}
	var words []string
	for name, value := range l.Words() {
		if value != nil {
			name += "=" + *value
		}
		words = append(words, name)
	}
	if got := strings.Join(words, "|"); got != "ro|root=UUID=ab-cd|root=/dev/x|quiet|dynamod.boot_deadline=5s|name=a b|other=c d|flag=no|rw" {
		t.Errorf("Words = %s", got)
	}
}

// Nothing is made up, and no word gets lost: the names and values are parts of the text.
func FuzzParse(f *testing.F) {
	f.Add(`a=b "c d"=e f"g h"`)
	f.Fuzz(func(t *testing.T, text string) {
		bare := strings.ReplaceAll(text, `"`, "")
		for _, w := range Parse(text).words {
			if !strings.Contains(bare, w.name) || !strings.Contains(bare, w.value) {
				t.Errorf("%q gives %+v", text, w)
			}
		}
	})
}
