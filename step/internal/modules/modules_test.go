package modules

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	tree := fstest.MapFS{
		"usr/lib/modules-load.d/a.conf": {Data: []byte("loop\n# x\nvendor\n")},
		"etc/modules-load.d/a.conf":     {Data: []byte("loop\nsnd-seq\n")},
		"etc/modules-load.d/b.conf":     {Data: []byte("; y\nfuse\nsnd_seq\n")},
		"etc/modules":                   {Data: []byte("# Debian's\nbonding mode=1 miimon=100 # two words\nloop max_loop=8\n")},
	}
	ms, errs := Read(tree, "quiet modules_load=kvm,,tun rd.x=1")
	var got []string
	for _, m := range ms {
		got = append(got, strings.Join(append([]string{m.Name}, m.Parameters...), ":"))
	}
	want := "kvm tun loop:max_loop=8 snd-seq fuse bonding:mode=1:miimon=100"
	if s := strings.Join(got, " "); s != want || len(errs) > 0 {
		t.Errorf("got %s, %v; want %s", s, errs, want)
	}
}

func TestBadLines(t *testing.T) {
	for _, bad := range []string{"-r", "../x", "a/b", "ok -q", "ok word", strings.Repeat("x", 65), "é"} {
		ms, errs := Read(fstest.MapFS{"etc/modules": {Data: []byte(bad + "\nloop\n")}}, "")
		if len(ms) != 1 || ms[0].Name != "loop" || !strings.Contains(fmt.Sprint(errs), "/etc/modules:1") {
			t.Errorf("%q: %v, %v; want loop only and an error for line 1", bad, ms, errs)
		}
	}
}

// No line may become an option of modprobe.
func FuzzRead(f *testing.F) {
	f.Add("a b=c\n-r x\n", "modules_load=-x,y")
	f.Fuzz(func(t *testing.T, text, cmdline string) {
		ms, _ := Read(fstest.MapFS{"etc/modules": {Data: []byte(text)}}, cmdline)
		for _, m := range ms {
			for _, w := range append([]string{m.Name}, m.Parameters...) {
				if w == "" || w[0] == '-' {
					t.Fatalf("%q of %s", w, m.From)
				}
			}
		}
	})
}
