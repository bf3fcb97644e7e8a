package unit

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readLines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// testdata/directives.txt are the names that systemd 257 itself lists
// (systemd --dump-configuration-items), section by section.
func TestEveryDirectiveIsKnown(t *testing.T) {
	missing := 0
	want := map[string]bool{}
	for _, l := range readLines(t, "testdata/directives.txt") {
		sec, name, _ := strings.Cut(l, ".")
		want[l] = true
		if _, ok := LookupDirective(sec, name); !ok {
			t.Errorf("[%s] %s= is not in the table", sec, name)
			missing++
		}
	}
	if missing == 0 && len(want) < 1000 {
		t.Errorf("testdata/directives.txt has only %d names", len(want))
	}
	// What we know beyond that is of a later systemd, and says so.
	for d := range byDirective {
		full := d.in.Names()[0] + "." + d.name
		s := byDirective[d]
		if !want[full] && s.Since != "258" && s.In != InSupervisor && !beyond257[full] {
			t.Errorf("%s is in the table (%s, since %q) but not in systemd 257", full, s.Native, s.Since)
		}
	}
}

// beyond257 are names that the recorded list lacks, although systemd 257's
// manual has them.
var beyond257 = map[string]bool{
	"Unit.AssertFirmware": true, // systemd.unit(5): every condition has an assert
}

func TestTableIsSane(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$`)
	for i, s := range Table() {
		if int(s.ID) != i {
			t.Errorf("%s has ID %d at index %d", s.Native, s.ID, i)
		}
		for _, n := range append([]string{s.Native}, s.NativeAliases...) {
			if !kebab.MatchString(n) {
				t.Errorf("native key %q is not kebab-case", n)
			}
			if got, ok := LookupNative(n); !ok || got != s {
				t.Errorf("LookupNative(%q) does not find its row", n)
			}
		}
		if s.In == 0 {
			t.Errorf("%s applies to no unit type", s.Native)
		}
		if s.Name == "" && s.Since != "dynamod" && !s.internal {
			t.Errorf("%s has no directive and no Since", s.Native)
		}
		if len(s.Doc) < 10 || !strings.HasSuffix(s.Doc, ".") || strings.HasSuffix(s.Doc, "..") {
			t.Errorf("%s: Doc %q is no sentence", s.Native, s.Doc)
		}
		if s.Source == "" {
			t.Errorf("%s has no Source", s.Native)
		}
		if (s.Kind == EnumKind || s.Kind == SwitchKind) && len(s.Enum) == 0 {
			t.Errorf("%s has no words", s.Native)
		}
		if s.Kind == EnumKind && s.Default != "" && !slices.Contains(s.Enum, s.Default) {
			t.Errorf("%s: default %q is not one of its words", s.Native, s.Default)
		}
		for _, w := range s.EnumAliases {
			if len(s.Enum) > 0 && !slices.Contains(s.Enum, w) {
				t.Errorf("%s: an alias means %q, which is none of its words", s.Native, w)
			}
		}
		for _, into := range s.into {
			if into.Kind != s.Kind {
				t.Errorf("%s sets %s, which is of another kind", s.Native, into.Native)
			}
		}
		if (s.DBus == "") != (s.Signature == "") {
			t.Errorf("%s: D-Bus name %q with signature %q", s.Native, s.DBus, s.Signature)
		}
	}
}

func TestEveryKindIsComplete(t *testing.T) {
	for k := range kindEnd {
		r := kinds[k]
		if r.word == "" || r.parse == nil || r.text == nil || r.want == "" || len(r.toml) == 0 {
			t.Errorf("kind %d (%s) is incomplete", k, r.word)
		}
		if k.IsList() && (r.size == nil || r.items == nil) {
			t.Errorf("list kind %s is incomplete", r.word)
		}
	}
}

// testdata/dbus.tsv are the properties that systemd 257 shows on the bus.
func TestDBusNamesExist(t *testing.T) {
	facts := map[string]string{}
	for _, l := range readLines(t, "testdata/dbus.tsv") {
		name, sig, _ := strings.Cut(l, "\t")
		facts[name] = sig
	}
	for _, s := range Table() {
		if s.DBus == "" {
			continue
		}
		if s.In == InSwap {
			continue // the machine of the recording had no swap
		}
		found := false
		for _, n := range s.In.Names() {
			sig, ok := facts[n+"."+s.DBus]
			if !ok {
				continue
			}
			found = true
			if sig != s.Signature {
				t.Errorf("%s: %s.%s has signature %s, not %s", s.Native, n, s.DBus, sig, s.Signature)
			}
		}
		if !found {
			t.Errorf("%s: no interface of %v has a property %s", s.Native, s.In.Names(), s.DBus)
		}
	}
}
