package vm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"dynamod/desktop-tests/debtree"
)

// Kernel is a kernel that is ready to boot.
type Kernel struct {
	// Release is what uname -r says.
	Release string
	// ELF is the uncompressed kernel, which starts fastest and is the only kind
	// that the microvm machine takes (x86/PVH).
	ELF string
	// Bz is the kernel as it lies in /boot.
	Bz string
	// Tree holds the modules, in usr/lib/modules/Release.
	Tree string
}

// DebianKernel is the kernel of Debian 13, fetched on first use.
func DebianKernel(ctx context.Context, progress io.Writer) (*Kernel, error) {
	tree, err := debtree.Ensure(ctx, debtree.Kernel, progress)
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(tree, "boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("look for one kernel in %s/boot: found %q, %v", tree, found, err)
	}
	k := &Kernel{Bz: found[0], Tree: tree, Release: filepath.Base(found[0])[len("vmlinuz-"):]}
	// Beside the tree, whose directory is named after its recipe.
	k.ELF = filepath.Join(filepath.Dir(tree), "vmlinux")
	if _, err := os.Stat(k.ELF); err == nil {
		return k, nil
	}
	err = writeWhole(k.ELF, func(w io.Writer) error {
		bz, err := os.ReadFile(k.Bz)
		if err != nil {
			return err
		}
		return unpackKernel(w, bz)
	})
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", k.Bz, err)
	}
	return k, nil
}

// writeWhole makes a file that is there whole or not at all.
func writeWhole(path string, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = fill(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Places in the header of a bzImage (the kernel's Documentation/arch/x86/boot.rst).
const (
	setupSectsAt     = 0x1f1
	magicAt          = 0x202
	payloadOffsetAt  = 0x248
	payloadLengthAt  = 0x24c
	headerEnd        = 0x250
	sector           = 512
	maxUnpackedImage = 1 << 30
)

// unpackKernel cuts the ELF kernel out of a bzImage.
func unpackKernel(w io.Writer, bz []byte) error {
	if len(bz) < headerEnd || string(bz[magicAt:magicAt+4]) != "HdrS" {
		return errors.New("not a bzImage")
	}
	setup := int64(bz[setupSectsAt])
	if setup == 0 {
		setup = 4 // boot.rst: for backwards compatibility
	}
	start := (setup+1)*sector + int64(binary.LittleEndian.Uint32(bz[payloadOffsetAt:]))
	length := int64(binary.LittleEndian.Uint32(bz[payloadLengthAt:]))
	// The payload ends with four bytes of its unpacked size.
	if length < 8 || start+length > int64(len(bz)) {
		return fmt.Errorf("its payload of %d bytes at %d is not inside its %d bytes", length, start, len(bz))
	}
	payload := bz[start : start+length-4]
	if binary.LittleEndian.Uint32(payload) != 0xfd2fb528 {
		return fmt.Errorf("its payload begins with % x; only zstd is known", payload[:4])
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpackedImage))
	if err != nil {
		return err
	}
	defer d.Close()
	elf, err := d.DecodeAll(payload, make([]byte, 0, binary.LittleEndian.Uint32(bz[start+length-4:])%maxUnpackedImage))
	if err != nil {
		return err
	}
	if len(elf) < 4 || string(elf[:4]) != "\x7fELF" {
		return errors.New("what it unpacks to is not an ELF file")
	}
	_, err = w.Write(elf)
	return err
}
