package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"dynamod/internal/ipc"
)

func TestSpecifiersOfEachMode(t *testing.T) {
	env := func(vars map[string]string) func(string) string { return func(k string) string { return vars[k] } }
	for _, test := range []struct {
		name string
		s    settings
		env  map[string]string
		want map[byte]string
	}{
		{"system", settings{mode: system}, nil, map[byte]string{'t': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc", 'T': "/tmp", 'V': "/var/tmp", 's': "/bin/sh"}},
		{"user", settings{mode: user}, map[string]string{"HOME": "/home/x", "XDG_RUNTIME_DIR": "/run/user/7", "XDG_CACHE_HOME": "/c", "XDG_CONFIG_HOME": "relative"},
			map[byte]string{'t': "/run/user/7", 'h': "/home/x", 'S': "/home/x/.local/state", 'L': "/home/x/.local/state/log", 'C': "/c", 'E': "/home/x/.config", 'D': "/home/x/.local/share"}},
		{"standalone", settings{mode: standalone, runtimeDir: "/r"}, map[string]string{"TMPDIR": "/fast"}, map[byte]string{'t': "/r/run", 'S': "/r/lib", 'L': "/r/log", 'T': "/fast", 'V': "/fast"}},
	} {
		f := specifiers(test.s, env(test.env))
		for spec, want := range test.want {
			if got, ok := f(spec); !ok || got != want {
				t.Errorf("%s: %%%c = %q, %v; want %q", test.name, spec, got, ok, want)
			}
		}
		for _, spec := range "abgGhHlLmoqsStTuUvVwWABMCDE" {
			if _, ok := f(byte(spec)); !ok && !(spec == 'm' && missing("/etc/machine-id")) {
				t.Errorf("%s: nobody answers %%%c", test.name, spec)
			}
		}
	}
}

func missing(file string) bool { _, err := os.Stat(file); return err != nil }

// What units are written with reaches their commands.
func TestSpecifiersReachTheCommand(t *testing.T) {
	r := prepare(t, nil)
	r.writeUnit("say@.service", "[Service]\nType=oneshot\nExecStart=/bin/echo %t %n %i %v %H 100%%\n")
	r.start()
	c := r.client()
	r.job(c, ipc.VerbStart, "say@it.service")
	kernel, err := exec.Command("uname", "-r").Output()
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := r.run + "/run say@it.service it " + strings.TrimSpace(string(kernel)) + " " + host + " 100%"
	if got := lines(t, c, "say@it", 1)[0]; got != want {
		t.Errorf("it was told %q; want %q", got, want)
	}
}
