package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/tree"
)

// plant makes a tree: "path → target" is a link, anything else a file.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for p, text := range files {
		full := filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "→ "); ok {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// links are all links below a directory, as "path → target".
func links(t *testing.T, root string) []string {
	t.Helper()
	out := []string{}
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type() == os.ModeSymlink {
			target, _ := os.Readlink(p)
			out = append(out, strings.TrimPrefix(p, root)+" → "+target)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

const lib = "/usr/lib/systemd/system/"

func world(t *testing.T, more map[string]string) string {
	files := map[string]string{
		lib + "multi-user.target": "[Unit]\n",
		lib + "ssh.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\nRequiredBy=a.target\nUpheldBy=b.target\n" +
			"Alias=sshd.service\nAlso=ssh.socket\n",
		lib + "ssh.socket":                      "[Socket]\nListenStream=22\n[Install]\nWantedBy=sockets.target\n",
		lib + "getty@.service":                  "[Service]\nExecStart=/bin/true %i\n[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
		lib + "plain@.service":                  "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=x.target\n",
		lib + "inst@.service":                   "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=for-%i.target\n",
		lib + "static.service":                  "[Service]\nExecStart=/bin/true\n",
		lib + "badalias.service":                "[Service]\nExecStart=/bin/true\n[Install]\nAlias=x.socket\n",
		lib + "covered.service":                 "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
		"/etc/systemd/system/covered.service":   "→ /dev/null",
		"/etc/systemd/system/own.service":       "[Service]\nExecStart=/bin/true\n[Install]\nAlias=other.service\n",
		"/usr/lib/dynamod/services/boot.toml":   "[service]\nname = \"boot\"\nexec = \"/bin/true\"\n",
		"/usr/lib/dynamod/services/manual.toml": "[service]\nname = \"manual\"\nstart = \"manual\"\nexec = \"/bin/true\"\n",
		"/usr/lib/dynamod/services/wanted.toml": "[service]\nname = \"wanted\"\nstart = \"manual\"\nexec = \"/bin/true\"\n[install]\nwanted-by = [\"graphical.target\"]\n",
		"/etc/dynamod/services/mine.toml":       "[service]\nname = \"mine\"\nexec = \"/bin/true\"\n",
	}
	for p, text := range more {
		files[p] = text
	}
	return plant(t, files)
}

func TestInstall(t *testing.T) {
	const covered = "/etc/systemd/system/covered.service → /dev/null"
	for _, c := range []struct {
		name  string
		verb  Verb
		units []string
		o     Options
		more  map[string]string
		want  []string
		note  string
		err   string
	}{
		{name: "enable with everything", verb: Enable, units: []string{"ssh"}, want: []string{
			"/etc/systemd/system/a.target.requires/ssh.service → /usr/lib/systemd/system/ssh.service",
			"/etc/systemd/system/b.target.upholds/ssh.service → /usr/lib/systemd/system/ssh.service", covered,
			"/etc/systemd/system/multi-user.target.wants/ssh.service → /usr/lib/systemd/system/ssh.service",
			"/etc/systemd/system/sockets.target.wants/ssh.socket → /usr/lib/systemd/system/ssh.socket",
			"/etc/systemd/system/sshd.service → /usr/lib/systemd/system/ssh.service"}},
		{name: "runtime", verb: Enable, units: []string{"ssh.socket"}, o: Options{Runtime: true}, want: []string{covered,
			"/run/systemd/system/sockets.target.wants/ssh.socket → /usr/lib/systemd/system/ssh.socket"}},
		{name: "dry run", verb: Enable, units: []string{"ssh"}, o: Options{DryRun: true}, want: []string{covered}},
		{name: "template by its default", verb: Enable, units: []string{"getty@.service"}, want: []string{covered,
			"/etc/systemd/system/getty.target.wants/getty@tty1.service → /usr/lib/systemd/system/getty@.service"}},
		{name: "instance", verb: Enable, units: []string{"inst@x"}, want: []string{covered,
			"/etc/systemd/system/for-x.target.wants/inst@x.service → /usr/lib/systemd/system/inst@.service"}},
		{name: "template without default", verb: Enable, units: []string{"plain@.service"}, err: "plain@.service is a template without DefaultInstance="},
		{name: "static", verb: Enable, units: []string{"static"}, want: []string{covered}, note: "has no [Install] section"},
		{name: "masked", verb: Enable, units: []string{"covered"}, err: "covered.service is masked"},
		{name: "unknown", verb: Enable, units: []string{"statik"}, err: "there is no unit statik.service"},
		{name: "alias of another type", verb: Enable, units: []string{"badalias"}, err: "is not the name of a service"},
		{name: "all or nothing", verb: Enable, units: []string{"ssh", "statik"}, err: "there is no unit statik.service"},
		{name: "already", verb: Enable, units: []string{"ssh.socket"},
			more: map[string]string{"/etc/systemd/system/sockets.target.wants/ssh.socket": "→ /lib/systemd/system/ssh.socket"},
			want: []string{covered, "/etc/systemd/system/sockets.target.wants/ssh.socket → /lib/systemd/system/ssh.socket"}},
		{name: "in the way", verb: Enable, units: []string{"own"}, more: map[string]string{"/etc/systemd/system/other.service": "→ /elsewhere.service"},
			err: "other.service is in the way: it leads to /elsewhere.service"},
		{name: "forced", verb: Enable, units: []string{"own"}, o: Options{Force: true}, more: map[string]string{"/etc/systemd/system/other.service": "→ /elsewhere.service"},
			want: []string{covered, "/etc/systemd/system/other.service → /etc/systemd/system/own.service"}},
		{name: "native at boot", verb: Enable, units: []string{"boot"}, want: []string{covered}, note: `says start = "boot"`},
		{name: "native by hand", verb: Enable, units: []string{"manual"}, want: []string{covered,
			"/etc/systemd/system/multi-user.target.wants/manual.service → /usr/lib/dynamod/services/manual.toml"}},
		{name: "native with install", verb: Enable, units: []string{"wanted"}, want: []string{covered,
			"/etc/systemd/system/graphical.target.wants/wanted.service → /usr/lib/dynamod/services/wanted.toml"}},
		{name: "user", verb: Enable, units: []string{"u"}, o: Options{User: true},
			more: map[string]string{"/usr/lib/systemd/user/u.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=default.target\n"},
			want: []string{covered, "/etc/systemd/user/default.target.wants/u.service → /usr/lib/systemd/user/u.service"}},

		{name: "disable", verb: Disable, units: []string{"ssh.service"}, more: map[string]string{
			"/etc/systemd/system/a.target.requires/ssh.service":      "→ /usr/lib/systemd/system/ssh.service",
			"/run/systemd/system/x.target.wants/ssh.service":         "→ /usr/lib/systemd/system/ssh.service",
			"/etc/systemd/system/x.target.wants/else.service":        "→ /x/else.service",
			"/etc/systemd/system/sshd.service":                       "→ /usr/lib/systemd/system/ssh.service",
			"/etc/systemd/system/sockets.target.wants/ssh.socket":    "→ /usr/lib/systemd/system/ssh.socket",
			"/usr/lib/systemd/system/early.target.wants/ssh.service": "→ ../ssh.service"},
			want: []string{covered, "/etc/systemd/system/x.target.wants/else.service → /x/else.service",
				"/usr/lib/systemd/system/early.target.wants/ssh.service → ../ssh.service"}},
		{name: "disable a template", verb: Disable, units: []string{"getty@.service"}, more: map[string]string{
			"/etc/systemd/system/getty.target.wants/getty@tty1.service": "→ /usr/lib/systemd/system/getty@.service",
			"/etc/systemd/system/getty.target.wants/getty@tty2.service": "→ /usr/lib/systemd/system/getty@.service"}, want: []string{covered}},
		{name: "disable what is gone", verb: Disable, units: []string{"gone"}, more: map[string]string{
			"/etc/systemd/system/multi-user.target.wants/gone.service": "→ /usr/lib/systemd/system/gone.service"}, want: []string{covered}},
		{name: "disable nothing", verb: Disable, units: []string{"gone"}, err: "there is no unit gone.service"},
		{name: "disable native at boot", verb: Disable, units: []string{"boot"}, err: "started at boot by its own file"},
		{name: "disable leaves a mask", verb: Disable, units: []string{"covered"}, want: []string{covered}},

		{name: "mask", verb: Mask, units: []string{"ssh"}, want: []string{covered, "/etc/systemd/system/ssh.service → /dev/null"}},
		{name: "mask twice", verb: Mask, units: []string{"covered"}, want: []string{covered}},
		{name: "mask what does not exist", verb: Mask, units: []string{"none"}, want: []string{covered, "/etc/systemd/system/none.service → /dev/null"}, note: "does not exist"},
		{name: "mask the administrator's", verb: Mask, units: []string{"own"}, err: "where the mask would have to stand"},
		{name: "mask native", verb: Mask, units: []string{"boot"}, want: []string{"/etc/dynamod/services/boot.toml → /dev/null", covered}},
		{name: "mask own native", verb: Mask, units: []string{"mine"}, err: "where the mask would have to stand"},
		{name: "mask native for now", verb: Mask, units: []string{"boot"}, o: Options{Runtime: true}, err: "cannot be masked until the next boot only"},
		{name: "unmask", verb: Unmask, units: []string{"covered"}, want: []string{}},
		{name: "unmask native", verb: Unmask, units: []string{"boot"}, more: map[string]string{"/etc/dynamod/services/boot.toml": "→ /dev/null"}, want: []string{covered}},
		{name: "unmask what is not", verb: Unmask, units: []string{"ssh"}, want: []string{covered}, note: "is not masked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := world(t, c.more)
			before := links(t, root)
			c.o.Root = root
			r, err := Run(c.verb, c.units, c.o)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v; want %q", err, c.err)
				}
				if got := links(t, root); !slices.Equal(got, before) {
					t.Errorf("refused, but changed:\n%s", strings.Join(got, "\n"))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := links(t, root); !slices.Equal(got, c.want) {
				t.Errorf("links:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if !strings.Contains(strings.Join(r.Notes, "\n"), c.note) || c.note == "" && len(r.Notes) > 0 {
				t.Errorf("notes %q; want %q", r.Notes, c.note)
			}
			if c.o.DryRun {
				if len(r.Changes) == 0 {
					t.Error("a dry run without changes")
				}
				return
			}
			again, err := Run(c.verb, c.units, c.o)
			if err == nil && len(again.Changes) > 0 {
				t.Errorf("done again, it changes %v", again.Changes)
			}
		})
	}
}

// TestLoaderAgrees: what was enabled is wanted, in the eyes of the loader.
func TestLoaderAgrees(t *testing.T) {
	root := world(t, nil)
	if _, err := Run(Enable, []string{"ssh", "manual"}, Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	tr, err := tree.Open(tree.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ssh.service", "manual.service"} {
		if s := tr.FileState(name); s != "enabled" {
			t.Errorf("%s is %s", name, s)
		}
	}
	if u, err := tr.Find("sshd.service"); err != nil || u.Name != "ssh.service" {
		t.Errorf("sshd.service is %v, %v", u, err)
	}
	if _, err := Run(Mask, []string{"ssh", "boot"}, Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	if tr, err = tree.Open(tree.Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	if s := tr.FileState("ssh.service"); s != "masked" {
		t.Errorf("ssh.service is %s", s)
	}
	if _, err := tr.Find("boot.service"); err == nil {
		t.Error("boot.service is still there, though masked")
	}
}

// TestNoWayOut: links of a foreign tree do not lead to changes outside of it.
func TestNoWayOut(t *testing.T) {
	outside := t.TempDir()
	root := world(t, map[string]string{"/etc/systemd/system/multi-user.target.wants": "→ " + outside})
	_, err := Run(Enable, []string{"ssh"}, Options{Root: root})
	if err == nil {
		t.Error("enabled through a link that leads out of the tree")
	}
	if got := links(t, outside); len(got) > 0 {
		t.Errorf("made links outside: %v", got)
	}
	var refused *Error
	if errors.As(err, &refused) {
		t.Log(fmt.Sprint(refused))
	}
}
