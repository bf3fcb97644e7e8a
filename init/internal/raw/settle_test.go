package raw

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCleanMapping(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-0050c000 r-xp 00000000 fe:00 9154   /sbin/dynamod-init":                 true,
		"0050c000-0064f000 r--p 0010c000 fe:00 9154   /sbin/dynamod-init":                 true,
		"0050c000-0064f000 r--p 0010c000 fe:00 9154   /sbin/dynamod-init (deleted)":       true,
		"0064f000-0065e000 rw-p 0024e000 fe:00 9154   /sbin/dynamod-init":                 false,
		"0064f000-0065e000 r--s 0024e000 fe:00 9154   /sbin/dynamod-init":                 false,
		"0065e000-00762000 r--p 00000000 00:00 0":                                         false,
		"0065e000-00762000 r--p 00000000 00:00 0 ":                                        false,
		"7f23d4059000-7f23d405b000 r-xp 00000000 00:00 0                          [vdso]": false,
		"50000000-40000000 r-xp 00000000 fe:00 9154   /sbin/dynamod-init":                 false,
		"00400000 r-xp 00000000 fe:00 9154   /sbin/dynamod-init":                          false,
		"00000000000400000-0050c000 r-xp 00000000 fe:00 9154   /sbin/dynamod-init":        false,
		"00400000-0050c000":     false,
		"00400000-0050c000 r-x": false,
		"":                      false,
	} {
		if _, _, ok := cleanMapping([]byte(line)); ok != want {
			t.Errorf("%q: %v, want %v", line, ok, want)
		}
	}
}

// What differs from its file is not in the file: it must stay.
func TestDropCleanKeepsWhatDiffers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "constants")
	if err := os.WriteFile(file, make([]byte, 3*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for differs, want := range map[bool]byte{true: 1, false: 0} {
		m, err := unix.Mmap(int(f.Fd()), 0, 3*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		if differs {
			m[2*os.Getpagesize()] = 1 // as a relocation does
		}
		if err := unix.Mprotect(m, unix.PROT_READ); err != nil {
			t.Fatal(err)
		}
		smaps := about(t, file)
		n := DropClean(smaps)
		if got := m[2*os.Getpagesize()]; got != want || (n == 0) != differs {
			t.Errorf("differs %v: the page reads %d after %d bytes were dropped:\n%s", differs, got, n, smaps)
		}
		if err := unix.Munmap(m); err != nil {
			t.Fatal(err)
		}
	}
}

// about is the part of /proc/self/smaps about a file.
func about(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	in := false
	for line := range strings.Lines(string(text)) {
		if !isCount([]byte(line)) {
			in = strings.HasSuffix(line, " "+file+"\n")
		}
		if in {
			out = append(out, line...)
		}
	}
	return out
}

// What the kernel does not say to the end is not taken for clean.
func TestDropCleanNeedsTheWholeStory(t *testing.T) {
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if n := DropClean(text); n == 0 {
		t.Fatalf("nothing of this program is dropped:\n%.4096s", text)
	}
	swap := strings.Index(string(text), "\nSwap:")
	if swap < 0 {
		t.Fatal("no line for swap space")
	}
	first := string(text[:swap+strings.Index(string(text[swap+1:]), "\n")+2])
	if n := DropClean([]byte(first)); n == 0 {
		t.Errorf("nothing is dropped with the first mapping to its swap space:\n%s", first)
	}
	for name, text := range map[string]string{
		"half a line":      first[:len(first)-1],
		"no count":         strings.Replace(first, "Anonymous:", "Nonymous:", 1),
		"pages in memory":  regexp.MustCompile(`Anonymous: +0 kB`).ReplaceAllString(first, "Anonymous: 4 kB"),
		"pages swapped":    regexp.MustCompile(`Swap: +0 kB`).ReplaceAllString(first, "Swap: 40 kB"),
		"another begins":   strings.Replace(first, "\nSwap:", "\n7f23d4059000-7f23d405b000 r-xp 00000000 00:00 0 [vdso]\nSwap:", 1),
		"count of another": strings.Replace(first, "\nSwap:", "\n"+first[:strings.Index(first, "\n")]+"\nSwap:", 1),
	} {
		if n := DropClean([]byte(text)); n != 0 {
			t.Errorf("%s: %d bytes are dropped for\n%s", name, n, text)
		}
	}
	if n := testing.AllocsPerRun(10, func() { DropClean(text) }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}
