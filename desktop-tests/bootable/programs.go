package bootable

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"dynamod/desktop-tests/vm"
)

// programs are what is built, and where it is installed (docs/paths.md).
var programs = []struct {
	pkg, name, at string
	optional      bool
}{
	{pkg: "init", name: "dynamod-init", at: "/sbin"},
	{pkg: "svmgr", name: "dynamod-svmgr", at: "/usr/lib/dynamod"},
	{pkg: "svmgr/child", name: "dynamod-child", at: "/usr/lib/dynamod"},
	{pkg: "svmgr/pam", name: "dynamod-pam", at: "/usr/lib/dynamod"},
	{pkg: "step", name: "dynamod-step", at: "/usr/lib/dynamod"},
	{pkg: "dynamodctl", name: "dynamodctl", at: "/usr/bin"},
	{pkg: "logd", name: "dynamod-logd", at: "/usr/lib/dynamod", optional: true},
	{pkg: "logind", name: "dynamod-logind", at: "/usr/lib/dynamod", optional: true},
	{pkg: "sd1bridge", name: "dynamod-sd1bridge", at: "/usr/lib/dynamod", optional: true},
	{pkg: "hostnamed", name: "dynamod-hostnamed", at: "/usr/lib/dynamod", optional: true},
}

// Programs builds dynamod and returns the files that an installation has: programs
// and stock services, by their place in the system. A daemon that the tree does not
// have yet is left out. sbin is where /sbin really is ("/usr/sbin" in Debian), for a
// link cannot be written through.
func Programs(ctx context.Context, sbin string) (map[string]vm.Source, error) {
	top, err := vm.ModuleRoot()
	if err != nil {
		return nil, err
	}
	out := map[string]vm.Source{}
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(top, p.pkg)); err != nil && p.optional {
			continue
		}
		file := filepath.Join(top, "build", "vm", "programs", p.name)
		if err := vm.Build(ctx, "./"+p.pkg, file, "-ldflags=-s -w"); err != nil {
			return nil, err
		}
		at := p.at
		if at == "/sbin" {
			at = sbin
		}
		out[path.Join(at, p.name)] = vm.Source{Host: file, Perm: 0o755}
	}
	for from, to := range map[string]string{"stock": "/usr/lib/dynamod/stock", "shadow": "/usr/lib/dynamod/shadow", "units": "/usr/lib/systemd/system"} {
		dir := filepath.Join(top, "config", from)
		err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			out[path.Join(to, filepath.ToSlash(rel))] = vm.Source{Host: p, Perm: 0o644}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("files of config/%s: %w", from, err)
		}
	}
	return out, nil
}

// service is a native file that runs a line of shell once. PID 1 and the manager are
// up when it does.
func service(name, shell string) (file, text string) {
	return "/etc/dynamod/services/" + name + ".toml", "[service]\nname = \"" + name + "\"\ntype = \"oneshot\"\nexec = [\"/bin/sh\", \"-c\", '''" +
		strings.ReplaceAll(shell, "'''", "") + "''']\n\n[restart]\npolicy = \"temporary\"\n\n[dependencies]\nafter = [\"basic.target\"]\n"
}
