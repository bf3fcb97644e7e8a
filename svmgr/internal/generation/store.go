package generation

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Keep is how many generations a Store keeps; older ones are removed.
const Keep = 10

// Store is a directory of former generations: NUMBER.tar.gz, the higher the newer.
// It may be used by one process at a time.
type Store struct{ dir string }

// Open names the directory; it is made when something is kept.
func Open(dir string) *Store { return &Store{dir} }

// ReadOnly says that the file system which the directory is on, or would be made on,
// takes no writes now (EROFS of access(2)).
func (s *Store) ReadOnly() bool {
	for dir := s.dir; ; dir = filepath.Dir(dir) {
		err := syscall.Access(dir, 2) // W_OK
		if err != syscall.ENOENT || dir == filepath.Dir(dir) {
			return err == syscall.EROFS
		}
	}
}

const suffix = ".tar.gz"

// Numbers are those that are kept, in order.
func (s *Store) Numbers() ([]uint64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list generations: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), suffix); ok {
			if n, err := strconv.ParseUint(base, 10, 64); err == nil && n > 0 && strconv.FormatUint(n, 10) == base {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *Store) path(n uint64) string {
	return filepath.Join(s.dir, strconv.FormatUint(n, 10)+suffix)
}

// Add keeps an image as the newest generation and returns its number. An image that
// is equal to the newest one is not kept twice. When it fails nothing has changed,
// and the number is the one that it would have got.
func (s *Store) Add(im *Image) (uint64, error) {
	numbers, err := s.Numbers()
	if err != nil {
		return 1, err
	}
	next := uint64(1)
	digest, err := im.Digest()
	if err != nil {
		return 0, err
	}
	if len(numbers) > 0 {
		newest := numbers[len(numbers)-1]
		if s.digest(newest) == digest {
			return newest, nil
		}
		next = newest + 1
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return next, fmt.Errorf("keep generation %d: %w", next, err)
	}
	if err := s.write(next, im); err != nil {
		return next, fmt.Errorf("keep generation %d: %w", next, err)
	}
	for len(numbers) >= Keep {
		if err := os.Remove(s.path(numbers[0])); err != nil {
			return next, fmt.Errorf("remove generation %d: %w", numbers[0], err)
		}
		numbers = numbers[1:]
	}
	return next, nil
}

// Digest tells images apart by what is in them.
func (im *Image) Digest() (string, error) {
	sum := sha256.New()
	if err := im.write(sum); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// write makes the file of a generation: whole or not at all, also when the power
// fails, because a rollback is most wanted after a bad end.
func (s *Store) write(n uint64, im *Image) (err error) {
	f, err := os.CreateTemp(s.dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := im.write(z); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(n))
}

// digest is that of the archive of a generation, "" if it is damaged or not there.
func (s *Store) digest(n uint64) string {
	f, err := os.Open(s.path(n))
	if err != nil {
		return ""
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return ""
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, io.LimitReader(z, maxArchive)); err != nil || n == maxArchive {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Image reads a generation. fs.ErrNotExist says that it is not kept.
func (s *Store) Image(n uint64) (*Image, error) {
	f, err := os.Open(s.path(n))
	if err != nil {
		return nil, fmt.Errorf("read generation %d: %w", n, err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read generation %d: %w: %w", n, errNoImage, err)
	}
	im, err := read(io.LimitReader(z, maxArchive))
	if err != nil {
		return nil, fmt.Errorf("read generation %d: %w", n, err)
	}
	return im, nil
}

// WriteFile writes an image to a file by itself, uncompressed, and replaces what
// was there: the configuration in force, for whoever takes over after a crash.
func WriteFile(path string, im *Image) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = im.write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// ReadFile reads what WriteFile wrote.
func ReadFile(path string) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	im, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return im, nil
}
