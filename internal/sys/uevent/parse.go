package uevent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Event is one message.
type Event struct {
	// Action is "add", "remove", "change", "move", "online", "offline", "bind" or
	// "unbind"; others may come.
	Action string
	// DevPath is the path below /sys.
	DevPath string
	// Props are all variables.
	Props map[string]string
}

// Bounds of a message.
const (
	MaxMessage = 64 << 10
	maxProps   = 4096
)

var errFormat = errors.New("it is no message about a device")

// ParseKernel reads a message of the kernel.
func ParseKernel(b []byte) (Event, error) {
	head, rest, ok := bytes.Cut(b, []byte{0})
	at := bytes.IndexByte(head, '@')
	if !ok || at <= 0 || at+1 >= len(head) || head[at+1] != '/' {
		return Event{}, errFormat
	}
	e, err := props(rest)
	if err != nil {
		return Event{}, err
	}
	if e.Action == "" {
		e.Action = string(head[:at])
	}
	if e.DevPath == "" {
		e.DevPath = string(head[at+1:])
	}
	return e, e.check()
}

// udevMagic follows the prefix "libudev\0", in network byte order.
const udevMagic = 0xfeedcafe

// ParseUdev reads a message of udev: after the prefix and the magic number come, in
// the byte order of the machine, the size of the header, where the variables begin
// and how long they are, and four hashes for filters.
func ParseUdev(b []byte) (Event, error) {
	const prefix = "libudev\x00"
	if len(b) < 40 || string(b[:8]) != prefix || binary.BigEndian.Uint32(b[8:]) != udevMagic {
		return Event{}, errFormat
	}
	from, n := uint64(binary.NativeEndian.Uint32(b[16:])), uint64(binary.NativeEndian.Uint32(b[20:]))
	if from < 24 || from+n > uint64(len(b)) {
		return Event{}, fmt.Errorf("its variables lie outside: %w", errFormat)
	}
	e, err := props(b[from : from+n])
	if err != nil {
		return Event{}, err
	}
	return e, e.check()
}

func props(b []byte) (Event, error) {
	e := Event{Props: map[string]string{}}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if len(v) == 0 {
			continue
		}
		name, value, ok := strings.Cut(string(v), "=")
		if !ok || name == "" {
			continue
		}
		if len(e.Props) == maxProps {
			return e, fmt.Errorf("more than %d variables: %w", maxProps, errFormat)
		}
		e.Props[name] = value
	}
	e.Action, e.DevPath = e.Props["ACTION"], e.Props["DEVPATH"]
	return e, nil
}

func (e *Event) check() error {
	if e.Action == "" || !cleanPath(e.DevPath) {
		return errFormat
	}
	return nil
}

// cleanPath says that a path is absolute and leads nowhere else.
func cleanPath(p string) bool {
	if len(p) < 2 || p[0] != '/' || len(p) > 4096 {
		return false
	}
	for part := range strings.SplitSeq(p[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// Device is what udev says of one device.
type Device struct {
	Props map[string]string
	// Tags are those that it has now, Links its symlinks below /dev.
	Tags, Links []string
}

// Device takes an event of udev for what it says.
func (e Event) Device() Device {
	d := Device{Props: e.Props}
	tags := e.Props["CURRENT_TAGS"] // not there if there are none
	if _, known := e.Props["CURRENT_TAGS"]; !known && e.Props["UDEV_DATABASE_VERSION"] == "" {
		tags = e.Props["TAGS"] // before udev 247 there was but one list
	}
	for t := range strings.SplitSeq(tags, ":") {
		if t != "" {
			d.Tags = append(d.Tags, t)
		}
	}
	for l := range strings.FieldsSeq(e.Props["DEVLINKS"]) {
		if strings.HasPrefix(l, "/dev/") && cleanPath(l) {
			d.Links = append(d.Links, l)
		}
	}
	return d
}

// Has says whether the device has a tag.
func (d *Device) Has(tag string) bool { return slices.Contains(d.Tags, tag) }

// ParseData reads a file of the database: a letter, a colon and a value in each line.
// E is a variable, S a link, G a tag it ever had, Q one that it has.
func ParseData(b []byte) Device {
	d := Device{Props: map[string]string{}}
	var ever []string
	if len(b) > MaxMessage {
		b = b[:MaxMessage]
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		kind, value, ok := strings.Cut(line, ":")
		if !ok || value == "" {
			continue
		}
		switch kind {
		case "E":
			if name, v, ok := strings.Cut(value, "="); ok && name != "" {
				d.Props[name] = v
			}
		case "S":
			if l := "/dev/" + value; cleanPath(l) {
				d.Links = append(d.Links, l)
			}
		case "G":
			ever = append(ever, value)
		case "Q":
			d.Tags = append(d.Tags, value)
		}
	}
	if len(d.Tags) == 0 && !strings.Contains(string(b), "V:1") {
		d.Tags = ever
	}
	return d
}

// ParseVariables reads lines of NAME=VALUE, as the file uevent in /sys has them.
func ParseVariables(b []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && name != "" && len(out) < maxProps {
			out[name] = v
		}
	}
	return out
}
