package vm

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// Initramfs collects what the kernel unpacks before it starts /init. Equal contents
// give equal bytes: no time, owner or inode of this machine gets in.
type Initramfs struct {
	files map[string]entry
	err   error // the first thing that went wrong, told by Write
}

type entry struct {
	mode         uint64 // with the bits of its type
	data         []byte
	from         string // a file of the host, instead of data
	major, minor uint64 // of a device
}

// NewInitramfs is an empty one. The kernel brings /dev/console along.
func NewInitramfs() *Initramfs { return &Initramfs{files: map[string]entry{}} }

// File adds a file with its directories. perm is 0755 or the like.
func (i *Initramfs) File(name string, perm fs.FileMode, data []byte) {
	i.put(name, entry{mode: cpio.S_IFREG | uint64(perm.Perm()), data: data})
}

// Copy adds a file of the host, with its mode.
func (i *Initramfs) Copy(name, host string) {
	info, err := os.Stat(host)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", host)
	}
	if err != nil {
		i.fail(err)
		return
	}
	i.put(name, entry{mode: cpio.S_IFREG | uint64(info.Mode().Perm()), from: host})
}

// Symlink adds a symbolic link.
func (i *Initramfs) Symlink(name, target string) {
	i.put(name, entry{mode: cpio.S_IFLNK | 0o777, data: []byte(target)})
}

// Dir adds a directory.
func (i *Initramfs) Dir(name string, perm fs.FileMode) {
	i.put(name, entry{mode: cpio.S_IFDIR | uint64(perm.Perm())})
}

// Device adds a character device. The kernel itself brings /dev/console; a Go program
// that is PID 1 needs /dev/null as well where that cannot be opened.
func (i *Initramfs) Device(name string, perm fs.FileMode, major, minor uint64) {
	i.put(name, entry{mode: cpio.S_IFCHR | uint64(perm.Perm()), major: major, minor: minor})
}

// Tree adds a directory of the host with all its files, directories and links;
// everything belongs to root.
func (i *Initramfs) Tree(at, host string) {
	i.fail(filepath.WalkDir(host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil {
			return err
		}
		name := path.Join(at, filepath.ToSlash(rel))
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case rel == ".":
		case d.IsDir():
			i.Dir(name, info.Mode())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			i.Symlink(name, target)
		case info.Mode().IsRegular():
			i.Copy(name, p)
		}
		return nil
	}))
}

// Modules adds kernel modules, and a file with their paths in the order of loading.
func (i *Initramfs) Modules(list string, k *Kernel, mods []Module) {
	var order strings.Builder
	for _, m := range mods {
		p := path.Join("/usr/lib/modules", k.Release, m.Path)
		i.File(p, 0o644, m.Data)
		order.WriteString(p + "\n")
	}
	i.File(list, 0o644, []byte(order.String()))
}

// BusyBox adds BusyBox of a tree made from debtree.BusyBox, under the names that it
// has in a Debian system.
func (i *Initramfs) BusyBox(tree string, applets ...string) {
	i.Copy("/usr/bin/busybox", filepath.Join(tree, "usr/bin/busybox"))
	i.Symlink("/bin", "usr/bin")
	i.Symlink("/sbin", "usr/bin")
	i.Symlink("/usr/sbin", "bin")
	for _, a := range applets {
		i.Symlink("/usr/bin/"+a, "busybox")
	}
}

func (i *Initramfs) fail(err error) {
	if i.err == nil {
		i.err = err
	}
}

func (i *Initramfs) put(name string, e entry) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return
	}
	if dir := path.Dir(name); dir != "." {
		if up, ok := i.files[dir]; !ok {
			i.Dir(dir, 0o755)
		} else if up.mode&cpio.S_IFMT != cpio.S_IFDIR {
			i.fail(fmt.Errorf("initramfs: /%s lies below /%s, which is no directory", name, dir))
		}
	}
	i.files[name] = e
}

// Write makes the archive at file, uncompressed: unpacking costs the guest more than
// reading.
func (i *Initramfs) Write(file string) error {
	if i.err != nil {
		return i.err
	}
	err := writeWhole(file, func(out io.Writer) error {
		w := cpio.Newc.Writer(out)
		names := make([]string, 0, len(i.files))
		for n := range i.files {
			names = append(names, n)
		}
		slices.Sort(names) // a directory sorts before what is in it
		for n, name := range names {
			if err := i.write(w, name, uint64(n+1)); err != nil {
				return fmt.Errorf("/%s: %w", name, err)
			}
		}
		return cpio.WriteTrailer(w)
	})
	if err != nil {
		return fmt.Errorf("write initramfs %s: %w", file, err)
	}
	return nil
}

func (i *Initramfs) write(w cpio.RecordWriter, name string, ino uint64) error {
	e := i.files[name]
	data := e.data
	if e.from != "" {
		var err error
		if data, err = os.ReadFile(e.from); err != nil {
			return err
		}
	}
	return w.WriteRecord(cpio.Record{
		ReaderAt: bytes.NewReader(data),
		Info:     cpio.Info{Ino: ino, Name: name, Mode: e.mode, NLink: 1, FileSize: uint64(len(data)), Rmajor: e.major, Rminor: e.minor},
	})
}
