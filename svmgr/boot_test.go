package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dynamod/internal/ipc/pid1"
	"dynamod/internal/load/native"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/ladder"
)

// bootAgain is the manager of the next boot: what is in /run has gone.
func bootAgain(t *testing.T, disk string) (*bootHealth, *strings.Builder) {
	t.Helper()
	return sameBoot(t, disk, t.TempDir(), false)
}

func sameBoot(t *testing.T, disk, run string, takesOver bool) (*bootHealth, *strings.Builder) {
	t.Helper()
	var said strings.Builder
	h := &bootHealth{log: slog.New(slog.NewTextHandler(&said, nil)), console: func(s string) { said.WriteString("console " + s + "\n") },
		state: filepath.Join(disk, "lib"), apart: filepath.Join(disk, "apart"), present: filepath.Join(run, "boot-health.json")}
	h.open(takesOver)
	return h, &said
}

var three = ladder.Situation{Attempts: 3}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if want == "" && os.IsNotExist(err) {
		return
	}
	if string(got) != want {
		t.Errorf("%s has %q (%v), want %q", filepath.Base(path), got, err, want)
	}
}

// Boots that are not good add up, one that is ends the row, and one that was ended in order
// has not been.
func TestBootsAreCounted(t *testing.T) {
	disk := t.TempDir()
	counter := filepath.Join(disk, "lib", attemptsFile)
	for n, c := range []struct {
		kind ladder.Rung
		end  func(h *bootHealth)
		want string
	}{
		{ladder.Full, func(h *bootHealth) {}, "1\n"},
		{ladder.Full, func(h *bootHealth) { h.takeBack() }, "1\n"},
		{ladder.Full, func(h *bootHealth) { h.failed(1); h.failed(1) }, "2\n"},
		{ladder.Full, func(h *bootHealth) { h.failed(1); h.takeBack() }, "3\n"},
		{ladder.Safe, func(h *bootHealth) {}, "4\n"},
		{ladder.Emergency, func(h *bootHealth) {}, "5\n"},
		{ladder.Emergency, func(h *bootHealth) { h.succeeded(7); h.takeBack() }, "0\n"},
		{ladder.Full, func(h *bootHealth) { h.succeeded(7); h.failed(7) }, "1\n"},
		{ladder.Full, func(h *bootHealth) { h.failed(7); h.succeeded(7) }, "0\n"},
	} {
		h, said := bootAgain(t, disk)
		if r := h.begin(three, false); r != c.kind || (r != ladder.Full) != strings.Contains(said.String(), "console dynamod: ") {
			t.Errorf("boot %d is %v, want %v; said %s", n, r, c.kind, said)
		}
		h.count(false)
		c.end(h)
		h.count(true)
		wantFile(t, counter, c.want)
	}
}

// Which configuration booted well is known, and forgotten when somebody says otherwise in
// the same boot.
func TestGoodAndBadConfigurations(t *testing.T) {
	disk := t.TempDir()
	file := func(name string) string { return filepath.Join(disk, "lib", name) }
	h, _ := bootAgain(t, disk)
	h.begin(three, false)
	h.succeeded(4)
	wantFile(t, file(goodFile), "4\n")
	h, _ = bootAgain(t, disk)
	h.begin(three, false)
	h.failed(4) // and was good before
	h.failed(4)
	if h.goodGeneration() != 4 {
		t.Error("one bad boot and the configuration is not good any more")
	}
	h, _ = bootAgain(t, disk)
	h.begin(ladder.Situation{Attempts: 1, Good: true}, false)
	h.Bad = "abc"
	h.succeeded(5)
	if h.goodGeneration() != 5 || h.badDigest() != "abc" {
		t.Errorf("after a rollback %d is good and %q bad", h.goodGeneration(), h.badDigest())
	}
	h, _ = bootAgain(t, disk)
	h.begin(ladder.Situation{SafeAsked: true}, false)
	h.succeeded(6)
	if h.goodGeneration() != 5 || h.badDigest() != "abc" {
		t.Error("safe mode says something of the configuration")
	}
	h, _ = bootAgain(t, disk)
	h.begin(three, false)
	h.succeeded(6)
	wantFile(t, file(badFile), "")
	h.failed(6)
	wantFile(t, file(goodFile), "")
}

// The counter is never what a boot fails for, and is whole after a power cut.
func TestCounterThatCannotBeRead(t *testing.T) {
	for _, text := range []string{"", "x", "-1", "3 3", strings.Repeat("9", 30), strings.Repeat("x", maxSmallFile+1)} {
		disk := t.TempDir()
		counter := filepath.Join(disk, "lib", attemptsFile)
		if err := os.MkdirAll(filepath.Dir(counter), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(counter, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h, said := bootAgain(t, disk)
		if r := h.begin(three, false); r != ladder.Full || !strings.Contains(said.String(), "taken for 0") {
			t.Errorf("%.20q: %v; said %s", text, r, said)
		}
		h.count(false)
		wantFile(t, counter, "1\n")
	}
	disk := t.TempDir() // a directory in its place
	if err := os.MkdirAll(filepath.Join(disk, "lib", attemptsFile), 0o755); err != nil {
		t.Fatal(err)
	}
	h, said := bootAgain(t, disk)
	h.begin(three, false)
	h.count(false)
	h.count(false)
	if strings.Count(said.String(), "cannot be counted") != 1 {
		t.Errorf("said %s", said)
	}

	disk = t.TempDir() // the power fails between write and rename
	counter := filepath.Join(disk, "lib", attemptsFile)
	if err := os.MkdirAll(filepath.Dir(counter), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{attemptsFile: "2\n", "." + attemptsFile + ".new": "3"} {
		if err := os.WriteFile(filepath.Join(disk, "lib", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, _ = bootAgain(t, disk)
	if h.begin(three, false); h.Failed != 2 {
		t.Errorf("%d boots have failed; the old number is 2", h.Failed)
	}
	if h.count(false); h.Counted {
		wantFile(t, counter, "3\n")
	}
	if left, _ := filepath.Glob(filepath.Join(disk, "lib", ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A boot whose file systems cannot be written yet is counted when they can, and a manager
// that takes over goes on with what it finds.
func TestCountedLate(t *testing.T) {
	disk, run := t.TempDir(), t.TempDir()
	status := filepath.Join(disk, "later", "status")
	h, said := sameBoot(t, disk, run, false)
	h.begin(three, true)
	h.status(status, statusPending)
	h.count(false)
	wantFile(t, filepath.Join(disk, "apart", attemptsFile), "1\n")
	wantFile(t, status, "")
	if said.Len() > 0 {
		t.Errorf("said %s", said)
	}
	h, _ = sameBoot(t, disk, run, true)
	if h.fresh || h.rung() != ladder.Full || !h.Counted || h.Status != status {
		t.Errorf("the next manager finds %+v", h.bootKept)
	}
	if err := os.Mkdir(filepath.Dir(status), 0o755); err != nil {
		t.Fatal(err)
	}
	h.count(false)
	wantFile(t, status, statusPending)
	h.status("", statusOK)
	h.count(true)
	wantFile(t, status, statusOK)

	if err := os.WriteFile(filepath.Join(run, "boot-health.json"), []byte(`{"Rung":"fast"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	h, said = sameBoot(t, disk, run, true)
	if h.rung() != ladder.Full || !h.Settled || !strings.Contains(said.String(), "not counted any more") {
		t.Errorf("%+v; said %s", h.bootKept, said)
	}
	h, _ = sameBoot(t, disk, t.TempDir(), true) // the former one knew nothing of this
	if h.fresh || !h.Settled || h.rung() != ladder.Full {
		t.Errorf("%+v", h.bootKept)
	}
}

// A slow boot is a failed one only where somebody says so.
func TestSlowIsNotFailed(t *testing.T) {
	for text, want := range map[string]bool{"": false, "attempts = 2": false, "deadline = \"1h\"": true, "deadline = \"infinity\"": true, "success = [\"a\"]": true} {
		frags, _ := native.Parse("boot.toml", []byte("[boot]\n"+text))
		set, _ := unit.NewSet(nil, nil)
		set.Boot, _ = unit.BuildBoot(unit.Source{Name: "boot.toml", Format: unit.Native, Files: []unit.File{{Path: "boot.toml", Fragments: frags}}})
		m := &manager{configuration: &configuration{set: set}}
		if got := m.counts(pid1.BootNone); got != want || !m.counts(pid1.BootReboot) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// Of all deadlines the earliest holds, with what belongs to it.
func TestBootPolicy(t *testing.T) {
	boot := func(text string) *unit.Boot {
		frags, _ := native.Parse("boot.toml", []byte("[boot]\n"+text))
		b, ds := unit.BuildBoot(unit.Source{Name: "boot.toml", Format: unit.Native, Files: []unit.File{{Path: "boot.toml", Fragments: frags}}})
		if len(ds) > 0 {
			t.Fatal(ds)
		}
		return b
	}
	for _, c := range []struct {
		boot, units, want string
	}{
		{"", "", "5m0s none"},
		{"deadline = \"1min\"\ndeadline-action = \"reboot\"", "", "1m0s reboot"},
		{"deadline = \"infinity\"", "", "0s none"},
		{"deadline = \"infinity\"", "success = true\ndeadline = \"2min\"\ndeadline-action = \"emergency\"", "2m0s emergency"},
		{"deadline = \"1min\"\ndeadline-action = \"reboot\"", "success = true\ndeadline = \"2min\"", "1m0s reboot"},
		{"", "deadline = \"1s\"", "5m0s none"}, // it does not count
	} {
		frags, _ := native.Parse("a.toml", []byte("[service]\nname = \"a\"\nexec = [\"/bin/true\"]\n[boot]\n"+c.units))
		u, _ := unit.Build(unit.Source{Name: "a.service", Format: unit.Native, HasMain: true, Files: []unit.File{{Path: "a.toml", Fragments: frags}}})
		set, _ := unit.NewSet([]*unit.Unit{u}, nil)
		set.Boot = boot(c.boot)
		at, action := bootPolicy(set)
		if got := at.Round(time.Second).String() + " " + action; got != c.want {
			t.Errorf("boot.toml %q, unit %q: %s, want %s", c.boot, c.units, got, c.want)
		}
	}
}

func TestGenerationID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, []byte("g"+strconv.Itoa(12)+" \nmore\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if id, err := generationID(file); id != "g12" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	for _, from := range []string{file + "x", "no.such.option.of.the.kernel"} {
		if id, err := generationID(from); id != "" || err == nil {
			t.Errorf("%s gives %q", from, id)
		}
	}
}
