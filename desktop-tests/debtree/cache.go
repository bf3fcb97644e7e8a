package debtree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/desktop-tests/internal/progress"
)

// CacheDir is where trees are kept, outside the repository.
func CacheDir() (string, error) {
	if dir := os.Getenv("DYNAMOD_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir() // $XDG_CACHE_HOME, else ~/.cache
	if err != nil {
		return "", fmt.Errorf("find a cache directory (set DYNAMOD_CACHE): %w", err)
	}
	return filepath.Join(dir, "dynamod"), nil
}

// Path is where the recipe's tree is or will be.
func Path(r Recipe) (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "debtree", r.Key(), "root"), nil
}

// Cached returns the recipe's tree if it has been built.
func Cached(r Recipe) (string, bool) {
	tree, err := Path(r)
	if err != nil {
		return "", false
	}
	info, err := os.Stat(tree)
	return tree, err == nil && info.IsDir()
}

// Ensure returns the recipe's tree and builds it first if it is not there.
// Progress goes to w, which may be nil. A second caller, in this process or
// another, waits for the first one and then finds the tree.
func Ensure(ctx context.Context, r Recipe, w io.Writer) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	tree, err := Path(r)
	if err != nil {
		return "", err
	}
	if _, ok := Cached(r); ok {
		return tree, nil
	}
	place := filepath.Dir(tree) // …/debtree/<key>
	store := filepath.Dir(place)
	if err := os.MkdirAll(store, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(store, "build.lock"), w)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, ok := Cached(r); ok {
		return tree, nil // the one we waited for was this one
	}
	if err := sweep(store); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(store, tmpPrefix)
	if err != nil {
		return "", err
	}
	if err := build(ctx, r, tmp, progress.New(w, "debtree: "+r.Name)); err != nil {
		return "", errors.Join(fmt.Errorf("build tree %s: %w", r.Name, err), removeTree(tmp))
	}
	if err := os.Rename(tmp, place); err != nil {
		return "", errors.Join(err, removeTree(tmp))
	}
	return tree, nil
}

// tmpPrefix marks trees under construction. Only the holder of the lock has one.
const tmpPrefix = "tmp-"

// sweep removes what a build that was killed left behind.
func sweep(store string) error {
	left, err := filepath.Glob(filepath.Join(store, tmpPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := removeTree(dir); err != nil {
			return fmt.Errorf("clean up after a killed build: %w", err)
		}
	}
	return nil
}

// removeTree removes a directory of ours, unless something is mounted below it:
// then removing would empty the host's /dev or worse. A build has its own mount
// namespace, so this happens only if someone mounted there by hand.
func removeTree(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if at := mountBelow(string(mounts), dir); at != "" {
		return fmt.Errorf("remove %s: %s is mounted; umount it first", dir, at)
	}
	// What a killed build started may live for a moment longer than its lock, and
	// still make files.
	for try := 1; ; try++ {
		err := os.RemoveAll(dir)
		if err == nil || !errors.Is(err, unix.ENOTEMPTY) || try == 20 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// mountBelow finds a mount point in dir, in the format of /proc/PID/mountinfo (proc(5)).
func mountBelow(mountinfo, dir string) string {
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
			return f[4]
		}
	}
	return ""
}

// lock takes the lock file, waiting for its holder until ctx ends. The kernel
// drops it when the process dies, so it is never stale.
func lock(ctx context.Context, file string, w io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	for told := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case err == unix.EINTR:
			continue
		case err != unix.EWOULDBLOCK:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
		if !told && w != nil {
			fmt.Fprintf(w, "debtree: another build is running; waiting for %s\n", file)
			told = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for %s: %w", file, ctx.Err())
		case <-retry.C:
		}
	}
}

func writeJSON(file string, v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
