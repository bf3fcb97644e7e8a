package fstab

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// show prints a result as unit files with positions.
func show(r Result, ds []diag.Diag) string {
	var b strings.Builder
	body := func(frags []unit.Fragment) {
		section := ""
		for _, f := range frags {
			if f.Key == "Documentation" || f.Key == "SourcePath" {
				continue
			}
			if f.Section != section {
				section = f.Section
				fmt.Fprintf(&b, "[%s]\n", section)
			}
			fmt.Fprintf(&b, "%s=%s\t# %d:%d\n", f.Key, f.Text, f.Pos.Line, f.Pos.Col)
		}
	}
	for _, u := range r.Units {
		fmt.Fprintf(&b, "=== %s\n", u.Name)
		body(u.Files[0].Fragments)
	}
	for _, d := range r.Dropins {
		fmt.Fprintf(&b, "=== %s.d\n", d.Unit)
		body(d.File.Fragments)
	}
	for _, l := range r.Links {
		fmt.Fprintf(&b, "%s.%s/%s\n", l.Unit, l.Dir, l.Name)
	}
	for _, d := range ds {
		d.Pos.File = "fstab"
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.fstab")
	if len(files) == 0 {
		t.Fatal("no testdata")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := show(Parse(file, data, Options{}))
		golden := strings.TrimSuffix(file, ".fstab") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, _ := os.ReadFile(golden)
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
}

// TestRecorded compares with what systemd-fstab-generator 257 wrote for the
// same file, apart from the differences that doc.go lists.
func TestRecorded(t *testing.T) {
	data, err := os.ReadFile("testdata/recorded.fstab")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := Parse("fstab", data, Options{})
	recorded, err := os.ReadFile("testdata/recorded.generator")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]int{} // unit → line → count
	links := map[string]bool{}
	var cur map[string]int
	for line := range strings.Lines(string(recorded)) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "=== "); ok {
			cur = map[string]int{}
			want[name] = cur
		} else if cur == nil {
			links[line] = true
		} else if key, v, ok := strings.Cut(line, "="); ok {
			if key == "Requires" || key == "After" || key == "Wants" || key == "Before" {
				for _, w := range strings.Fields(v) {
					cur[key+"="+w]++
				}
			} else {
				cur[line]++
			}
		}
	}
	for _, d := range r.Dropins {
		r.Units = append(r.Units, unit.Source{Name: "D" + d.Unit + ".d", Files: []unit.File{d.File}})
	}
	for _, u := range r.Units {
		got := map[string]int{}
		for _, f := range u.Files[0].Fragments {
			if f.Key != "Documentation" && f.Key != "SourcePath" && !strings.HasPrefix(f.Text, "systemd-fsck@") && f.Key != "Priority" {
				for _, w := range words(f) {
					got[f.Key+"="+w]++
				}
			}
		}
		w := want[u.Name]
		if w == nil {
			t.Errorf("%s: not made by the generator", u.Name)
			continue
		}
		delete(want, u.Name)
		for l, n := range w {
			if got[l] != n && !strings.HasPrefix(l, "After=blockdev@") {
				t.Errorf("%s: %d × %s; the generator has %d", u.Name, got[l], l, n)
			}
		}
		for l := range got {
			if w[l] == 0 {
				t.Errorf("%s: %s; the generator does not have it", u.Name, l)
			}
		}
	}
	for name := range want {
		t.Errorf("%s: made by the generator only", name)
	}
	for _, l := range r.Links {
		s := l.Unit + "." + l.Dir + "/" + l.Name
		if l.Name == "systemd-fsck-root.service" {
			continue
		}
		if !links[s] {
			t.Errorf("link %s is not the generator's", s)
		}
		delete(links, s)
	}
	for s := range links {
		t.Errorf("link %s is the generator's only", s)
	}
}

func words(f unit.Fragment) []string {
	switch f.Key {
	case "Requires", "After", "Wants", "Before":
		return strings.Fields(f.Text)
	}
	return []string{f.Text}
}

func TestMountPointsAreResolved(t *testing.T) {
	r, ds := Parse("fstab", []byte("/dev/a /lnk/x ext4\n"), Options{Resolve: func(p string) string { return strings.Replace(p, "/lnk", "/real", 1) }})
	if len(ds) > 0 || len(r.Units) != 1 || r.Units[0].Name != "real-x.mount" {
		t.Errorf("got %s; want real-x.mount", show(r, ds))
	}
}

func TestBounds(t *testing.T) {
	r, ds := Parse("fstab", []byte(strings.Repeat("x\n", MaxLines+5)), Options{})
	if len(r.Units) != 0 || len(ds) != maxDiags+1 {
		t.Errorf("%d diagnostics; want %d", len(ds), maxDiags+1)
	}
	r, ds = Parse("fstab", []byte("/dev/a /a ext4 "+strings.Repeat("x", MaxLine)+"\n/dev/b /b ext4\n"), Options{})
	if len(r.Units) != 1 || len(ds) != 1 || ds[0].Code != "line-too-long" {
		t.Errorf("long line: %v", ds)
	}
}

// FuzzFstab: names are valid, positions lie inside the file, no unit is made
// twice, and a good line at the end is still used.
func FuzzFstab(f *testing.F) {
	for _, s := range []string{"/dev/a / ext4 defaults 0 1\n", "UUID=x /a\\040b ext4 x-systemd.automount,x-systemd.requires=/b,noauto\n",
		"/swap none swap pri=3\n", "n:/x /y nfs bg,_netdev\n", "a b\n\\000 \\ c\n", "/dev/a /b x x-systemd.device-timeout=1s,x-systemd.wanted-by=q"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		all := string(data) + "\n/dev/good /very-good-place ext4 defaults 0 0\n"
		r, _ := Parse("fstab", []byte(all), Options{})
		lines := strings.Split(all, "\n")
		seen := map[string]bool{}
		good := false
		for _, u := range r.Units {
			if !unitname.Valid(u.Name) || seen[u.Name] {
				t.Fatalf("bad or repeated name %q", u.Name)
			}
			seen[u.Name] = true
			good = good || u.Name == `very\x2dgood\x2dplace.mount`
			for _, fr := range u.Files[0].Fragments {
				if fr.Pos.Line < 1 || int(fr.Pos.Line) > len(lines) || int(fr.Pos.Col) > len(lines[fr.Pos.Line-1]) {
					t.Fatalf("%v is outside of the file", fr.Pos)
				}
				if strings.ContainsAny(fr.Text, "\n\x00") {
					t.Fatalf("bad text %q", fr.Text)
				}
			}
		}
		if !good {
			t.Fatal("the good line at the end is missing")
		}
		for _, l := range r.Links {
			if !unitname.Valid(l.Unit) || !unitname.Valid(l.Name) {
				t.Fatalf("bad link %+v", l)
			}
		}
	})
}
