package device

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/uevent"
	"dynamod/logind/internal/session"
)

// tree writes files, and links for texts that begin with "-> ".
func tree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// char adds a character device to sysfs, and to udev's database.
func char(t *testing.T, root, number, subsystem, name, data string) {
	t.Helper()
	major, minor, _ := strings.Cut(number, ":")
	dir := "sys/devices/" + strings.ReplaceAll(name, "/", "-")
	tree(t, root, map[string]string{
		dir + "/uevent":            "MAJOR=" + major + "\nMINOR=" + minor + "\nDEVNAME=" + name + "\n",
		dir + "/subsystem":         "-> ../../class/" + subsystem,
		"sys/dev/char/" + number:   "-> ../../../" + dir,
		"run/udev/data/c" + number: data,
	})
	for line := range strings.Lines(data) {
		if tag, ok := strings.CutPrefix(strings.TrimSpace(line), "G:"); ok {
			tree(t, root, map[string]string{"run/udev/tags/" + tag + "/c" + number: ""})
		}
	}
}

// Of all character devices, a session may take screens, input and HID devices; whatever
// another device's node would let its user do (W66 of the original).
func TestFind(t *testing.T) {
	root := t.TempDir()
	char(t, root, "226:0", "drm", "dri/card0", "G:seat\nQ:seat\nV:1\n")
	char(t, root, "226:128", "drm", "dri/renderD128", "")
	char(t, root, "13:64", "input", "input/event0", "E:ID_SEAT=seat1\n")
	char(t, root, "13:63", "input", "input/mice", "")
	char(t, root, "240:1", "hidraw", "hidraw1", "")
	char(t, root, "10:223", "misc", "uinput", "G:uaccess\nQ:uaccess\nV:1\n")
	char(t, root, "4:2", "tty", "tty2", "")
	char(t, root, "21:0", "scsi_generic", "sg0", "")
	char(t, root, "13:70", "input", "input/event../../sda", "")
	m := New(root)
	for _, c := range []struct {
		id   session.DeviceID
		kind session.DeviceKind
		seat string
		ok   bool
	}{
		{session.DeviceID{Major: 226, Minor: 0}, session.DRM, "seat0", true},
		{session.DeviceID{Major: 226, Minor: 128}, session.DRM, "seat0", true},
		{session.DeviceID{Major: 13, Minor: 64}, session.Input, "seat1", true},
		{session.DeviceID{Major: 240, Minor: 1}, session.Hidraw, "seat0", true},
		{id: session.DeviceID{Major: 13, Minor: 63}}, {id: session.DeviceID{Major: 10, Minor: 223}}, {id: session.DeviceID{Major: 4, Minor: 2}},
		{id: session.DeviceID{Major: 21, Minor: 0}}, {id: session.DeviceID{Major: 13, Minor: 70}}, {id: session.DeviceID{Major: 99, Minor: 99}},
	} {
		n, err := m.Find(c.id)
		if c.ok != (err == nil) || err != nil && !errors.Is(err, ErrNoDevice) {
			t.Errorf("%v: %v", c.id, err)
			continue
		}
		if c.ok && (n.Kind != c.kind || n.Seat != c.seat) {
			t.Errorf("%v is %+v", c.id, n)
		}
	}
	// A node that is another device than sysfs says is not opened.
	tree(t, root, map[string]string{"dev/dri/card0": "no device"})
	n, err := m.Find(session.DeviceID{Major: 226, Minor: 0})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := n.Open(); !errors.Is(err, ErrNoDevice) {
		t.Errorf("%v, %v", f, err)
	}
}

// Devices of seats are told from the database first, then as udev speaks of them.
func TestFollow(t *testing.T) {
	root := t.TempDir()
	char(t, root, "226:0", "drm", "dri/card0", "G:seat\nG:master-of-seat\nQ:seat\nQ:master-of-seat\nV:1\n")
	char(t, root, "226:1", "drm", "dri/card1", "G:seat\nV:1\n") // once, not now
	var told []session.Event
	f := newFollower(New(root), slog.New(slog.DiscardHandler), func(e session.Event) {
		if _, ok := e.(session.Lid); !ok {
			told = append(told, e)
		}
	})
	f.Scan()
	expect := func(want ...session.Event) {
		t.Helper()
		if !reflect.DeepEqual(told, want) {
			t.Errorf("got  %+v\nwant %+v", told, want)
		}
		told = nil
	}
	card := session.DeviceID{Major: 226, Minor: 0}
	expect(session.Attached{Path: "/devices/dri-card0", Seat: "seat0", Master: true, Node: card})
	props := func(more ...string) map[string]string {
		p := map[string]string{"MAJOR": "226", "MINOR": "0", "SUBSYSTEM": "drm"}
		for k := 0; k < len(more); k += 2 {
			p[more[k]] = more[k+1]
		}
		return p
	}
	f.Event(uevent.Event{Action: "change", DevPath: "/devices/dri-card0", Props: props("CURRENT_TAGS", ":seat:master-of-seat:", "ID_SEAT", "seat2")})
	f.Event(uevent.Event{Action: "change", DevPath: "/devices/dri-card0", Props: props("CURRENT_TAGS", ":uaccess:")})
	f.Event(uevent.Event{Action: "change", DevPath: "/devices/dri-card0", Props: props("CURRENT_TAGS", ":uaccess:")})
	f.Event(uevent.Event{Action: "change", DevPath: "/devices/dri-card0", Props: props("CURRENT_TAGS", ":uaccess:", "DEVNAME", "/dev/../etc/passwd")})
	f.Event(uevent.Event{Action: "add", DevPath: "/devices/dri-card0", Props: props("CURRENT_TAGS", ":uaccess:", "DEVNAME", "/dev/dri/card0")})
	f.Event(uevent.Event{Action: "remove", DevPath: "/devices/dri-card0", Props: props("CURRENT_TAGS", ":uaccess:", "DEVNAME", "/dev/dri/card0")})
	expect(session.Attached{Path: "/devices/dri-card0", Seat: "seat2", Master: true, Node: card}, session.Detached{Path: "/devices/dri-card0"},
		session.Shared{Seat: "seat0", Node: filepath.Join(root, "dev/dri/card0")}, session.Detached{Path: "/devices/dri-card0", Node: card})
	f.known["/devices/lost"] = true
	f.Scan()
	expect(session.Attached{Path: "/devices/dri-card0", Seat: "seat0", Master: true, Node: card}, session.Detached{Path: "/devices/lost"})
}

// The devices of a seat go from one user to the other; those of another seat, and those
// without the tag, do not.
func TestAccess(t *testing.T) {
	root := t.TempDir()
	tag := "G:uaccess\nQ:uaccess\nV:1\n"
	char(t, root, "1:3", "sound", "snd/one", tag)
	char(t, root, "1:5", "sound", "snd/two", tag+"E:ID_SEAT=seat1\n")
	char(t, root, "1:7", "mem", "full", "G:uaccess\nV:1\n")
	char(t, root, "1:8", "mem", "gone", tag)
	tree(t, root, map[string]string{"run/udev/static_node-tags/uaccess/snd\\x2fseq": "-> /dev/snd/seq", "run/udev/static_node-tags/uaccess/bad": "-> /dev/../etc/passwd",
		"etc/passwd": ""})
	if err := os.MkdirAll(filepath.Join(root, "dev/snd"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, minor := range map[string]uint32{"snd/one": 3, "snd/two": 5, "full": 7, "snd/seq": 9} {
		if err := unix.Mknod(filepath.Join(root, "dev", name), unix.S_IFCHR|0o660, int(unix.Mkdev(1, minor))); err != nil {
			t.Fatalf("mknod (needs root): %v", err)
		}
	}
	named := func() (out []string) {
		for _, name := range []string{"snd/one", "snd/two", "full", "snd/seq"} {
			b := make([]byte, 1024)
			if n, err := unix.Getxattr(filepath.Join(root, "dev", name), "system.posix_acl_access", b); err == nil && n > 4+3*8 {
				out = append(out, name)
			}
		}
		return out
	}
	m := New(root)
	if err := m.Access("seat0", -1, 1000); err != nil {
		t.Fatal(err)
	}
	if got := named(); !reflect.DeepEqual(got, []string{"snd/one", "snd/seq"}) {
		t.Errorf("the user of seat0 has %q", got)
	}
	if err := m.Access("seat0", 1000, 1001); err != nil {
		t.Fatal(err)
	}
	if got := named(); len(got) != 2 {
		t.Errorf("the next user has %q", got)
	}
	// What udev wrote too late is taken back, of that device only.
	for _, name := range []string{"snd/one", "gone"} {
		if err := m.Correct(filepath.Join(root, "dev", name), []int64{1000}, -1); err != nil {
			t.Error(err)
		}
	}
	if got := named(); len(got) != 2 {
		t.Errorf("%q is left of a user who had no seat", got)
	}
	if err := m.Correct(filepath.Join(root, "dev/snd/one"), []int64{1000, 1001}, -1); err != nil {
		t.Error(err)
	}
	if got := named(); !reflect.DeepEqual(got, []string{"snd/seq"}) {
		t.Errorf("%q can be used after the correction of snd/one", got)
	}
	if err := m.Access("seat0", -2, -1); err != nil {
		t.Fatal(err)
	}
	if got := named(); got != nil {
		t.Errorf("nobody sits there, and %q can be used", got)
	}
}

// What is assigned to a seat is a rule of udev, and forgotten by Flush.
func TestAssign(t *testing.T) {
	root := t.TempDir()
	char(t, root, "226:0", "drm", "dri/card0", "E:ID_FOR_SEAT=drm-pci-0000_00_02_0\nG:seat\nQ:seat\nV:1\n")
	char(t, root, "226:1", "drm", "dri/card1", "E:ID_FOR_SEAT=x\", RUN=\"/bin/evil\nG:seat\nQ:seat\nV:1\n")
	m := New(root)
	for path, want := range map[string]error{"/devices/dri-card0": nil, "/devices/dri-card1": ErrNoDevice, "/devices/other": ErrNoPath} {
		if err := m.Assign(path, "seat1"); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	file := filepath.Join(root, "etc/udev/rules.d/72-seat-drm-pci-0000_00_02_0.rules")
	if data, err := os.ReadFile(file); err != nil || string(data) != "TAG==\"seat\", ENV{ID_FOR_SEAT}==\"drm-pci-0000_00_02_0\", ENV{ID_SEAT}=\"seat1\"\n" {
		t.Errorf("the rule is %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(root, "sys/devices/dri-card0/uevent")); err != nil || !strings.HasPrefix(string(data), "change") {
		t.Errorf("udev was not asked to look again: %q, %v", data, err)
	}
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rule is left: %v", err)
	}
}

// What is around the machine is told once, and when it changes.
func TestAround(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{"sys/class/drm/card0-eDP-1/status": "connected\n", "sys/class/drm/card0-HDMI-1/status": "disconnected\n",
		"sys/class/power_supply/BAT0/type": "Battery\n", "sys/class/power_supply/BAT0/status": "Discharging\n",
		"sys/class/power_supply/mouse/type": "Battery\n", "sys/class/power_supply/mouse/scope": "Device\n", "sys/class/power_supply/mouse/status": "Discharging\n",
		"sys/class/power_supply/ADP1/type": "Mains\n", "sys/class/power_supply/ADP1/online": "0\n"})
	var told []session.Event
	f := newFollower(New(root), slog.New(slog.DiscardHandler), func(e session.Event) { told = append(told, e) })
	expect := func(want ...session.Event) {
		t.Helper()
		if !reflect.DeepEqual(told, want) {
			t.Errorf("got %+v, want %+v", told, want)
		}
		told = nil
	}
	f.Scan()
	expect(session.Lid{Displays: 1})
	f.Event(uevent.Event{Action: "change", DevPath: "/devices/ADP1", Props: map[string]string{"SUBSYSTEM": "power_supply"}})
	expect()
	tree(t, root, map[string]string{"sys/class/power_supply/ADP1/online": "1\n", "sys/class/drm/card0-HDMI-1/status": "connected\n"})
	f.Event(uevent.Event{Action: "change", DevPath: "/devices/ADP1", Props: map[string]string{"SUBSYSTEM": "power_supply"}})
	expect(session.Lid{Displays: 2, External: true})
	// The events of a box with a lid: closed, opened; a key that repeats.
	b := &switchBox{}
	f.boxes["/devices/lid"] = b
	event := func(kind, code uint16, value int32) []byte {
		raw := make([]byte, inputEventSize)
		binary.NativeEndian.PutUint16(raw[inputEventSize-8:], kind)
		binary.NativeEndian.PutUint16(raw[inputEventSize-6:], code)
		binary.NativeEndian.PutUint32(raw[inputEventSize-4:], uint32(value))
		return raw
	}
	f.take(b, slices.Concat(event(5, 0, 1), event(0, 0, 0), event(1, 116, 1), event(1, 116, 2), event(1, 30, 1)))
	expect(session.Sleeps{}, session.Lid{Closed: true, Displays: 2, External: true}, session.Sleeps{}, session.Key{Name: "power", Down: true})
}

// The machine says what it can do, not what its kernel could do elsewhere.
func TestSleeps(t *testing.T) {
	root := t.TempDir()
	m := New(root)
	check := func(want ...string) {
		t.Helper()
		if got := m.Sleeps(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check()
	tree(t, root, map[string]string{"sys/power/state": "freeze mem disk\n", "sys/power/disk": "[disabled]\n"})
	check("suspend")
	tree(t, root, map[string]string{"sys/power/disk": "[platform] shutdown suspend\n", "sys/power/resume": "0:0\n", "sys/class/rtc/rtc0/wakealarm": "",
		"proc/swaps": "Filename Type Size Used Priority\n/dev/vda2 partition 2000 100 -2\n/dev/zram0 partition 90000 0 5\n", "proc/meminfo": "MemTotal: 9 kB\nActive(anon):  1900 kB\n"})
	check("suspend")
	tree(t, root, map[string]string{"sys/power/resume": "254:2\n"})
	check("suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate")
	if err := m.Sleep("hybrid-sleep"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"sys/power/disk": "suspend", "sys/power/state": "disk"} {
		if data, err := os.ReadFile(filepath.Join(root, file)); err != nil || !strings.HasPrefix(string(data), want) {
			t.Errorf("%s: %q, %v", file, data, err)
		}
	}
	tree(t, root, map[string]string{"proc/meminfo": "Active(anon):  1901 kB\n", "sys/power/state": "freeze mem disk\n"})
	check("suspend")
	if err := m.Sleep("hibernate"); !errors.Is(err, ErrCannotSleep) {
		t.Errorf("hibernation without room: %v", err)
	}
}

// The alarm that wakes a suspended machine for hibernation is relative: the RTC may run in
// local time. Awake before it, it is taken back.
func TestWakeAlarm(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{"sys/power/state": "freeze mem disk\n", "sys/power/disk": "[platform] shutdown suspend\n", "sys/power/resume": "254:2\n",
		"proc/swaps": "Filename Type Size Used Priority\n/dev/vda2 partition 2000 100 -2\n", "proc/meminfo": "Active(anon):  1900 kB\n", "sys/class/rtc/rtc0/wakealarm": ""})
	m := New(root)
	alarm := filepath.Join(root, "sys/class/rtc/rtc0/wakealarm")
	// A FIFO shows each write; it is open for both ends, so that nobody waits.
	if err := os.Remove(alarm); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(alarm, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(alarm, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := m.Sleep("suspend-then-hibernate"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := f.Read(buf)
	if got := string(buf[:n]); err != nil || got != "0+72000" {
		t.Errorf("the alarm was written %q, %v; want none, in two hours, none", got, err)
	}
}
