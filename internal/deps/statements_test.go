package deps

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	statementRow = regexp.MustCompile(`^\| (W?\d+) \|.*\| ([^|]*) \|$`)
	namedTest    = regexp.MustCompile("`([a-z0-9/]+)`: (Test\\w+)")
	testFunc     = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	afterRow     = regexp.MustCompile(`^Test(Statement\d\d|(?:W\d+)+)`)
)

// docs/statements.md names tests that exist, one at least for each of the thirty, and
// no test that is named after a row is missing in it.
func TestStatementsNameTheirTests(t *testing.T) {
	root := "../.."
	exist := map[string]bool{} // "dir: Test"
	rows := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range testFunc.FindAllStringSubmatch(string(data), -1) {
			exist[dir+": "+m[1]] = true
		}
		return err
	})
	if err != nil || len(exist) < 100 {
		t.Fatalf("found %d tests, %v", len(exist), err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/statements.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		m := statementRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		row, tests := m[1], namedTest.FindAllStringSubmatch(m[2], -1)
		if _, twice := rows[row]; twice {
			t.Errorf("row %s is there twice", row)
		}
		rows[row] = m[2]
		for _, x := range tests {
			if !exist[x[1]+": "+x[2]] {
				t.Errorf("row %s names %s in %s, which is not there", row, x[2], x[1])
			}
		}
		if len(tests) == 0 && !strings.HasPrefix(m[2], "none yet: ") {
			t.Errorf("row %s names no test", row)
		}
	}
	for n := 1; n <= 30; n++ {
		if r, ok := rows[strconv.Itoa(n)]; !ok || strings.HasPrefix(r, "none yet") {
			t.Errorf("statement %d has no test", n)
		}
	}
	for test := range exist {
		dir, name, _ := strings.Cut(test, ": ")
		m := afterRow.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		var of []string
		if n, ok := strings.CutPrefix(m[1], "Statement"); ok {
			of = []string{strings.TrimPrefix(n, "0")}
		} else {
			for _, n := range strings.Split(m[1], "W")[1:] {
				of = append(of, "W"+n)
			}
		}
		for _, row := range of {
			// The page has the defects of the manager only.
			if _, ok := rows[row]; !ok && row[0] == 'W' {
				continue
			}
			if !strings.Contains(rows[row], fmt.Sprintf("`%s`: %s", dir, name)) {
				t.Errorf("%s in %s is not listed in row %s of docs/statements.md", name, dir, row)
			}
		}
	}
}
