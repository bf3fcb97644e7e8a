// Command testsum reads `go test -json` on standard input and prints what a
// person wants of it: one line per package, the whole output of what failed,
// every skipped test with its reason, and the totals. It exits 1 when a test
// or a build failed, or when more tests were skipped than -allow permits: a
// test that silently stops running is a test that was deleted.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// summary is what the events came to.
type summary struct {
	packages []string // result lines of packages, in the order they ended
	failures []string // whole output of each failed test, build or package
	skips    []string // "package.Test: reason"
	passed   int
	failed   int
}

type testID struct{ pkg, test string }

// read collects all events. Lines that are no events are printed as they come:
// they are complaints of the go command itself.
// Lines of tests that begin with progress, if that is not empty, are printed too.
func read(in io.Reader, progress string, echo func(string)) (*summary, error) {
	s := &summary{}
	output := map[testID][]string{}
	broken := map[string]bool{} // packages with a failed test of their own
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			echo(sc.Text())
			continue
		}
		id := testID{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			id = testID{e.ImportPath, "build"}
			output[id] = append(output[id], e.Output)
		case "build-fail":
			id = testID{e.ImportPath, "build"}
			s.failures = append(s.failures, strings.Join(output[id], ""))
		case "output":
			output[id] = append(output[id], e.Output)
			if progress != "" && strings.HasPrefix(e.Output, progress) {
				echo(strings.TrimRight(e.Output, "\n"))
			}
			if e.Test == "" && isResult(e.Output) {
				line := strings.TrimRight(e.Output, "\n")
				s.packages = append(s.packages, line)
				echo(line)
			}
		case "pass":
			if e.Test != "" {
				s.passed++
			}
			delete(output, id)
		case "skip":
			if e.Test != "" {
				s.skips = append(s.skips, e.Package+"."+e.Test+": "+reason(output[id]))
			}
			delete(output, id)
		case "fail":
			if e.Test != "" {
				s.failed++
				broken[e.Package] = true
				s.failures = append(s.failures, strings.Join(output[id], ""))
			} else if !broken[e.Package] {
				// No test failed, yet the package did: a build, a crash, a timeout.
				s.failed++
				s.failures = append(s.failures, strings.Join(output[id], ""))
			}
			delete(output, id)
		}
	}
	return s, sc.Err()
}

// isResult tells the closing line of a package from other output.
func isResult(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t") ||
		strings.HasPrefix(line, "--- FAIL")
}

// reason is what the test said before it skipped itself.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

// print writes the closing lines; more skips than allowed are a failure.
func (s *summary) print(w io.Writer, allowed int) (ok bool) {
	for _, f := range s.failures {
		fmt.Fprintln(w, strings.TrimRight(f, "\n"))
	}
	slices.Sort(s.skips)
	for _, skip := range s.skips {
		fmt.Fprintln(w, "skipped:", skip)
	}
	fmt.Fprintf(w, "tests: %d passed, %d failed, %d skipped (%d skips allowed)\n",
		s.passed, s.failed, len(s.skips), allowed)
	if len(s.skips) > allowed {
		fmt.Fprintln(w, "more tests were skipped than .ci/skips allows: make them run, or raise the number and say why")
	}
	return s.failed == 0 && len(s.failures) == 0 && len(s.skips) <= allowed
}

// allowance reads the number of skips from a file; lines with # are comments.
func allowance(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			n, err := strconv.Atoi(line)
			if err != nil || n < 0 {
				return 0, fmt.Errorf("%s: %q is not a number of skips", file, line)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s: no number in it", file)
}

func main() {
	file := flag.String("allow", ".ci/skips", "file with the number of skips that is allowed")
	keep := flag.String("keep", "", "also write the closing lines to this file")
	progress := flag.String("echo", "", "print the lines of tests that begin so, as they come")
	flag.Parse()
	if err := run(*file, *keep, *progress); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
}

func run(allowFile, keep, progress string) error {
	allowed, err := allowance(allowFile)
	if err != nil {
		return err
	}
	s, err := read(os.Stdin, progress, func(line string) { fmt.Println(line) })
	if err != nil {
		return err
	}
	var closing strings.Builder
	ok := s.print(&closing, allowed)
	fmt.Print(closing.String())
	if keep != "" {
		text := strings.Join(s.packages, "\n") + "\n" + closing.String()
		if err := os.WriteFile(keep, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if !ok {
		return fmt.Errorf("the tests did not pass")
	}
	return nil
}
