package early

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func put(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type lines []string

func (l *lines) say(_ uint8, text string) { *l = append(*l, text) }

func TestHostname(t *testing.T) {
	for _, c := range []struct{ file, asked, want, says string }{
		{"box\n", "", "box", ""},
		{"# a comment\n\n box.example.org \n", "", "box.example.org", ""},
		{"box\n", "other", "other", ""},
		{"two words\n", "", "", "no host name"},
		{strings.Repeat("a", 65), "", "", "no host name"},
		{"", "-x", "", "no host name"},
	} {
		root := t.TempDir()
		put(t, root, map[string]string{"etc/hostname": c.file})
		got, said := "", lines{}
		Hostname(root, c.asked, func(s string) error { got = s; return nil }, said.say)
		if c.want == "" {
			// What the machine that runs the test has stays, or it becomes localhost.
			if got != "" && got != "localhost" {
				t.Errorf("%q, %q: set to %q", c.file, c.asked, got)
			}
		} else if got != c.want {
			t.Errorf("%q, %q: set to %q; want %q", c.file, c.asked, got, c.want)
		}
		if text := strings.Join(said, "; "); !strings.Contains(text, c.says) || c.says == "" && text != "" {
			t.Errorf("%q: said %q; want %q", c.file, text, c.says)
		}
	}
}

const id = "0123456789abcdef0123456789abcdef"

func TestMachineID(t *testing.T) {
	qemu := map[string]string{"sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_uuid": "01234567-89AB-CDEF-0123-456789ABCDEF\n"}
	for name, c := range map[string]struct {
		files map[string]string
		asked string
		want  string // "" for any
		first bool
		says  string
	}{
		"there":           {files: map[string]string{"etc/machine-id": id + "\n"}, asked: strings.Repeat("1", 32), want: id},
		"missing":         {first: true},
		"uninitialized":   {files: map[string]string{"etc/machine-id": "uninitialized\n"}, first: true},
		"empty":           {files: map[string]string{"etc/machine-id": ""}},
		"corrupt":         {files: map[string]string{"etc/machine-id": "\x00\x00garbage"}, says: "no valid machine ID"},
		"zeros":           {files: map[string]string{"etc/machine-id": strings.Repeat("0", 32)}, says: "no valid machine ID"},
		"asked":           {asked: "01234567-89ab-cdef-0123-456789abcdef", want: id, first: true},
		"of an initramfs": {files: map[string]string{"run/machine-id": id + "\n"}, want: id, first: true},
		"of a hypervisor": {files: qemu, want: id, first: true},
	} {
		root := t.TempDir()
		put(t, root, map[string]string{"etc/x": "", "run/systemd/x": ""})
		put(t, root, c.files)
		said := lines{}
		MachineID(root, c.asked, said.say)
		b, err := os.ReadFile(filepath.Join(root, "etc/machine-id"))
		if got := strings.TrimSpace(string(b)); err != nil || !validID(got) || c.want != "" && got != c.want {
			t.Errorf("%s: the ID is %q, %v; want %q", name, got, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(root, "run/systemd/first-boot")); (err == nil) != c.first {
			t.Errorf("%s: a first boot: %v; want %v", name, err == nil, c.first)
		}
		if text := strings.Join(said, "; "); !strings.Contains(text, c.says) || c.says == "" && text != "" {
			t.Errorf("%s: said %q; want %q", name, text, c.says)
		}
	}
}

// Where /etc cannot be written the ID lies in /run and over the file.
func TestMachineIDReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	root := t.TempDir()
	put(t, root, map[string]string{"etc/machine-id": "", "run/systemd/x": ""})
	// The mounts are made in a namespace of their own, by a copy of this test.
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --bind $1/etc $1/etc && mount -o remount,bind,ro $1/etc && exec "$2" -test.run=^TestOverHelper$ -test.v`,
		"sh", root, os.Args[0])
	cmd.Env = append(os.Environ(), "EARLY_ROOT="+root)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestOverHelper") {
		t.Fatalf("%v: %s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/machine-id")); err != nil || len(b) != 0 {
		t.Errorf("the file itself became %q, %v", b, err)
	}
}

func TestOverHelper(t *testing.T) {
	root := os.Getenv("EARLY_ROOT")
	if root == "" {
		return // only TestMachineIDReadOnly asks for it
	}
	said := lines{}
	MachineID(root, "", said.say)
	b, err := os.ReadFile(filepath.Join(root, "etc/machine-id"))
	if err != nil || !validID(strings.TrimSpace(string(b))) || len(said) > 0 {
		t.Errorf("the ID is %q, %v; said %q", b, err, said)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o644); err == nil {
		t.Error("what lies over the file can be written")
	}
}

func TestSeed(t *testing.T) {
	root := t.TempDir()
	said := lines{}
	LoadSeed(root, said.say)
	if err := SaveSeed(root); !os.IsNotExist(err) {
		t.Errorf("a seed without a place for it: %v", err)
	}
	put(t, root, map[string]string{"var/lib/dynamod/random-seed": strings.Repeat("x", seedSize)})
	if err := SaveSeed(root); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(root, seedFile)
	b, err := os.ReadFile(name)
	if err != nil || len(b) != seedSize || strings.Contains(string(b), "xxxxxxxx") {
		t.Errorf("the seed is %d bytes, %v", len(b), err)
	}
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if len(said) > 0 {
		t.Errorf("said %q", said)
	}
}
