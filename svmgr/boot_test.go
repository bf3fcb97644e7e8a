package main

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/ipc/pid1"
	"dynamod/internal/load/native"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/generation"
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

// A later manager of the same boot learns of the verdict again. What is in force by then
// may have been reloaded and never booted.
func TestVerdictIsWrittenOnce(t *testing.T) {
	disk, run := t.TempDir(), t.TempDir()
	h, _ := sameBoot(t, disk, run, false)
	h.begin(three, false)
	h.count(false)
	m := &manager{configuration: &configuration{number: 4}, health: h}
	m.remember(core.BootGood)
	m.remember(core.BootPending)
	if h.goodGeneration() != 4 {
		t.Fatalf("%d booted well", h.goodGeneration())
	}
	h, _ = sameBoot(t, disk, run, true)
	m = &manager{configuration: &configuration{number: 5}, health: h}
	m.remember(core.BootGood)
	if h.goodGeneration() != 4 {
		t.Errorf("%d booted well, though nobody has booted it", h.goodGeneration())
	}
	m.remember(core.BootBad)
	h, _ = sameBoot(t, disk, run, true)
	m.health = h
	m.remember(core.BootBad)
	wantFile(t, h.Counter, "1\n")
	m.remember(core.BootGood)
	wantFile(t, h.Counter, "0\n")
}

// What lies below /var before that is mounted may be years old: nothing is rolled back to
// it, and no number of its generations is written into the one that comes.
func TestNoRollbackBelowVar(t *testing.T) {
	image := func(text string) *generation.Image {
		r := generation.Record(fstest.MapFS{"a": {Data: []byte(text)}})
		if _, err := fs.ReadFile(r, "a"); err != nil {
			t.Fatal(err)
		}
		return r.Image()
	}
	disk := t.TempDir()
	h, _ := bootAgain(t, disk)
	m := &manager{configuration: &configuration{store: generation.Open(filepath.Join(disk, "lib", "generations")), number: 3}, health: h, log: h.log}
	if n, err := m.store.Add(image("old")); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for file, text := range map[string]string{"lib/" + goodFile: "1\n", "lib/" + attemptsFile: "7\n", "apart/" + attemptsFile: "3\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(disk, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(disk, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mount := func(name string) *unit.Set {
		u, _ := unit.Build(unit.Source{Name: name, HasMain: true, Files: []unit.File{{Fragments: []unit.Fragment{
			{Section: "Mount", Key: "What", Text: "/dev/x"}, {Section: "Mount", Key: "Where", Text: "/" + strings.ReplaceAll(strings.TrimSuffix(name, ".mount"), "-", "/")}}}}})
		set, _ := unit.NewSet([]*unit.Unit{u}, nil)
		return set
	}
	if good, _, n := m.goodImage(&api.Generation{Files: image("new")}); good == nil || n != 1 {
		t.Fatal("the old one is not there to be taken")
	}
	m.takeRung(&api.Generation{Set: mount("var-lib-dynamod.mount"), Files: image("new")}, &bootOptions{}, false)
	if r := h.rung(); r != ladder.Safe {
		t.Errorf("the boot is %v", r)
	}
	h.count(false)
	h.Rung = ladder.Full.String()
	h.succeeded(3)
	h.failed(1)
	wantFile(t, filepath.Join(disk, "lib", goodFile), "1\n")
	wantFile(t, filepath.Join(disk, "lib", attemptsFile), "7\n")
}

// A full disk takes no new file. A good boot must not stay counted because of that.
func TestGoodBootOnFullDisk(t *testing.T) {
	disk := t.TempDir()
	h, said := bootAgain(t, disk)
	h.begin(three, false)
	h.count(false)
	wantFile(t, h.Counter, "1\n")
	if err := os.MkdirAll(filepath.Join(disk, "lib", "."+attemptsFile+".new", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.succeeded(1)
	if n := h.read(h.Counter); n != 0 || strings.Contains(said.String(), "cannot be set") {
		t.Errorf("%d boots have failed; said %s", n, said)
	}
}

// A boot that PID 1 calls too late where nobody has said what is too late is none that failed.
func TestLateAndNotCounted(t *testing.T) {
	h, _ := bootAgain(t, t.TempDir())
	h.begin(three, false)
	h.count(false)
	set, _ := unit.NewSet(nil, nil)
	m := &manager{configuration: &configuration{set: set}, health: h}
	if m.lateCounts(pid1.BootNone) {
		t.Error("it counts")
	}
	wantFile(t, h.Counter, "0\n")
	h.count(true)
	wantFile(t, h.Counter, "0\n")
	h.failed(1) // somebody knows better
	wantFile(t, h.Counter, "1\n")
	if !m.lateCounts(pid1.BootReboot) || !(&manager{configuration: m.configuration}).lateCounts(pid1.BootReboot) {
		t.Error("it does not count")
	}
	wantFile(t, h.Counter, "1\n")
}

// The time in the emergency shell of the begin is none of the boot's, and who ends it in
// order is not hurried.
func TestPolicyOfOtherBoots(t *testing.T) {
	set, _ := unit.NewSet(nil, nil)
	disk, run := t.TempDir(), t.TempDir()
	h, _ := sameBoot(t, disk, run, false)
	h.begin(ladder.Situation{}, false)
	m := &manager{configuration: &configuration{set: set}, link: &link{}, health: h}
	want := func(d time.Duration, action string) {
		t.Helper()
		if at, a := m.policy(set); at != d || a != action {
			t.Errorf("%v %s, want %v %s", at, a, d, action)
		}
	}
	want(defaultBootDeadline, "none")
	if !h.showShell(3 * time.Second) {
		t.Error("the shell was shown")
	}
	want(defaultBootDeadline, "none")
	h, _ = sameBoot(t, disk, run, false)
	m.health = h
	if h.showShell(time.Hour) {
		t.Error("the shell is shown again")
	}
	want(defaultBootDeadline+time.Hour-3*time.Second, "none")
	h, _ = sameBoot(t, disk, run, true)
	m.health = h
	h.showShell(2 * time.Hour)
	want(defaultBootDeadline+time.Hour-3*time.Second, "none")
	m.ends.Store(true)
	want(0, "none")
	m.health = nil
	m.ends.Store(false)
	want(defaultBootDeadline, "none")
}

// Files that others may lay into the way stop no boot and lead nowhere.
func TestFilesInTheWay(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "status")
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, lay := range []func(string) error{
		func(p string) error { return os.Link(other, p) },
		func(p string) error { return os.Symlink(other, p) },
		func(p string) error { return syscall.Mkfifo(p, 0o600) },
	} {
		if err := lay(filepath.Join(dir, ".status.new")); err != nil {
			t.Fatal(err)
		}
		if err := writeDurably(file, "ok\n"); err != nil {
			t.Error(err)
		}
		wantFile(t, file, "ok\n")
		wantFile(t, other, "mine")
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir} {
		if text, err := readSmall(path); err == nil {
			t.Errorf("%s reads %q", path, text)
		}
	}
}

// The verdict may be there before the jobs of the boot are over. PID 1 reboots a machine
// whose manager died in between unless the next one tells it.
func TestVerdictIsToldAgain(t *testing.T) {
	set, _ := unit.NewSet(nil, nil)
	g, _ := graph.Build(set, graph.Config{})
	c := core.New(set, g, core.Config{})
	if got := perhapsUntold(c.View()); len(got) > 0 {
		t.Errorf("%v", got)
	}
	c.Step(core.Time{Mono: 1}, core.BootMarked{Good: true}, nil)
	if got := perhapsUntold(c.View()); len(got) != 1 || got[0].What != core.BootJudged {
		t.Errorf("%v", got)
	}
}

// The queue to who tells PID 1 may be full, because the disk is slow and many units come up
// at once. The verdict gets through.
func TestVerdictIsNotLost(t *testing.T) {
	published, missed := make(chan core.Action, 1), make(chan struct{}, 1)
	s := speaker{published: published, missed: missed}
	s.publish(core.Publish{What: core.UnitChanged})
	s.publish(core.Publish{What: core.UnitChanged})
	if len(missed) > 0 {
		t.Error("a change of a unit is made up for by the next")
	}
	s.publish(core.Publish{What: core.StartupFinished})
	s.publish(core.Publish{What: core.BootJudged})
	if len(missed) != 1 {
		t.Error("the verdict is lost")
	}
}

// A command of on-success runs as it is written: no specifiers, no variables.
func TestOnSuccessAsWritten(t *testing.T) {
	frags, _ := native.Parse("boot.toml", []byte(`[boot]
on-success = [["/bin/date", "+%s %% %n", "$HOME", "a;b", ";", "", "q\"'\\", "two\nlines", "-x"], ["/bin/true"]]`))
	boot, ds := unit.BuildBoot(unit.Source{Name: "boot.toml", Format: unit.Native, Files: []unit.File{{Path: "boot.toml", Fragments: frags}}})
	if len(ds) > 0 || len(boot.OnSuccess()) != 2 {
		t.Fatal(ds, boot.OnSuccess())
	}
	for _, e := range boot.OnSuccess() {
		u, ds := unit.Build(unit.Source{Name: "boot-success-1.service", HasMain: true, Files: []unit.File{ownFile("boot-success-1.service", commandUnit(action{argv: e.String()}))}})
		got := unit.ExecStart.Of(u)
		if len(ds) > 0 || len(got) != 1 || !reflect.DeepEqual(got[0], e) {
			t.Errorf("%#v becomes %#v %v", e, got, ds)
		}
	}
}
