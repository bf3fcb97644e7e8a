package boot

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/efivar"
	"dynamod/internal/sys/uevent"
	"dynamod/internal/version"
)

// Types of partitions that have entries (UAPI.2, Discoverable Partitions Specification).
const (
	esp      = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	extended = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
)

// maxEntries bounds how many entries are read.
const maxEntries = 1024

// found is an entry with what its place in the menu depends on.
type found struct{ name, sortKey, machine, version string }

// Entries are the names of the entries of the boot loader, in the order of its menu, and
// then those that it makes by itself. They are looked for in /run/boot-loader-entries, if
// it is there, and otherwise on the partitions of EFI (UAPI.1, Boot Loader Specification;
// bootctl(1)).
func (l *Loader) Entries() []string {
	dirs := []string{filepath.Join(l.root, "run/boot-loader-entries")}
	if _, err := os.Stat(dirs[0]); err != nil {
		dirs = nil
		for _, d := range []string{"efi", "boot", "boot/efi"} {
			dir := filepath.Join(l.root, d)
			if k := l.kind(dir); k == esp || k == extended {
				dirs = append(dirs, dir)
			}
		}
	}
	var list []found
	for _, d := range dirs {
		list = append(list, texts(filepath.Join(d, "loader/entries"))...)
		list = append(list, images(filepath.Join(d, "EFI/Linux"))...)
	}
	slices.SortStableFunc(list, order)
	names := []string{}
	add := func(name string) {
		if len(names) < maxEntries && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, e := range list {
		add(e.name)
	}
	if l.efi {
		for _, name := range l.vars.Texts("LoaderEntries", efivar.Loader) {
			// Of its own are those with this start; of others the file is gone.
			if strings.HasPrefix(name, "auto-") && ValidEntry(name) {
				add(name)
			}
		}
	}
	return names
}

// Known is an entry by its name, with or without the end of its file's.
func Known(entries []string, name string) bool {
	return slices.Contains(entries, name) || slices.Contains(entries, name+".conf") || slices.Contains(entries, name+".efi")
}

// order is that of the menu: those with a sort-key first, by it, the newest first; others
// by name, the largest first (Boot Loader Specification, "Sorting").
func order(a, b found) int {
	if (a.sortKey == "") != (b.sortKey == "") {
		if a.sortKey != "" {
			return -1
		}
		return 1
	}
	if a.sortKey != "" {
		if c := strings.Compare(a.sortKey, b.sortKey); c != 0 {
			return c
		}
		if c := strings.Compare(a.machine, b.machine); c != 0 {
			return c
		}
		if c := version.Compare(b.version, a.version); c != 0 {
			return c
		}
	}
	return version.Compare(b.name, a.name)
}

// uncounted is a name without what boot counting puts at its end (Boot Loader
// Specification, "Boot counting"): +LEFT or +LEFT-DONE.
func uncounted(name string) string {
	const digits = "0123456789"
	start := func(name, before string) (string, bool) {
		rest := strings.TrimRight(name, digits)
		short, ok := strings.CutSuffix(rest, before)
		return short, ok && len(rest) < len(name)
	}
	if short, ok := start(name, "+"); ok {
		return short
	}
	if left, ok := start(name, "-"); ok {
		if short, ok := start(left, "+"); ok {
			return short
		}
	}
	return name
}

// names are the files of a directory with an ending, and the names of their entries.
func names(dir, ending string, f func(path, name string)) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return // most machines have none
	}
	for _, e := range list[:min(len(list), maxEntries)] {
		base, ok := strings.CutSuffix(e.Name(), ending)
		name, path := uncounted(base)+ending, filepath.Join(dir, e.Name())
		if !ok || base == "" || !ValidEntry(name) {
			continue
		}
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
			f(path, name)
		}
	}
}

// texts are entries of type 1: a file of keys and values each.
func texts(dir string) (out []found) {
	names(dir, ".conf", func(path, name string) {
		data, err := bounded(path)
		if err != nil {
			return
		}
		e := found{name: name}
		for line := range strings.Lines(data) {
			line = strings.TrimSpace(line)
			k := strings.IndexAny(line, " \t")
			if k < 0 {
				continue
			}
			switch value := strings.TrimSpace(line[k:]); line[:k] {
			case "sort-key":
				e.sortKey = value
			case "machine-id":
				e.machine = value
			case "version":
				e.version = value
			}
		}
		out = append(out, e)
	})
	return out
}

// images are entries of type 2: kernels that are programs of EFI and say what they are.
func images(dir string) (out []found) {
	names(dir, ".efi", func(path, name string) {
		f, err := os.Open(path)
		if err != nil {
			return
		}
		defer f.Close()
		has, err := readSections(f)
		if err != nil {
			return
		}
		if release := has[".osrel"]; release != nil && has[".linux"] != nil && release.Size() <= maxFile {
			data := make([]byte, release.Size())
			if _, err := io.ReadFull(release, data); err != nil {
				return
			}
			e := found{name: name}
			for line := range strings.Lines(strings.TrimRight(string(data), "\x00")) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				switch value = strings.Trim(value, `"'`); key {
				case "IMAGE_ID":
					e.sortKey = value
				case "ID":
					if e.sortKey == "" {
						e.sortKey = value
					}
				case "IMAGE_VERSION":
					e.version = value
				case "VERSION_ID":
					if e.version == "" {
						e.version = value
					}
				}
			}
			out = append(out, e)
		}
	})
	return out
}

// partition is the type of the partition that is mounted at a directory, as udev knows it.
func (l *Loader) partition(dir string) string {
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil || unix.Stat(filepath.Dir(dir), &above) != nil || here.Dev == above.Dev {
		return ""
	}
	data, err := bounded(filepath.Join(l.root, fmt.Sprintf("run/udev/data/b%d:%d", unix.Major(here.Dev), unix.Minor(here.Dev))))
	if err != nil {
		return ""
	}
	return uevent.ParseData([]byte(data)).Props["ID_PART_ENTRY_TYPE"]
}
