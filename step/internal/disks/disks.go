// Package disks reads what blkid says about block devices, of util-linux or of
// BusyBox, so that fstab lines with UUID= and LABEL= work where no udev makes
// links.
package disks

import (
	"strings"
)

// Device is one line of blkid: what is on a device.
type Device struct {
	// Path is the device, below /dev.
	Path string
	// Tags are TYPE, UUID, LABEL, PARTUUID, PARTLABEL and others.
	Tags map[string]string
}

const maxDevices = 4096

// Parse reads the output of blkid: `/dev/sda1: UUID="…" TYPE="ext4"`. Lines that
// do not look like that are left out; labels are the user's and may hold anything.
func Parse(out string) []Device {
	var ds []Device
	for line := range strings.Lines(out) {
		path, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok || !strings.HasPrefix(path, "/dev/") || strings.Contains(path, "..") || len(ds) >= maxDevices {
			continue
		}
		d := Device{Path: path, Tags: map[string]string{}}
		for rest = strings.TrimLeft(rest, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
			key, more, ok := strings.Cut(rest, `="`)
			if !ok || key == "" || strings.ContainsAny(key, ` "`) {
				break
			}
			value, n := quoted(more)
			if n < 0 {
				break
			}
			if _, twice := d.Tags[key]; !twice {
				d.Tags[key] = value
			}
			rest = more[n:]
		}
		if len(d.Tags) > 0 {
			ds = append(ds, d)
		}
	}
	return ds
}

// quoted reads up to the closing quote and tells how much that was; \" is a quote
// inside, as util-linux writes it.
func quoted(s string) (string, int) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), i + 1
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", -1
}
