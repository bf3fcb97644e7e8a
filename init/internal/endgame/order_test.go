package endgame

import (
	"slices"
	"strings"
	"testing"

	"dynamod/internal/sys/mountinfo"
)

const someTable = `20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
21 20 0:5 / /proc rw - proc proc rw
22 20 0:6 / /sys rw - sysfs sysfs rw
23 22 0:7 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
24 20 0:8 / /dev rw - devtmpfs dev rw
25 24 0:9 / /dev/shm rw - tmpfs tmpfs rw
26 20 0:10 / /run rw - tmpfs tmpfs rw
27 20 8:2 / /home rw - ext4 /dev/vdb rw,errors=remount-ro
28 27 0:11 / /home/u/tmp rw - tmpfs tmpfs rw
29 26 8:3 / /run/media/usb rw - vfat /dev/sdc rw
30 20 0:30 / /srv rw - btrfs /dev/vdd rw
31 20 0:31 / /cd ro - iso9660 /dev/sr0 ro
32 20 0:32 / /net rw - nfs4 host:/x rw
33 21 0:33 / /proc/sys/fs/binfmt_misc rw - binfmt_misc b rw
34 20 0:34 / /with\040blank rw - fuse.sshfs x rw
`

func points(list []mountinfo.Entry) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Point)
	}
	return strings.Join(out, " ")
}

func TestOrder(t *testing.T) {
	table := parse([]byte(someTable))
	if got, want := points(order(table)), "/with blank /net /cd /srv /run/media/usb /home/u/tmp /home"; got != want {
		t.Errorf("unmounted are %s; want %s", got, want)
	}
	if got, want := points(readOnly(table)), "/with blank /net /srv /run/media/usb /home /"; got != want {
		t.Errorf("read-only become %s; want %s", got, want)
	}
	far := slices.DeleteFunc(slices.Clone(table), func(e mountinfo.Entry) bool { return !isRemote(&e) })
	if got, want := points(far), "/net /with blank"; got != want {
		t.Errorf("on servers are %s; want %s", got, want)
	}
}

// Whatever the table looks like, nothing is unmounted before what was mounted on it,
// and / is never.
func FuzzOrder(f *testing.F) {
	f.Add(someTable)
	f.Fuzz(func(t *testing.T, text string) {
		table := parse([]byte(text))
		out := order(table)
		if len(out) > len(table) {
			t.Fatal("more comes out than went in")
		}
		at := len(table)
		for _, e := range out {
			if e.Point == "/" {
				t.Fatal("the root file system is to be unmounted")
			}
			i := at - 1
			for i >= 0 && table[i] != e {
				i--
			}
			if i < 0 {
				t.Fatalf("%s comes too early or is made up", e.Point)
			}
			at = i
		}
	})
}
