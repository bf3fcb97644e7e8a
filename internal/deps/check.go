package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path in go.mod.
const module = "dynamod"

// violation is one breach of the law; its text starts with file:line.
type violation struct{ pos, text string }

func (v violation) String() string { return v.pos + ": " + v.text }

// check reads every Go file of the tree that is no test and judges it.
func check(tree fs.FS, law []rule) ([]violation, error) {
	var out []violation
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := path.Base(name)
			if name != "." && (base == "testdata" || base == "vendor" || base == "build" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		vs, err := checkFile(name, src, law)
		out = append(out, vs...)
		return err
	})
	return out, err
}

func checkFile(name string, src []byte, law []rule) ([]violation, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	pkg := path.Dir(name)
	r, ok := find(law, pkg)
	if !ok {
		return []violation{{name + ":1", fmt.Sprintf("package %s has no row in internal/deps/law.go: say what it may import", pkg)}}, nil
	}
	var out []violation
	report := func(at token.Pos, format string, args ...any) {
		p := fset.Position(at)
		out = append(out, violation{fmt.Sprintf("%s:%d", p.Filename, p.Line), fmt.Sprintf(format, args...)})
	}
	names := map[string]string{} // local name → import path
	for _, imp := range file.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return nil, err
		}
		names[localName(imp, p)] = p
		if why := r.refuses(pkg, p); why != "" {
			report(imp.Pos(), "%s imports %s: %s", pkg, p, why)
		}
	}
	if r.pure {
		impurities(file, names, pkg, report)
	}
	return out, nil
}

// find returns the most specific row for a package: its own name first, then
// the longest pattern.
func find(law []rule, pkg string) (rule, bool) {
	best, found := rule{}, false
	for _, r := range law {
		if r.pkg == pkg {
			return r, true
		}
		if covers(r.pkg, pkg) && (!found || len(r.pkg) > len(best.pkg)) {
			best, found = r, true
		}
	}
	return best, found
}

// covers says whether a pattern of the table means the path.
func covers(pattern, p string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == base || strings.HasPrefix(p, base+"/")
	}
	return p == pattern
}

func anyCovers(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, p) })
}

// refuses says why the row does not permit the import, "" when it does.
func (r rule) refuses(pkg, p string) string {
	forTests := covers("internal/testkit/...", pkg) || covers("desktop-tests/...", pkg) || covers("tools/...", pkg)
	if anyCovers(notInProducts, p) && !forTests {
		return "only tests may"
	}
	if ours, ok := strings.CutPrefix(p, module+"/"); ok {
		switch {
		case covers("internal/testkit/...", ours) && !forTests:
			return "only tests may"
		case !anyCovers(r.ours, ours):
			return "its row in internal/deps/law.go does not allow it"
		}
		return ""
	}
	if r.pure && anyCovers(forbiddenWhenPure, p) {
		return "the package is pure"
	}
	first, _, _ := strings.Cut(p, "/")
	switch {
	case p == "C":
		return "no cgo outside sdnotify/libsystemd"
	case strings.Contains(first, "."):
		if !anyCovers(r.outside, p) {
			return "its row in internal/deps/law.go does not allow this dependency"
		}
	case anyCovers(r.never, p):
		return "its row in internal/deps/law.go forbids it"
	}
	return ""
}

// localName is the name by which a file speaks of an import; for the standard
// library, which is all that matters here, the default is the last element.
func localName(imp *ast.ImportSpec, p string) string {
	if imp.Name != nil {
		return imp.Name.Name
	}
	if base := path.Base(p); base != "v2" {
		return base
	}
	return path.Base(path.Dir(p))
}

// impurities finds goroutines, clocks and unseeded randomness.
func impurities(file *ast.File, names map[string]string, pkg string, report func(token.Pos, string, ...any)) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n.Pos(), "%s starts a goroutine: the package is pure", pkg)
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch p := names[x.Name]; {
			case p == "time" && slices.Contains(forbiddenClocks, n.Sel.Name):
				report(n.Pos(), "%s uses time.%s: the package is pure, so the time comes in as an argument", pkg, n.Sel.Name)
			case covers("math/rand/...", p) && !slices.Contains(seededRandom, n.Sel.Name):
				report(n.Pos(), "%s uses rand.%s: the package is pure, so random numbers come from a seed", pkg, n.Sel.Name)
			}
		}
		return true
	})
	for _, imp := range file.Imports {
		if imp.Name != nil && imp.Name.Name == "." {
			report(imp.Pos(), "%s imports %s under the name \".\", which hides what it uses", pkg, imp.Path.Value)
		}
	}
}
