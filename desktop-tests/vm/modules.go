package vm

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Module is a loadable part of the kernel, unpacked.
type Module struct {
	// Name as lsmod shows it.
	Name string
	// Path below usr/lib/modules/RELEASE, without the suffix of its compression.
	Path string
	Data []byte
}

// Modules returns the named modules with all that they need, in the order in which
// they must be loaded. What is built into the kernel is left out; a name that does
// not exist is an error.
func (k *Kernel) Modules(names ...string) ([]Module, error) {
	dir := filepath.Join(k.Tree, "usr/lib/modules", k.Release)
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	inside := map[string]bool{}
	for line := range strings.Lines(string(builtin)) {
		inside[moduleName(strings.TrimSpace(line))] = true
	}
	files := map[string]string{}
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".ko") {
			files[moduleName(p)] = p
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Module
	state := map[string]int{} // 1 being added, 2 added
	var add func(name, neededBy string) error
	add = func(name, neededBy string) error {
		switch {
		case inside[name] || state[name] == 2:
			return nil
		case state[name] == 1:
			return fmt.Errorf("kernel modules need each other: %s and %s", name, neededBy)
		case files[name] == "":
			return fmt.Errorf("kernel %s has no module %s%s", k.Release, name, neededBy)
		}
		state[name] = 1
		data, err := unpackModule(files[name])
		if err != nil {
			return err
		}
		needs, wants, err := moduleNeeds(data)
		if err != nil {
			return fmt.Errorf("%s: %w", files[name], err)
		}
		for _, n := range wants {
			// An algorithm is wanted by the name of what it does; modprobe(8) finds
			// the module by its alias.
			n = strings.TrimPrefix(n, "crypto_")
			if generic, ok := algorithms[n]; ok {
				n = generic
			}
			if files[n] != "" && state[n] == 0 {
				needs = append(needs, n)
			}
		}
		for _, n := range needs {
			if err := add(n, ", which "+name+" needs"); err != nil {
				return err
			}
		}
		state[name] = 2
		rel, err := filepath.Rel(dir, files[name])
		if err != nil {
			return err
		}
		rel = strings.TrimSuffix(rel, ".xz")
		out = append(out, Module{Name: name, Path: rel, Data: data})
		return nil
	}
	for _, n := range names {
		if err := add(strings.ReplaceAll(n, "-", "_"), ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// moduleName is the name of the module in a file: the kernel takes - and _ as one.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

func unpackModule(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	data, err := exec.Command("xz", "-dc", path).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("unpack %s: %w: %s", path, err, bytes.TrimSpace(exit.Stderr))
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w: run tools/install-deps.sh tree", err)
	}
	return data, err
}

// algorithms are the modules behind what file systems want of the kernel's crypto.
var algorithms = map[string]string{
	"crc32c":      "crc32c_generic",
	"crc32":       "crc32_generic",
	"xxhash64":    "xxhash_generic",
	"sha256":      "sha256_generic",
	"blake2b_256": "blake2b_generic",
}

// moduleNeeds reads what a module says of itself (modinfo(8)): needs from depends=,
// wants from the pre: part of softdep=, which may be missing (modprobe.d(5)).
func moduleNeeds(data []byte) (needs, wants []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, nil, errors.New("no .modinfo in it")
	}
	info, err := s.Data()
	if err != nil {
		return nil, nil, err
	}
	for entry := range strings.SplitSeq(strings.ReplaceAll(string(info), "-", "_"), "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		switch key {
		case "depends":
			for n := range strings.SplitSeq(value, ",") {
				if n != "" {
					needs = append(needs, n)
				}
			}
		case "softdep":
			pre := false
			for n := range strings.FieldsSeq(value) {
				switch {
				case n == "pre:", n == "post:":
					pre = n == "pre:"
				case pre:
					wants = append(wants, n)
				}
			}
		}
	}
	return needs, wants, nil
}
