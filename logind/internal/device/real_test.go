//go:build vm

package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/uevent"
	"dynamod/internal/testkit"
	"dynamod/logind/internal/session"
)

// These need a kernel with terminals and devices of its own: desktop-tests/scenarios runs
// them in a machine.

func mode(t *testing.T, vt string) (kd int) {
	t.Helper()
	f, err := os.OpenFile("/dev/tty"+vt, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kd, err = unix.IoctlGetInt(int(f.Fd()), 0x4b3b) // KDGETMODE
	if err != nil {
		t.Fatal(err)
	}
	return kd
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

// The kernel asks before it hides a terminal that was taken, waits for the answer, and
// asks no more once it was given back.
func TestRealTerminals(t *testing.T) {
	leave, shown := make(chan bool, 8), make(chan bool, 8)
	v := NewTerminals("/", func() { leave <- true }, func() { shown <- true })
	defer v.Close()
	front := func() uint32 {
		n, err := v.Shown()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := v.Show(1); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "terminal 1 is in front", func() bool { return front() == 1 })
	if err := v.Take(1, 1000); err != nil {
		t.Fatal(err)
	}
	if mode(t, "1") != kdGraphics || ownerOf(t, "/dev/tty1") != 1000 {
		t.Errorf("mode %d, owner %d", mode(t, "1"), ownerOf(t, "/dev/tty1"))
	}
	if err := v.Show(2); err != nil {
		t.Fatal(err)
	}
	testkit.Receive(t, leave, "the kernel asks")
	if front() != 1 {
		t.Error("the kernel does not wait")
	}
	if err := v.Leave(1); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "terminal 2 is in front", func() bool { return front() == 2 })
	if err := v.Leave(2); err == nil {
		t.Error("a terminal is left that was not taken")
	}
	if err := v.Show(1); err != nil {
		t.Fatal(err)
	}
	testkit.Receive(t, shown, "the kernel tells that terminal 1 is back")
	if err := v.Give(1); err != nil {
		t.Fatal(err)
	}
	if mode(t, "1") != kdText || ownerOf(t, "/dev/tty1") != 0 {
		t.Errorf("given back: mode %d, owner %d", mode(t, "1"), ownerOf(t, "/dev/tty1"))
	}
	if err := v.Show(2); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "terminal 2 is in front without a question", func() bool { return front() == 2 })
	if len(leave) > 0 {
		t.Error("the kernel asks about an ordinary terminal")
	}
	for _, vt := range []uint32{9, 2} { // 2 is in front
		if busy, err := v.Busy(vt); err != nil || busy {
			t.Errorf("terminal %d, which nobody uses, is busy: %v, %v", vt, busy, err)
		}
	}
	held, err := v.open(9)
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := v.Busy(9); err != nil || !busy {
		t.Errorf("a terminal that is open is not busy: %v, %v", busy, err)
	}
	held.Close()
	if err := v.Reserve(3); err != nil {
		t.Fatal(err)
	}
	if busy, err := v.Busy(3); err != nil || busy {
		t.Errorf("the reserved terminal is busy for ourselves: %v, %v", busy, err)
	}
	tty0, err := v.open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty0.Close()
	if free, err := unix.IoctlGetInt(int(tty0.Fd()), 0x5600); err != nil || free == 3 { // VT_OPENQRY
		t.Errorf("the free terminal is %d, %v", free, err)
	}
}

func control(t *testing.T, f *os.File, request uint, value int) {
	t.Helper()
	if err := unix.IoctlSetInt(int(f.Fd()), request, value); err != nil {
		t.Fatalf("ioctl %#x: %v", request, err)
	}
}

// keyboard makes a keyboard with an A, a power key and a lid, and finds its node.
func keyboard(t *testing.T) (*os.File, session.DeviceID) {
	t.Helper()
	f, err := os.OpenFile("/dev/uinput", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	control(t, f, 0x40045564, evKey)
	control(t, f, 0x40045564, evSwitch)
	control(t, f, 0x40045565, 30)
	for _, code := range []int{keyEsc, 29, 42, 56} {
		control(t, f, 0x40045565, code)
	}
	control(t, f, 0x40045565, 116)
	control(t, f, 0x4004556d, swLid)
	setup := make([]byte, 92)
	copy(setup[8:], "dynamod test keyboard")
	if err := ioctl(f.Fd(), 0x405c5503, unsafe.Pointer(&setup[0])); err != nil {
		t.Fatal(err)
	}
	control(t, f, 0x5501, 0)
	var id session.DeviceID
	testkit.Eventually(t, "the keyboard is there", func() bool {
		names, _ := filepath.Glob("/sys/class/input/event*/device/name")
		for _, n := range names {
			if data, err := os.ReadFile(n); err == nil && strings.HasPrefix(string(data), "dynamod test") {
				var st unix.Stat_t
				node := "/dev/input/" + filepath.Base(filepath.Dir(filepath.Dir(n)))
				if unix.Stat(node, &st) == nil {
					id = session.DeviceID{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
					return true
				}
			}
		}
		return false
	})
	return f, id
}

func press(t *testing.T, f *os.File, kind, code uint16, value int32) {
	t.Helper()
	raw := make([]byte, 2*inputEventSize) // the second is SYN_REPORT
	tail := raw[inputEventSize-8:]
	binary.NativeEndian.PutUint16(tail, kind)
	binary.NativeEndian.PutUint16(tail[2:], code)
	binary.NativeEndian.PutUint32(tail[4:], uint32(value))
	if _, err := f.Write(raw); err != nil {
		t.Fatal(err)
	}
}

// A revoked input device yields nothing any more, not by a copy of the descriptor either;
// woken, it is another descriptor that works (W70 of the original).
func TestRealInput(t *testing.T) {
	kbd, id := keyboard(t)
	n, err := New("/").Find(id)
	if err != nil || n.Kind != session.Input || n.Seat != "seat0" {
		t.Fatalf("%+v, %v", n, err)
	}
	f, err := n.Open()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	if flags, err := unix.FcntlInt(uintptr(copied), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("the descriptor blocks: %#x, %v", flags, err)
	}
	buf := make([]byte, 1024)
	hears := func(fd int) bool {
		k, err := unix.Read(fd, buf)
		return err == nil && k > 0
	}
	press(t, kbd, evKey, 30, 1)
	testkit.Eventually(t, "the key is heard", func() bool { return hears(copied) })
	press(t, kbd, evKey, 30, 0)
	if err := n.Mute(f); err != nil {
		t.Fatal(err)
	}
	press(t, kbd, evKey, 30, 1)
	if _, err := unix.Read(copied, buf); err != unix.ENODEV {
		t.Errorf("a revoked device is read: %v", err)
	}
	again, err := n.Wake(f)
	if err != nil || again == f {
		t.Fatalf("%v, %v", again, err)
	}
	press(t, kbd, evKey, 30, 0)
	testkit.Eventually(t, "the new descriptor hears", func() bool { return hears(int(again.Fd())) })
	if _, err := unix.Read(copied, buf); err != unix.ENODEV {
		t.Errorf("the old descriptor works again: %v", err)
	}
}

// Of a keyboard, the machine's keys and switches are heard, and not what is typed.
func TestRealSwitches(t *testing.T) {
	kbd, id := keyboard(t)
	n, err := New("/").Find(id)
	if err != nil {
		t.Fatal(err)
	}
	press(t, kbd, evSwitch, swLid, 1)
	told := make(chan session.Event, 64)
	f := newFollower(New("/"), slog.New(slog.DiscardHandler), func(e session.Event) {
		if _, ok := e.(session.Sleeps); !ok {
			told <- e
		}
	})
	f.listen("/devices/test", &uevent.Device{Props: map[string]string{"DEVNAME": strings.TrimPrefix(n.Path, "/dev/")}})
	f.around()
	if l, ok := testkit.Receive(t, told, "what is around").(session.Lid); !ok || !l.Closed {
		t.Errorf("the lid was closed before: %+v", l)
	}
	press(t, kbd, evKey, 30, 1)
	press(t, kbd, evKey, 116, 1)
	press(t, kbd, evKey, 116, 0)
	press(t, kbd, evSwitch, swLid, 0)
	for _, want := range []session.Event{session.Key{Name: "power", Down: true}, session.Key{Name: "power"}} {
		if got := testkit.Receive(t, told, "keys"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if l, ok := testkit.Receive(t, told, "the lid").(session.Lid); !ok || l.Closed {
		t.Errorf("the lid is open: %+v", l)
	}
	// Ctrl+Alt+Shift+Esc, while it is asked for; otherwise the kernel says nothing of it.
	box := f.boxes["/devices/test"]
	for _, on := range []bool{true, false} {
		f.attend(on)
		for _, code := range []uint16{29, 42, 56, 30, keyEsc} {
			press(t, kbd, evKey, code, 1)
		}
		press(t, kbd, evKey, 116, 1)
		if on {
			if got := testkit.Receive(t, told, "the four keys"); got != (session.Attention{Seat: "seat0"}) {
				t.Errorf("got %+v", got)
			}
		}
		if got := testkit.Receive(t, told, "a key after them"); got != (session.Key{Name: "power", Down: true}) {
			t.Errorf("asked for %v: got %+v", on, got)
		}
		f.mu.Lock()
		if (box.chord != 0) != on {
			t.Errorf("asked for %v: the modifiers are %#x", on, box.chord)
		}
		f.mu.Unlock()
		for _, code := range []uint16{29, 42, 56, 30, keyEsc, 116} {
			press(t, kbd, evKey, code, 0)
		}
		testkit.Receive(t, told, "the key goes up")
	}
	f.forget("/devices/test")
	f.work.Wait()
}

// A raw HID device is revoked like an input device.
func TestRealHidraw(t *testing.T) {
	f, err := os.OpenFile("/dev/uhid", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// UHID_CREATE2 of linux/uhid.h; a vendor's report of one byte.
	report := []byte{0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x01, 0x09, 0x01, 0x81, 0x02, 0xc0}
	var b bytes.Buffer
	name := make([]byte, 128+64+64)
	copy(name, "dynamod test HID")
	for _, v := range []any{uint32(11), name, uint16(len(report)), uint16(3), uint32(0x1209), uint32(1), uint32(0), uint32(0), report, make([]byte, 4096-len(report))} {
		if err := binary.Write(&b, binary.NativeEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	var id session.DeviceID
	testkit.Eventually(t, "the device is there", func() bool {
		var st unix.Stat_t
		if unix.Stat("/dev/hidraw0", &st) != nil {
			return false
		}
		id = session.DeviceID{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
		return true
	})
	n, err := New("/").Find(id)
	if err != nil || n.Kind != session.Hidraw {
		t.Fatalf("%+v, %v", n, err)
	}
	h, err := n.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	buf := make([]byte, 16)
	if _, err := unix.Read(int(h.Fd()), buf); err != unix.EAGAIN {
		t.Errorf("a fresh device says %v", err)
	}
	if err := n.Mute(h); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Read(int(h.Fd()), buf); !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EIO) {
		t.Errorf("a revoked device says %v", err)
	}
}
