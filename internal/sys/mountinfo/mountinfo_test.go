package mountinfo

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line string
		want Entry
		ok   bool
	}{
		{`36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`,
			Entry{36, 35, 98, 0, "/mnt1", "/mnt2", "rw,noatime", "rw,errors=continue", "ext3", "/dev/root"}, true},
		{`22 1 0:20 / /a\040b\011\134 rw shared:1 master:2 propagate_from:3 - tmpfs none\040x rw`,
			Entry{22, 1, 0, 20, "/", "/a b\t\\", "rw", "rw", "tmpfs", "none x"}, true},
		{`22 1 0:20 / / rw - tmpfs  rw`, Entry{22, 1, 0, 20, "/", "/", "rw", "rw", "tmpfs", ""}, true},
		{`22 1 0:20 / / rw tmpfs none rw`, Entry{}, false},
		{`22 1 0:20 / /x rw - tmpfs none`, Entry{}, false},
		{`22 1 0 / /x rw - tmpfs none rw`, Entry{}, false},
		{`22 1 0:20 / x rw - tmpfs none rw`, Entry{}, false},
		{`x 1 0:20 / /x rw - tmpfs none rw`, Entry{}, false},
		{``, Entry{}, false},
	} {
		got, ok := Parse([]byte(c.line))
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v, %v", c.line, got, ok, c.want, c.ok)
		}
	}
}

func mount(id int, point, typ, opts string) string {
	return fmt.Sprintf("%d 1 0:%d / %s %s - %s src%d rw\n", id, id, point, opts, typ, id)
}

func paths(ps []Point) (out []string) {
	for _, p := range ps {
		m := "-"
		if p.Mounted {
			m = p.Top.Source
		}
		if p.Triggers {
			m += "+auto"
		}
		out = append(out, p.Path+"="+m)
	}
	return out
}

func TestTableFollows(t *testing.T) {
	var tab Table
	step := func(want string, lines ...string) {
		t.Helper()
		if got := strings.Join(paths(tab.Update([]byte(strings.Join(lines, "")))), " "); got != want {
			t.Errorf("changed: %q, want %q", got, want)
		}
	}
	root, a, b := mount(1, "/", "ext4", "rw"), mount(2, "/a", "tmpfs", "rw"), mount(3, "/b", "tmpfs", "rw")
	step("/=src1 /a=src2", root, a)
	step("", root, a)
	step("/b=src3", root, a, b)
	step("/a=-", root, b)
	step("/a=src2 /b=-", root, a)
	// The same id for another place; options that change; one on top of another.
	step("/a=- /c=src2", root, mount(2, "/c", "tmpfs", "rw"))
	step("/c=src2", root, mount(2, "/c", "tmpfs", "ro"))
	step("/c=src9", root, mount(2, "/c", "tmpfs", "ro"), mount(9, "/c", "tmpfs", "rw"))
	step("/c=src2", root, mount(2, "/c", "tmpfs", "ro"))
	// autofs is no mount, but a place where one is awaited.
	step("/n=-+auto /c=-", root, mount(5, "/n", "autofs", "rw"))
	step("/n=src6+auto", root, mount(5, "/n", "autofs", "rw"), mount(6, "/n", "nfs", "rw"))
	parsed := tab.Parsed
	step("", root, mount(5, "/n", "autofs", "rw"), mount(6, "/n", "nfs", "rw"))
	if tab.Parsed != parsed {
		t.Error("a line that did not change was parsed again")
	}
	step("", root, mount(5, "/n", "autofs", "rw"), mount(6, "/n", "nfs", "rw"), "rubbish\n")
	if tab.Bad != 1 {
		t.Errorf("%d bad lines", tab.Bad)
	}
}

func TestSwaps(t *testing.T) {
	got, bad := Swaps([]byte("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/sda2                               partition\t8388604\t\t0\t\t-2\n" +
		"/var/swap\\040file                       file\t\t1024\t\t12\t\t5\n" +
		"/tmp/x\\040(deleted)                     file\t\t1024\t\t12\t\t-3\n" +
		"rubbish\n"))
	want := []Swap{{"/dev/sda2", false, "partition", 8388604, -2}, {"/var/swap file", false, "file", 1024, 5}, {"/tmp/x", true, "file", 1024, -3}}
	if !slices.Equal(got, want) || bad != 1 {
		t.Errorf("got %+v, %d bad", got, bad)
	}
}

// The table of this machine is read without loss.
func TestThisMachine(t *testing.T) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var tab Table
	tab.Update(data)
	if n := bytes.Count(data, []byte("\n")); tab.Len() != n || tab.Bad != 0 {
		t.Errorf("%d lines gave %d mounts, %d bad", n, tab.Len(), tab.Bad)
	}
	if !tab.At("/").Mounted {
		t.Error("nothing is mounted at /")
	}
}

// However the table got to its state, it is the one that a fresh reading gives,
// and what it told on the way adds up to it.
func FuzzMountinfo(f *testing.F) {
	f.Add([]byte(mount(1, "/", "ext4", "rw")+mount(2, "/a", "tmpfs", "rw")), []byte(mount(1, "/", "ext4", "rw")))
	f.Add([]byte("\\040"), []byte("1 1 0:1 / /\\134\\04 rw - a b c\n1 1 0:1 / /x rw - a b c\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var tab, fresh Table
		told := map[string]Point{}
		for _, data := range [][]byte{first, second} {
			for _, p := range tab.Update(data) {
				if told[p.Path] = p; !p.Mounted && !p.Triggers {
					delete(told, p.Path)
				}
			}
		}
		fresh.Update(second)
		if !reflect.DeepEqual(tab.All(), fresh.All()) {
			t.Errorf("updated: %+v\nfresh: %+v", tab.All(), fresh.All())
		}
		for _, p := range fresh.All() {
			if told[p.Path] != p {
				t.Errorf("%q: told %+v, is %+v", p.Path, told[p.Path], p)
			}
			delete(told, p.Path)
		}
		if len(told) > 0 {
			t.Errorf("told and not there: %v", told)
		}
	})
}

func FuzzSwaps(f *testing.F) {
	f.Add([]byte("Filename Type Size Used Priority\n/dev/sda2 partition 8388604 0 -2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, bad := Swaps(data)
		if n := bytes.Count(data, []byte("\n")); len(out)+bad > n {
			t.Errorf("%d swaps and %d bad lines of %d", len(out), bad, n)
		}
		for _, s := range out {
			if s.Path[0] != '/' {
				t.Errorf("path %q", s.Path)
			}
		}
	})
}

func BenchmarkOneChangeAmong1000(b *testing.B) {
	var base strings.Builder
	for i := range 1000 {
		base.WriteString(mount(i+1, fmt.Sprintf("/srv/m%d", i), "tmpfs", "rw,relatime"))
	}
	with, without := []byte(base.String()+mount(5000, "/srv/new", "tmpfs", "rw")), []byte(base.String())
	var tab Table
	tab.Update(without)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		data := with
		if i%2 == 1 {
			data = without
		}
		if len(tab.Update(data)) != 1 {
			b.Fatal("one change is expected")
		}
	}
}
