package unit_test

import (
	"strings"
	"testing"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/load/native"
	"dynamod/internal/unit"
)

func buildBoot(t *testing.T, text string) (*unit.Boot, []diag.Diag) {
	t.Helper()
	frags, ds := native.Parse("/etc/dynamod/boot.toml", []byte(text))
	b, more := unit.BuildBoot(unit.Source{Name: "boot.toml", Format: unit.Native, HasMain: true, Files: []unit.File{{Path: "/etc/dynamod/boot.toml", Fragments: frags}}})
	return b, append(ds, more...)
}

func TestBoot(t *testing.T) {
	b, ds := buildBoot(t, `[boot]
success = ["ssh", "multi-user.target"]
grace = "5s"
deadline = "2min"
deadline-action = "reboot"
attempts = 2
safe-mode = ["ssh"]
on-success = [["/bin/true", "a b"], ["/bin/echo"]]
[boot.generation]
id-from = "fortros.generation"
status-file = "/persist/generations/{id}/status"
`)
	if len(ds) > 0 {
		t.Fatalf("%v", ds)
	}
	after, action := b.Deadline()
	file, from := b.Status()
	if got := strings.Join(b.Success(), " "); got != "ssh.service multi-user.target" || b.Grace() != 5*time.Second || after != 2*time.Minute || action != "reboot" ||
		b.Attempts() != 2 || b.SafeMode()[0] != "ssh.service" || len(b.OnSuccess()) != 2 || b.OnSuccess()[0].Argv[1] != "a b" ||
		from != "fortros.generation" || file != "/persist/generations/{id}/status" {
		t.Errorf("%q %v %v %v %v %v %+v %q %q", got, b.Grace(), after, action, b.Attempts(), b.SafeMode(), b.OnSuccess(), from, file)
	}
	var none *unit.Boot
	if after, action := none.Deadline(); after != 0 || action != "none" || none.Attempts() != 3 || none.Grace() != 30*time.Second || len(none.Success()) > 0 {
		t.Errorf("the defaults are not those: %v %v %v %v", after, action, none.Attempts(), none.Grace())
	}
}

// What is wrong has file, line, key and what would be right, and costs only itself.
func TestBootMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[boot]\nattempts = -1\n", "boot.toml:2"},
		{"[boot]\ndeadline-action = \"restart\"\n", "boot.toml:2"},
		{"[boot]\ndedline = \"1s\"\n", "boot.deadline"},
		{"[service]\nname = \"a\"\n", "[boot] and [boot.generation]"},
		{"[boot.generation]\nstatus-file = \"status\"\nid-from = \"x\"\n", "absolute path"},
		{"[boot.generation]\nstatus-file = \"/g/{id}\"\n", "id-from"},
		{"[boot]\nsuccess = [\"no unit\"]\n", "boot.toml:2"},
	} {
		b, ds := buildBoot(t, c.text)
		if len(ds) == 0 {
			t.Errorf("%q: no complaint", c.text)
			continue
		}
		if got := ds[0].String(); !strings.Contains(got, c.want) || strings.Contains(got, "machine-boot") {
			t.Errorf("%q: %s, want %s in it", c.text, got, c.want)
		}
		if file, _ := b.Status(); file != "" || b.Attempts() != 3 {
			t.Errorf("%q: the rest does not have its defaults", c.text)
		}
	}
}

func FuzzBoot(f *testing.F) {
	f.Add("[boot]\nsuccess = [\"a\"]\ngrace = \"1s\"\non-success = [[\"/bin/true\"]]\n")
	f.Add("[boot.generation]\nstatus-file = \"/{id}\"\nid-from = \"/x\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		frags, _ := native.Parse("boot.toml", []byte(text))
		b, _ := unit.BuildBoot(unit.Source{Name: "boot.toml", Format: unit.Native, HasMain: true, Files: []unit.File{{Path: "boot.toml", Fragments: frags}}})
		file, id := b.Status()
		if file != "" && (file[0] != '/' || strings.Contains(file, "{id}") && id == "") || b.Attempts() < 0 || b.Grace() < 0 {
			t.Errorf("%q gives %q, %q, %d", text, file, id, b.Attempts())
		}
	})
}
