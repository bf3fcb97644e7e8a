package testkit

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

const helperArg = "testkit-helper"

var helpers = struct {
	sync.Mutex
	run  map[string]func(args []string)
	used map[string]bool
}{run: map[string]func([]string){}, used: map[string]bool{}}

// Register names a function that a child of the test can run instead of the
// tests. Call it in the file whose tests use it, while variables are initialised:
//
//	var _ = testkit.Register("echo", func(args []string) { fmt.Println(args) })
func Register(name string, f func(args []string)) struct{} {
	helpers.Lock()
	defer helpers.Unlock()
	if helpers.run[name] != nil {
		panic("helper registered twice: " + name)
	}
	helpers.run[name] = f
	return struct{}{}
}

// Main is the body of TestMain. In a child it runs the helper that was asked for;
// else it runs the tests, and fails when all of them passed and a helper was not
// used: such a helper is left over from a test that is gone.
func Main(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		f := helpers.run[os.Args[2]]
		if f == nil {
			fmt.Fprintln(os.Stderr, "no such helper:", os.Args[2])
			os.Exit(125)
		}
		f(os.Args[3:])
		os.Exit(0)
	}
	code := m.Run()
	for _, f := range atExit {
		f()
	}
	if code == 0 && !filtered() {
		for name := range helpers.run {
			if !helpers.used[name] {
				fmt.Fprintln(os.Stderr, "helper without a test:", name)
				code = 1
			}
		}
	}
	os.Exit(code)
}

var atExit []func()

// AtExit runs f when all tests are done, for what they share.
func AtExit(f func()) {
	helpers.Lock()
	defer helpers.Unlock()
	atExit = append(atExit, f)
}

// filtered says that not all tests were asked for.
func filtered() bool {
	return slices.ContainsFunc(os.Args[1:], func(a string) bool {
		for _, p := range []string{"-test.run=", "-test.bench=", "-test.fuzz=", "-test.skip=", "-test.list=", "-test.short="} {
			if len(a) > len(p) && a[:len(p)] == p || a == p[:len(p)-1] {
				return true
			}
		}
		return false
	})
}

// Command is the argument vector that runs a helper in a child, program first.
func Command(t testing.TB, name string, args ...string) []string {
	t.Helper()
	helpers.Lock()
	defer helpers.Unlock()
	if helpers.run[name] == nil {
		t.Fatalf("no helper %q is registered", name)
	}
	helpers.used[name] = true
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{self, helperArg, name}, args...)
}
