package volume

import (
	"bytes"
	"encoding/hex"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dynamod/desktop-tests/vm"
)

const someUUID = "12345678-9abc-def0-1234-56789abcdef0"

// made is a file of zeros, on which a tool has made a file system or a table.
func made(t *testing.T, mib int64, argv ...string) *os.File {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, mib<<20); err != nil {
		t.Fatal(err)
	}
	name := argv[0]
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			name = dir + name
			break
		}
	}
	if !strings.Contains(name, "/") {
		t.Skipf("no %s here: tools/install-deps.sh base", name)
	}
	args := argv[1:]
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "FILE", file)
	}
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// The tools that make file systems are the oracle.
func TestProbeTools(t *testing.T) {
	for _, c := range []struct {
		mib  int64
		want System
		argv []string
	}{
		{8, System{"ext4", someUUID, "the label"}, []string{"mke2fs", "-q", "-F", "-t", "ext4", "-U", someUUID, "-L", "the label", "FILE"}},
		{8, System{"ext4", someUUID, ""}, []string{"mke2fs", "-q", "-F", "-t", "ext2", "-U", someUUID, "FILE"}},
		{128, System{"btrfs", someUUID, "the label"}, []string{"mkfs.btrfs", "-q", "-U", someUUID, "-L", "the label", "FILE"}},
		{320, System{"xfs", someUUID, "thelabel"}, []string{"mkfs.xfs", "-q", "-m", "uuid=" + someUUID, "-L", "thelabel", "FILE"}},
		{8, System{"vfat", "1234-ABCD", "LABEL"}, []string{"mkfs.vfat", "-i", "1234abcd", "-n", "LABEL", "FILE"}},
		{64, System{"vfat", "1234-ABCD", ""}, []string{"mkfs.vfat", "-F", "32", "-i", "1234abcd", "FILE"}},
		{0, System{Type: "squashfs"}, []string{"mksquashfs", "/usr/share/common-licenses", "FILE", "-noappend", "-quiet"}},
	} {
		t.Run(c.argv[0], func(t *testing.T) {
			if got, ok := Probe(made(t, c.mib, c.argv...)); !ok || got != c.want {
				t.Errorf("%v: Probe = %+v, %v; want %+v", c.argv, got, ok, c.want)
			}
		})
	}
}

func TestProbeISO(t *testing.T) {
	f := made(t, 0, "xorriso", "-as", "mkisofs", "-quiet", "-V", "DYNAISO", "--modification-date=2026010203040506", "-o", "FILE", "/usr/share/common-licenses")
	want := System{"iso9660", "2026-01-02-03-04-05-06", "DYNAISO"}
	if got, ok := Probe(f); !ok || got != want {
		t.Errorf("Probe = %+v, %v; want %+v", got, ok, want)
	}
}

func TestNothingThere(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 100), make([]byte, 1<<20), bytes.Repeat([]byte{0xff}, 1<<20)} {
		if s, ok := Probe(bytes.NewReader(b)); ok {
			t.Errorf("%d bytes of the same are %+v", len(b), s)
		}
		if p := Partitions(bytes.NewReader(b), int64(len(b))); p != nil {
			t.Errorf("%d bytes of the same have partitions %+v", len(b), p)
		}
	}
}

func TestGPT(t *testing.T) {
	parts := []vm.Part{{UUID: someUUID, Label: "root of it", Start: 1 << 20, Size: 4 << 20}, {UUID: strings.ToUpper(someUUID), Start: 5 << 20, Size: 1 << 20}}
	const size = 8 << 20
	disk := make([]byte, size)
	if err := vm.WriteGPT(writerAt(disk), size, someUUID, parts); err != nil {
		t.Fatal(err)
	}
	want := []Partition{{1, 1 << 20, 4 << 20, someUUID, "root of it"}, {2, 5 << 20, 1 << 20, someUUID, ""}}
	check := func(what string) {
		t.Helper()
		if got := Partitions(bytes.NewReader(disk), size); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %+v; want %+v", what, got, want)
		}
	}
	check("whole")
	disk[512+60]++ // the first header is damaged: the copy at the end has it all
	check("from the copy")
	disk[512+60]--
	disk[1024+40]++
	check("with a damaged table")
	copy(disk[len(disk)-512:], make([]byte, 512))
	if got := Partitions(bytes.NewReader(disk), size); got != nil {
		t.Errorf("both damaged: %+v", got)
	}
}

// A header may promise anything, with a sum that is right.
func TestGPTLies(t *testing.T) {
	const size = 1 << 20
	for _, lie := range []func(h []byte){
		func(h []byte) { le.PutUint32(h[80:], 1<<31) },
		func(h []byte) { le.PutUint32(h[84:], 0) },
		func(h []byte) { le.PutUint32(h[84:], 129) },
		func(h []byte) { le.PutUint64(h[72:], 1<<62) },
		func(h []byte) { le.PutUint32(h[12:], 1<<30) },
	} {
		disk := make([]byte, size)
		if err := vm.WriteGPT(writerAt(disk), size, someUUID, nil); err != nil {
			t.Fatal(err)
		}
		copy(disk[len(disk)-512:], make([]byte, 512))
		h := disk[512 : 512+92]
		lie(h)
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		if got := Partitions(bytes.NewReader(disk), size); got != nil {
			t.Errorf("%s: %+v", hex.EncodeToString(h[72:88]), got)
		}
	}
}

func TestMBR(t *testing.T) {
	const size = 8 << 20
	disk := make([]byte, size)
	if err := vm.WriteMBR(writerAt(disk), 0xdeadbeef, []vm.Part{{Start: 1 << 20, Size: 2 << 20}}); err != nil {
		t.Fatal(err)
	}
	// An extended partition with two logical ones behind it.
	put := func(at int, kind byte, start, n uint32) {
		disk[at+4] = kind
		le.PutUint32(disk[at+8:], start)
		le.PutUint32(disk[at+12:], n)
	}
	put(446+16, 5, 6144, 8192)
	for i, at := range []int{6144 * 512, (6144 + 4096) * 512} {
		disk[at+510], disk[at+511] = 0x55, 0xAA
		put(at+446, 0x83, 64, 100)
		if i == 0 {
			put(at+462, 5, 4096, 100)
		} else {
			put(at+462, 5, 4096, 100) // a circle
		}
	}
	got := Partitions(bytes.NewReader(disk), size)
	want := []Partition{{1, 1 << 20, 2 << 20, "deadbeef-01", ""}, {2, 3 << 20, 4 << 20, "deadbeef-02", ""},
		{5, (6144 + 64) * 512, 51200, "deadbeef-05", ""}, {6, (6144 + 4096 + 64) * 512, 51200, "deadbeef-06", ""}}
	if len(got) != len(want) {
		t.Fatalf("%+v; want %+v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%+v; want %+v", got[i], want[i])
		}
	}
}

type writerAt []byte

func (w writerAt) WriteAt(p []byte, off int64) (int, error) { return copy(w[off:], p), nil }

// Whatever a device says, what comes of it is bounded and lies inside.
func FuzzVolume(f *testing.F) {
	disk := make([]byte, 128<<10)
	_ = vm.WriteGPT(writerAt(disk), int64(len(disk)), someUUID, []vm.Part{{UUID: someUUID, Label: "x", Start: 40 << 10, Size: 4096}})
	f.Add(disk[:2048], uint16(0))
	f.Add([]byte("hsqs\x00\x00"), uint16(0))
	f.Add([]byte("\x01CD001\x01"), uint16(32<<10>>9))
	f.Add([]byte("_BHRfS_M"), uint16(128))
	f.Fuzz(func(t *testing.T, b []byte, sector uint16) {
		at := int(sector) << 9 % (96 << 10)
		disk := make([]byte, 160<<10)
		copy(disk[min(at, len(disk)):], b)
		copy(disk[1024:], b)
		s, ok := Probe(bytes.NewReader(disk))
		if ok != (s.Type != "") || len(s.Label) > 4096 {
			t.Errorf("%+v, %v", s, ok)
		}
		for _, p := range Partitions(bytes.NewReader(disk), int64(len(disk))) {
			if p.Number < 1 || p.Start < 0 || p.Start >= int64(len(disk)) || p.Size <= 0 {
				t.Errorf("%+v", p)
			}
		}
	})
}
