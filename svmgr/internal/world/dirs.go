package world

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// Directories are the places below which units get directories of their own.
type Directories struct {
	Runtime, State, Cache, Logs, Configuration string
	// Tmp and VarTmp are where PrivateTmp= keeps its directories.
	Tmp, VarTmp string
}

func (d *Directories) defaults(user bool) {
	def := Directories{"/run", "/var/lib", "/var/cache", "/var/log", "/etc", "/tmp", "/var/tmp"}
	if user {
		home, _ := os.UserHomeDir()
		xdg := func(name, other string) string {
			if v := os.Getenv(name); strings.HasPrefix(v, "/") {
				return v
			}
			return other
		}
		state := xdg("XDG_STATE_HOME", home+"/.local/state")
		def = Directories{xdg("XDG_RUNTIME_DIR", fmt.Sprintf("/run/user/%d", os.Getuid())), state,
			xdg("XDG_CACHE_HOME", home+"/.cache"), state + "/log", xdg("XDG_CONFIG_HOME", home+"/.config"), "/tmp", "/var/tmp"}
	}
	for _, x := range [...][2]*string{{&d.Runtime, &def.Runtime}, {&d.State, &def.State}, {&d.Cache, &def.Cache},
		{&d.Logs, &def.Logs}, {&d.Configuration, &def.Configuration}, {&d.Tmp, &def.Tmp}, {&d.VarTmp, &def.VarTmp}} {
		if *x[0] == "" {
			*x[0] = *x[1]
		}
	}
}

// directoryKind is one of the settings RuntimeDirectory= ….
type directoryKind struct {
	stage, variable string
	names           unit.Key[[]string]
	mode            unit.Key[uint32]
	base            func(*Directories) string
	// owned says that the unit's user owns it, private that it outlives the
	// unit, so that nobody may come to it by a user ID that is used again.
	owned, private bool
}

var directoryKinds = []directoryKind{
	{"runtime-directory", "RUNTIME_DIRECTORY", unit.RuntimeDirectory, unit.RuntimeDirectoryMode, func(d *Directories) string { return d.Runtime }, true, false},
	{"state-directory", "STATE_DIRECTORY", unit.StateDirectory, unit.StateDirectoryMode, func(d *Directories) string { return d.State }, true, true},
	{"cache-directory", "CACHE_DIRECTORY", unit.CacheDirectory, unit.CacheDirectoryMode, func(d *Directories) string { return d.Cache }, true, true},
	{"logs-directory", "LOGS_DIRECTORY", unit.LogsDirectory, unit.LogsDirectoryMode, func(d *Directories) string { return d.Logs }, true, true},
	{"configuration-directory", "CONFIGURATION_DIRECTORY", unit.ConfigurationDirectory, unit.ConfigurationDirectoryMode, func(d *Directories) string { return d.Configuration }, false, false},
}

// splitDirectory takes "PATH", "PATH:LINK" or "PATH:LINK:FLAGS"; both are relative
// and stay below the base.
func splitDirectory(item string) (name, link string, ok bool) {
	parts := strings.SplitN(item, ":", 3)
	name = path.Clean(parts[0])
	if len(parts) > 1 && parts[1] != "" {
		link = path.Clean(parts[1])
	}
	good := func(p string) bool {
		return p != "." && p != ".." && p[0] != '/' && !strings.HasPrefix(p, "../")
	}
	return name, link, parts[0] != "" && good(name) && (link == "" || good(link))
}

func (w *World) directoriesOf(u *unit.Unit, k directoryKind) (out []string) {
	base := k.base(&w.cfg.Directories)
	for _, item := range k.names.Of(u) {
		if name, _, ok := splitDirectory(item); ok {
			out = append(out, base+"/"+name)
		}
	}
	return out
}

// directories fills in what the child makes.
func (w *World) directories(o *order, u *unit.Unit, id identity) error {
	for _, k := range directoryKinds {
		base := k.base(&w.cfg.Directories)
		for _, item := range k.names.Of(u) {
			name, link, ok := splitDirectory(item)
			if !ok {
				return at(k.stage, fmt.Errorf("%q does not stay below %s: %w", item, base, unix.EINVAL))
			}
			d := child.Dir{Stage: k.stage, Path: base + "/" + name, Mode: k.mode.Of(u)}
			private := id.dynamic && k.private
			if err := settlePrivate(base, name, private, k.private); err != nil {
				return at(k.stage, err)
			}
			if private {
				o.private(base, k.stage)
				d.Path, d.Links = base+"/private/"+name, []string{base + "/" + name}
			}
			if k.owned && id.change {
				d.Chown, d.UID, d.GID = true, id.uid, id.gid
			}
			if link != "" {
				d.Links = append(d.Links, base+"/"+link)
			}
			o.spec.Dirs = append(o.spec.Dirs, d)
		}
	}
	return nil
}

// removeDirectories removes what lives no longer than the activation.
func (w *World) removeDirectories(g *group) {
	w.leaveSpace(g)
	w.removeIPC(g)
	w.dynamic.release(w, g)
	if unit.RuntimeDirectoryPreserve.Of(g.u) == "no" {
		w.removeRuntimeDirectories(g.u)
	}
	if hasCredentials(g.u) {
		dir := w.credentialsDir(g.u)
		_ = os.Chmod(dir, 0o700) // so that its owner can empty it
		w.removeTree(g.unit, dir)
	}
}

func (w *World) removeRuntimeDirectories(u *unit.Unit) {
	base := w.cfg.Directories.Runtime
	for _, item := range unit.RuntimeDirectory.Of(u) {
		name, link, ok := splitDirectory(item)
		if !ok {
			continue
		}
		if link != "" {
			if err := beneath(base+"/"+link, os.Remove); err != nil && !errors.Is(err, fs.ErrNotExist) {
				w.log.Warn("a link of the unit cannot be removed", "unit", u.Name, "link", base+"/"+link, "err", err)
			}
		}
		w.removeTree(u.Name, base+"/"+name)
	}
}

func (w *World) removeTree(unitName, p string) {
	if err := beneath(p, os.RemoveAll); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("a directory of the unit cannot be removed", "unit", unitName, "dir", p, "err", err)
	}
}

// beneath calls f with p by way of a descriptor of the directory that it lies in: the
// owner of a directory above cannot lead f to another place (child.OpenParent).
func beneath(p string, f func(string) error) error {
	dir, last, err := child.OpenParent(p, false)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return f("/proc/self/fd/" + strconv.Itoa(dir) + "/" + last)
}

// performPublish notes units that have come to rest and whose runtime directories
// outlive a restart only. A unit that is restarted by itself fails first and waits for
// its restart in the same step, so that nothing is removed before removeAtRest.
func (w *World) performPublish(a core.Publish) {
	if a.What != core.UnitChanged {
		return
	}
	down := a.To == core.Inactive || a.To == core.Failed || a.To == core.Skipped || a.To == core.Blocked ||
		a.To == core.Completed && a.Sub == core.SubDead
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	if u := w.preserve[a.Unit]; u != nil && down && a.JobType != "restart" {
		w.atRest[a.Unit] = u
	} else {
		delete(w.atRest, a.Unit)
	}
}

// removeAtRest removes what outlives a restart only of the units that are at rest now.
func (w *World) removeAtRest() {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	for name, u := range w.atRest {
		delete(w.preserve, name)
		delete(w.atRest, name)
		w.pool.do(name, func() { w.removeRuntimeDirectories(u) })
	}
}

// credentialsDir is where a unit finds its credentials.
func (w *World) credentialsDir(u *unit.Unit) string {
	return w.cfg.Directories.Runtime + "/credentials/" + u.Name
}

func hasCredentials(u *unit.Unit) bool {
	return len(unit.SetCredential.Of(u)) > 0 || len(unit.LoadCredential.Of(u)) > 0 || len(unit.ImportCredential.Of(u)) > 0
}

// credentialStores are where credentials without a path are looked for
// (systemd.exec(5), LoadCredential=).
var credentialStores = []string{"/etc/credstore", "/run/credstore", "/usr/local/lib/credstore", "/usr/lib/credstore"}

// credentials fills in what the child writes. A credential that is loaded goes
// before one that is set in the unit, which is its default.
func (w *World) credentials(o *order, u *unit.Unit, id identity) error {
	if err := refuseEncrypted(u); err != nil {
		return at("credentials", err)
	}
	if !hasCredentials(u) {
		return nil
	}
	c := &o.spec.Credentials
	c.Path, c.UID, c.GID = w.credentialsDir(u), id.uid, id.gid
	have := map[string]bool{}
	add := func(k child.Credential) error {
		if k.ID == "" || strings.ContainsAny(k.ID, "/\x00") || k.ID == "." || k.ID == ".." {
			return at("credentials", fmt.Errorf("%q is no name for a credential: %w", k.ID, unix.EINVAL))
		}
		if !have[k.ID] {
			have[k.ID] = true
			c.Items = append(c.Items, k)
		}
		return nil
	}
	set := map[string]string{}
	for _, line := range unit.SetCredential.Of(u) {
		name, v, _ := strings.Cut(line, ":")
		set[name] = v
	}
	for _, item := range unit.LoadCredential.Of(u) {
		name, p, _ := strings.Cut(item, ":")
		if p == "" {
			p = name
		}
		found, err := loadCredential(u, name, p)
		if err != nil {
			return at("credentials", err)
		}
		if _, isSet := set[name]; found == nil && !isSet && strings.HasPrefix(p, "/") {
			return at("credentials", fmt.Errorf("credential %s: %s: %w", name, p, unix.ENOENT))
		}
		for _, k := range found {
			if err := add(k); err != nil {
				return err
			}
		}
	}
	for _, item := range unit.ImportCredential.Of(u) {
		pattern, prefix, renamed := strings.Cut(item, ":")
		if strings.ContainsRune(pattern, '/') {
			return at("credentials", fmt.Errorf("ImportCredential=%s: it is no name in a store of credentials: %w", printable(item), unix.EINVAL))
		}
		for _, dir := range credentialStores {
			found, _ := filepath.Glob(dir + "/" + pattern)
			for _, f := range found {
				name := filepath.Base(f)
				if fixed := strings.TrimRight(pattern, "*?"); renamed {
					name = prefix + strings.TrimPrefix(name, fixed)
				}
				if err := add(child.Credential{ID: name, Path: f, Optional: true}); err != nil {
					return err
				}
			}
		}
	}
	for _, line := range unit.SetCredential.Of(u) {
		name, v, _ := strings.Cut(line, ":")
		if err := add(child.Credential{ID: name, Data: []byte(unescapeText(v))}); err != nil {
			return err
		}
	}
	return nil
}

func findCredential(p string) string {
	for _, dir := range credentialStores {
		f := dir + "/" + p
		if st, err := os.Stat(f); err == nil && st.Mode().IsRegular() {
			return f
		}
	}
	return ""
}

// readOnlyDirectories are those of the unit's directories that it may only read.
func (w *World) readOnlyDirectories(u *unit.Unit) (out []string) {
	for _, k := range directoryKinds {
		base := k.base(&w.cfg.Directories)
		for _, item := range k.names.Of(u) {
			name, _, ok := splitDirectory(item)
			if parts := strings.SplitN(item, ":", 3); ok && len(parts) == 3 && parts[2] == "ro" {
				out = append(out, base+"/"+name, base+"/private/"+name)
			}
		}
	}
	return out
}
