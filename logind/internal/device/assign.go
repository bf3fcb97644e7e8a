package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dynamod/internal/sys/uevent"
)

// rulesPrefix begins the names of the files of udev rules that assign devices.
const rulesPrefix = "72-seat-"

// Assign writes a rule that makes a device, with all below it, one of a seat, and has
// udev look at it again. The device is known by ID_FOR_SEAT, which 71-seat.rules makes of
// where it is plugged in.
func (m *Machine) Assign(path, seat string) error {
	if _, err := os.Lstat(filepath.Join(m.db.Sys, path)); err != nil {
		return ErrNoPath
	}
	var found *uevent.Device
	err := m.db.Tagged(seatTag, func(p string, dev uevent.Device) {
		if p == path && dev.Has(seatTag) {
			found = &dev
		}
	})
	if err != nil {
		return err
	}
	if found == nil {
		return ErrNoDevice
	}
	id := found.Props["ID_FOR_SEAT"]
	if id == "" || strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) {
		return ErrNoDevice
	}
	dir := filepath.Join(m.root, "etc/udev/rules.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rule := fmt.Sprintf("TAG==\"seat\", ENV{ID_FOR_SEAT}==\"%s\", ENV{ID_SEAT}=\"%s\"\n", id, seat)
	file := filepath.Join(dir, rulesPrefix+id+".rules")
	tmp := filepath.Join(dir, ".#"+filepath.Base(file))
	if err := os.WriteFile(tmp, []byte(rule), 0o644); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return err
	}
	return m.trigger(path)
}

// Flush removes what Assign has written, and has udev look at all devices of seats.
func (m *Machine) Flush() error {
	files, err := filepath.Glob(filepath.Join(m.root, "etc/udev/rules.d", rulesPrefix+"*.rules"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	var paths []string
	if err := m.db.Tagged(seatTag, func(p string, _ uevent.Device) { paths = append(paths, p) }); err != nil {
		return err
	}
	var wrong []error
	for _, p := range paths {
		if err := m.trigger(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// trigger asks the kernel to tell of a device once more.
func (m *Machine) trigger(path string) error {
	f, err := os.OpenFile(filepath.Join(m.db.Sys, path, "uevent"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("change")
	return errors.Join(err, f.Close())
}
