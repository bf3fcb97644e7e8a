package uevent

import (
	"encoding/binary"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// udevMessage is a message as udev sends it.
func udevMessage(vars ...string) []byte {
	body := strings.Join(vars, "\x00") + "\x00"
	b := make([]byte, 40)
	copy(b, "libudev\x00")
	binary.BigEndian.PutUint32(b[8:], udevMagic)
	for i, n := range []int{40, 40, len(body)} {
		binary.NativeEndian.PutUint32(b[12+4*i:], uint32(n))
	}
	return append(b, body...)
}

func TestParse(t *testing.T) {
	e, err := ParseUdev(udevMessage("ACTION=add", "DEVPATH=/devices/x/block/sda", "TAGS=:systemd:old:", "CURRENT_TAGS=:systemd:",
		"DEVLINKS=/dev/disk/by-id/a /dev/disk/../../etc /dev/b", "SYSTEMD_WANTS=a.service b.service"))
	if err != nil || e.Action != "add" || e.DevPath != "/devices/x/block/sda" {
		t.Fatalf("%+v, %v", e, err)
	}
	if d := e.Device(); !d.Has("systemd") || d.Has("old") || !reflect.DeepEqual(d.Links, []string{"/dev/disk/by-id/a", "/dev/b"}) {
		t.Errorf("%+v", d)
	}
	// One list before udev 247; after it, no CURRENT_TAGS is that there are none.
	for version, has := range map[string]bool{"": true, "1": false} {
		if d := (Event{Props: map[string]string{"TAGS": ":uaccess:", "UDEV_DATABASE_VERSION": version}}).Device(); d.Has("uaccess") != has {
			t.Errorf("database version %q: %+v", version, d)
		}
	}
	k, err := ParseKernel([]byte("remove@/devices/y\x00ACTION=remove\x00DEVPATH=/devices/y\x00SUBSYSTEM=net\x00SEQNUM=7\x00"))
	if err != nil || k.Action != "remove" || k.Props["SUBSYSTEM"] != "net" {
		t.Errorf("%+v, %v", k, err)
	}
	short := udevMessage("ACTION=add", "DEVPATH=/x/y")
	binary.NativeEndian.PutUint32(short[20:], 1<<31)
	for _, bad := range [][]byte{nil, []byte("libudev"), short, udevMessage("ACTION=add"), udevMessage("ACTION=add", "DEVPATH=/a/../b"),
		[]byte("add@\x00"), []byte("@/x\x00"), []byte("add@relative\x00")} {
		if e, err := ParseUdev(bad); err == nil {
			t.Errorf("%q was taken as %+v", bad, e)
		}
		if e, err := ParseKernel(bad); err == nil {
			t.Errorf("%q was taken as %+v", bad, e)
		}
	}
}

func TestParseData(t *testing.T) {
	d := ParseData([]byte("S:disk/by-id/x\nS:../../etc/passwd\nI:123\nE:ID_MODEL=A disk\nE:SYSTEMD_READY=0\nG:systemd\nG:uaccess\nQ:systemd\nV:1\n"))
	if !d.Has("systemd") || d.Has("uaccess") || d.Props["ID_MODEL"] != "A disk" || !reflect.DeepEqual(d.Links, []string{"/dev/disk/by-id/x"}) {
		t.Errorf("%+v", d)
	}
	if d := ParseData([]byte("G:systemd\nV:1\n")); d.Has("systemd") {
		t.Error("a tag of the past counts")
	}
	if d := ParseData([]byte("G:systemd\n")); !d.Has("systemd") {
		t.Error("the one list of an old udev does not count")
	}
}

// What root sends to udev's group is received, and the end of the socket ends Next.
func TestListen(t *testing.T) {
	l, err := Listen(Kernel, Udev)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: uint32(Udev)}
	if err := unix.Sendto(fd, []byte("rubbish"), 0, to); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, udevMessage("ACTION=test", "DEVPATH=/devices/test", "MARK=TestListen"), 0, to); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for {
		e, from, dropped, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		lost += dropped
		if e.Props["MARK"] == "TestListen" {
			if from != Udev || lost == 0 {
				t.Errorf("from %d, %d dropped", from, lost)
			}
			break
		}
	}
	done := make(chan error, 1)
	go func() { // ends with Close
		for {
			if _, _, _, err := l.Next(); err != nil {
				done <- err
				return
			}
		}
	}()
	l.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// No message, however made, gives a path that leads elsewhere.
func FuzzMessages(f *testing.F) {
	f.Add(udevMessage("ACTION=add", "DEVPATH=/devices/x", "DEVLINKS=/dev/a", "TAGS=:x:"))
	f.Add([]byte("add@/devices/x\x00SUBSYSTEM=net\x00"))
	f.Add([]byte("S:x\nE:A=b\nQ:systemd\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var ds []Device
		for _, parse := range []func([]byte) (Event, error){ParseUdev, ParseKernel} {
			if e, err := parse(b); err == nil {
				if !cleanPath(e.DevPath) || e.Action == "" {
					t.Errorf("%+v", e)
				}
				ds = append(ds, e.Device())
			}
		}
		for _, d := range append(ds, ParseData(b)) {
			for _, l := range d.Links {
				if !strings.HasPrefix(l, "/dev/") || strings.Contains(l, "/../") {
					t.Errorf("link %q", l)
				}
			}
		}
		ParseVariables(b)
	})
}
