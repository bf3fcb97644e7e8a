// Package replace writes files that others read at any moment.
package replace

import (
	"os"
	"path/filepath"
)

// File writes a file as a whole or not at all: beside, then renamed. The name beside has a
// dot in front, so that who lists the directory does not take it for one of its files.
func File(path, text string) error {
	tmp := filepath.Join(filepath.Dir(path), ".#"+filepath.Base(path))
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}
