package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxSections is how many sections a program may have for the loader of Windows (PE
// Format, "COFF File Header").
const maxSections = 96

// sections are where the contents of an EFI program stand in its file, by their names (PE
// Format, "MS-DOS Stub", "COFF File Header" and "Section Table"). Nothing but this is needed:
// debug/pe brings readers of DWARF and zlib, which stay in memory with logind.
type sections map[string]*io.SectionReader

// readSections reads the table of a file; of two sections with one name the first counts.
func readSections(f io.ReaderAt) (sections, error) {
	var stub [0x40]byte
	if _, err := f.ReadAt(stub[:], 0); err != nil {
		return nil, err
	}
	if stub[0] != 'M' || stub[1] != 'Z' {
		return nil, errors.New("this is no program of EFI: it does not begin with MZ")
	}
	var header [24]byte
	at := int64(binary.LittleEndian.Uint32(stub[0x3c:]))
	if _, err := f.ReadAt(header[:], at); err != nil {
		return nil, err
	}
	if string(header[:4]) != "PE\x00\x00" {
		return nil, errors.New("this is no program of EFI: it has no PE signature")
	}
	n := int64(binary.LittleEndian.Uint16(header[6:]))
	if n > maxSections {
		return nil, fmt.Errorf("%d sections are more than %d", n, maxSections)
	}
	table := make([]byte, 40*n)
	at += int64(len(header)) + int64(binary.LittleEndian.Uint16(header[20:])) // past the optional header
	// One without sections may end before the place of the table.
	if n > 0 {
		if _, err := f.ReadAt(table, at); err != nil {
			return nil, err
		}
	}
	all := sections{}
	for ; len(table) > 0; table = table[40:] {
		// Padded with zeros; what stands behind the first is not of the name.
		text, _, _ := bytes.Cut(table[:8], []byte{0})
		name := string(text)
		if all[name] == nil {
			size, at := binary.LittleEndian.Uint32(table[16:]), binary.LittleEndian.Uint32(table[20:])
			all[name] = io.NewSectionReader(f, int64(at), int64(size))
		}
	}
	return all, nil
}
