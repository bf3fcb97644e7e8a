package boot

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// program is a program of EFI with these sections, in turn a name and what is in it.
func program(sections ...string) string {
	n := len(sections) / 2
	const head = 0x40
	optional := pe.OptionalHeader64{Magic: 0x20b, SectionAlignment: 0x1000, FileAlignment: 512, Subsystem: 10, NumberOfRvaAndSizes: 16}
	at := uint32(head + 4 + binary.Size(pe.FileHeader{}) + binary.Size(optional) + n*binary.Size(pe.SectionHeader32{}))
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a buffer takes everything
	put([]byte("MZ"))
	put(make([]byte, head-6))
	put(uint32(head))
	put([]byte("PE\x00\x00"))
	put(pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(n), SizeOfOptionalHeader: uint16(binary.Size(optional)), Characteristics: 0x22})
	put(optional)
	for k := range n {
		h := pe.SectionHeader32{VirtualSize: uint32(len(sections[2*k+1])), SizeOfRawData: uint32(len(sections[2*k+1])), PointerToRawData: at}
		copy(h.Name[:], sections[2*k])
		put(h)
		at += h.SizeOfRawData
	}
	for k := range n {
		put([]byte(sections[2*k+1]))
	}
	return b.String()
}

// Kernels that are programs of EFI stand among the other entries, by what they say of
// their system. The order is that in which systemd-logind 257.13 shows the same files.
func TestImages(t *testing.T) {
	const dir, texts = "run/boot-loader-entries/EFI/Linux/", "run/boot-loader-entries/loader/entries/"
	kernel := func(osrel string) string { return program(".osrel", osrel, ".linux", "kernel") }
	l, _ := machine(t, nil, map[string]string{
		dir + "a-12.efi":     kernel("ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n"),
		dir + "b-13.efi":     kernel("ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian 13\"\n"),
		dir + "c+3-0.efi":    kernel("ID=debian\nIMAGE_ID=img\nIMAGE_VERSION=7\nVERSION_ID=1\nPRETTY_NAME=x\n"),
		dir + "d.efi":        kernel("ID=debian\nVERSION_ID=1\nBUILD_ID=99\nPRETTY_NAME=x\n"),
		dir + "nokernel.efi": program(".osrel", "ID=debian\nPRETTY_NAME=x\n"),
		dir + "noid.efi":     kernel("NAME=foo\n"),
		dir + "named.efi":    program(".osrel", "ID=debian\nPRETTY_NAME=P\n", ".linux", "kernel", ".uname", "6.12"),
		texts + "mid.conf":   "title z\nlinux /v\nsort-key debian\nversion 12.5\n",
		texts + "plain.conf": "title z\nlinux /v\n",
	})
	want := []string{"b-13.efi", "mid.conf", "a-12.efi", "d.efi", "named.efi", "c.efi", "plain.conf", "noid.efi"}
	if got := l.Entries(); !slices.Equal(got, want) {
		t.Errorf("the entries are %q, want %q", got, want)
	}
}

// What debug/pe finds in a program is found; it also reads object files, which have no stub.
func FuzzSections(f *testing.F) {
	good := program(".osrel", "ID=debian\n", ".linux", "kernel", ".linux", "again", "eightlet", "")
	f.Add(good)
	for _, n := range []int{0, 1, 0x3f, 0x40, 0x50, 0x60, len(good) - 12} {
		f.Add(good[:n])
	}
	f.Add("MZ" + strings.Repeat("\xff", 0x40))
	f.Add(strings.Replace(good, "\x04\x00", "\xff\xff", 1))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readSections(strings.NewReader(text))
		if len(got) > maxSections {
			t.Errorf("%d sections", len(got))
		}
		want, bad := pe.NewFile(strings.NewReader(text))
		if bad != nil || len(want.Sections) > maxSections || !strings.HasPrefix(text, "MZ") {
			return
		}
		if err != nil {
			t.Fatalf("debug/pe reads it: %v", err)
		}
		for _, name := range []string{".osrel", ".linux"} {
			a, b := got[name], want.Section(name)
			if (a == nil) != (b == nil) {
				t.Fatalf("%s is there: %v, for debug/pe: %v", name, a != nil, b != nil)
			}
			if a != nil && a.Size() != int64(b.Size) {
				t.Errorf("%s has %d bytes, for debug/pe %d", name, a.Size(), b.Size)
			}
		}
	})
}
