package seccomp

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write numbers.go anew")

// The table is that of golang.org/x/sys, which is made from the kernel's headers.
func TestNumbersAreTheKernels(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}} {{.Version}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, version, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	line := regexp.MustCompile(`(?m)^\tSYS_(\w+)\s*=\s*(\d+)`)
	table := map[string][machines]int{}
	for i, m := range machineNames {
		src, err := os.ReadFile(filepath.Join(dir, "unix", "zsysnum_linux_"+m+".go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range line.FindAllStringSubmatch(string(src), -1) {
			name := strings.ToLower(x[1])
			if name == "syscall_mask" {
				continue // a constant of arm, no call
			}
			r, ok := table[name]
			if !ok {
				r = [machines]int{-1, -1, -1, -1, -1, -1, -1, -1}
			}
			if r[i], err = strconv.Atoi(x[2]); err != nil {
				t.Fatal(err)
			}
			table[name] = r
		}
	}
	var want bytes.Buffer
	fmt.Fprintf(&want, "// Code generated from golang.org/x/sys %s by go test -run Numbers -update; DO NOT EDIT.\n\npackage seccomp\n\n", version)
	want.WriteString("// numbers are the system calls by name, in order, and their numbers by machine.\nvar numbers = [...]row{\n")
	for _, name := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(&want, "\t{%q, [machines]int16{%s}},\n", name, strings.ReplaceAll(strings.Trim(fmt.Sprint(table[name]), "[]"), " ", ", "))
	}
	want.WriteString("}\n")
	text, err := format.Source(want.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("numbers.go", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("numbers.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, text) {
		t.Error("numbers.go is out of date: go test ./internal/sandbox/seccomp -run Numbers -update")
	}
}
