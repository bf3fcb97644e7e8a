package device

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/uevent"
	"dynamod/logind/internal/session"
)

// powerTag is that of input devices with keys and switches that are the machine's: udev
// gives it to everything with keys, keyboards too.
const powerTag = "power-switch"

// Types and codes of events (linux/input-event-codes.h).
const (
	evKey, evSwitch  = 1, 5
	synDropped       = 3 // of type 0
	swLid, swDock    = 0, 5
	keyMax, swMax    = 0x2ff, 0x10
	evGetSwitches    = 0x8004451b // EVIOCGSW of 4 bytes
	evSetMask        = 0x40104593
	evGetBits        = 0x80004520                             // EVIOCGBIT of type 0 and no bytes
	inputEventSize   = int(unsafe.Sizeof(unix.Timeval{})) + 8 // struct input_event
	inputEventsAtOne = 64
)

// keyNames are the keys that mean something here: 142 is KEY_SLEEP, which suspends, and
// 205 KEY_SUSPEND, which hibernates, as keyboards are labelled.
var keyNames = map[uint16]string{116: "power", 0x164: "power", 0x198: "reboot", 142: "suspend", 205: "hibernate"}

// switchBox is a device with keys or switches that is listened to.
type switchBox struct {
	file      *os.File
	lid, dock bool
	seat      string
	chord     chord
}

// bits sets the bits of codes in a mask, which is as long as whole words of the kernel:
// it takes no others.
func bits(size int, codes ...uint16) []byte {
	b := make([]byte, (size/64+1)*8)
	for _, c := range codes {
		b[c/8] |= 1 << (c % 8)
	}
	return b
}

// wanted are the keys and switches that are heard.
func wanted(attention bool) (keys, switches []byte) {
	codes := []uint16{}
	for c := range keyNames {
		codes = append(codes, c)
	}
	if attention {
		codes = append(codes, keyEsc)
		for c := range modifiers {
			codes = append(codes, c)
		}
	}
	return bits(keyMax, codes...), bits(swMax, swLid, swDock)
}

// listen opens a device with the tag, if it has any of the keys and switches. Of all
// others of its keys nothing is heard here: the kernel is told so.
func (f *Follower) listen(path string, dev *uevent.Device) {
	name := strings.TrimPrefix(dev.Props["DEVNAME"], "/dev/")
	if f.boxes[path] != nil || !filepath.IsLocal(name) {
		return
	}
	file, err := os.OpenFile(filepath.Join(f.m.root, "dev", name), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		f.log.Warn("a device with keys is not heard", "err", err)
		return
	}
	box := &switchBox{file: file, seat: seatOf(dev)}
	f.mu.Lock() // what is heard does not change before the device is among the boxes
	defer f.mu.Unlock()
	has, err := box.begin(f.attending)
	if err != nil || !has {
		if err != nil {
			f.log.Warn("a device with keys is not heard", "device", name, "err", err)
		}
		file.Close()
		return
	}
	f.boxes[path] = box
	f.work.Go(func() { // ends when the file is closed, or the device is gone
		var raw [inputEventsAtOne * inputEventSize]byte
		for {
			n, err := file.Read(raw[:])
			if err != nil {
				return
			}
			f.take(box, raw[:n-n%inputEventSize])
		}
	})
}

// maskRequest is struct input_mask, and what its address leads to.
type maskRequest struct {
	kind, size uint32
	at         uint64
	codes      []byte
}

// heap copies a slice to where it does not move.
//
//go:noinline
func heap(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// begin reads which switches are on, and has the kernel keep everything else to itself.
func (b *switchBox) begin(attention bool) (has bool, err error) {
	raw, err := b.file.SyscallConn()
	if err != nil {
		return false, err
	}
	keys, switches := wanted(true)
	err2 := raw.Control(func(fd uintptr) {
		for _, x := range []struct {
			kind int
			want []byte
		}{{evKey, keys}, {evSwitch, switches}} {
			got := make([]byte, len(x.want))
			if err = ioctl(fd, evGetBits+uintptr(x.kind)+uintptr(len(got))<<16, unsafe.Pointer(&got[0])); err != nil {
				return
			}
			for k := range got {
				has = has || got[k]&x.want[k] != 0
			}
		}
		// Scan codes, movements and the like: none of them.
		for kind := range uint32(0x16) {
			if codes := []byte{0, 0, 0, 0, 0, 0, 0, 0}; kind != 0 && kind != evKey && kind != evSwitch {
				_ = mask(fd, kind, codes) // kinds that a kernel does not know send nothing
			}
		}
		if err = mask(fd, evSwitch, switches); err != nil {
			return
		}
		var on [4]byte
		if err = ioctl(fd, evGetSwitches, unsafe.Pointer(&on[0])); err == nil {
			n := binary.NativeEndian.Uint32(on[:])
			b.lid, b.dock = n>>swLid&1 != 0, n>>swDock&1 != 0
		}
	})
	if err2 != nil {
		return false, err2
	}
	if err == nil {
		err = b.hear(attention)
	}
	return has, err
}

// hear has the kernel tell of the keys that mean something, and of no others.
func (b *switchBox) hear(attention bool) error {
	raw, err := b.file.SyscallConn()
	if err != nil {
		return err
	}
	keys, _ := wanted(attention)
	err2 := raw.Control(func(fd uintptr) { err = mask(fd, evKey, keys) })
	return errors.Join(err, err2)
}

// mask is EVIOCSMASK: of a kind of events, only those of these codes come.
func mask(fd uintptr, kind uint32, codes []byte) error {
	// The kernel follows the address in the structure, and Go does not see it as one: what
	// it names must not lie on the stack, which moves.
	held := &maskRequest{codes: heap(codes)}
	held.kind, held.size, held.at = kind, uint32(len(codes)), uint64(uintptr(unsafe.Pointer(&held.codes[0])))
	defer runtime.KeepAlive(held)
	return ioctl(fd, evSetMask, unsafe.Pointer(held))
}

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); e != 0 {
		return e
	}
	return nil
}

// take takes in events of a device.
func (f *Follower) take(b *switchBox, raw []byte) {
	for ; len(raw) >= inputEventSize; raw = raw[inputEventSize:] {
		tail := raw[inputEventSize-8:]
		kind, code, value := binary.NativeEndian.Uint16(tail), binary.NativeEndian.Uint16(tail[2:]), int32(binary.NativeEndian.Uint32(tail[4:]))
		switch name := keyNames[code]; {
		case kind == evKey && name != "" && (value == 0 || value == 1): // 2 is a repetition
			f.tell(session.Sleeps{Verbs: f.m.Sleeps()})
			f.tell(session.Key{Name: name, Down: value == 1})
		case kind == evKey && (code == keyEsc || modifiers[code] != 0):
			f.attention(b, code, value)
		case kind == 0 && code == synDropped:
			f.mu.Lock()
			b.chord = 0 // a key that went up may have been lost
			f.mu.Unlock()
		case kind == evSwitch && (code == swLid || code == swDock):
			f.mu.Lock()
			if code == swLid {
				b.lid = value != 0
			} else {
				b.dock = value != 0
			}
			f.mu.Unlock()
			f.tell(session.Sleeps{Verbs: f.m.Sleeps()})
			f.around()
		}
	}
}

// forget closes a device that is gone.
func (f *Follower) forget(path string) {
	if b := f.boxes[path]; b != nil {
		b.file.Close()
		f.mu.Lock()
		delete(f.boxes, path)
		f.mu.Unlock()
		f.around()
	}
}

// around tells what is around the machine, if that has changed: lid, dock, screens and
// power.
func (f *Follower) around() {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := session.Lid{Displays: f.m.displays(), External: f.m.External()}
	for _, b := range f.boxes {
		l.Closed, l.Docked = l.Closed || b.lid, l.Docked || b.dock
	}
	if l != f.lid {
		f.lid = l
		f.tell(l)
	}
}

// displays counts the screens that are connected.
func (m *Machine) displays() int {
	n := 0
	files, _ := filepath.Glob(filepath.Join(m.db.Sys, "class/drm/*/status")) // the pattern is right
	for _, path := range files {
		if m.short(path) == "connected" {
			n++
		}
	}
	return n
}

// External says that the machine has power from outside: a supply that is no battery is
// on line, or there is no battery that is being emptied.
func (m *Machine) External() bool {
	empties := false
	dirs, _ := filepath.Glob(filepath.Join(m.db.Sys, "class/power_supply/*")) // the pattern is right
	for _, d := range dirs {
		if m.short(filepath.Join(d, "scope")) == "Device" {
			continue // a mouse's battery
		}
		switch m.short(filepath.Join(d, "type")) {
		case "Battery":
			empties = empties || m.short(filepath.Join(d, "status")) == "Discharging"
		case "Mains", "USB":
			if m.short(filepath.Join(d, "online")) == "1" {
				return true
			}
		}
	}
	return !empties
}

// short reads one of the kernel's small files, "" if it is not there.
func (m *Machine) short(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
