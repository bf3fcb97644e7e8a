package tree

import (
	"io/fs"
	"strings"
)

// specifiers answers what can be known of a machine that does not run
// (systemd.unit(5), "Specifiers"): the system manager's directories are fixed,
// the names come from files. What is not known stays as it is written.
func specifiers(fsys fs.FS, user bool) func(byte) (string, bool) {
	known := map[byte]string{'T': "/tmp", 'V': "/var/tmp"}
	if !user {
		for spec, v := range map[byte]string{
			'C': "/var/cache", 'D': "/usr/share", 'E': "/etc", 'L': "/var/log", 'S': "/var/lib", 't': "/run",
			'u': "root", 'U': "0", 'g': "root", 'G': "0", 'h': "/root", 's': "/bin/sh",
		} {
			known[spec] = v
		}
	}
	put := func(spec byte, v string) {
		if v != "" {
			known[spec] = v
		}
	}
	host := firstLine(fsys, "etc/hostname")
	put('H', host)
	short, _, _ := strings.Cut(host, ".")
	put('l', short)
	put('m', firstLine(fsys, "etc/machine-id"))
	put('q', osRelease(fsys, "etc/machine-info", nil)["PRETTY_HOSTNAME"])
	if known['q'] == "" {
		put('q', host)
	}
	release := osRelease(fsys, "etc/os-release", nil)
	release = osRelease(fsys, "usr/lib/os-release", release)
	for spec, key := range map[byte]string{'A': "IMAGE_VERSION", 'B': "BUILD_ID", 'M': "IMAGE_ID", 'o': "ID", 'w': "VERSION_ID", 'W': "VARIANT_ID"} {
		if len(release) > 0 {
			known[spec] = release[key] // an absent field expands to nothing
		}
	}
	return func(spec byte) (string, bool) {
		v, ok := known[spec]
		return v, ok
	}
}

// small reads a file of the tree that should be a few lines. It follows no
// link: an absolute one would lead to the files of this machine.
func small(fsys fs.FS, name string) string {
	if info, err := fs.Lstat(fsys, name); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil || len(text) > 64<<10 {
		return ""
	}
	return string(text)
}

func firstLine(fsys fs.FS, name string) string {
	line, _, _ := strings.Cut(small(fsys, name), "\n")
	return strings.TrimSpace(line)
}

// osRelease reads NAME=value lines (os-release(5)); had wins if it has any.
func osRelease(fsys fs.FS, name string, had map[string]string) map[string]string {
	if len(had) > 0 {
		return had
	}
	out := map[string]string{}
	for line := range strings.Lines(small(fsys, name)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			out[key] = strings.Trim(value, `"'`)
		}
	}
	return out
}
