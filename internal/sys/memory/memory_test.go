package memory

import (
	"reflect"
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	const smaps = `00400000-00800000 r-xp 00000000 fe:00 123 /usr/lib/a b
Size:               4096 kB
Rss:                1000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00800000-00900000 r--p 00400000 fe:00 123 /usr/lib/a b
Rss:                 100 kB
Anonymous:             4 kB
00900000-00a00000 rw-p 00500000 fe:00 123 /usr/lib/a b
Rss:                 100 kB
Anonymous:             0 kB
00a00000-00b00000 r--p 00500000 fe:00 123 /usr/lib/other
Rss:                 100 kB
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Rss:                 100 kB
Anonymous:             0 kB
00b00000-00c00000 r--p 00600000 fe:00 123 /usr/lib/a b
Rss:                 200 kB
Anonymous:             0 kB
`
	got, err := clean(strings.NewReader(smaps), "/usr/lib/a b")
	want := []region{{0x400000, 0x800000, 1000 << 10}, {0xb00000, 0xc00000, 200 << 10}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("clean = %+v, %v; want %+v", got, err, want)
	}
}

// The program lives on.
func TestGiveBack(t *testing.T) {
	mapped, err := GiveBack()
	if err != nil || mapped == 0 {
		t.Errorf("GiveBack = %d, %v", mapped, err)
	}
}
