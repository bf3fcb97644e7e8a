package keeper

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dynamod/internal/testkit"
)

func TestOwn(t *testing.T) {
	r, w := pipe(t)
	k, err := NewOwn(nil, []Kept{{"a.service", "out/1", []int{int(r.Fd())}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"store/1/p/x", "store/1/p/x", "err/1"} {
		if err := k.Keep("a.service", name, int(w.Fd())); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Keep("b.service", "out/2", int(r.Fd()), -1); err == nil {
		t.Error("a descriptor that is none was kept")
	}
	k.Drop("a.service", "err/1")
	k.Drop("c.service", "")
	kept := k.Leave()
	text := ""
	for _, e := range kept {
		text += fmt.Sprintf("%s %s %d\n", e.Unit, e.Name, len(e.FDs))
	}
	if text != "a.service out/1 1\na.service store/1/p/x 2\n" {
		t.Errorf("kept are\n%s", text)
	}
	if kept[0].FDs[0] == int(r.Fd()) || inode(t, kept[0].FDs[0]) != inode(t, int(r.Fd())) {
		t.Error("what is kept is no copy")
	}
}

// A program gets from itself what it has passed on, and nobody else does.
func TestPass(t *testing.T) {
	argv := testkit.Command(t, "passes on")
	for mode, want := range map[string]string{"replace": "got 42 and a pipe", "start": "is for process"} {
		out := passing(t, append(slices.Clone(argv), mode), nil)
		if !strings.Contains(out, want) {
			t.Errorf("%s: %q; want %q", mode, out, want)
		}
	}
}

var _ = testkit.Register("passes on", func(args []string) {
	type value struct{ Number, FD int }
	var v value
	ok, err := Passed(&v)
	switch {
	case err != nil:
		fmt.Println(err)
	case ok:
		kind, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(v.FD))
		fmt.Println("got", v.Number, "and a", strings.Split(kind, ":")[0])
	default:
		r, _, err := os.Pipe()
		if err == nil {
			err = Pass(value{42, int(r.Fd())}, []int{int(r.Fd())})
		}
		if err == nil && args[0] == "replace" {
			err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
		}
		if err == nil { // a child that inherits the variable
			var p *os.Process
			null, _ := os.Open("/dev/null")
			files := []*os.File{null, os.Stdout, os.Stderr}
			for fd := 3; fd < 32; fd++ {
				files = append(files, os.NewFile(uintptr(fd), ""))
			}
			for k := 3; k < len(files); k++ {
				if _, serr := files[k].Stat(); serr != nil {
					files[k] = nil
				}
			}
			if p, err = os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Files: files}); err == nil {
				_, err = p.Wait()
			}
		}
		if err != nil {
			fmt.Println(err)
		}
	}
})
