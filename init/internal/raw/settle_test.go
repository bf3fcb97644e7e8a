package raw

import (
	"os"
	"strings"
	"testing"
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

// The text of this very test goes and comes back; a line that is cut off does not count.
func TestDropClean(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if n := DropClean(maps); n == 0 {
		t.Errorf("nothing of this program is dropped:\n%s", maps)
	}
	first, _, _ := strings.Cut(string(maps), "\n")
	if n := DropClean([]byte(first)); n != 0 {
		t.Errorf("half a line counts: %d bytes of %q", n, first)
	}
	if n := testing.AllocsPerRun(10, func() { DropClean(maps) }); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}
