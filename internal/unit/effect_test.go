package unit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// keyNames maps the Go names of the keys to their rows' native keys.
func keyNames(t *testing.T) map[string]*Setting {
	out := map[string]*Setting{}
	files, err := filepath.Glob("settings_*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no settings files", err)
	}
	quoted := regexp.MustCompile(`"([a-z0-9.-]+)"`)
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, sp := range g.Specs {
				v := sp.(*ast.ValueSpec)
				if len(v.Names) != 1 || len(v.Values) != 1 || !v.Names[0].IsExported() {
					continue
				}
				text := string(src[set.Position(v.Values[0].Pos()).Offset:set.Position(v.Values[0].End()).Offset])
				m := quoted.FindStringSubmatch(text)
				if m == nil {
					t.Fatalf("%s: no native key in %s", v.Names[0].Name, text)
				}
				key := m[1]
				if strings.HasPrefix(text, "limitRow") {
					key = "limits." + key
				}
				s, ok := LookupNative(key)
				if !ok {
					t.Fatalf("%s: %q is no native key", v.Names[0].Name, key)
				}
				out[v.Names[0].Name] = s
			}
		}
	}
	return out
}

// A setting that claims an effect is read by the code that acts, and one that
// the acting code reads does not claim to be without effect: `check` tells the
// operator the truth. When this fails, change the Effect of the row.
func TestEffectsAreTrue(t *testing.T) {
	used := map[string]bool{}
	ref := regexp.MustCompile(`\bunit\.([A-Z][A-Za-z0-9]*)`)
	for _, root := range []string{"../../svmgr", "../graph", "../load", "../sandbox"} {
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") || strings.Contains(p, "/sim/") {
				return err
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			for _, m := range ref.FindAllSubmatch(b, -1) {
				used[string(m[1])] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range keyNames(t) {
		// These act through other keys, or through functions of this package.
		if s.into != nil || s.In&(InInstall|InSupervisor|InBoot) != 0 || s == ServiceName.s || s == StartMode.s {
			continue
		}
		claims := s.Effect == ByCore || s.Effect == ByGraph || s.Effect == ByLoader || s.Effect == ByWorld
		if claims && !used[name] {
			t.Errorf("unit.%s (%s) claims the effect %q, but nothing reads it", name, s.Native, s.Effect)
		}
		if s.Effect == NotYet && used[name] {
			t.Errorf("unit.%s (%s) is read, but its Effect is NotYet", name, s.Native)
		}
	}
}

// What has no effect says why, in words for people.
func TestIdleSettingsSayWhy(t *testing.T) {
	for _, s := range Table() {
		if (s.Effect == NotYet && s.into == nil) != (s.Why != "") {
			t.Errorf("%s: effect %q and reason %q do not go together", s.Native, s.Effect, s.Why)
		}
		if text, ok := Explain(s.Native); ok && s.Why != "" && !strings.Contains(text, s.Why) {
			t.Errorf("explain %s does not say why it has no effect", s.Native)
		}
	}
}
