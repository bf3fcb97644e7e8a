// Package efivar reads and writes the variables of EFI as the kernel shows them
// (efivarfs): a file each, with four bytes of attributes before the value.
package efivar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

// Dir is where they are, below the root of a system.
const Dir = "sys/firmware/efi/efivars"

// Vendors of variables: the UEFI specification's (EFI_GLOBAL_VARIABLE), and the Boot
// Loader Interface's (https://systemd.io/BOOT_LOADER_INTERFACE).
const (
	Global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	Loader = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

const (
	// immutable is FS_IMMUTABLE_FL (linux/fs.h).
	immutable = 0x10
	// kept: non-volatile, for boot services and the running system (UEFI, SetVariable).
	kept = 7
	// maxVariable bounds what is read of a variable, in bytes.
	maxVariable = 64 << 10
)

// errGone says that there is no such variable.
var errGone = fs.ErrNotExist

// Flags are the inode flags of a file (ioctl_iflags(2)). The kernel makes variables
// immutable that a firmware might not survive without (its efivarfs documentation).
type Flags interface {
	Get(f *os.File) (uint32, error)
	Set(f *os.File, flags uint32) error
}

// inode are the flags that the kernel keeps.
type inode struct{}

func (inode) Get(f *os.File) (uint32, error) {
	return unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
}

func (inode) Set(f *os.File, flags uint32) error {
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
}

// Variables are those of a system.
type Variables struct {
	dir   string
	flags Flags
}

// Of are the variables of the system below root.
func Of(root string) Variables { return Variables{filepath.Join(root, Dir), inode{}} }

func (v Variables) path(name, vendor string) string {
	return filepath.Join(v.dir, name+"-"+vendor)
}

// Get reads a value; errGone if there is none.
func (v Variables) Get(name, vendor string) ([]byte, error) {
	f, err := os.Open(v.path(name, vendor))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxVariable+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) < 4 || len(data) > maxVariable:
		return nil, errors.New("the variable " + name + " is damaged")
	}
	return data[4:], nil
}

// Set writes a value, at once as the kernel wants it, unless it is there already: the
// firmware's memory wears out.
func (v Variables) Set(name, vendor string, value []byte) error {
	if old, err := v.Get(name, vendor); err == nil && bytes.Equal(old, value) {
		return nil
	}
	return v.unlocked(name, vendor, func() error {
		f, err := os.OpenFile(v.path(name, vendor), os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(slices.Concat(binary.LittleEndian.AppendUint32(nil, kept), value))
		return errors.Join(err, f.Close())
	})
}

// Drop removes a variable; one that is not there is none.
func (v Variables) Drop(name, vendor string) error {
	err := v.unlocked(name, vendor, func() error { return os.Remove(v.path(name, vendor)) })
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// unlocked does something to a variable that the kernel protects, and protects it again.
func (v Variables) unlocked(name, vendor string, do func() error) error {
	f, err := os.OpenFile(v.path(name, vendor), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, errGone) {
		return do()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := v.flags.Get(f)
	if err != nil || flags&immutable == 0 {
		return do() // a file system without flags protects nothing
	}
	if err := v.flags.Set(f, flags&^immutable); err != nil {
		return err
	}
	err = do()
	if _, gone := os.Lstat(v.path(name, vendor)); gone != nil {
		return err
	}
	return errors.Join(err, v.flags.Set(f, flags))
}

// Number reads a value of 64 bits; 0 if there is none.
func (v Variables) Number(name, vendor string) uint64 {
	data, err := v.Get(name, vendor)
	if err != nil || len(data) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(data)
}

// Texts reads strings in UTF-16 that end with a zero each; none if they are damaged.
func (v Variables) Texts(name, vendor string) []string {
	data, err := v.Get(name, vendor)
	if err != nil || len(data)%2 != 0 {
		return nil
	}
	var out []string
	var word []uint16
	for ; len(data) > 0; data = data[2:] {
		if c := binary.LittleEndian.Uint16(data); c != 0 {
			word = append(word, c)
			continue
		}
		if len(word) > 0 {
			out = append(out, string(utf16.Decode(word)))
		}
		word = nil
	}
	if len(word) > 0 {
		out = append(out, string(utf16.Decode(word)))
	}
	return out
}

// Text is the first of Texts.
func (v Variables) Text(name, vendor string) string {
	if all := v.Texts(name, vendor); len(all) > 0 {
		return all[0]
	}
	return ""
}

// SetText writes a string in UTF-16.
func (v Variables) SetText(name, vendor, text string) error {
	var data []byte
	for _, c := range append(utf16.Encode([]rune(text)), 0) {
		data = binary.LittleEndian.AppendUint16(data, c)
	}
	return v.Set(name, vendor, data)
}
