package uevent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Database is udev's, with what the kernel says of the same devices.
type Database struct {
	// Sys and Run are /sys and /run/udev.
	Sys, Run string
}

// Tagged calls f for each device that has ever had a tag, with its path below Sys: the
// files in tags/TAG name them. A database that is not there yet has none.
func (d Database) Tagged(tag string, f func(path string, dev Device)) error {
	list, err := os.ReadDir(d.Run + "/tags/" + tag)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		path, ok := d.pathOf(e.Name())
		if !ok {
			continue // gone meanwhile
		}
		data, err := readBounded(d.Run + "/data/" + e.Name())
		if err != nil {
			continue
		}
		dev := ParseData(data)
		d.FromSys(path, &dev)
		f(path, dev)
	}
	return nil
}

// Char is the character device of a number ("13:64"): its path, and what is known of
// it. A device that udev does not know has the kernel's variables and no tags.
func (d Database) Char(number string) (path string, dev Device, ok bool) {
	if path, ok = d.pathOf("c" + number); !ok {
		return "", Device{}, false
	}
	dev = Device{Props: map[string]string{}}
	if data, err := readBounded(d.Run + "/data/c" + number); err == nil {
		dev = ParseData(data)
	}
	d.FromSys(path, &dev)
	return path, dev, true
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxMessage))
}

// pathOf turns the name of a device in the database into its path: "b8:0" and "c1:3" by
// numbers, "n2" by the number of an interface, "+SUBSYSTEM:NAME" by name.
func (d Database) pathOf(id string) (string, bool) {
	if len(id) < 2 || strings.ContainsAny(id, "/\x00") {
		return "", false
	}
	switch id[0] {
	case 'b':
		return d.Resolve("dev/block/" + id[1:])
	case 'c':
		return d.Resolve("dev/char/" + id[1:])
	case 'n':
		list, err := os.ReadDir(d.Sys + "/class/net")
		if err != nil {
			return "", false
		}
		for _, e := range list {
			if b, err := os.ReadFile(d.Sys + "/class/net/" + e.Name() + "/ifindex"); err == nil && strings.TrimSpace(string(b)) == id[1:] {
				return d.Resolve("class/net/" + e.Name())
			}
		}
	case '+':
		subsystem, name, ok := strings.Cut(id[1:], ":")
		if !ok {
			return "", false
		}
		name = strings.ReplaceAll(name, "!", "/") // as the kernel names them
		for _, p := range []string{"class/" + subsystem + "/" + name, "bus/" + subsystem + "/devices/" + name,
			"subsystem/" + subsystem + "/devices/" + name, subsystem + "/" + name} {
			if path, ok := d.Resolve(p); ok {
				return path, true
			}
		}
	}
	return "", false
}

// Resolve follows a link below Sys and gives the path of the device.
func (d Database) Resolve(rel string) (string, bool) {
	real, err := filepath.EvalSymlinks(d.Sys + "/" + rel)
	if err != nil {
		return "", false
	}
	root, err := filepath.EvalSymlinks(d.Sys)
	if err != nil {
		return "", false
	}
	path, ok := strings.CutPrefix(real, root)
	return path, ok && path != ""
}

// FromSys adds what the kernel says: udev's database does not repeat it.
func (d Database) FromSys(path string, dev *Device) {
	b, err := readBounded(d.Sys + path + "/uevent")
	if err != nil {
		return
	}
	for k, v := range ParseVariables(b) {
		if _, ok := dev.Props[k]; !ok {
			dev.Props[k] = v
		}
	}
	if to, err := os.Readlink(d.Sys + path + "/subsystem"); err == nil {
		dev.Props["SUBSYSTEM"] = filepath.Base(to)
	}
}
