package install

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const service = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"

// What linking, reverting, presetting and adding dependencies leave behind, as
// systemctl 257 did it offline on a Debian tree.
func TestPlaces(t *testing.T) {
	base := map[string]string{
		lib + "multi-user.target":             "[Unit]\n",
		lib + "cron.service":                  service,
		lib + "off.service":                   service,
		lib + "left.service":                  service,
		lib + "static.service":                "[Service]\nExecStart=/bin/true\n",
		lib + "tty@.service":                  "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
		"/usr/lib/systemd/system-preset/90-x": "enable nothing\n",
		"/usr/lib/systemd/system-preset/90-x.preset": "# words\n\ndisable off.*\nenable off.service\nignore left.service\nnonsense\nenable tty@.service a b\n" +
			"disable wrong.service with instances\n",
		"/usr/lib/systemd/system-preset/95-y.preset": "disable cron.service\n",
		"/etc/systemd/system-preset/95-y.preset":     "→ /dev/null",
		"/root/a.service":                            service,
	}
	wants := "/etc/systemd/system/multi-user.target.wants/"
	for _, c := range []struct {
		name string
		more map[string]string
		do   func(Options) (*Result, error)
		want []string
		gone []string
		err  string
	}{
		{name: "link", do: func(o Options) (*Result, error) { return RunLink([]string{"/root/a.service"}, false, o) },
			want: []string{"/etc/systemd/system/a.service → /root/a.service"}},
		{name: "link what is known", do: func(o Options) (*Result, error) { return RunLink([]string{lib + "cron.service"}, false, o) }},
		{name: "link nothing", do: func(o Options) (*Result, error) { return RunLink([]string{"/root/b.service"}, false, o) }, err: "Unit /root/b.service does not exist"},
		{name: "link a relative path", do: func(o Options) (*Result, error) { return RunLink([]string{"root/a.service"}, false, o) }, err: "no path of a unit file"},
		{name: "enable by path", do: func(o Options) (*Result, error) { return RunLink([]string{"/root/a.service"}, true, o) },
			want: []string{"/etc/systemd/system/a.service → /root/a.service", wants + "a.service → /root/a.service"}},
		{name: "add a dependency", do: func(o Options) (*Result, error) {
			return RunAddDependency([]string{"static.service"}, "multi-user.target", "Requires", o)
		},
			want: []string{"/etc/systemd/system/multi-user.target.requires/static.service → /usr/lib/systemd/system/static.service"}},
		{name: "add one to nothing", do: func(o Options) (*Result, error) {
			return RunAddDependency([]string{"cron.service"}, "nowhere.target", "Wants", o)
		}, err: "there is no unit nowhere.target"},
		{name: "revert a file", more: map[string]string{"/etc/systemd/system/cron.service": service, "/etc/systemd/system/cron.service.d/x.conf": "[Service]\n",
			"/run/systemd/system.control/cron.service.d/50-Nice.conf": "[Service]\n", "/etc/systemd/system/mine.service.d/note": "text"},
			do:   func(o Options) (*Result, error) { return RunRevert([]string{"cron.service"}, o) },
			gone: []string{"/etc/systemd/system/cron.service.d/x.conf", "/etc/systemd/system/cron.service.d", "/etc/systemd/system/cron.service", "/run/systemd/system.control/cron.service.d/50-Nice.conf", "/run/systemd/system.control/cron.service.d"}},
		{name: "revert a mask", more: map[string]string{"/etc/systemd/system/cron.service": "→ /dev/null"},
			do: func(o Options) (*Result, error) { return RunRevert([]string{"cron"}, o) }, gone: []string{"/etc/systemd/system/cron.service"}},
		{name: "revert what is only here", more: map[string]string{"/etc/systemd/system/mine.service": service},
			do: func(o Options) (*Result, error) { return RunRevert([]string{"mine"}, o) }},
		{name: "preset some", more: map[string]string{wants + "off.service": "→ " + lib + "off.service"},
			do:   func(o Options) (*Result, error) { return RunPreset([]string{"off", "cron", "left"}, PresetFull, o) },
			want: []string{wants + "cron.service → " + lib + "cron.service"}, gone: []string{wants + "off.service"}},
		{name: "preset instances", do: func(o Options) (*Result, error) { return RunPreset([]string{"tty@.service"}, PresetFull, o) },
			want: []string{wants + "tty@a.service → " + lib + "tty@.service", wants + "tty@b.service → " + lib + "tty@.service"}},
		{name: "only disable", do: func(o Options) (*Result, error) { return RunPreset([]string{"cron"}, PresetDisableOnly, o) }},
		{name: "preset all", do: func(o Options) (*Result, error) { return RunPreset(nil, PresetEnableOnly, o) },
			want: []string{wants + "cron.service → " + lib + "cron.service", wants + "tty@a.service → " + lib + "tty@.service", wants + "tty@b.service → " + lib + "tty@.service"}},
		{name: "preset a mask", more: map[string]string{"/etc/systemd/system/cron.service": "→ /dev/null"},
			do: func(o Options) (*Result, error) { return RunPreset([]string{"cron"}, PresetFull, o) }, err: "masked"},
		{name: "preset nothing", do: func(o Options) (*Result, error) { return RunPreset([]string{"nowhere"}, PresetFull, o) }, err: "there is no unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			for _, m := range []map[string]string{base, c.more} {
				for k, v := range m {
					files[k] = v
				}
			}
			root := plant(t, files)
			before := links(t, root)
			r, err := c.do(Options{Root: root})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			made, gone := []string{}, []string{}
			for _, ch := range r.Changes {
				if ch.Op == "link" {
					made = append(made, ch.Path+" → "+ch.Target)
				} else {
					gone = append(gone, ch.Path)
				}
			}
			slices.Sort(made)
			if !slices.Equal(made, append([]string{}, c.want...)) || !slices.Equal(gone, append([]string{}, c.gone...)) {
				t.Errorf("made %q, removed %q; want %q and %q", made, gone, c.want, c.gone)
			}
			want := slices.DeleteFunc(append(before, c.want...), func(l string) bool { return slices.Contains(c.gone, strings.SplitN(l, " ", 2)[0]) })
			slices.Sort(want)
			if got := links(t, root); !slices.Equal(got, want) {
				t.Errorf("links are %q, want %q", got, want)
			}
		})
	}
}

func TestPresetsOf(t *testing.T) {
	root := plant(t, map[string]string{
		"/usr/lib/systemd/system-preset/90-x.preset": "disable off.*\nenable tty@.service a b\ndisable tty@*\nwrong\n",
		"/usr/lib/systemd/user-preset/90-x.preset":   "disable *\n"})
	p, notes, err := ReadPresets(root, false)
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "90-x.preset:4: wrong is no rule") {
		t.Fatalf("%v, %v", notes, err)
	}
	for name, want := range map[string]Preset{"off.service": PresetDisable, "on.service": PresetEnable, "tty@a.service": PresetEnable, "tty@c.service": PresetDisable} {
		if got, _ := p.Of(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got, err := (&Presetting{Root: root, User: true}).Of("on.service"); err != nil || got != PresetDisable {
		t.Errorf("a user's unit is %s, %v", got, err)
	}
}

// What presets say is kept, and read again when a file changes or comes.
func TestPresettingFollowsTheFiles(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/systemd/system-preset")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &Presetting{Root: root}
	says := func(when string, want Preset) {
		t.Helper()
		for range 2 {
			if got, err := p.Of("a.service"); err != nil || got != want {
				t.Errorf("%s: %q (%v), want %q", when, got, err, want)
			}
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	says("without files", PresetEnable)
	write("50-a.preset", "disable a.service\n")
	says("with a file", PresetDisable)
	rules := p.rules
	says("with the same file", PresetDisable)
	if p.rules != rules {
		t.Error("nothing changed, and the files were read again")
	}
	write("50-a.preset", "ignore a.service and more\nenable a.service\n")
	says("changed in place", PresetEnable)
	write("10-a.preset", "disable a.*\n")
	says("with another file", PresetDisable)
	if err := os.Remove(filepath.Join(dir, "10-a.preset")); err != nil {
		t.Fatal(err)
	}
	says("and without it", PresetEnable)
}
