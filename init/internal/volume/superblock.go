package volume

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"unicode/utf16"
)

// System is a file system, as its superblock has it.
type System struct {
	// Type is the kernel's name of it: ext4 stands for ext2 and ext3 too, whose
	// file systems it mounts.
	Type string
	// UUID and Label are written as blkid(8) does; empty for those that have none.
	UUID, Label string
}

var le, be = binary.LittleEndian, binary.BigEndian

// probes are asked in turn. The ones whose mark is long come first.
var probes = []func(io.ReaderAt) (System, bool){btrfs, xfs, squashfs, iso9660, f2fs, ext, vfat}

// Probe finds out which file system there is.
func Probe(r io.ReaderAt) (System, bool) {
	for _, p := range probes {
		if s, ok := p(r); ok {
			return s, true
		}
	}
	return System{}, false
}

// read is n bytes at off, nil where the device ends before.
func read(r io.ReaderAt, off int64, n int) []byte {
	b := make([]byte, n)
	if got, _ := r.ReadAt(b, off); got < n {
		return nil
	}
	return b
}

func ext(r io.ReaderAt) (System, bool) {
	b := read(r, 1024, 264)
	if b == nil || le.Uint16(b[56:]) != 0xEF53 || le.Uint32(b[24:]) > 6 {
		return System{}, false
	}
	const isJournal = 0x8 // INCOMPAT_JOURNAL_DEV: a journal alone, no file system
	if le.Uint32(b[96:])&isJournal != 0 {
		return System{}, false
	}
	return System{"ext4", uuid(b[104:120]), text(b[120:136])}, true
}

func btrfs(r io.ReaderAt) (System, bool) {
	b := read(r, 64<<10, 0x12b+256)
	if b == nil || string(b[0x40:0x48]) != "_BHRfS_M" {
		return System{}, false
	}
	return System{"btrfs", uuid(b[0x20:0x30]), text(b[0x12b : 0x12b+256])}, true
}

func xfs(r io.ReaderAt) (System, bool) {
	b := read(r, 0, 120)
	if b == nil || string(b[:4]) != "XFSB" {
		return System{}, false
	}
	if size := be.Uint32(b[4:]); size < 512 || size > 64<<10 || size&(size-1) != 0 {
		return System{}, false
	}
	return System{"xfs", uuid(b[32:48]), text(b[108:120])}, true
}

func f2fs(r io.ReaderAt) (System, bool) {
	b := read(r, 1024, 124+1024)
	if b == nil || le.Uint32(b) != 0xF2F52010 {
		return System{}, false
	}
	return System{"f2fs", uuid(b[108:124]), wide(b[124:])}, true
}

func squashfs(r io.ReaderAt) (System, bool) {
	b := read(r, 0, 96)
	if b == nil || string(b[:4]) != "hsqs" || le.Uint16(b[28:]) != 4 {
		return System{}, false
	}
	return System{Type: "squashfs"}, true
}

// iso9660 reads the primary volume descriptor. Its UUID is the time of creation, or of
// the last change if there is one.
func iso9660(r io.ReaderAt) (System, bool) {
	b := read(r, 32<<10, 2048)
	if b == nil || b[0] != 1 || string(b[1:6]) != "CD001" {
		return System{}, false
	}
	s := System{Type: "iso9660", Label: strings.TrimRight(text(b[40:72]), " ")}
	for _, at := range []int{830, 813} {
		if d := string(b[at : at+16]); strings.Trim(d, "0123456789") == "" && strings.Trim(d, "0") != "" {
			s.UUID = d[:4] + "-" + d[4:6] + "-" + d[6:8] + "-" + d[8:10] + "-" + d[10:12] + "-" + d[12:14] + "-" + d[14:16]
			break
		}
	}
	return s, true
}

func vfat(r io.ReaderAt) (System, bool) {
	b := read(r, 0, 512)
	if b == nil || b[510] != 0x55 || b[511] != 0xAA {
		return System{}, false
	}
	sector := le.Uint16(b[11:])
	if sector < 512 || sector > 4096 || sector&(sector-1) != 0 || b[13] == 0 || b[13]&(b[13]-1) != 0 || b[16] == 0 || b[16] > 2 || le.Uint16(b[14:]) == 0 {
		return System{}, false
	}
	var serial, label []byte
	switch {
	case string(b[0x52:0x57]) == "FAT32":
		serial, label = b[0x43:0x47], b[0x47:0x52]
	case string(b[0x36:0x39]) == "FAT":
		serial, label = b[0x27:0x2b], b[0x2b:0x36]
	default:
		return System{}, false
	}
	s := System{Type: "vfat", Label: strings.TrimRight(text(label), " ")}
	if s.Label == "NO NAME" { // the specification's word for none
		s.Label = ""
	}
	if n := le.Uint32(serial); n != 0 {
		s.UUID = strings.ToUpper(hex.EncodeToString([]byte{byte(n >> 24), byte(n >> 16)}) + "-" + hex.EncodeToString([]byte{byte(n >> 8), byte(n)}))
	}
	return s, true
}

// uuid writes 16 bytes in their order; all zero is none.
func uuid(b []byte) string {
	if strings.Trim(string(b), "\x00") == "" {
		return ""
	}
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:32]
}

// text ends at the first zero byte.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// wide is UTF-16, little end first, that ends at the first zero.
func wide(b []byte) string {
	var u []uint16
	for ; len(b) >= 2; b = b[2:] {
		c := le.Uint16(b)
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}
