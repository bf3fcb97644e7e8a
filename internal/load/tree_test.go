package load

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

const (
	etc = "etc/systemd/system/"
	usr = "usr/lib/systemd/system/"
	run = "run/systemd/system/"
)

// mapFS makes a file system of "path", "content" pairs. "-> target" makes a
// symlink, "|" a FIFO and "/" a directory; "svc" is a good service.
func mapFS(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		f := &fstest.MapFile{Data: []byte(pairs[i+1]), Mode: 0o644}
		switch target, link := strings.CutPrefix(pairs[i+1], "-> "); {
		case link:
			f.Data, f.Mode = []byte(target), fs.ModeSymlink|0o777
		case pairs[i+1] == "|":
			f.Data, f.Mode = nil, fs.ModeNamedPipe|0o644
		case pairs[i+1] == "/":
			f.Data, f.Mode = nil, fs.ModeDir|0o755
		case pairs[i+1] == "svc":
			f.Data = []byte("[Service]\nExecStart=/bin/true\n")
		}
		m[pairs[i]] = f
	}
	return m
}

// say is a unit file or drop-in that tells its place in Description=.
func say(s string) string { return "[Unit]\nDescription=" + s + "\n[Service]\nExecStart=/bin/true\n" }

func must(t *testing.T, set *unit.Set, name string) *unit.Unit {
	t.Helper()
	u, ok := set.Find(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return u
}

// lines are the diagnostics without notes.
func lines(ds []diag.Diag) string {
	var b strings.Builder
	for _, d := range ds {
		if d.Severity > diag.Note {
			fmt.Fprintf(&b, "%s %s %s\n", d.Pos, d.Severity, d.Code)
		}
	}
	return b.String()
}

// dump prints what the files of a unit set, without the places.
func dump(u *unit.Unit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v %v\n", u.Name, u.Aliases, u.Load)
	for _, a := range u.Assigned() {
		fmt.Fprintf(&b, "%s = %v\n", a.Setting.Native, a.Value)
	}
	return b.String()
}
