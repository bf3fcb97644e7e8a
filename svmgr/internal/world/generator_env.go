package world

import (
	"slices"

	"dynamod/internal/envfile"
)

// GeneratorEnvironment is what generators are told about this machine
// (systemd.generator(7), "Environment").
func GeneratorEnvironment(user bool, runtimeDir string) []string {
	m := thisMachine(runtimeDir, "")
	scope := "system"
	if user {
		scope = "user"
	}
	out := []string{"PATH=" + DefaultPath, "SYSTEMD_SCOPE=" + scope, "SYSTEMD_ARCHITECTURE=" + m.archName()}
	switch v := m.virt(); {
	case v.Container != "":
		out = append(out, "SYSTEMD_VIRTUALIZATION=container:"+v.Container)
	case v.VM != "":
		out = append(out, "SYSTEMD_VIRTUALIZATION=vm:"+v.VM)
	}
	if user {
		return out
	}
	first, initrd := "0", "0"
	if ok, err := m.firstBoot("yes"); err == nil && ok {
		first = "1"
	}
	if m.exists("/etc/initrd-release") {
		initrd = "1"
	}
	return append(out, "SYSTEMD_IN_INITRD="+initrd, "SYSTEMD_FIRST_BOOT="+first)
}

// ParseEnvironment reads text as EnvironmentFile= is read.
func ParseEnvironment(text string) []string { return envfile.Parse(text) }

// SetEnvironment replaces the variables that every process gets from now on.
func (w *World) SetEnvironment(vars []string) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	w.cfg.Environment = slices.Clone(vars)
}

func (w *World) environment() []string {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	return w.cfg.Environment
}
