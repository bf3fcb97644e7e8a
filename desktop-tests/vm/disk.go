package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"dynamod/desktop-tests/debtree"
)

// Image is a disk to be made from a Debian tree. No mount and no loop device is
// needed for it.
type Image struct {
	// Tree is a directory that is not changed, such as debtree.Ensure gives.
	Tree string
	// Files go over the tree: a place in the guest and what lies there.
	Files map[string]Source
	// Size in MiB; the contents and a half more if 0.
	Size int
	// Label and UUID are those of the file system; empty ones are mke2fs's.
	Label, UUID string
}

// Source is one file of an image.
type Source struct {
	// Host is a file of the host to copy, Text its content, Link the target of a
	// symbolic link: one of them.
	Host, Text, Link string
	// Dir is an empty directory instead.
	Dir bool
	// Perm is 0644 if 0, or what Host has.
	Perm fs.FileMode
}

// MakeExt4 makes the image at file.
func (img Image) MakeExt4(ctx context.Context, file string) error {
	err := img.withTree(ctx, filepath.Dir(file), func(tree string) error {
		size := img.Size
		if size == 0 {
			used, err := usedMiB(ctx, tree)
			if err != nil {
				return err
			}
			size = used*3/2 + 64
		}
		// Nobody wants to wait for tables to be zeroed, in the guest either.
		args := []string{"-q", "-F", "-t", "ext4", "-d", tree, "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-m", "0"}
		if img.Label != "" {
			args = append(args, "-L", img.Label)
		}
		if img.UUID != "" {
			args = append(args, "-U", img.UUID)
		}
		os.Remove(file)
		return imageTool(ctx, "mke2fs", append(args, file, fmt.Sprintf("%dM", size))...)
	})
	if err != nil {
		return fmt.Errorf("make image %s: %w", file, err)
	}
	return nil
}

// withTree calls f with a directory that holds the tree and the files.
func (img Image) withTree(ctx context.Context, near string, f func(tree string) error) error {
	if len(img.Files) == 0 {
		return f(img.Tree)
	}
	// Hard links: a copy in no time, if the file system is the same; a file that
	// is replaced must be unlinked first, or the tree would change.
	cache, err := debtree.CacheDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(cache, "vm"), 0o755); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(filepath.Join(cache, "vm"), "stage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	root := filepath.Join(stage, "root")
	if img.Tree != "" {
		err = imageTool(ctx, "cp", "-al", "--", img.Tree, root)
	} else {
		err = os.Mkdir(root, 0o755)
	}
	if err != nil {
		return err
	}
	in, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer in.Close()
	// In order, so that a link to a directory comes before what lies behind it.
	for _, name := range slices.Sorted(maps.Keys(img.Files)) {
		src := img.Files[name]
		if err := src.put(in, strings.TrimPrefix(filepath.Clean("/"+name), "/")); err != nil {
			return fmt.Errorf("put /%s into the image: %w", name, err)
		}
	}
	return f(root)
}

func (s Source) put(in *os.Root, name string) error {
	if err := in.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if info, err := in.Lstat(name); err == nil && s.Dir && info.IsDir() {
		return nil
	}
	if err := in.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case s.Link != "":
		return in.Symlink(s.Link, name)
	case s.Dir:
		perm := s.Perm
		if perm == 0 {
			perm = 0o755
		}
		if err := in.Mkdir(name, perm); err != nil {
			return err
		}
		return in.Chmod(name, perm)
	}
	data, perm := []byte(s.Text), s.Perm
	if s.Host != "" {
		info, err := os.Stat(s.Host)
		if err != nil {
			return err
		}
		if perm == 0 {
			perm = info.Mode().Perm()
		}
		if data, err = os.ReadFile(s.Host); err != nil {
			return err
		}
	}
	if perm == 0 {
		perm = 0o644
	}
	if err := in.WriteFile(name, data, perm); err != nil {
		return err
	}
	return in.Chmod(name, perm) // whatever the umask was
}

func usedMiB(ctx context.Context, dir string) (int, error) {
	out, err := exec.CommandContext(ctx, "du", "-sm", "--", dir).Output()
	if err != nil {
		return 0, fmt.Errorf("du %s: %w", dir, err)
	}
	var n int
	if _, err := fmt.Sscan(string(out), &n); err != nil {
		return 0, fmt.Errorf("du %s: %q: %w", dir, out, err)
	}
	return n, nil
}

// imageTool runs a tool that makes images. Trees that were made without root belong
// to the caller, who is root in a namespace of his own: so will be the files in the
// image.
func imageTool(ctx context.Context, name string, args ...string) error {
	const sbin = "/usr/sbin/"
	if _, err := exec.LookPath(name); err != nil {
		if _, err := os.Stat(sbin + name); err == nil {
			name = sbin + name // not on the PATH of users
		}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	if os.Geteuid() != 0 {
		cmd = exec.CommandContext(ctx, "unshare", append([]string{"--map-root-user", name}, args...)...)
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: run tools/install-deps.sh vm", err)
	case err != nil:
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return nil
}

// DebianImage is an ext4 image of a recipe's tree, untouched, made on first use and
// kept beside the tree.
func DebianImage(ctx context.Context, r debtree.Recipe, progress io.Writer) (string, error) {
	tree, err := debtree.Ensure(ctx, r, progress)
	if err != nil {
		return "", err
	}
	file := filepath.Join(filepath.Dir(tree), "root.ext4")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	tmp := file + fmt.Sprintf(".%d", os.Getpid())
	defer os.Remove(tmp)
	if err := (Image{Tree: tree, Label: "dynamod-root"}).MakeExt4(ctx, tmp); err != nil {
		return "", err
	}
	return file, os.Rename(tmp, file)
}
