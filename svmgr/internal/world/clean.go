package world

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// Clean removes what a unit at rest has left behind (systemctl(1), clean): its
// directories of the kinds named, with what is in them and the links to them, and the
// stamp of a Persistent= timer, which is state. It waits for it. What is not there is no
// error. The unit's own strand does it, so that a start meanwhile comes before or after.
func (w *World) Clean(u *unit.Unit, what []string) error {
	done := make(chan error, 1)
	w.pool.do(u.Name, func() { done <- w.clean(u, what) })
	return <-done
}

func (w *World) clean(u *unit.Unit, what []string) error {
	w.reg.mu.Lock()
	started := w.reg.current[u.Name] != nil
	w.reg.mu.Unlock()
	if started { // since somebody looked
		return fmt.Errorf("%s is not at rest: %w", u.Name, unix.EBUSY)
	}
	var errs []error
	remove := func(p string, how func(string) error) {
		if err := beneath(p, how); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove %s: %w", p, err))
		}
	}
	for _, k := range directoryKinds {
		if !slices.Contains(what, strings.TrimSuffix(k.stage, "-directory")) {
			continue
		}
		base := k.base(&w.cfg.Directories)
		for _, item := range k.names.Of(u) {
			name, link, ok := splitDirectory(item)
			if !ok {
				continue
			}
			if link != "" {
				remove(base+"/"+link, os.Remove)
			}
			if k.private { // DynamicUser= has the directory there, and a link in its place
				remove(base+"/private/"+name, os.RemoveAll)
			}
			remove(base+"/"+name, os.RemoveAll)
		}
	}
	if u.Type == unitname.Timer && unit.Persistent.Of(u) && w.cfg.StampDir != "" && slices.Contains(what, "state") {
		remove(filepath.Join(w.cfg.StampDir, stampPrefix+u.Name), os.Remove)
	}
	return errors.Join(errs...)
}
