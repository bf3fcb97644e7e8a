package virt

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func TestConfidential(t *testing.T) {
	guest := func(leaf uint32, regs [4]uint32) func(l, s uint32) ([4]uint32, bool) {
		return func(l, s uint32) ([4]uint32, bool) {
			switch l {
			case 1:
				return [4]uint32{2: 1 << 31}, true
			case leaf:
				return regs, true
			}
			return [4]uint32{}, true
		}
	}
	word := func(s string) uint32 { return binary.LittleEndian.Uint32([]byte(s)) }
	tdx := [4]uint32{0, word("Inte"), word("    "), word("lTDX")}
	msr := func(status uint64) string { // a sparse file, as the device is
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "dev/cpu/0"), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(dir, "dev/cpu/0/msr"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, status), 0xc0010131); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	protected := t.TempDir()
	if err := os.MkdirAll(filepath.Join(protected, "sys/firmware/uv"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(protected, "sys/firmware/uv/prot_virt_guest"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sev := guest(0x8000001f, [4]uint32{1 << 1})
	for _, c := range []struct {
		root string
		cpu  func(l, s uint32) ([4]uint32, bool)
		want string
	}{
		{t.TempDir(), nil, ""},
		{t.TempDir(), hypervisor("KVMKVMKVM"), ""},
		{t.TempDir(), guest(0x21, tdx), "tdx"},
		{msr(1), sev, "sev"},
		{msr(3), sev, "sev-es"},
		{msr(7), sev, "sev-snp"},
		{msr(0), sev, ""},
		{t.TempDir(), sev, ""},
		{msr(7), guest(0x8000001f, [4]uint32{}), ""},
		{protected, nil, "protvirt"},
	} {
		if got := Confidential(Machine{Root: os.DirFS(c.root), CPUID: c.cpu}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
