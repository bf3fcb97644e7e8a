package world

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/load/sdunit"
	"dynamod/internal/unit"
)

// Names that are not absolute paths stay within the stores.
func TestCredentialsStayInTheirStores(t *testing.T) {
	w := &World{}
	for _, line := range []string{"LoadCredential=x:../../etc/passwd", "LoadCredential=x:a/b", "ImportCredential=../../etc/pass*", "ImportCredential=a/*",
		"SetCredential=../x:1", "SetCredential=..:1", "SetCredential=:1", "LoadCredential=a/b:/etc/passwd"} {
		var o order
		if err := w.credentials(&o, service(t, "a.service", "ExecStart=/bin/true", line), identity{}); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v, %+v", line, err, o.spec.Credentials.Items)
		}
	}
}

// Whatever a unit says: each credential has a name of its own that is one part of a path,
// and comes out of a store unless its path was given.
func FuzzCredentials(f *testing.F) {
	f.Add("a:b", "c", "d*:e")
	f.Add("a:\\x41\\n", "x:../../etc/passwd", "../../etc/*")
	f.Add(".:b", "..", "[")
	f.Fuzz(func(t *testing.T, set, load, imported string) {
		if strings.Contains(load, ":/") || strings.HasPrefix(load, "/") {
			return // would be opened
		}
		text := "[Service]\nExecStart=/bin/true\nSetCredential=" + set + "\nLoadCredential=" + load + "\nImportCredential=" + imported + "\n"
		frags, _ := sdunit.Parse("a.service", []byte(text))
		u, _ := unit.Build(unit.Source{Name: "a.service", HasMain: true, Files: []unit.File{{Path: "a.service", Fragments: frags}}})
		for _, l := range unit.LoadCredential.Of(u) {
			if _, p, _ := strings.Cut(l, ":"); strings.HasPrefix(l, "/") || strings.HasPrefix(p, "/") {
				return
			}
		}
		var o order
		if (&World{}).credentials(&o, u, identity{}) != nil {
			return
		}
		seen := map[string]bool{}
		for _, c := range o.spec.Credentials.Items {
			if c.ID == "" || c.ID == "." || c.ID == ".." || strings.ContainsAny(c.ID, "/\x00") || seen[c.ID] {
				t.Errorf("a credential is called %q", c.ID)
			}
			seen[c.ID] = true
			inStore := slices.ContainsFunc(credentialStores, func(d string) bool {
				rest, ok := strings.CutPrefix(c.Path, d+"/")
				return ok && !strings.Contains(rest, "/") && rest != ".."
			})
			if c.Path != "" && !inStore {
				t.Errorf("%q comes from %q", c.ID, c.Path)
			}
		}
	})
}
