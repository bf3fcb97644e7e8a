package vm

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

// Part is a partition to be: places in bytes, multiples of 512.
type Part struct {
	Start, Size int64
	// UUID and Label are GPT's.
	UUID, Label string
	// Type is GPT's type, that of a Linux file system if empty.
	Type string
}

const (
	sectorSize   = 512
	gptEntries   = 128
	gptEntrySize = 128
	// linuxData is the type of a Linux file system (UEFI specification, appendix A).
	linuxData = "0fc63daf-8483-4772-8e79-3d69d8477de4"
)

// guid is a UUID as GPT stores it: the first three fields little end first.
func guid(text string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("%q is no UUID", text)
	}
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}, nil
}

// WriteGPT writes a partition table with its copy at the end of a disk of size bytes.
func WriteGPT(w io.WriterAt, size int64, disk string, parts []Part) error {
	if len(parts) > gptEntries {
		return fmt.Errorf("%d partitions are too many", len(parts))
	}
	id, err := guid(disk)
	if err != nil {
		return err
	}
	table := make([]byte, gptEntries*gptEntrySize)
	for i, p := range parts {
		kind := p.Type
		if kind == "" {
			kind = linuxData
		}
		t, err := guid(kind)
		if err != nil {
			return err
		}
		u, err := guid(p.UUID)
		if err != nil {
			return err
		}
		e := table[i*gptEntrySize:]
		copy(e, t)
		copy(e[16:], u)
		binary.LittleEndian.PutUint64(e[32:], uint64(p.Start/sectorSize))
		binary.LittleEndian.PutUint64(e[40:], uint64((p.Start+p.Size)/sectorSize-1))
		name := utf16.Encode([]rune(p.Label))
		if len(name) > 36 {
			return fmt.Errorf("partition label %q is too long", p.Label)
		}
		for j, c := range name {
			binary.LittleEndian.PutUint16(e[56+2*j:], c)
		}
	}
	last := size/sectorSize - 1
	tableSectors := int64(len(table)) / sectorSize
	header := func(at, other, tableAt int64) []byte {
		h := make([]byte, 92)
		copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
		put := binary.LittleEndian.PutUint64
		put(h[24:], uint64(at))
		put(h[32:], uint64(other))
		put(h[40:], uint64(2+tableSectors))
		put(h[48:], uint64(last-tableSectors-1))
		copy(h[56:], id)
		put(h[72:], uint64(tableAt))
		binary.LittleEndian.PutUint32(h[80:], gptEntries)
		binary.LittleEndian.PutUint32(h[84:], gptEntrySize)
		binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(table))
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		return h
	}
	protective := mbr(0, []Part{{Start: sectorSize, Size: size - sectorSize}}, 0xEE)
	for _, b := range []struct {
		at   int64
		data []byte
	}{
		{0, protective}, {1, header(1, last, 2)}, {2, table}, {last - tableSectors, table}, {last, header(last, 1, last-tableSectors)},
	} {
		if _, err := w.WriteAt(b.data, b.at*sectorSize); err != nil {
			return err
		}
	}
	return nil
}

// WriteMBR writes a table of at most four partitions for a disk with that signature.
// What lies before it, a boot loader, stays.
func WriteMBR(w io.WriterAt, signature uint32, parts []Part) error {
	if len(parts) > 4 {
		return fmt.Errorf("%d partitions are too many for an MBR without an extended one", len(parts))
	}
	_, err := w.WriteAt(mbr(signature, parts, 0x83)[440:], 440)
	return err
}

func mbr(signature uint32, parts []Part, kind byte) []byte {
	b := make([]byte, sectorSize)
	binary.LittleEndian.PutUint32(b[440:], signature)
	for i, p := range parts {
		e := b[446+16*i:]
		e[4] = kind
		binary.LittleEndian.PutUint32(e[8:], uint32(min(p.Start/sectorSize, 1<<32-1)))
		binary.LittleEndian.PutUint32(e[12:], uint32(min(p.Size/sectorSize, 1<<32-1)))
	}
	b[510], b[511] = 0x55, 0xAA
	return b
}
