// Package booted makes the directories by which programs know what a system runs on:
// /run/systemd/system is what sd_booted(3) looks for, without which systemctl refuses to
// do anything, and the others are where libsystemd looks for seats, sessions, users and
// machines. They are there before anything is started.
package booted

import (
	"os"
	"path/filepath"
)

var dirs = []string{
	"run/dynamod", "run/systemd", "run/systemd/system", "run/systemd/seats", "run/systemd/sessions",
	"run/systemd/users", "run/systemd/machines",
}

// Make makes them below root, where there is a directory /run, for all to read whatever
// the umask. Those that are there stay as they are. The errors are of those that cannot be
// made.
func Make(root string) (failed []error) {
	for _, d := range dirs {
		d = filepath.Join(root, d)
		err := os.Mkdir(d, 0o755)
		if err == nil {
			err = os.Chmod(d, 0o755)
		} else if st, there := os.Stat(d); there == nil && st.IsDir() {
			err = nil
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}
