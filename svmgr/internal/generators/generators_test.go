package generators

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dynamod/internal/sys/confine"
	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Tool {
		os.Exit(confine.Main(os.Args[2:]))
	}
	testkit.Main(m)
}

func TestFind(t *testing.T) {
	x := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o755} }
	root := fstest.MapFS{
		"run/g/a": x("1"), "etc/g/a": x("2"),
		"etc/g/empty": x(""), "usr/g/empty": x("x"),
		"etc/g/null": {Data: []byte("/dev/null"), Mode: os.ModeSymlink | 0o777}, "usr/g/null": x("x"),
		"usr/g/b": x("x"), "usr/g/.hidden": x("x"), "usr/g/text": {Data: []byte("x"), Mode: 0o644}, "usr/g/dir/x": x("x"),
	}
	got, notes := Find(root, []string{"/run/g", "/etc/g", "/usr/g", "/missing"})
	if want := []string{"/run/g/a", "/usr/g/b"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if len(notes) != 2 {
		t.Errorf("notes: %q", notes)
	}
	if d := Directories(Environment, true); d[0] != "/run/systemd/user-environment-generators" || len(d) != 5 {
		t.Errorf("%q", d)
	}
}

// rig is a runner with generators made of shell scripts.
type rig struct {
	t    *testing.T
	dir  string
	made map[Kind]string
	Runner
}

func newRig(t *testing.T, user bool) *rig {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "dynamod-generators-") // /tmp is another one in there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, made: map[Kind]string{}}
	for _, k := range []Kind{Units, Environment} {
		r.made[k] = filepath.Join(r.dir, strconv.Itoa(int(k)))
		if err := os.MkdirAll(r.made[k], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.Runner = Runner{Helper: []string{self}, User: user, Output: filepath.Join(r.dir, "out"), Timeout: time.Minute,
		Environment: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_SCOPE=system"},
		Dirs:        func(k Kind) []string { return []string{r.made[k]} },
		Parse:       func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }}
	return r
}

func (r *rig) script(k Kind, name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.made[k], name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) units() map[string]Result {
	r.t.Helper()
	_, results, notes, err := r.Units([]string{"FROM_ENV=yes"})
	if err != nil || len(notes) > 0 {
		r.t.Fatal(err, notes)
	}
	out := map[string]Result{}
	for _, res := range results {
		out[filepath.Base(res.Path)] = res
	}
	return out
}

func (r *rig) read(path string) string {
	b, err := os.ReadFile(filepath.Join(r.Output, path))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// The generators run with their three directories and their environment; what was there
// before is gone, empty directories too, and each failure is told.
func TestUnits(t *testing.T) {
	for _, user := range []bool{false, true} {
		r := newRig(t, user)
		r.script(Units, "good", `echo "$SYSTEMD_SCOPE $FROM_ENV" >"$1/a.service"; echo early >"$2/b.service"; echo message`)
		r.script(Units, "bad", "echo oops >&2; exit 3")
		r.script(Units, "killed", "kill -SEGV $$")
		r.script(Units, "chatty", "yes | head -c 1000000")
		if err := os.MkdirAll(filepath.Join(r.Output, "generator", "old.service.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		got := r.units()
		if e := got["good"]; e.Err != nil || e.Output != "message" {
			t.Errorf("good: %+v", e)
		}
		if e := got["bad"]; e.Err == nil || !strings.Contains(e.Err.Error(), "code 3") || e.Output != "oops" {
			t.Errorf("bad: %+v", e)
		}
		if e := got["killed"]; e.Err == nil {
			t.Errorf("killed: %+v", e)
		}
		if e := got["chatty"]; e.Err != nil || len(e.Output) > maxSaid+100 || !strings.Contains(e.Output, "bytes more") {
			t.Errorf("chatty: %v, %d bytes", e.Err, len(e.Output))
		}
		if a := r.read("generator/a.service"); a != "system yes\n" {
			t.Errorf("a.service: %q", a)
		}
		if b := r.read("generator.early/b.service"); b != "early\n" {
			t.Errorf("b.service: %q", b)
		}
		for _, gone := range []string{"generator/old.service.d", "generator.late"} {
			if _, err := os.Stat(filepath.Join(r.Output, gone)); err == nil {
				t.Errorf("%s is there", gone)
			}
		}
	}
}

// Those of the system write nowhere but into their directories and a /tmp of their own.
func TestConfined(t *testing.T) {
	r := newRig(t, false)
	outside := filepath.Join(r.dir, "outside")
	r.script(Units, "writer", `
		echo x >"`+outside+`" && exit 1
		echo x >/etc/dynamod-test-generator && exit 1
		echo x >/tmp/private || exit 1
		mount -o remount,rw / 2>/dev/null
		echo x >"$3/late.service" || exit 1`)
	if e := r.units()["writer"]; e.Err != nil {
		t.Errorf("%+v", e)
	}
	for _, p := range []string{outside, "/etc/dynamod-test-generator", "/tmp/private"} {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s was written", p)
			os.Remove(p)
		}
	}
	if s := r.read("generator.late/late.service"); s != "x\n" {
		t.Errorf("late.service: %q", s)
	}
	r.script(Units, "writer", `head -c 100000000 /dev/zero >"$1/big"`)
	r.units()
	if st, err := os.Stat(filepath.Join(r.Output, "generator", "big")); err != nil || st.Size() > 16<<20 {
		t.Errorf("a huge file: %v, %v", st, err)
	}
}

// One that hangs, one that leaves processes in sessions of their own: nothing of them is
// left, and the others are not held up.
func TestHostile(t *testing.T) {
	for _, user := range []bool{false, true} {
		r := newRig(t, user)
		mark := "8473" + strconv.Itoa(os.Getpid())
		r.Timeout = 2 * time.Second
		r.script(Units, "hangs", "trap '' TERM; sleep "+mark+" & wait; sleep "+mark)
		r.script(Units, "forks", "for i in 1 2 3; do setsid sleep "+mark+" & done; echo done >$1/f.service")
		r.script(Units, "good", "echo good >$1/g.service")
		got := r.units()
		if e := got["hangs"]; e.Err == nil || !strings.Contains(e.Err.Error(), "did not end") {
			t.Errorf("hangs: %+v", e)
		}
		for _, n := range []string{"forks", "good"} {
			if e := got[n]; e.Err != nil {
				t.Errorf("%s: %+v", n, e)
			}
		}
		if f, g := r.read("generator/f.service"), r.read("generator/g.service"); f != "done\n" || g != "good\n" {
			t.Errorf("f %q, g %q", f, g)
		}
		testkit.Eventually(t, "no process is left", func() bool {
			return exec.Command("pgrep", "-f", "sleep "+mark).Run() != nil
		})
	}
}

// Those of variables run one after the other, each with what came before; one that fails
// changes nothing.
func TestVariables(t *testing.T) {
	r := newRig(t, true)
	r.script(Environment, "10-a", "echo A=1; echo B=$SYSTEMD_SCOPE")
	r.script(Environment, "20-b", "echo A=$A$A; echo C=3")
	r.script(Environment, "30-fails", "echo A=broken; exit 1")
	r.script(Environment, "40-floods", "echo A=flood; yes D=1 | head -c 10000000")
	vars, results, notes := r.Variables()
	if want := []string{"A=11", "B=system", "C=3"}; !slices.Equal(vars, want) || len(results) != 4 || len(notes) != 0 {
		t.Errorf("%q, %+v, %q", vars, results, notes)
	}
}
