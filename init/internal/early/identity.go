package early

import (
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxName bounds what is read of files that hold a name.
const maxName = 4096

func text(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxName))
	return string(b), err
}

// Hostname sets the host's name: asked is that of the command line, "" for what
// /etc/hostname says (hostname(5)). Without either a name that the kernel has
// already stays, else it is localhost.
func Hostname(root, asked string, set func(string) error, say Say) {
	name := asked
	if name == "" {
		b, err := text(root + "/etc/hostname")
		if err != nil && !os.IsNotExist(err) {
			say(4, "read the host's name: "+err.Error())
		}
		name = hostLine(b)
	}
	if name != "" && !validHost(name) {
		say(4, "\""+name+"\" is no host name: letters, digits, - and . are allowed, at most 64")
		name = ""
	}
	if name == "" {
		var u unix.Utsname
		if unix.Uname(&u) == nil && unix.ByteSliceToString(u.Nodename[:]) != "(none)" {
			return
		}
		name = "localhost"
	}
	if err := set(name); err != nil {
		say(4, "set the host's name to "+name+": "+err.Error())
	}
}

func hostLine(b string) string {
	for line := range strings.Lines(b) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}

func validHost(s string) bool {
	if len(s) > 64 || s[0] == '-' || s[0] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// MachineID makes sure that /etc/machine-id has an ID (machine-id(5)): the one that
// it has, else asked, /run/machine-id, what the hypervisor or firmware says, or a
// random one. Where /etc cannot be written it lies in /run and over the file, until
// the service machine-id writes it. root is "" but for tests.
func MachineID(root, asked string, say Say) {
	file := root + "/etc/machine-id"
	was, err := text(file)
	was = strings.TrimSpace(was)
	if err == nil && validID(was) {
		return
	}
	if err != nil && !os.IsNotExist(err) {
		say(4, "read the machine ID: "+err.Error())
	}
	if was != "" && was != "uninitialized" {
		say(3, file+" has no valid machine ID (32 hexadecimal digits in lower case); another takes its place")
	}
	if os.IsNotExist(err) || was == "uninitialized" {
		// For ConditionFirstBoot= (systemd.unit(5)): what comes next hides it.
		_ = os.WriteFile(root+"/run/systemd/first-boot", nil, 0o444)
	}
	id := chooseID(root, asked)
	if id == "" {
		say(3, "make a machine ID: no random numbers")
		return
	}
	if err := replaceFile(file, id+"\n", 0o444); err == nil {
		return
	}
	passing := root + "/run/machine-id"
	if err := replaceFile(passing, id+"\n", 0o444); err != nil {
		say(3, "make a machine ID: "+err.Error())
		return
	}
	if os.IsNotExist(err) {
		say(4, "/etc is read-only and has no machine-id to put one over; the ID is in /run/machine-id")
		return
	}
	err = unix.Mount(passing, file, "", unix.MS_BIND, "")
	if err == nil {
		err = unix.Mount("", file, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		say(3, "put the machine ID over "+file+": "+err.Error())
	}
}

// chooseID is asked, else the first that there is.
func chooseID(root, asked string) string {
	if id := bareID(asked); validID(id) {
		return id
	}
	if b, err := text(root + "/run/machine-id"); err == nil && validID(strings.TrimSpace(b)) {
		return strings.TrimSpace(b)
	}
	// Only hypervisors give each machine a UUID of its own; boards come with
	// whatever the maker left in their firmware.
	if b, err := text(root + "/sys/class/dmi/id/sys_vendor"); err == nil && hypervisor(strings.TrimSpace(b)) {
		if b, err := text(root + "/sys/class/dmi/id/product_uuid"); err == nil {
			if id := bareID(strings.TrimSpace(b)); validID(id) {
				return id
			}
		}
	}
	var b [16]byte
	if _, err := unix.Getrandom(b[:], unix.GRND_INSECURE); err != nil {
		return ""
	}
	b[6] = b[6]&0x0f | 0x40 // a UUID of version 4, as machine-id(5) asks for
	b[8] = b[8]&0x3f | 0x80
	return hex.EncodeToString(b[:])
}

func hypervisor(vendor string) bool {
	switch vendor {
	case "QEMU", "KVM", "Amazon EC2", "VMware, Inc.", "innotek GmbH", "Google":
		return true
	}
	return false
}

// bareID is a UUID without its dashes.
func bareID(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "")) }

func validID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0") != "" && strings.Trim(id, "0123456789abcdef") == ""
}

// replaceFile writes a file that is there whole or as it was.
func replaceFile(name, content string, perm os.FileMode) error {
	tmp := name + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}
