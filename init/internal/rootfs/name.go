package rootfs

import (
	"errors"
	"strconv"
	"strings"

	"dynamod/init/internal/volume"
)

// Kind is how a device is named.
type Kind uint8

const (
	// Path is a file in /dev.
	Path Kind = iota + 1
	UUID
	Label
	PartUUID
	PartLabel
	// Number is MAJOR:MINOR.
	Number
)

var tags = []struct {
	name, dir string
	kind      Kind
}{
	{"UUID=", "by-uuid/", UUID}, {"LABEL=", "by-label/", Label},
	{"PARTUUID=", "by-partuuid/", PartUUID}, {"PARTLABEL=", "by-partlabel/", PartLabel},
}

// Name names a device.
type Name struct {
	Kind  Kind
	Value string
}

// String writes it as it is given.
func (n Name) String() string {
	for _, t := range tags {
		if t.kind == n.Kind {
			return t.name + n.Value
		}
	}
	return n.Value
}

// ParseName reads root= and its kin: a tag, MAJOR:MINOR, a path, or a name in /dev. The
// links that udev makes below /dev/disk mean what they are called.
func ParseName(s string) (Name, error) {
	s = strings.Trim(s, "\"")
	if s == "" {
		return Name{}, errors.New("it is empty; write a device, UUID=, LABEL=, PARTUUID= or PARTLABEL=")
	}
	for _, t := range tags {
		v, ok := strings.CutPrefix(s, t.name)
		if link, isLink := strings.CutPrefix(s, "/dev/disk/"+t.dir); isLink {
			v, ok = unescape(link), true
		}
		if !ok {
			continue
		}
		if v = strings.Trim(v, "\""); v == "" {
			return Name{}, errors.New("there is nothing after " + t.name)
		}
		return Name{t.kind, v}, nil
	}
	major, minor, ok := strings.Cut(s, ":")
	_, err1 := strconv.ParseUint(major, 10, 12)
	_, err2 := strconv.ParseUint(minor, 10, 20)
	switch {
	case ok && err1 == nil && err2 == nil:
		return Name{Number, s}, nil
	case s[0] == '/':
		return Name{Path, s}, nil
	case strings.ContainsAny(s, "=/:"):
		return Name{}, errors.New("this way of naming a device is not known; write a device, UUID=, LABEL=, PARTUUID= or PARTLABEL=")
	}
	return Name{Path, "/dev/" + s}, nil
}

// unescape undoes udev's \xHH.
func unescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// device is a block device with what it says.
type device struct {
	// name below /dev, number MAJOR:MINOR.
	name, number string
	system       volume.System
	part         volume.Partition
}

// match is how well a device fits a name: 0 not at all, 2 exactly. A label in other
// letters fits, if nothing fits better: FAT knows capitals only.
func (n Name) match(d *device) int {
	switch n.Kind {
	case Path:
		if "/dev/"+d.name == n.Value {
			return 2
		}
	case Number:
		if d.number == n.Value {
			return 2
		}
	case UUID:
		if strings.EqualFold(d.system.UUID, n.Value) {
			return 2
		}
	case PartUUID:
		if strings.EqualFold(d.part.UUID, n.Value) {
			return 2
		}
	case Label:
		return labels(d.system.Label, n.Value)
	case PartLabel:
		return labels(d.part.Label, n.Value)
	}
	return 0
}

func labels(have, want string) int {
	switch {
	case have == want:
		return 2
	case strings.EqualFold(have, want):
		return 1
	}
	return 0
}
