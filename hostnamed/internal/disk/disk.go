// Package disk reads and replaces the small files of /etc that other programs read at any
// moment. A file is replaced as a whole or not at all: whoever reads it, and whatever is
// cut off, finds the old content or the new one.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxRead bounds what is read of one file, in bytes.
const MaxRead = 64 << 10

// maxLinks is how many links may lead to a file, as in the kernel (path_resolution(7)).
const maxLinks = 40

// Disk is a tree of files; "/" but in tests.
type Disk struct{ Root string }

// At is where a path of the tree is.
func (d Disk) At(p string) string { return filepath.Join(d.Root, p) }

// Read is the content of a file, and "" for one that is not there. A longer one than
// MaxRead, or one that is no regular file, is an error.
func (d Disk) Read(p string) (string, error) { return d.ReadUpTo(p, MaxRead) }

// ReadUpTo is Read with another bound, in bytes.
func (d Disk) ReadUpTo(p string, most int) (string, error) {
	at, err := d.follow(p)
	if err != nil {
		return "", err
	}
	// Not to wait for the other end of a FIFO.
	f, err := os.OpenFile(at, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return "", nil
	case err != nil:
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no regular file", p)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return "", err
	}
	if len(data) > most {
		return "", fmt.Errorf("%s is longer than %d bytes", p, most)
	}
	return string(data), nil
}

// Start is the beginning of a file, at most so many bytes; none if it cannot be read.
func (d Disk) Start(p string, most int) []byte {
	f, err := os.OpenFile(d.At(p), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)))
	if err != nil {
		return nil
	}
	return data
}

// Line is the trimmed content of a file of the kernel, "" if it cannot be read.
func (d Disk) Line(p string) string {
	text, err := d.Read(p)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

// follow finds the file that a path leads to, through links whose targets need not be
// there: Debian has /etc/vconsole.conf as one to default/keyboard. Links stay in the tree.
func (d Disk) follow(p string) (string, error) {
	p = filepath.Join("/", p)
	for range maxLinks {
		to, err := os.Readlink(d.At(p))
		if err != nil {
			return d.At(p), nil // no link, or nothing; who opens it will see
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(p), to)
		}
		p = filepath.Join("/", to)
	}
	return "", fmt.Errorf("%s: %w", p, unix.ELOOP)
}

// Write replaces a file, mode 0644, and makes the directories to it. Where a link leads
// elsewhere, the file there is replaced and the link stays.
func (d Disk) Write(p, content string) error {
	at, err := d.follow(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	// One name, so that what a crash leaves is found again and is no heap.
	tmp := beside(at)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, at)
	}
	if err != nil {
		os.Remove(tmp) // it is the first error that matters
		return err
	}
	return syncDir(at)
}

func beside(at string) string {
	return filepath.Join(filepath.Dir(at), ".#"+filepath.Base(at)+".dynamod")
}

func syncDir(at string) error {
	dir, err := os.Open(filepath.Dir(at))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Remove removes a file; links to it stay. It is no error if there is none.
func (d Disk) Remove(p string) error {
	at, err := d.follow(p)
	if err != nil {
		return err
	}
	return remove(at)
}

// Unlink removes what is at p itself, a link too.
func (d Disk) Unlink(p string) error { return remove(d.At(p)) }

func remove(at string) error {
	if err := os.Remove(at); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return nil
		}
		return err
	}
	return syncDir(at)
}

// Put writes content, or removes the file if there is none.
func (d Disk) Put(p, content string) error {
	if content == "" {
		return d.Remove(p)
	}
	return d.Write(p, content)
}

// Link makes p a symbolic link to target, whatever it was.
func (d Disk) Link(p, target string) error {
	at := d.At(p)
	tmp := beside(at)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, at); err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(at)
}
