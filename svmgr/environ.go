package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
// given itself, and over them what clients have set (systemctl(1),
// set-environment). The changes are kept in a file of the runtime directory, so that
// they outlive the manager's program but not the boot.
type environ struct {
	path string

	mu   sync.Mutex
	base []string
	set  map[string]string
}

// openEnviron reads the changes of a former program. What cannot be read is lost, and
// the environ is good all the same.
func openEnviron(path string) (*environ, error) {
	e := &environ{path: path, set: map[string]string{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	for item := range strings.SplitSeq(string(data), "\x00") {
		if name, value, ok := strings.Cut(item, "="); ok {
			e.set[name] = value
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

// list has the manager's own variables by name, with the values that clients gave them,
// and behind them the clients', as `systemctl show-environment` has them. deflt are those
// that the manager has if it was not given them.
func (e *environ) list(deflt ...string) []string {
	own, others := map[string]string{}, maps.Clone(e.set)
	for _, v := range slices.Concat(deflt, e.base) {
		name, value, ok := strings.Cut(v, "=")
		if set, there := e.set[name]; there {
			value = set
			delete(others, name)
		}
		if ok {
			own[name] = value
		}
	}
	out := make([]string, 0, len(own)+len(others))
	for _, part := range []map[string]string{own, others} {
		for _, name := range slices.Sorted(maps.Keys(part)) {
			out = append(out, name+"="+part[name])
		}
	}
	return out
}

// change takes variables of clients away and adds others, all or nothing, and returns
// what services get then. What the manager was given itself cannot be taken away, only
// had its value changed (seen with systemd 257).
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
	if size > maxEnvironment || len(e.set)+len(set) > maxVariables || len(unset) > maxVariables {
		return nil, ipc.Errorf("TooLarge", "there may be %d variables of %d bytes altogether", maxVariables, maxEnvironment)
	}
	former := e.set
	e.set = maps.Clone(former)
	for _, v := range unset {
		name, value, exact := strings.Cut(v, "=")
		if !exact || e.set[name] == value {
			delete(e.set, name)
		}
	}
	for _, v := range set {
		name, value, _ := strings.Cut(v, "=")
		e.set[name] = value
	}
	if err := e.save(); err != nil {
		e.set = former
		return nil, fmt.Errorf("keep the variables: %w", err)
	}
	return e.list(), nil
}

func (e *environ) save() error {
	var items []string
	for name, value := range e.set {
		items = append(items, name+"="+value)
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
	defer m.environ.mu.Unlock()
	return m.environ.list("PATH=" + world.DefaultPath) // every process has a search path
}

// SetEnvironment implements api.Manager.
func (m *manager) SetEnvironment(unset, set []string) error {
	list, err := m.environ.change(unset, set)
	if err == nil {
		m.world.SetEnvironment(list)
	}
	return err
}
