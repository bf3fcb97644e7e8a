package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// shell is where a step works and whom it tells.
type shell struct {
	// root is "/" but for tests of steps that only read and write files.
	root string
	step string
	out  io.Writer
}

func (s *shell) say(format string, args ...any) {
	fmt.Fprintf(s.out, "dynamod-step %s: %s\n", s.step, fmt.Sprintf(format, args...))
}

// at is a path below the root.
func (s *shell) at(p string) string { return filepath.Join(s.root, p) }

func (s *shell) tree() fs.FS { return os.DirFS(s.root) }

// text is a small file's content, "" when it cannot be read.
func (s *shell) text(p string) string {
	f, err := os.Open(s.at(p))
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return ""
	}
	return string(b)
}

func (s *shell) cmdline() string { return s.text("/proc/cmdline") }

// searchPath is where programs are looked for, whatever $PATH says: a boot step
// must find fsck.ext4 even if nobody has set it.
var searchPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// find is the path of a program, "" when it is not installed, and the same with
// symlinks followed.
func find(name string) (path, real string) {
	for _, d := range searchPath {
		p := filepath.Join(d, name)
		st, err := os.Stat(p)
		if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			continue
		}
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			real = p
		}
		return p, real
	}
	return "", ""
}

// run runs a program with the step's output and gives its exit code, -1 when it
// was killed. An error is a program that is missing or cannot be run.
func (s *shell) run(name string, args ...string) (int, error) {
	path, _ := find(name)
	if path == "" {
		return 0, fmt.Errorf("run %s: it is in none of %s: %w", name, strings.Join(searchPath, ":"), fs.ErrNotExist)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "PATH="+strings.Join(searchPath, ":"))
	cmd.Stdout, cmd.Stderr = s.out, s.out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", path, err)
	}
	return 0, nil
}

// replace writes a file so that at every time the old or the new content is there,
// also after a power cut.
func replace(name string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	tmp := f.Name()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if d, err := os.Open(filepath.Dir(name)); err == nil {
		_ = d.Sync() // some file systems cannot; the rename is done either way
		d.Close()
	}
	return nil
}
