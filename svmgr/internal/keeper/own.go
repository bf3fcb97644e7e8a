package keeper

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Own keeps copies in this process, for the program that it executes in place of
// itself. Whoever is above, if anybody is, keeps them for the case that this process
// is killed as well.
type Own struct {
	above *Above

	mu   sync.Mutex
	kept []Kept
}

// NewOwn keeps what a former program of this process had, whose descriptors stay the
// caller's, and all that comes. above may be nil.
func NewOwn(above *Above, former []Kept) (*Own, error) {
	k := &Own{above: above}
	for _, f := range former {
		if err := k.add(f.Unit, f.Name, f.FDs); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func (k *Own) add(unit, name string, fds []int) error {
	own, err := copies(fds)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.kept {
		if e := &k.kept[i]; e.Unit == unit && e.Name == name {
			e.FDs = append(e.FDs, own...)
			return nil
		}
	}
	k.kept = append(k.kept, Kept{unit, name, own})
	return nil
}

// Keep stores copies of fds for the unit under name, beside what is there under it.
// An error means that they would be lost if this process were killed, or replaced.
func (k *Own) Keep(unit, name string, fds ...int) error {
	err := k.add(unit, name, fds)
	if k.above == nil {
		return err
	}
	if aerr := k.above.Keep(unit, name, fds...); aerr != nil {
		return aerr
	}
	return err
}

// Drop closes what is kept for the unit under name, or under all names if it is "".
func (k *Own) Drop(unit, name string) {
	k.mu.Lock()
	rest := k.kept[:0]
	for _, e := range k.kept {
		if e.Unit == unit && (name == "" || e.Name == name) {
			closeAll(e.FDs)
			continue
		}
		rest = append(rest, e)
	}
	clear(k.kept[len(rest):])
	k.kept = rest
	k.mu.Unlock()
	if k.above != nil {
		k.above.Drop(unit, name)
	}
}

// Leave returns what is kept, in the order in which it came, for Pass, and sends what
// waits for the one above. Whoever calls Keep or Drop from now on waits for ever: this
// program is about to end.
func (k *Own) Leave() []Kept {
	if k.above != nil {
		k.above.Close()
	}
	k.mu.Lock()
	return k.kept
}

// PassedVariable names the descriptor of what a program gets from the one that it
// replaces: a file in memory, because what is kept for a thousand services does not
// fit into the environment.
const PassedVariable = "DYNAMOD_PASSED_FD"

// Pass writes value, which encoding/json must know, for the program that this process
// is about to execute, lets it inherit fds, and sets the variable. Nothing may be
// started between this and the execution.
func Pass(value any, fds []int) error {
	data, err := json.Marshal(passed{PID: os.Getpid(), Value: value})
	if err != nil {
		return fmt.Errorf("pass on state: %w", err)
	}
	fd, err := unix.MemfdCreate("dynamod-passed", 0) // inherited, as it must be
	if err != nil {
		return fmt.Errorf("pass on state: %w", err)
	}
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("pass on state: %w", err)
		}
		data = data[n:]
	}
	for _, f := range fds {
		if _, err := unix.FcntlInt(uintptr(f), unix.F_SETFD, 0); err != nil {
			unix.Close(fd)
			return fmt.Errorf("pass on descriptor %d: %w", f, err)
		}
	}
	return os.Setenv(PassedVariable, strconv.Itoa(fd))
}

type passed struct {
	// PID is the process that passed it to itself: a variable that was inherited
	// by somebody else means nothing to him.
	PID   int
	Value any
}

// Passed reads what a former program of this process has passed on into value; false
// if there was none. It removes the variable. Descriptors that value names are the
// caller's, and are not inherited any more once he has called CloseOnExec for them.
func Passed(value any) (bool, error) {
	text, ok := os.LookupEnv(PassedVariable)
	if !ok {
		return false, nil
	}
	if err := os.Unsetenv(PassedVariable); err != nil {
		return false, err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return false, fmt.Errorf("%s=%.20q is no descriptor: the manager sets it for itself, and nobody else should", PassedVariable, text)
	}
	f := os.NewFile(uintptr(fd), "passed")
	if f == nil {
		return false, fmt.Errorf("%s=%d: no such descriptor", PassedVariable, fd)
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("%s=%d: %w", PassedVariable, fd, err)
	}
	p := passed{Value: value}
	if err := json.NewDecoder(f).Decode(&p); err != nil {
		return false, fmt.Errorf("read what the former program has passed on: %w", err)
	}
	if p.PID != os.Getpid() {
		return false, fmt.Errorf("%s is for process %d, and this is %d", PassedVariable, p.PID, os.Getpid())
	}
	return true, nil
}
