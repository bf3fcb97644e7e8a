// Package accounts reads users and groups from passwd(5) and group(5). It asks no
// name service: a manager that starts the network cannot wait for one.
package accounts

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Files are where accounts are looked up.
type Files struct{ PasswdFile, GroupFile string }

// System are the files of this machine.
var System = Files{"/etc/passwd", "/etc/group"}

// User is one line of passwd(5).
type User struct {
	Name        string
	UID, GID    uint32
	Home, Shell string
	// Listed is false for a number that has no line.
	Listed bool
}

// noID is what chown(2) and setresuid(2) take for "leave it": never an identity.
const noID = 1<<32 - 1

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != noID
}

func eachLine(file string, fields int, f func(x []string) bool) error {
	r, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an image without accounts has root by number
	}
	if err != nil {
		return err
	}
	defer r.Close()
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), 1<<20)
	for sc.Scan() {
		x := strings.Split(sc.Text(), ":")
		if len(x) >= fields && x[0] != "" && x[0][0] != '#' && f(x) {
			return nil
		}
	}
	return sc.Err()
}

// User finds a user by name or number. A number needs no line; then there is no
// group, no home and no shell.
func (f Files) User(who string) (User, error) {
	n, numeric := number(who)
	var out User
	err := eachLine(f.PasswdFile, 7, func(x []string) bool {
		uid, ok := number(x[2])
		gid, ok2 := number(x[3])
		if !ok || !ok2 || !(x[0] == who || numeric && uid == n) {
			return false
		}
		out = User{x[0], uid, gid, x[5], x[6], true}
		return true
	})
	switch {
	case err != nil:
		return out, fmt.Errorf("read %s: %w", f.PasswdFile, err)
	case out.Listed:
		return out, nil
	case numeric:
		return User{Name: who, UID: n, GID: noID, Home: "/"}, nil
	case who == "root":
		return User{"root", 0, 0, "/root", "/bin/sh", true}, nil
	}
	return out, fmt.Errorf("user %q: %w", who, unix.ESRCH)
}

// Group finds the number of a group by name or number.
func (f Files) Group(who string) (uint32, error) {
	if n, ok := number(who); ok {
		return n, nil
	}
	var gid uint32
	found := false
	err := eachLine(f.GroupFile, 3, func(x []string) bool {
		n, ok := number(x[2])
		if ok && x[0] == who {
			gid, found = n, true
		}
		return found
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", f.GroupFile, err)
	case found:
		return gid, nil
	case who == "root":
		return 0, nil
	}
	return 0, fmt.Errorf("group %q: %w", who, unix.ESRCH)
}

// HasGroup says whether a group has the number.
func (f Files) HasGroup(gid uint32) (bool, error) {
	found := false
	err := eachLine(f.GroupFile, 3, func(x []string) bool {
		n, ok := number(x[2])
		found = ok && n == gid
		return found
	})
	if err != nil {
		return false, fmt.Errorf("read %s: %w", f.GroupFile, err)
	}
	return found, nil
}

// GroupsOf are the groups that name is a member of, with its primary one first, as
// initgroups(3) has it.
func (f Files) GroupsOf(name string, primary uint32) ([]uint32, error) {
	out := []uint32{primary}
	err := eachLine(f.GroupFile, 4, func(x []string) bool {
		gid, ok := number(x[2])
		if ok && !slices.Contains(out, gid) && slices.Contains(strings.Split(x[3], ","), name) {
			out = append(out, gid)
		}
		return false
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.GroupFile, err)
	}
	return out, nil
}
