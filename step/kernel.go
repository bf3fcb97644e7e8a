package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/step/internal/modules"
	"dynamod/step/internal/sysctl"
)

// loadModules loads what is listed. A kernel without modules has nothing to load.
func loadModules(s *shell, _ []string) error {
	ms, errs := modules.Read(s.tree(), s.cmdline())
	if len(ms) == 0 {
		return errors.Join(errs...)
	}
	if _, err := os.Stat(s.at("/proc/modules")); errors.Is(err, fs.ErrNotExist) {
		s.say("this kernel has no modules; %d are listed", len(ms))
		return errors.Join(errs...)
	}
	for _, m := range ms {
		if _, err := os.Stat(s.at("/sys/module/" + strings.ReplaceAll(m.Name, "-", "_"))); err == nil {
			continue // loaded, or built in
		}
		code, err := s.run("modprobe", append([]string{m.Name}, m.Parameters...)...)
		if err == nil && code != 0 {
			err = fmt.Errorf("load module %s (%s): modprobe ended with %d", m.Name, m.From, code)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeSettings writes kernel settings. One that does not exist is told and is no
// failure: the module that has it may not be loaded.
func writeSettings(s *shell, _ []string) error {
	plan, errs := sysctl.Read(s.tree())
	base := s.at("/proc/sys")
	for _, set := range plan.Settings {
		paths := []string{set.Path}
		if set.Glob() {
			found, err := filepath.Glob(filepath.Join(base, set.Path))
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", set.From, err))
				continue
			}
			paths = nil
			for _, p := range found {
				if name, err := filepath.Rel(base, p); err == nil && !plan.Spares(name) {
					paths = append(paths, name)
				}
			}
		}
		for _, name := range paths {
			err := writeSetting(filepath.Join(base, name), set.Value)
			switch {
			case err == nil:
			case errors.Is(err, fs.ErrNotExist):
				s.say("%s: this kernel has no setting %s", set.From, name)
			case set.Optional:
				s.say("%s: %v; the line says that this does not matter", set.From, err)
			default:
				errs = append(errs, fmt.Errorf("%s: %w", set.From, err))
			}
		}
	}
	return errors.Join(errs...)
}

func writeSetting(name, value string) error {
	// No O_CREAT: below /proc/sys nothing can be made.
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// loopback sets the interface up; the kernel gives it 127.0.0.1 and ::1 then.
func loopback(_ *shell, _ []string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name lo: %w", err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("read the flags of lo: %w", err)
	}
	if lo.Uint16()&unix.IFF_UP != 0 {
		return nil
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// setHostname takes the first line that is no comment (hostname(5)). Without one,
// a name that the kernel or init has set stays.
func setHostname(s *shell, _ []string) error {
	now, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read the host name: %w", err)
	}
	want := ""
	for l := range strings.Lines(s.text("/etc/hostname")) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			want = l
			break
		}
	}
	switch {
	case want == "" && now != "" && now != "(none)":
		return nil
	case want == "":
		want = "localhost"
	case !validHostname(want):
		return fmt.Errorf("/etc/hostname: %q is no host name: at most 64 letters, digits, hyphens and dots between them", clip(want))
	}
	if want == now {
		return nil
	}
	if err := unix.Sethostname([]byte(want)); err != nil {
		return fmt.Errorf("set the host name %s: %w", want, err)
	}
	return nil
}

// validHostname: hostname(7), and 64 bytes, which is what the kernel keeps.
func validHostname(name string) bool {
	if len(name) == 0 || len(name) > 64 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
