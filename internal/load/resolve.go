package load

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"dynamod/internal/load/sdunit"
)

// maxHops is how many symlinks one path may pass, as in path_resolution(7).
const maxHops = 40

var errLoop = errors.New("too many levels of symbolic links")

// devNull is what masks point to. It need not exist in an offline tree.
const devNull = "dev/null"

// tree reads files inside the root. It resolves symlinks itself, because an
// absolute target means the root of the tree and not that of the machine.
type tree struct {
	fs fs.FS

	mu   sync.Mutex
	dirs map[string]string // resolved directories
}

// resolve follows all symlinks of a path relative to the root and returns the
// path without them. A path that ends at /dev/null gives devNull.
func (t *tree) resolve(p string) (string, fs.FileInfo, error) {
	dir, base := path.Split(path.Clean(p))
	dir = path.Clean(dir)
	t.mu.Lock()
	cur, known := t.dirs[dir]
	t.mu.Unlock()
	rest := []string{base}
	if !known {
		cur, rest = ".", strings.Split(path.Clean(p), "/")
	}
	var fi fs.FileInfo
	for hops := 0; len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			cur = path.Dir(cur) // the root is its own parent
			fi = nil
			continue
		}
		full := path.Join(cur, c)
		if full == devNull && len(rest) == 0 || full == "dev" && len(rest) == 1 && rest[0] == "null" {
			return devNull, nil, nil
		}
		var err error
		if fi, err = fs.Lstat(t.fs, full); err != nil {
			return full, nil, err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			cur = full
			continue
		}
		if hops++; hops > maxHops {
			return full, nil, errLoop
		}
		target, err := fs.ReadLink(t.fs, full)
		if err != nil {
			return full, nil, err
		}
		if len(target) > 4096 {
			return full, nil, fmt.Errorf("symlink target of %d bytes", len(target))
		}
		if strings.HasPrefix(target, "/") {
			cur = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if fi == nil {
		var err error
		if fi, err = fs.Lstat(t.fs, cur); err != nil {
			return cur, nil, err
		}
	}
	return cur, fi, nil
}

// dir resolves a directory and remembers it.
func (t *tree) dir(p string) (string, error) {
	t.mu.Lock()
	got, ok := t.dirs[p]
	t.mu.Unlock()
	if ok {
		return got, nil
	}
	got, fi, err := t.resolve(p)
	if err != nil {
		return "", err
	}
	if fi == nil || !fi.IsDir() {
		return "", errors.New("not a directory")
	}
	t.mu.Lock()
	t.dirs[p] = got
	t.mu.Unlock()
	return got, nil
}

// readLink gives the target of a symlink as a path relative to the root,
// lexically cleaned; at is the resolved directory that the link is in.
func (t *tree) readLink(at, name string) (string, error) {
	target, err := fs.ReadLink(t.fs, path.Join(at, name))
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(target, "/") {
		return rel(target), nil
	}
	return rel(path.Join("/", at, target)), nil
}

// read reads a file without symlinks in its path, at most a little more than
// any parser takes.
func (t *tree) read(real string) ([]byte, error) {
	f, err := t.fs.Open(real)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	size := min(max(fi.Size(), 0), sdunit.MaxFile) + 1
	buf := make([]byte, size)
	n, err := io.ReadFull(f, buf)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return buf[:n], nil
	case err != nil:
		return nil, err
	case n > sdunit.MaxFile:
		return buf, nil
	}
	// It grew, or lies about its size as files of procfs do.
	more, err := io.ReadAll(io.LimitReader(f, int64(sdunit.MaxFile+1-n)))
	return append(buf, more...), err
}

// reason strips what io/fs adds to an error: the path is in the position.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func typeWord(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device node"
	}
	return "no regular file"
}
