// Package acl changes the entries of named users in the access control list of a file
// (acl(5)). The list is the extended attribute system.posix_acl_access, in the form that
// the kernel documents in include/uapi/linux/posix_acl_xattr.h.
package acl

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Tags of entries (include/uapi/linux/posix_acl.h).
const (
	userObj  = 0x01
	user     = 0x02
	groupObj = 0x04
	group    = 0x08
	mask     = 0x10
	other    = 0x20
)

const (
	attribute = "system.posix_acl_access"
	version   = 2
	noID      = 1<<32 - 1
	maxSize   = 64 << 10 // xattr(7)
)

var errFormat = errors.New("it is no list of access")

// entry is one line of a list; id is a user or group for those of a name.
type entry struct {
	tag, perm uint16
	id        uint32
}

// parse reads the attribute.
func parse(b []byte) ([]entry, error) {
	if len(b) < 4 || (len(b)-4)%8 != 0 || binary.LittleEndian.Uint32(b) != version {
		return nil, errFormat
	}
	var out []entry
	for b = b[4:]; len(b) > 0; b = b[8:] {
		out = append(out, entry{binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:])})
	}
	return out, nil
}

func format(list []entry) []byte {
	b := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range list {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// fromMode is the list that a file without one has.
func fromMode(mode uint32) []entry {
	return []entry{{userObj, uint16(mode >> 6 & 7), noID}, {groupObj, uint16(mode >> 3 & 7), noID}, {other, uint16(mode & 7), noID}}
}

// minimal says that the list says no more than the mode does.
func minimal(list []entry) bool {
	return !slices.ContainsFunc(list, func(e entry) bool { return e.tag == user || e.tag == group })
}

// change takes entries of users away and lets one user read and write. The mask is what
// anybody but owner and others has together, as setfacl(1) computes it. What the group
// has stays, also where the mask of before held it back.
func change(list []entry, drop func(uid uint32) bool, add *uint32) []entry {
	list = slices.DeleteFunc(slices.Clone(list), func(e entry) bool {
		return e.tag == mask || e.tag == user && (drop(e.id) || add != nil && e.id == *add)
	})
	if add != nil {
		list = append(list, entry{user, 6, *add})
	}
	if !minimal(list) {
		m := entry{mask, 0, noID}
		for _, e := range list {
			if e.tag != userObj && e.tag != other {
				m.perm |= e.perm
			}
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id)) })
	return list
}

// Give lets users of whom drop is true no longer, and the user add, if not nil, read and
// write the file behind a descriptor, which may be one of O_PATH. Nothing is written if
// nothing changes.
func Give(fd int, drop func(uid uint32) bool, add *uint32) error {
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	b := make([]byte, maxSize)
	n, err := unix.Getxattr(path, attribute, b)
	var list []entry
	switch {
	case err == unix.ENODATA:
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		list = fromMode(st.Mode)
	case err != nil:
		return fmt.Errorf("read the list of access: %w", err)
	default:
		if list, err = parse(b[:n]); err != nil {
			return err
		}
	}
	next := change(list, drop, add)
	if slices.Equal(next, list) {
		return nil
	}
	if minimal(next) {
		// The group's bits of the mode are the mask while there is a list: writing the
		// short one puts them right, and the kernel then keeps the mode alone.
		if err := unix.Setxattr(path, attribute, format(next), 0); err != nil {
			return fmt.Errorf("write the list of access: %w", err)
		}
		if err := unix.Removexattr(path, attribute); err != nil && err != unix.ENODATA {
			return fmt.Errorf("remove the list of access: %w", err)
		}
		return nil
	}
	if err := unix.Setxattr(path, attribute, format(next), 0); err != nil {
		return fmt.Errorf("write the list of access: %w", err)
	}
	return nil
}
