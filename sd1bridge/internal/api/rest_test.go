package api

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
)

// The rarer methods, against a real manager.
type rare struct {
	*testing.T
	conn *dbus.Conn
	o    dbus.BusObject
}

func newRare(t *testing.T, files map[string]string) *rare {
	c, err := start(t, files).dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rare{t, c, c.Object("", "/org/freedesktop/systemd1")}
}

func (r *rare) call(method string, args ...any) *dbus.Call {
	return r.o.Call(prefix+"Manager."+method, 0, args...)
}

func (r *rare) must(method string, args ...any) *dbus.Call {
	r.Helper()
	c := r.call(method, args...)
	if c.Err != nil {
		r.Fatalf("%s%v: %v", method, args, c.Err)
	}
	return c
}

func (r *rare) refused(name, text, method string, args ...any) {
	r.Helper()
	err := r.call(method, args...).Err
	if e := (dbus.Error{}); !asDBus(err, &e) || e.Name != name || !strings.Contains(e.Error(), text) {
		r.Errorf("%s%v: %v, want %s with %q", method, args, err, name, text)
	}
}

func (r *rare) property(unit, name string) any {
	r.Helper()
	v, err := r.conn.Object("", dbus.ObjectPath("/org/freedesktop/systemd1/unit/"+unit)).GetProperty(prefix + name)
	if err != nil {
		r.Fatal(err)
	}
	return v.Value()
}

func TestEnqueueUnitJob(t *testing.T) {
	r := newRare(t, map[string]string{"default.target": "[Unit]\nDescription=All\n", "a.service": "[Unit]\nWants=b.service\n[Service]\nExecStart=/bin/sleep 1000\n",
		"b.service": "[Service]\nExecStart=/bin/sleep 1000\n", "slow.service": "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n"})
	var main affectedJob
	var others []affectedJob
	enqueue := func(unit, typ, mode string) {
		t.Helper()
		others = nil
		if err := r.must("EnqueueUnitJob", unit, typ, mode).Store(&main.ID, &main.Path, &main.Unit, &main.UnitPath, &main.Type, &others); err != nil {
			t.Fatal(err)
		}
	}
	enqueue("a.service", "start", "replace")
	if main.Path != jobPath(main.ID) || main.Unit != "a.service" || main.Type != "start" || len(others) != 1 || others[0].Unit != "b.service" || others[0].Type != "start" {
		t.Errorf("start: %+v with %+v", main, others)
	}
	testkit.Eventually(t, "a.service is up", func() bool { return r.property("a_2eservice", "Unit.ActiveState") == "active" })
	enqueue("a.service", "start", "replace")
	if main.Type != "start" || len(others) != 0 {
		t.Errorf("start again: %+v with %+v", main, others)
	}
	enqueue("a.service", "nop", "replace")
	enqueue("a.service", "verify-active", "replace")
	enqueue("a.service", "try-restart", "replace")
	if main.Type != "restart" && main.Type != "try-restart" {
		t.Errorf("try-restart is %q", main.Type)
	}
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "Job type nonsense invalid", "EnqueueUnitJob", "a.service", "nonsense", "replace")
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "Job mode nonsense invalid", "EnqueueUnitJob", "a.service", "start", "nonsense")
	r.refused(prefix+"NoSuchUnit", "not found", "EnqueueUnitJob", "nowhere.service", "start", "replace")
	r.refused(prefix+"NoSuchUnit", "not loaded", "EnqueueUnitJob", "nowhere.service", "stop", "replace")
	r.refused(prefix+"JobTypeNotApplicable", "reload", "EnqueueUnitJob", "a.service", "reload", "replace")

	// StartUnitReplace takes a unit with a job, which stays.
	r.refused(prefix+"NoSuchUnit", "not loaded", "StartUnitReplace", "nowhere.service", "b.service", "replace")
	testkit.Eventually(t, "no job is left", func() bool { return r.property("a_2eservice", "Unit.Job").([]any)[0] == uint32(0) })
	r.refused(prefix+"NoSuchJob", "No job queued for unit a.service", "StartUnitReplace", "a.service", "b.service", "replace")
	r.must("StartUnit", "slow.service", "replace")
	r.must("StartUnitReplace", "slow.service", "b.service", "replace")
	if r.property("slow_2eservice", "Unit.Job").([]any)[0] == uint32(0) {
		t.Error("the job of the other unit is gone")
	}
}

func TestQueueSignal(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	// Perl's POSIX has the value of a signal, and is essential on Debian.
	script := `use POSIX; my $s = POSIX::SigAction->new(sub { open(my $f, ">", "` + out + `"); print $f "$_[1]->{code}"; close $f }, POSIX::SigSet->new, SA_SIGINFO); POSIX::sigaction(40, $s); open(my $g, ">", "` + out + `.up"); close $g; sleep 1000 while 1`
	if err := os.WriteFile(filepath.Join(dir, "s.pl"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRare(t, map[string]string{"default.target": "[Unit]\nDescription=All\n", "p.service": "[Service]\nExecStart=/usr/bin/perl " + dir + "/s.pl\n"})
	r.must("StartUnit", "p.service", "replace")
	testkit.Eventually(t, "it waits", func() bool { _, err := os.Stat(out + ".up"); return err == nil })
	r.must("QueueSignalUnit", "p.service", "main", int32(40), int32(42))
	testkit.Eventually(t, "the signal was queued", func() bool { b, _ := os.ReadFile(out); return string(b) == "-1" }) // SI_QUEUE
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "refusing for signal SIGHUP", "QueueSignalUnit", "p.service", "main", int32(1), int32(42))
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "out of range", "QueueSignalUnit", "p.service", "main", int32(99), int32(42))
	r.refused(prefix+"NoSuchUnit", "not loaded", "QueueSignalUnit", "nowhere.service", "main", int32(40), int32(42))
}

func TestMarks(t *testing.T) {
	r := newRare(t, someUnits)
	set := func(words ...string) *dbus.Call {
		type property struct {
			Name  string
			Value dbus.Variant
		}
		return r.call("SetUnitProperties", "web.service", true, []property{{"Markers", dbus.MakeVariant(words)}})
	}
	marks := func() string { return strings.Join(r.property("web_2eservice", "Unit.Markers").([]string), " ") }
	r.must("StartUnit", "web.service", "replace")
	testkit.Eventually(t, "it is up", func() bool { return r.property("web_2eservice", "Unit.ActiveState") == "active" })
	for _, c := range []struct {
		words []string
		want  string
	}{{[]string{"+needs-restart"}, "needs-restart"}, {[]string{"+needs-reload"}, "needs-reload needs-restart"}, {[]string{"-needs-restart"}, "needs-reload"},
		{[]string{"needs-restart"}, "needs-restart"}, {nil, "needs-restart"}, {[]string{"needs-reload", "needs-restart"}, "needs-reload needs-restart"}} {
		if err := set(c.words...).Err; err != nil {
			t.Error(err)
		}
		if got := marks(); got != c.want {
			t.Errorf("after %q: %q, want %q", c.words, got, c.want)
		}
	}
	if err := set("bogus").Err; err == nil || !strings.Contains(err.Error(), `Unknown marker "bogus"`) {
		t.Errorf("a mark that is none: %v", err)
	}
	pid := r.property("web_2eservice", "Service.MainPID")
	var jobs []dbus.ObjectPath
	if err := r.must("EnqueueMarkedJobs").Store(&jobs); err != nil || len(jobs) != 1 {
		t.Errorf("%v, %v", jobs, err)
	}
	testkit.Eventually(t, "it is restarted", func() bool {
		now := r.property("web_2eservice", "Service.MainPID")
		return now != pid && now != uint32(0)
	})
	if got := marks(); got != "" {
		t.Errorf("after the restart it is marked %q", got)
	}
	if err := r.must("EnqueueMarkedJobs").Store(&jobs); err != nil || len(jobs) != 0 {
		t.Errorf("again: %v, %v", jobs, err)
	}
}

func TestDumps(t *testing.T) {
	r := newRare(t, someUnits)
	r.must("StartUnit", "web.service", "replace")
	var text string
	if err := r.must("DumpUnitsMatchingPatterns", []string{"web*"}).Store(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"→ Unit web.service:\n", "\tDescription: A web server\n", "\tUnit Load State: loaded\n", "\tFragment Path: /", "web.service\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in %q", want, text)
		}
	}
	if strings.Contains(text, "bad.service:") {
		t.Errorf("it has units that do not match: %q", text)
	}
	for method, args := range map[string][]any{"DumpByFileDescriptor": nil, "DumpUnitsMatchingPatternsByFileDescriptor": {[]string{"web*"}}} {
		var fd dbus.UnixFD
		if err := r.must(method, args...).Store(&fd); err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "dump")
		data, err := io.ReadAll(f)
		f.Close()
		if err != nil || !strings.Contains(string(data), "web.service") {
			t.Errorf("%s: %.200q, %v", method, data, err)
		}
	}
	if err := r.must("DumpUnitsMatchingPatterns", []string{"zzz*"}).Store(&text); err != nil || text != "" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestOtherRoots(t *testing.T) {
	r := newRare(t, someUnits)
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "not absolute", "SwitchRoot", "rel", "")
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "old root", "SwitchRoot", "/", "")
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "Not in initrd", "SwitchRoot", "/usr", "")
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "Not in initrd", "SwitchRoot", "", "")
	r.refused("org.freedesktop.DBus.Error.FileNotFound", "/nowhere", "SwitchRoot", "/nowhere", "")
	r.refused("org.freedesktop.DBus.Error.InvalidArgs", "not absolute", "SoftReboot", "rel")
	r.refused("org.freedesktop.DBus.Error.NotSupported", "/srv", "SoftReboot", "/srv")
	r.refused("org.freedesktop.DBus.Error.NotSupported", "standalone", "SoftReboot", "") // this manager has no machine
}

// A directory comes into a unit that runs with mounts of its own, and nowhere else.
func TestBindMount(t *testing.T) {
	source := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "here"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRare(t, map[string]string{"default.target": "[Unit]\nDescription=All\n",
		"own.service": "[Service]\nExecStart=/bin/sleep 1000\nPrivateTmp=yes\n", "common.service": "[Service]\nExecStart=/bin/sleep 1000\n"})
	for _, u := range []string{"own", "common"} {
		r.must("StartUnit", u+".service", "replace")
		testkit.Eventually(t, u+" is up", func() bool { return r.property(u+"_2eservice", "Service.ExecMainHandoffTimestamp") != uint64(0) })
	}
	if r.property("own_2eservice", "Unit.CanLiveMount") != true || r.property("common_2eservice", "Unit.CanLiveMount") != false {
		t.Error("CanLiveMount is wrong")
	}
	pid := r.property("own_2eservice", "Service.MainPID").(uint32)
	inside := func(p string) string { return filepath.Join("/proc", strconv.Itoa(int(pid)), "root", p) }
	const target = "/tmp/live-mount/a/b"
	result := func(want string) {
		t.Helper()
		if got := r.property("own_2eservice", "Service.LiveMountResult"); got != want {
			t.Errorf("LiveMountResult is %v, want %s", got, want)
		}
	}
	r.refused("org.freedesktop.DBus.Error.Failed", "method 'BindMountUnit' for unit 'own.service' failed", "BindMountUnit", "own.service", source, target, true, false)
	result("exit-code")
	r.must("BindMountUnit", "own.service", source, target, true, true)
	result("success")
	if _, err := os.Stat(inside(target + "/here")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("it is there for everybody")
	}
	if err := os.WriteFile(inside(target+"/more"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a read-only mount takes a file: %v", err)
	}
	// Once more, over it, and a file, by the object.
	r.must("BindMountUnit", "own.service", source, target, false, false)
	if err := os.WriteFile(inside(target+"/more"), nil, 0o644); err != nil {
		t.Error(err)
	}
	o := r.conn.Object("", "/org/freedesktop/systemd1/unit/own_2eservice")
	if err := o.Call(prefix+"Service.BindMount", 0, filepath.Join(source, "here"), "/tmp/file", false, true).Err; err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(inside("/tmp/file")); err != nil || !st.Mode().IsRegular() {
		t.Errorf("%v, %v", st, err)
	}
	if data, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(data), target) {
		t.Error("the mount is in the test's own table")
	}
	const invalid = "org.freedesktop.DBus.Error.InvalidArgs"
	r.refused(invalid, "not running in private mount namespace", "BindMountUnit", "common.service", source, target, false, true)
	r.refused(invalid, "Source path must be absolute and normalized", "BindMountUnit", "own.service", "rel", target, false, true)
	r.refused(invalid, "Destination path must be absolute and normalized", "BindMountUnit", "own.service", source, "/a/../b", false, true)
	r.refused(prefix+"NoSuchUnit", "not loaded", "BindMountUnit", "nowhere.service", source, target, false, true)
	r.refused("org.freedesktop.DBus.Error.NotSupported", "unit type 'target'", "BindMountUnit", "default.target", source, target, false, true)
	r.refused("org.freedesktop.DBus.Error.NotSupported", "no images", "MountImageUnit", "own.service", "/x.raw", target, false, true, []struct{ Key, Value string }{})
}

// At rest it is what the settings ask for.
func TestCanLiveMountAtRest(t *testing.T) {
	r := newRare(t, map[string]string{"default.target": "[Unit]\nDescription=All\n",
		"own.service": "[Service]\nExecStart=/bin/true\nPrivateTmp=yes\n", "common.service": "[Service]\nExecStart=/bin/true\n"})
	if r.property("own_2eservice", "Unit.CanLiveMount") != true || r.property("common_2eservice", "Unit.CanLiveMount") != false {
		t.Error("CanLiveMount is wrong")
	}
}
