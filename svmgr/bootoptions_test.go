package main

import (
	"bytes"
	"log/slog"
	"testing/fstest"

	"dynamod/internal/load"
	"dynamod/internal/unit"
	"slices"
	"testing"
)

func TestBootOptions(t *testing.T) {
	for line, want := range map[string]bootOptions{
		"": {},
		"root=/dev/vda debug systemd.log_target=console":                           {own: ownKept{LogLevel: "debug", LogTarget: "console"}},
		"debug systemd.log_level=warning":                                          {own: ownKept{LogLevel: "warning"}},
		"systemd.log-level=3 systemd.log_level=7":                                  {own: ownKept{LogLevel: "debug"}},
		`systemd.setenv=A=1 "systemd.setenv=B=x y" systemd.setenv=A=2`:             {setenv: []string{"A=1", "B=x y", "A=2"}},
		"systemd.service_watchdogs=no":                                             {watchdogsOff: true},
		"dynamod.safe-mode":                                                        {safeMode: true},
		"dynamod.safe-mode=no":                                                     {noLadder: true},
		"dynamod.safe_mode=no dynamod.safe-mode=1":                                 {safeMode: true},
		"dynamod.safe-mode=perhaps":                                                {bad: []string{"dynamod.safe-mode=perhaps"}},
		"systemd.service_watchdogs":                                                {},
		"systemd.log_level=loud systemd.log_target=x systemd.setenv=1A=b":          {bad: []string{"systemd.log_level=loud", "systemd.log_target=x", "systemd.setenv=1A=b"}},
		"systemd.service_watchdogs=never systemd.show_status=all systemd.setenv=A": {bad: []string{"systemd.service_watchdogs=never", "systemd.show_status=all", "systemd.setenv=A"}},
		"root=/dev/sda1 ro single":                                                 {target: "rescue.target"},
		"systemd.unit=a.target 1":                                                  {target: "rescue.target"},
		"3 systemd.unit=a.target":                                                  {target: "a.target"},
		"-b":                                                                       {target: "emergency.target"},
		"single=1 systemd.unit= 5":                                                 {target: "graphical.target", bad: []string{"systemd.unit="}},
		"systemd.log_level=4 debug systemd.log_level=nothing":                      {own: ownKept{LogLevel: "warning"}, bad: []string{"systemd.log_level=nothing"}},
	} {
		got := parseBootOptions(line)
		if want.own.ShowStatus == "" {
			want.own.ShowStatus = "yes"
		}
		if got.own != want.own || got.target != want.target || !slices.Equal(got.setenv, want.setenv) || got.watchdogsOff != want.watchdogsOff || got.safeMode != want.safeMode || got.noLadder != want.noLadder || len(got.bad) != len(want.bad) {
			t.Errorf("%q: %+v; want %+v", line, got, want)
			continue
		}
		for k, b := range got.bad {
			if len(b) <= len(want.bad[k]) || b[:len(want.bad[k])] != want.bad[k] {
				t.Errorf("%q: told %q; want %q and what is right", line, b, want.bad[k])
			}
		}
	}
	for line, want := range map[string]string{"ro quiet": "error", "systemd.show_status=no": "no", "quiet systemd.show_status=1": "yes",
		"systemd.show_status quiet": "yes", "systemd.show_status=auto": "auto", "systemd.show_status=nonsense": "yes"} {
		if got := parseBootOptions(line).own.ShowStatus; got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// A machine comes up with something, whatever is asked for.
func TestBootTarget(t *testing.T) {
	set := func(names ...string) *unit.Set {
		files := fstest.MapFS{}
		for _, n := range names {
			files["etc/systemd/system/"+n] = &fstest.MapFile{Data: []byte("[Unit]\nDescription=x\n")}
		}
		files["etc/systemd/system/broken.target"] = &fstest.MapFile{Data: []byte("[Unit\n")}
		s, _ := load.Load(load.Config{FS: files})
		return s
	}
	all := set("default.target", "rescue.target", "a.target")
	for _, c := range []struct {
		set         *unit.Set
		asked, want string
		told        bool
	}{
		{all, "", "default.target", false},
		{all, "a.target", "a.target", false},
		{all, "b.target", "default.target", true},
		{set("rescue.target"), "b.target", "rescue.target", true},
		{set("rescue.target", "multi-user.target"), "", "multi-user.target", false},
		{set(), "", "multi-user.target", false},
	} {
		var out bytes.Buffer
		if got := bootTarget(c.set, c.asked, slog.New(slog.NewTextHandler(&out, nil))); got != c.want || (out.Len() > 0) != c.told {
			t.Errorf("%q of %d units: %s, told %q; want %s", c.asked, len(c.set.Units), got, out.String(), c.want)
		}
	}
}
