package main

import (
	"bufio"
	"os"
	osuser "os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// specifiers answers those of systemd.unit(5) that do not follow from a unit's name,
// for the machine that runs and the directories of this manager's mode.
func specifiers(s settings, getenv func(string) string) func(byte) (string, bool) {
	known := map[byte]string{'T': "/tmp", 'V': "/var/tmp"}
	for _, env := range []string{"TMPDIR", "TEMP", "TMP"} {
		if dir := getenv(env); filepath.IsAbs(dir) {
			known['T'], known['V'] = dir, dir
			break
		}
	}
	uid, gid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	name, group, home := uid, gid, getenv("HOME")
	if u, err := osuser.LookupId(uid); err == nil {
		name = u.Username
		if home == "" || s.mode == system {
			home = u.HomeDir
		}
	}
	if g, err := osuser.LookupGroupId(gid); err == nil {
		group = g.Name
	}
	shell := "/bin/sh"
	if s.mode == user {
		shell = loginShell("/etc/passwd", uid, shell)
	}
	for spec, v := range map[byte]string{'u': name, 'U': uid, 'g': group, 'G': gid, 'h': home, 's': shell} {
		known[spec] = v
	}
	dirs := map[byte]string{'t': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc", 'D': "/usr/share"}
	switch s.mode {
	case standalone:
		d, _ := placesOf(s)
		dirs = map[byte]string{'t': d.Runtime, 'S': d.State, 'C': d.Cache, 'L': d.Logs, 'E': d.Configuration, 'D': "/usr/share"}
	case user:
		xdg := func(variable, below string) string {
			if v := getenv(variable); filepath.IsAbs(v) {
				return v
			}
			return filepath.Join(home, below)
		}
		state := xdg("XDG_STATE_HOME", ".local/state")
		dirs = map[byte]string{'t': getenv("XDG_RUNTIME_DIR"), 'S': state, 'C': xdg("XDG_CACHE_HOME", ".cache"),
			'L': filepath.Join(state, "log"), 'E': xdg("XDG_CONFIG_HOME", ".config"), 'D': xdg("XDG_DATA_HOME", ".local/share")}
	}
	for spec, v := range dirs {
		known[spec] = v
	}
	if host, err := os.Hostname(); err == nil {
		known['H'], known['q'] = host, host
		known['l'], _, _ = strings.Cut(host, ".")
	}
	if data, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		known['v'] = strings.TrimSpace(string(data))
	}
	known['a'] = architecture(runtime.GOARCH)
	if v := assignments("/etc/machine-info")["PRETTY_HOSTNAME"]; v != "" {
		known['q'] = v
	}
	for spec, file := range map[byte]string{'m': "/etc/machine-id", 'b': "/proc/sys/kernel/random/boot_id"} {
		if data, err := os.ReadFile(file); err == nil {
			known[spec] = strings.ReplaceAll(strings.TrimSpace(string(data)), "-", "")
		}
	}
	release := assignments("/etc/os-release")
	if len(release) == 0 {
		release = assignments("/usr/lib/os-release")
	}
	for spec, key := range map[byte]string{'A': "IMAGE_VERSION", 'B': "BUILD_ID", 'M': "IMAGE_ID", 'o': "ID", 'w': "VERSION_ID", 'W': "VARIANT_ID"} {
		known[spec] = release[key] // an absent field expands to nothing
	}
	return func(spec byte) (string, bool) {
		v, ok := known[spec]
		return v, ok
	}
}

// architecture is systemd's word (systemd.unit(5), ConditionArchitecture=) for Go's.
func architecture(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86-64"
	case "386":
		return "x86"
	case "ppc64le":
		return "ppc64-le"
	case "mips64le":
		return "mips64-le"
	}
	return goarch
}

// loginShell is the last field of the user's line (passwd(5)).
func loginShell(file, uid, other string) string {
	f, err := os.Open(file)
	if err != nil {
		return other
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if p := strings.Split(in.Text(), ":"); len(p) == 7 && p[2] == uid && p[6] != "" {
			return p[6]
		}
	}
	return other
}

// assignments reads a file like os-release(5): NAME=value, perhaps in quotes.
func assignments(file string) map[string]string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	out := map[string]string{}
	for in := bufio.NewScanner(f); in.Scan(); {
		k, v, ok := strings.Cut(strings.TrimSpace(in.Text()), "=")
		if !ok || strings.HasPrefix(k, "#") {
			continue
		}
		if n := len(v); n >= 2 && (v[0] == '"' || v[0] == '\'') && v[n-1] == v[0] {
			v = v[1 : n-1]
		}
		out[k] = v
	}
	return out
}
