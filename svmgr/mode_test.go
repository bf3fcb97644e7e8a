package main

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestModes(t *testing.T) {
	for _, c := range []struct {
		args, env string
		pid       int
		want      mode
		runtime   string
		usage     bool
	}{
		{"", "DYNAMOD_INIT_FD=3", 50, system, "/run/dynamod", false},
		{"", "", 1, container, "/run/dynamod", false},
		{"", "DYNAMOD_INIT_FD=3", 1, system, "/run/dynamod", false},
		{"-container", "", 7, container, "/run/dynamod", false},
		{"", "DYNAMOD_CONTAINER=yes", 7, container, "/run/dynamod", false},
		{"", "ZINIT_CONTAINER=1", 7, container, "/run/dynamod", false},
		{"", "ZINIT_CONTAINER=0", 7, system, "/run/dynamod", false},
		{"-user", "XDG_RUNTIME_DIR=/run/user/7", 7, user, "/run/user/7/dynamod", false},
		{"-user", "", 7, user, "", true},
		{"-standalone -config-dir /c -runtime-dir /r", "", 7, standalone, "/r", false},
		{"-standalone -config-dir /c", "", 7, standalone, "", true},
		{"-standalone -user -config-dir /c -runtime-dir /r", "", 7, standalone, "", true},
		{"extra", "", 7, system, "", true},
		{"-no-such-flag", "", 7, system, "", true},
	} {
		getenv := func(name string) string {
			if k, v, ok := strings.Cut(c.env, "="); ok && k == name {
				return v
			}
			return ""
		}
		s, err := parse(strings.Fields(c.args), getenv, c.pid, io.Discard)
		if errors.Is(err, errUsage) != c.usage {
			t.Errorf("parse(%q, %q, pid %d): error %v; usage error wanted: %v", c.args, c.env, c.pid, err, c.usage)
			continue
		}
		if !c.usage && (s.mode != c.want || s.runtimeDir != c.runtime) {
			t.Errorf("parse(%q, %q, pid %d) = %v in %q; want %v in %q", c.args, c.env, c.pid, s.mode, s.runtimeDir, c.want, c.runtime)
		}
	}
}

func TestPassedOn(t *testing.T) {
	own := []string{"HOME=/h", "NOTIFY_SOCKET=/n", "LANG=C", "LISTEN_FDS=3", "INVOCATION_ID=1"}
	if got := passedOn(settings{mode: user}, own); strings.Join(got, " ") != "HOME=/h LANG=C" {
		t.Errorf("a user's services get %q", got)
	}
	for _, m := range []mode{container, standalone} {
		if got := passedOn(settings{mode: m}, own); len(got) != 0 {
			t.Errorf("services of a %s manager get %q", m, got)
		}
	}
}
