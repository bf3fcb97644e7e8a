package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/world"
)

// Bounds of the variables that clients set: how many, and how long all of them are.
const (
	maxVariables   = 4096
	maxEnvironment = 1 << 20
)

// environ are the variables that services get from the manager: those that it was
// given itself, and over them what clients have set and unset (systemctl(1),
// set-environment). The changes are kept in a file of the runtime directory, so that
// they outlive the manager's program but not the boot.
type environ struct {
	path string

	mu    sync.Mutex
	base  []string
	set   map[string]string
	unset map[string]bool
}

// openEnviron reads the changes of a former program. What cannot be read is lost, and
// the environ is good all the same.
func openEnviron(path string) (*environ, error) {
	e := &environ{path: path, set: map[string]string{}, unset: map[string]bool{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	for item := range strings.SplitSeq(string(data), "\x00") {
		name, value, sets := strings.Cut(item, "=")
		switch {
		case item == "":
		case sets:
			e.set[name] = value
		default:
			e.unset[name] = true
		}
	}
	return e, nil
}

// are takes over what the manager was given and returns what services get.
func (e *environ) are(base []string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.base = base
	return e.list()
}

// given is are for a world that exists.
func (e *environ) given(base []string, w *world.World) { w.SetEnvironment(e.are(base)) }

func (e *environ) list() []string {
	all := map[string]string{}
	for _, v := range e.base {
		if name, value, ok := strings.Cut(v, "="); ok && !e.unset[name] {
			all[name] = value
		}
	}
	for name, value := range e.set {
		all[name] = value
	}
	out := make([]string, 0, len(all))
	for name, value := range all {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// change takes variables away and adds others, all or nothing, and returns what
// services get then.
func (e *environ) change(unset, set []string) ([]string, error) {
	for _, v := range unset {
		name, value, _ := strings.Cut(v, "=")
		if err := validVariable(name, value); err != nil {
			return nil, err
		}
	}
	size := 0
	for _, v := range set {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, ipc.Errorf("InvalidArgs", "%q is no assignment", clipped(v)).WithHint("NAME=VALUE")
		}
		if err := validVariable(name, value); err != nil {
			return nil, err
		}
		size += len(v)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, value := range e.set {
		size += len(name) + len(value)
	}
	if size > maxEnvironment || len(e.set)+len(set) > maxVariables || len(e.unset)+len(unset) > maxVariables {
		return nil, ipc.Errorf("TooLarge", "there may be %d variables of %d bytes altogether", maxVariables, maxEnvironment)
	}
	former, formerUnset := e.set, e.unset
	e.set, e.unset = map[string]string{}, map[string]bool{}
	for k, v := range former {
		e.set[k] = v
	}
	for k := range formerUnset {
		e.unset[k] = true
	}
	for _, v := range unset {
		name, value, exact := strings.Cut(v, "=")
		if exact && !slices.Contains(e.list(), name+"="+value) {
			continue
		}
		delete(e.set, name)
		e.unset[name] = true
	}
	for _, v := range set {
		name, value, _ := strings.Cut(v, "=")
		e.set[name] = value
		delete(e.unset, name)
	}
	if err := e.save(); err != nil {
		e.set, e.unset = former, formerUnset
		return nil, fmt.Errorf("keep the variables: %w", err)
	}
	return e.list(), nil
}

func (e *environ) save() error {
	var items []string
	for name, value := range e.set {
		items = append(items, name+"="+value)
	}
	for name := range e.unset {
		items = append(items, name)
	}
	slices.Sort(items)
	return replaceFile(e.path, []byte(strings.Join(items, "\x00")))
}

// validVariable is the rule for names and values of environ(7), as systemctl(1) has it.
func validVariable(name, value string) error {
	for i := range len(name) {
		c := name[i]
		if c != '_' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && (i == 0 || c < '0' || c > '9') {
			return ipc.Errorf("InvalidArgs", "%q is no name of a variable", clipped(name)).WithHint("letters, digits and _")
		}
	}
	if name == "" {
		return ipc.Errorf("InvalidArgs", "a variable has no name")
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f }) {
		return ipc.Errorf("InvalidArgs", "the value of %s has control characters or is no text", name)
	}
	return nil
}

func clipped(s string) string { return s[:min(len(s), 64)] }

// Environment implements api.Manager.
func (m *manager) Environment() []string {
	m.environ.mu.Lock()
	list := m.environ.list()
	m.environ.mu.Unlock()
	// Every process has a search path, which is the manager's only if it was set.
	if !slices.ContainsFunc(list, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		list = append(list, "PATH="+world.DefaultPath)
		slices.Sort(list)
	}
	return list
}

// SetEnvironment implements api.Manager.
func (m *manager) SetEnvironment(unset, set []string) error {
	list, err := m.environ.change(unset, set)
	if err == nil {
		m.world.SetEnvironment(list)
	}
	return err
}
