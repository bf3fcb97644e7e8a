package dropdir

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

func TestRead(t *testing.T) {
	tree := fstest.MapFS{
		"etc/x.d/20.conf":     {Data: []byte("etc")},
		"run/x.d/20.conf":     {Data: []byte("run")},
		"usr/lib/x.d/10.conf": {Data: []byte("vendor")},
		"usr/lib/x.d/30.conf": {Data: []byte("masked")},
		"run/x.d/30.conf":     {Data: []byte("/dev/null"), Mode: fs.ModeSymlink | 0o777},
		"etc/x.d/40.conf":     {Data: bytes.Repeat([]byte("x"), MaxFile+1)},
		"etc/x.d/readme":      {Data: []byte("no")},
		"etc/x.d/.conf":       {Data: []byte("no")},
		"lib/x.d/50.conf/a":   {Data: []byte("a directory")},
	}
	files, errs := Read(tree, Dirs("x.d"))
	got := ""
	for _, f := range files {
		got += f.Path + "=" + string(f.Data) + " "
	}
	if want := "/usr/lib/x.d/10.conf=vendor /etc/x.d/20.conf=etc "; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "/etc/x.d/40.conf") {
		t.Errorf("errors %v; want one about the file that is too long", errs)
	}
}

func TestLines(t *testing.T) {
	got := ""
	File{Data: []byte("# a\n\n  b c \n;d\ne")}.Lines(func(n int, l string) { got += fmt.Sprintf("%d:%s|", n, l) })
	if got != "3:b c|5:e|" {
		t.Errorf("got %s", got)
	}
}

func TestTooManyFiles(t *testing.T) {
	tree := fstest.MapFS{}
	for i := range MaxFiles + 5 {
		tree[fmt.Sprintf("etc/x.d/%05d.conf", i)] = &fstest.MapFile{}
	}
	files, errs := Read(tree, Dirs("x.d"))
	if len(files) != MaxFiles || len(errs) != 1 {
		t.Errorf("%d files, errors %v", len(files), errs)
	}
}
