package fstab

import (
	"strings"
)

// option is one mount option with its place in the field.
type option struct {
	text, key, value string
	hasValue         bool
	col              int32
}

// options splits at commas outside double quotes (mount(8)).
func options(f field) []option {
	var out []option
	s := f.text
	for from := 0; from <= len(s); {
		quoted := false
		to := from
		for ; to < len(s) && (quoted || s[to] != ','); to++ {
			if s[to] == '"' {
				quoted = !quoted
			}
		}
		if to > from {
			o := option{text: s[from:to], col: f.col + int32(from)}
			o.key, o.value, o.hasValue = strings.Cut(s[from:to], "=")
			out = append(out, o)
		}
		from = to + 1
	}
	return out
}

func has(opts []option, key string) bool {
	for _, o := range opts {
		if o.key == key {
			return true
		}
	}
	return false
}

// last is the value of the last assignment.
func last(opts []option, key string) (option, bool) {
	for i := len(opts) - 1; i >= 0; i-- {
		if opts[i].key == key {
			return opts[i], true
		}
	}
	return option{}, false
}

// toggle decides between an option and its opposite: the last one counts.
func toggle(opts []option, yes, no string) bool {
	on := false
	for _, o := range opts {
		switch o.key {
		case yes:
			on = true
		case no:
			on = false
		}
	}
	return on
}

// networkTypes are the file systems that need a network, also as "fuse.X".
// Recorded from the links that systemd-fstab-generator 257 makes.
var networkTypes = map[string]bool{
	"afs": true, "ceph": true, "cifs": true, "smb3": true, "smbfs": true, "sshfs": true, "ncp": true, "ncpfs": true,
	"nfs": true, "nfs4": true, "gfs": true, "gfs2": true, "glusterfs": true, "pvfs2": true, "ocfs2": true,
	"lustre": true, "davfs": true, "orangefs": true,
}

func isNetwork(fstype string, opts []option) bool {
	return has(opts, "_netdev") || networkTypes[strings.TrimPrefix(fstype, "fuse.")]
}

// device turns UUID= and its like into the path that udev gives (fstab(5)).
func device(what string) string {
	tag, value, ok := strings.Cut(what, "=")
	if !ok {
		return what
	}
	if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	if link := DeviceLink(tag, value); link != "" {
		return link
	}
	return what
}

// DeviceLink is where udev links the device with that UUID, LABEL, PARTUUID or
// PARTLABEL; "" for other tags and for values that have no link.
func DeviceLink(tag, value string) string {
	dir := map[string]string{"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}[tag]
	if dir == "" || value == "" || value == "." || value == ".." {
		return ""
	}
	return "/dev/disk/" + dir + "/" + udevName(value)
}

// udevName encodes a label as udev does for its links.
func udevName(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("#+-.:=@_", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString(`\x`)
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
