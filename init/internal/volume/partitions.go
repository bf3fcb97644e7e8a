package volume

import (
	"encoding/hex"
	"hash/crc32"
	"io"
	"strconv"
)

// Partition is one of a table.
type Partition struct {
	// Number is that in the kernel's name of the device.
	Number int
	// Start and Size are in bytes.
	Start, Size int64
	// UUID is what PARTUUID= means: GPT's, or for MBR the disk's signature and the
	// number. Label is GPT's name of it.
	UUID, Label string
}

// Bounds of a table: the kernel makes no more devices of a disk.
const maxPartitions = 256

// Partitions reads the table of a disk of that many bytes. A disk without one has no
// partitions.
func Partitions(r io.ReaderAt, size int64) []Partition {
	b := read(r, 0, 512)
	if b == nil || b[510] != 0x55 || b[511] != 0xAA {
		return nil
	}
	for i := range 4 {
		if b[446+16*i+4] == 0xEE {
			return gpt(r, size)
		}
	}
	return mbr(r, b, size)
}

func gpt(r io.ReaderAt, size int64) []Partition {
	for _, sector := range []int64{512, 4096} {
		// The copy at the end is for a damaged beginning.
		for _, at := range []int64{sector, size - size%sector - sector} {
			if at > 0 {
				if out, ok := gptAt(r, at, sector, size); ok {
					return out
				}
			}
		}
	}
	return nil
}

func gptAt(r io.ReaderAt, at, sector, size int64) ([]Partition, bool) {
	h := read(r, at, 92)
	if h == nil || string(h[:8]) != "EFI PART" || le.Uint32(h[12:]) != 92 || int64(le.Uint64(h[24:])) != at/sector {
		return nil, false
	}
	sum := le.Uint32(h[16:])
	copy(h[16:20], "\x00\x00\x00\x00")
	if crc32.ChecksumIEEE(h) != sum {
		return nil, false
	}
	first, n, entry := le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:])
	if n > 1024 || entry < 128 || entry > 4096 || entry%8 != 0 || first > uint64(size/sector) {
		return nil, false
	}
	table := read(r, int64(first)*sector, int(n*entry))
	if table == nil || crc32.ChecksumIEEE(table) != le.Uint32(h[88:]) {
		return nil, false
	}
	var out []Partition
	for i := range int(n) {
		e := table[i*int(entry):]
		from, to := le.Uint64(e[32:]), le.Uint64(e[40:])
		if uuid(e[:16]) == "" || from > to || to >= uint64(size/sector) || len(out) == maxPartitions {
			continue
		}
		out = append(out, Partition{Number: i + 1, Start: int64(from) * sector, Size: int64(to-from+1) * sector,
			UUID: guid(e[16:32]), Label: wide(e[56:128])})
	}
	return out, true
}

// guid is a UUID whose first three fields are stored little end first.
func guid(b []byte) string {
	return uuid([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]})
}

func mbr(r io.ReaderAt, b []byte, size int64) []Partition {
	const sector = 512
	id := b[440:444]
	name := func(n int) string {
		if le.Uint32(id) == 0 {
			return ""
		}
		two := strconv.FormatInt(int64(n), 16)
		if n < 16 {
			two = "0" + two
		}
		return hex.EncodeToString([]byte{id[3], id[2], id[1], id[0]}) + "-" + two
	}
	var out []Partition
	var extended int64
	for i := range 4 {
		e := b[446+16*i:]
		if e[0]&0x7f != 0 {
			return nil // the boot sector of a file system
		}
		start, n := int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
		if e[4] == 0 || n == 0 || start*sector >= size {
			continue
		}
		if e[4] == 5 || e[4] == 0xf || e[4] == 0x85 {
			extended = start
		}
		out = append(out, Partition{Number: i + 1, Start: start * sector, Size: n * sector, UUID: name(i + 1)})
	}
	// Logical partitions are a chain: each record has a partition and the place of the
	// next record, both relative to different things.
	for at, n := extended, 5; at != 0 && n < maxPartitions; n++ {
		rec := read(r, at*sector, 512)
		if rec == nil || rec[510] != 0x55 || rec[511] != 0xAA {
			break
		}
		start, count := int64(le.Uint32(rec[446+8:])), int64(le.Uint32(rec[446+12:]))
		if rec[446+4] == 0 || count == 0 || (at+start)*sector >= size {
			break
		}
		out = append(out, Partition{Number: n, Start: (at + start) * sector, Size: count * sector, UUID: name(n)})
		next := int64(le.Uint32(rec[462+8:]))
		if rec[462+4] == 0 || next == 0 || extended+next <= at {
			break // no more, or a circle
		}
		at = extended + next
	}
	return out
}
