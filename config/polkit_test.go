package config_test

import (
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/desktop-tests/debtree"
)

type policy struct {
	Actions []struct {
		ID       string `xml:"id,attr"`
		Message  string `xml:"message"`
		Defaults struct {
			Any      string `xml:"allow_any"`
			Inactive string `xml:"allow_inactive"`
			Active   string `xml:"allow_active"`
		} `xml:"defaults"`
		Annotations []struct {
			Key   string `xml:"key,attr"`
			Value string `xml:",chardata"`
		} `xml:"annotate"`
	} `xml:"action"`
}

// rules are what polkit goes by in a file of actions, one line for each, sorted.
func rules(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := xml.Unmarshal(data, &p); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var out []string
	for _, a := range p.Actions {
		var implied []string
		for _, n := range a.Annotations {
			if n.Key == "org.freedesktop.policykit.imply" {
				implied = append(implied, strings.Fields(n.Value)...)
			}
		}
		slices.Sort(implied)
		if a.Message == "" {
			t.Errorf("%s: %s asks nothing", file, a.ID)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s %v", a.ID, a.Defaults.Any, a.Defaults.Inactive, a.Defaults.Active, implied))
	}
	slices.Sort(out)
	return out
}

// Our actions of polkit are systemd's: a machine with the one package or the other asks
// the same people for the same things.
func TestPolkitActionsAreSystemds(t *testing.T) {
	tree := debian(t, debtree.GNOMEUnits)
	ours, err := filepath.Glob(filepath.Join(installed, "usr/share/polkit-1/actions/org.freedesktop.*.policy"))
	if err != nil || len(ours) < 3 {
		t.Fatalf("%q, %v", ours, err)
	}
	for _, f := range ours {
		want, got := rules(t, filepath.Join(tree, "usr/share/polkit-1/actions", filepath.Base(f))), rules(t, f)
		if !slices.Equal(got, want) {
			t.Errorf("%s: other rules than systemd's:\n%s", filepath.Base(f), diff(strings.Join(want, "\n")+"\n", strings.Join(got, "\n")+"\n"))
		}
	}
}

// What another package has installed stays; what an older dynamod has is replaced.
func TestInstallLeavesOthersFiles(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "usr/share/dbus-1/system-services/org.freedesktop.hostname1.service")
	old := filepath.Join(dir, "usr/share/polkit-1/actions/org.freedesktop.locale1.policy")
	policies := filepath.Join(dir, "usr/share/dbus-1/system.d")
	for p, text := range map[string]string{theirs: "[D-BUS Service]\nSystemdService=dbus-org.freedesktop.hostname1.service\n", old: "<!-- an older one of dynamod's -->\n",
		filepath.Join(policies, "org.freedesktop.hostname1.conf"): "<busconfig/>\n", filepath.Join(policies, "dynamod-hostnamed.conf"): "<busconfig/>\n"} {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := install(dir)
	if err != nil || !strings.Contains(out, "belongs to another package and stays") {
		t.Fatalf("%v\n%s", err, out)
	}
	if data, err := os.ReadFile(theirs); err != nil || strings.Contains(string(data), "dynamod") {
		t.Errorf("%v: %s", err, data)
	}
	for name, want := range map[string]bool{"dynamod-hostnamed.conf": false, "dynamod-login1.conf": true, "dynamod-systemd1.conf": true} {
		if _, err := os.Stat(filepath.Join(policies, name)); (err == nil) != want {
			t.Errorf("%s beside systemd's policy for hostname1: %v", name, err)
		}
	}
	if data, err := os.ReadFile(old); err != nil || !strings.Contains(string(data), "set-keyboard") {
		t.Errorf("%v: %s", err, data)
	}
}

func install(dir string) (string, error) {
	out, err := exec.Command("../tools/install.sh", dir, "/usr", "/usr/sbin").CombinedOutput()
	return string(out), err
}
