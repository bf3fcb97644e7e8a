package child

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func attr(at string, rank uint8, ro, nx Aspect) placed {
	return placed{Mount: Mount{Kind: MountAttr, Rank: rank, ReadOnly: ro, NoExec: nx}, at: at}
}

func made(kind uint8, at string) placed { return placed{Mount: Mount{Kind: kind}, at: at} }

var kindNames = map[uint8]string{MountBind: "bind", MountFS: "fs", MountHide: "hide", MountAttr: "self", MountNode: "node", MountSymlink: "link", MountImage: "image"}

func describe(steps []placed, areas []area) string {
	var out []string
	for _, s := range steps {
		out = append(out, kindNames[s.Kind]+" "+s.at)
	}
	for _, a := range areas {
		text := a.at
		if a.readOnly {
			text += " ro"
		}
		if a.noExec {
			text += " noexec"
		}
		out = append(out, "["+text+"]")
	}
	return strings.Join(out, ", ")
}

func TestArrange(t *testing.T) {
	const keep, on, off = AspectKeep, AspectOn, AspectOff
	for _, test := range []struct {
		name string
		in   []placed
		want string
	}{
		{"nothing", nil, ""},
		{"a writable part of a read-only tree", []placed{attr("/var", 1, off, keep), attr("/", 0, on, keep)}, "self /var, [/ ro], [/var]"},
		{"a read-only part of that", []placed{attr("/", 0, on, keep), attr("/var", 1, off, keep), attr("/var/lib", 2, on, keep)}, "self /var, self /var/lib, [/ ro], [/var], [/var/lib ro]"},
		{"no mount where nothing changes", []placed{attr("/", 0, on, keep), attr("/usr", 0, on, keep)}, "[/ ro]"},
		{"said beats implied", []placed{attr("/etc", 0, on, keep), attr("/etc", 1, off, keep)}, ""},
		{"read-only beats writable", []placed{attr("/etc", 2, on, keep), attr("/etc", 1, off, keep)}, "self /etc, [/etc ro]"},
		{"aspects are apart", []placed{attr("/", 2, keep, on), attr("/usr", 1, keep, off), attr("/usr", 0, on, keep)}, "self /usr, [/ noexec], [/usr ro]"},
		{"what is mounted is writable", []placed{attr("/", 0, on, keep), made(MountFS, "/tmp")}, "fs /tmp, [/ ro], [/tmp]"},
		{"but not executable", []placed{attr("/", 0, keep, on), made(MountBind, "/srv")}, "bind /srv, [/ noexec], [/srv noexec]"},
		{"a read-only tmpfs with a bind mount in it", []placed{attr("/var", 2, on, keep), made(MountFS, "/var"), made(MountBind, "/var/lib/x")}, "fs /var, bind /var/lib/x, [/var ro], [/var/lib/x]"},
		{"nothing is seen below what is hidden", []placed{made(MountHide, "/home"), made(MountBind, "/home/a"), attr("/home/b", 1, off, keep), attr("/home-2", 2, on, keep)}, "hide /home, self /home-2, [/home-2 ro]"},
		{"hidden wins", []placed{made(MountHide, "/x"), made(MountFS, "/x"), attr("/x", 2, on, keep)}, "hide /x"},
		{"parents first, whatever their names", []placed{made(MountBind, "/a-b"), made(MountBind, "/a/b"), made(MountBind, "/a")}, "bind /a, bind /a/b, bind /a-b, [/a], [/a/b], [/a-b]"},
	} {
		if got := describe(arrange(test.in)); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// FuzzArrange: whatever is asked for, directories are mounted before what is in
// them, nothing is done below what is hidden, and the restrictions of a path are
// those of the innermost area, as a slow reading of the rules has them.
func FuzzArrange(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte("hide and seek"))
	names := []string{"/", "/a", "/a/b", "/a/b/c", "/a-b", "/a/bb", "/d", "/d/e"}
	kinds := []uint8{MountBind, MountFS, MountHide, MountAttr, MountAttr}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in []placed
		for i := 0; i+2 < len(b) && len(in) < 32; i += 3 {
			p := placed{at: names[int(b[i])%len(names)]}
			p.Kind = kinds[int(b[i+1])%len(kinds)]
			if p.Kind == MountHide && p.at == "/" {
				continue
			}
			if p.Kind == MountAttr {
				p.ReadOnly, p.NoExec, p.Rank = Aspect(b[i+2]%3), Aspect(b[i+2]/3%3), b[i+2]/9%3
			}
			in = append(in, p)
		}
		steps, areas := arrange(in)
		for i, s := range steps {
			for _, earlier := range steps[:i] {
				if below(earlier.at, s.at) {
					t.Fatalf("%s comes after %s:\n%s", s.at, earlier.at, describe(steps, areas))
				}
			}
		}
		isHidden := func(path string) bool {
			return slices.ContainsFunc(in, func(p placed) bool {
				return p.Kind == MountHide && (p.at == path || below(path, p.at))
			})
		}
		for _, s := range steps {
			if isHidden(s.at) && (s.Kind != MountHide || isHidden(parent(s.at))) {
				t.Fatalf("%s lies in what is hidden:\n%s", s.at, describe(steps, areas))
			}
		}
		for _, path := range names {
			if isHidden(path) {
				continue
			}
			want := slowRead(in, path)
			got := areaOf(areas, path)
			if got.readOnly != want.readOnly || got.noExec != want.noExec {
				t.Fatalf("%s: got %+v, want %+v\n%s", path, got, want, describe(steps, areas))
			}
			around := slowRead(in, parent(path))
			differs := want.readOnly != around.readOnly || want.noExec != around.noExec
			if path != "/" && differs && !slices.ContainsFunc(steps, func(p placed) bool { return p.at == path }) {
				t.Fatalf("%s is restricted but no mount:\n%s", path, describe(steps, areas))
			}
		}
	})
}

func parent(path string) string {
	dir, _ := parentOf(path)
	return dir
}

// slowRead works the restrictions of one path out from the root down.
func slowRead(in []placed, path string) area {
	now := area{}
	for n := 0; ; n++ {
		prefix := "/"
		if n > 0 {
			parts := strings.Split(strings.Trim(path, "/"), "/")
			if path == "/" || n > len(parts) {
				return now
			}
			prefix = "/" + strings.Join(parts[:n], "/")
		}
		best := [2]int{-1, -1}
		for _, p := range in {
			if p.at == prefix && p.Kind != MountAttr && p.Kind != MountHide {
				now.readOnly = false
			}
		}
		for _, p := range in {
			if p.at != prefix || p.Kind != MountAttr {
				continue
			}
			for i, a := range []Aspect{p.ReadOnly, p.NoExec} {
				// The strictest of the highest rank.
				if weight := int(p.Rank)*2 + map[Aspect]int{AspectOn: 1}[a]; a != AspectKeep && weight > best[i] {
					best[i] = weight
					if i == 0 {
						now.readOnly = a == AspectOn
					} else {
						now.noExec = a == AspectOn
					}
				}
			}
		}
	}
}

// FuzzPaths: a clean path is absolute, has no empty, "." or ".." part, and stays as
// it is when it is cleaned again.
func FuzzPaths(f *testing.F) {
	for _, s := range []string{"/", "//a/./b/", "a", "/../x", "/a/..b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		clean, ok := cleanPath(p)
		if !ok {
			return
		}
		again, ok := cleanPath(clean)
		if !ok || again != clean || clean[0] != '/' {
			t.Fatalf("cleanPath(%q) = %q, then %q", p, clean, again)
		}
		if clean == "/" {
			return
		}
		for _, part := range strings.Split(clean[1:], "/") {
			if part == "" || part == "." || part == ".." {
				t.Fatalf("cleanPath(%q) = %q", p, clean)
			}
		}
	})
}

// FuzzMountPoints: lines of mountinfo(5) come back as they were written.
func FuzzMountPoints(f *testing.F) {
	f.Add(uint64(22), "/mnt/a b")
	f.Add(uint64(1), "/x\\y\tz\n")
	f.Fuzz(func(t *testing.T, id uint64, at string) {
		if len(at) == 0 || at[0] != '/' || id > 1<<60 || strings.ContainsRune(at, 0) {
			return
		}
		escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(at)
		text := fmt.Sprintf("nonsense\n%d 1 0:2 / %s rw - tmpfs x rw\n\n", id, escaped)
		got := mountPoints(text)
		if len(got) != 1 || got[0] != (mountPoint{id, at}) {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}

// seen runs a script in a view.
func seen(t *testing.T, v View, script string) result {
	t.Helper()
	v.Set = true
	s := shell(script)
	s.View = v
	return run(t, s)
}

// A service has put symbolic links into its directory. They mean what they mean below
// the new root, and nothing is made outside of it.
func TestSymbolicLinksStayInside(t *testing.T) {
	host := t.TempDir()
	secret := host + "/secret"
	root := host + "/root"
	for _, dir := range []string{secret, root + "/secret", root + secret, root + "/data", host + "/stage", host + "/bind"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		root + "/data/up":       "../../secret",
		root + "/data/absolute": secret,
		root + "/data/dangling": "/nothing",
		root + "/data/loop":     "loop",
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(host+"/bind/file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Binds of the system, so that a shell runs in the root.
	base := []Mount{}
	for _, d := range []string{"/usr", "/bin", "/lib", "/lib64"} {
		base = append(base, Mount{Kind: MountBind, Source: d, Path: d, Optional: true})
	}
	mount := func(path string) View {
		return View{Root: root, Staging: host + "/stage", Mounts: append(slices.Clone(base), Mount{Kind: MountBind, Source: host + "/bind", Path: path})}
	}
	r := seen(t, mount("/data/up/x"), "cat /secret/x/file && test ! -e /proc/1")
	if r.err != nil || r.out != "x" {
		t.Errorf("a relative link: %v, %q", r.err, r.out)
	}
	r = seen(t, mount("/data/absolute/x"), "cat "+secret+"/x/file")
	if r.err != nil || r.out != "x" {
		t.Errorf("an absolute link: %v, %q", r.err, r.out)
	}
	for _, p := range []string{secret + "/x", host + "/secret/file"} {
		if _, err := os.Lstat(p); err == nil {
			t.Errorf("%s was made outside of the root", p)
		}
	}
	for _, link := range []string{"loop", "dangling"} {
		r = seen(t, mount("/data/"+link+"/x"), "true")
		if r.err == nil || r.err.Stage != "mounts" || r.err.Errno != int32(unix.ELOOP) {
			t.Errorf("%s: %v", link, r.err)
		}
	}
	r = seen(t, mount("/data/../../x"), "true")
	if r.err == nil || r.err.Errno != int32(unix.EINVAL) {
		t.Errorf("a path with ..: %v", r.err)
	}
}
