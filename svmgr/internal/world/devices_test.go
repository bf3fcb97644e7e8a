package world

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// machineTree is a /sys, /dev and /run/udev in a directory.
type machineTree struct {
	t    *testing.T
	root string
}

func (m *machineTree) write(path, text string) {
	m.t.Helper()
	p := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machineTree) link(path, to string) {
	m.t.Helper()
	p := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(to, p); err != nil {
		m.t.Fatal(err)
	}
}

// udevSays sends what udev would.
func udevSays(t *testing.T, vars ...string) {
	t.Helper()
	body := strings.Join(vars, "\x00") + "\x00"
	b := make([]byte, 40)
	copy(b, "libudev\x00\xfe\xed\xca\xfe")
	for i, n := range []int{40, 40, len(body)} {
		binary.NativeEndian.PutUint32(b[12+4*i:], uint32(n))
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, append(b, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 2}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) device(name string) core.DeviceAppeared {
	r.t.Helper()
	for {
		if e, ok := r.event().(core.DeviceAppeared); ok && e.Unit == name {
			return e
		}
	}
}

// What is in udev's database at the start and what udev says later become units:
// path, node, links, aliases, description, wanted units.
func TestDevices(t *testing.T) {
	m := &machineTree{t, t.TempDir()}
	m.write("sys/devices/pci0/block/sda/uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\n")
	m.link("sys/dev/block/8:0", "../../devices/pci0/block/sda")
	m.write("udev/tags/systemd/b8:0", "")
	m.write("udev/data/b8:0", "S:disk/by-id/x\nE:ID_MODEL=A disk\nE:SYSTEMD_WANTS=scrub@.service\nG:systemd\nQ:systemd\nV:1\n")
	m.write("sys/devices/net/wlan0/uevent", "INTERFACE=wlan0\n")
	m.write("sys/devices/net/wlan0/ifindex", "3\n")
	m.link("sys/class/net/wlan0", "../../devices/net/wlan0")
	m.write("udev/tags/systemd/n3", "")
	m.write("udev/data/n3", "E:SYSTEMD_ALIAS=/sys/subsystem/net/devices/wlan0 relative\nQ:systemd\nV:1\n")
	m.write("udev/tags/systemd/b9:9", "") // gone meanwhile
	m.write("udev/tags/systemd/+leds:a!b", "")
	m.write("udev/data/+leds:a!b", "Q:systemd\nV:1\n")
	m.write("sys/devices/leds/a!b/uevent", "")
	m.link("sys/class/leds/a/b", "../../../devices/leds/a!b")
	loaded := service(t, "scrub@sys-devices-pci0-block-sda.service", "ExecStart=/bin/true")
	r := newRig(t, func(c *Config) {
		c.Foreign, c.DeviceRoot = true, m.root
		c.Plugged = []string{"dev-sda.device", "dev-pulled.device"} // by the manager before
		c.Load = func(name string) *unit.Unit {
			if name == loaded.Name {
				return loaded
			}
			return nil
		}
	})
	if e := until[core.Loaded](r); e.Units[0] != loaded {
		t.Errorf("loaded %v", e.Units)
	}
	if e := r.device("sys-devices-pci0-block-sda.device"); e.Gone || e.Description != "A disk" || e.Wants != loaded.Name {
		t.Errorf("%+v", e)
	}
	r.device("dev-sda.device")
	if e := r.device(`dev-disk-by\x2did-x.device`); e.Wants != "" {
		t.Errorf("a link wants %q too", e.Wants)
	}

	if e := r.device("dev-pulled.device"); !e.Gone {
		t.Errorf("%+v", e)
	}
	base := []string{"DEVPATH=/devices/pci0/block/sda", "DEVNAME=/dev/sda", "MAJOR=8", "MINOR=0", "CURRENT_TAGS=:systemd:"}
	say := func(more ...string) { udevSays(t, append(append([]string{}, base...), more...)...) }
	say("ACTION=change", "DEVLINKS=/dev/disk/by-label/new")
	if e := r.device(`dev-disk-by\x2did-x.device`); !e.Gone {
		t.Errorf("%+v", e)
	}
	if e := r.device("dev-sda.device"); e.Gone || !e.Changed {
		t.Errorf("%+v", e)
	}
	if e := r.device(`dev-disk-by\x2dlabel-new.device`); e.Gone || e.Changed {
		t.Errorf("%+v", e)
	}
	say("ACTION=change", "SYSTEMD_READY=0")
	if e := r.device("dev-sda.device"); !e.Gone {
		t.Errorf("not ready: %+v", e)
	}
	say("ACTION=change", "SYSTEMD_READY=1")
	if e := r.device("dev-sda.device"); e.Gone {
		t.Errorf("ready: %+v", e)
	}
	// Another device with the same link: it stays until both are gone.
	say("ACTION=change", "DEVLINKS=/dev/shared")
	r.device("dev-shared.device")
	udevSays(t, "ACTION=add", "DEVPATH=/devices/sdb", "DEVNAME=/dev/sdb", "MAJOR=8", "MINOR=16", "CURRENT_TAGS=:systemd:", "DEVLINKS=/dev/shared")
	r.device("dev-shared.device")
	udevSays(t, "ACTION=remove", "DEVPATH=/devices/pci0/block/sda")
	if e := r.device("dev-sda.device"); !e.Gone {
		t.Errorf("%+v", e)
	}
	udevSays(t, "ACTION=remove", "DEVPATH=/devices/sdb")
	for {
		e, ok := r.event().(core.DeviceAppeared)
		if ok && e.Unit == "dev-shared.device" {
			if !e.Gone {
				t.Errorf("%+v", e)
			}
			break
		}
		if ok && e.Unit == "dev-sdb.device" && !e.Gone {
			t.Errorf("%+v", e)
		}
	}
	// Not tagged: no unit, whatever else it is.
	udevSays(t, "ACTION=add", "DEVPATH=/devices/quiet", "CURRENT_TAGS=:uaccess:", "TAGS=:systemd:")
	udevSays(t, "ACTION=add", "DEVPATH=/devices/loud", "CURRENT_TAGS=:systemd:")
	for {
		e, ok := r.event().(core.DeviceAppeared)
		if ok && e.Unit == "sys-devices-quiet.device" {
			t.Error("a device without the tag is a unit")
		}
		if ok && e.Unit == "sys-devices-loud.device" {
			break
		}
	}
}

// Where there is no udev the kernel's devices of three kinds are units, until udev
// comes.
func TestDevicesWithoutUdev(t *testing.T) {
	m := &machineTree{t, t.TempDir()}
	m.write("sys/devices/vda/uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\n")
	m.link("sys/class/block/vda", "../../devices/vda")
	m.write("sys/devices/eth0/uevent", "INTERFACE=eth0\n")
	m.link("sys/class/net/eth0", "../../devices/eth0")
	m.write("sys/devices/ttyS0/uevent", "MAJOR=4\nMINOR=64\nDEVNAME=ttyS0\n")
	m.link("sys/class/tty/ttyS0", "../../devices/ttyS0")
	r := newRig(t, func(c *Config) { c.Foreign, c.DeviceRoot = true, m.root })
	want := map[string]bool{"dev-vda.device": true, "sys-subsystem-net-devices-eth0.device": true, "dev-ttyS0.device": true, "sys-devices-vda.device": true}
	for len(want) > 0 {
		if e, ok := r.event().(core.DeviceAppeared); ok && !e.Gone {
			delete(want, e.Unit)
		}
	}
	udevSays(t, "ACTION=add", "DEVPATH=/devices/new", "CURRENT_TAGS=:systemd:")
	for gone := false; ; {
		e, ok := r.event().(core.DeviceAppeared)
		gone = gone || ok && e.Unit == "dev-vda.device" && e.Gone
		if ok && e.Unit == "sys-devices-new.device" {
			if !gone {
				t.Error("what udev does not know is still a unit")
			}
			break
		}
	}
}
