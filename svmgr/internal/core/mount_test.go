package core

import (
	"testing"
	"time"

	"dynamod/internal/unit"
)

func TestMountNeedsTheKernelsWord(t *testing.T) {
	h := load(t, "data.mount || TimeoutSec=10", "a.service | RequiresMountsFor=/data |")
	j := h.start("a.service")
	h.is("data.mount", "starting/mounting")
	h.command("data.mount", 0)
	h.is("data.mount", "starting/mounting-done", "a.service", "inactive")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.is("data.mount", "active/mounted", "a.service", "active")
	h.wantResult(j, "done")

	h = load(t, "data.mount || TimeoutSec=10") // the helper is content, the kernel silent
	j = h.start("data.mount")
	h.command("data.mount", 0)
	h.advance(10 * time.Second)
	h.is("data.mount", "failed")
	h.wantResult(j, "timeout")

	h = load(t, "data.mount ||") // the kernel speaks first
	j = h.start("data.mount")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.is("data.mount", "starting/mounting")
	h.command("data.mount", 0)
	h.is("data.mount", "active/mounted")
	h.wantResult(j, "done")
}

func TestMountHelperFailsOrHangs(t *testing.T) {
	h := load(t, "data.mount || TimeoutSec=10", "a.service | Requires=data.mount; After=data.mount |", "b.service | Wants=data.mount; After=data.mount |")
	ja, jb := h.start("a.service"), h.start("b.service")
	h.command("data.mount", 32)
	h.is("data.mount", "failed", "b.service", "active")
	h.because("data.mount", CommandFailed)
	h.wantResult(ja, "dependency")
	h.wantResult(jb, "done")

	m := h.mark()
	j := h.start("data.mount")
	h.advance(10 * time.Second)
	h.did(m, "data.mount", "mount TERM CONT")
	h.advance(10 * time.Second)
	h.did(m, "data.mount", "mount TERM CONT kill-cgroup")
	h.command("data.mount", 1)
	h.is("data.mount", "failed")
	h.wantResult(j, "timeout")
}

// What others mount and unmount is believed, and what is bound follows.
func TestMountByOthers(t *testing.T) {
	h := load(t, "data.mount ||", "a.service | BindsTo=data.mount; After=data.mount |")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.is("data.mount", "active/mounted")
	h.start("a.service")
	h.tell(MountChanged{Unit: "data.mount"})
	h.is("data.mount", "inactive", "a.service", "stopping")
	h.because("data.mount", LostByKernel)
	h.tell(MountChanged{Unit: "usb.mount", Mounted: true}) // without a file
	h.is("usb.mount", "active/mounted")
	m := h.mark()
	h.stop("usb.mount")
	h.did(m, "usb.mount", "unmount")
	h.tell(MountChanged{Unit: "usb.mount"})
	h.command("usb.mount", 0)
	if i, ok := h.c.g.Lookup("usb.mount"); ok && h.c.g.Unit(i) != nil {
		t.Error("usb.mount is gone and still a unit")
	}
}

func TestUnmount(t *testing.T) {
	h := load(t, "data.mount || TimeoutSec=10")
	up := func() {
		h.start("data.mount")
		h.command("data.mount", 0)
		h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	}
	up()
	j := h.stop("data.mount")
	h.tell(MountChanged{Unit: "data.mount"}) // before the helper has ended
	h.is("data.mount", "stopping/unmounting")
	h.command("data.mount", 0)
	h.is("data.mount", "inactive")
	h.wantResult(j, "done")

	up()
	j = h.stop("data.mount") // busy
	h.command("data.mount", 32)
	h.is("data.mount", "active/mounted")
	h.wantResult(j, "failed")

	j = h.stop("data.mount")
	h.advance(10 * time.Second)
	h.command("data.mount", 1)
	h.is("data.mount", "active/mounted")
	if r := h.result(j); r != "failed" && r != "timeout" {
		t.Errorf("an unmount that hung ended %q", r)
	}
}

func TestRemount(t *testing.T) {
	h := load(t, "data.mount || TimeoutSec=10")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	j := h.reload("data.mount")
	h.is("data.mount", "reloading/remounting")
	h.command("data.mount", 0)
	h.wantResult(j, "done")
	j = h.reload("data.mount")
	h.command("data.mount", 32)
	h.is("data.mount", "active/mounted")
	h.wantResult(j, "failed")
	j = h.reload("data.mount")
	m := h.mark()
	h.advance(10 * time.Second)
	h.did(m, "data.mount", "TERM CONT")
	h.command("data.mount", 1)
	h.is("data.mount", "active/mounted")
	h.wantResult(j, "failed")
}

func TestSwap(t *testing.T) {
	h := load(t, "dev-sda2.swap || What=/dev/sda2; TimeoutSec=10", "dev-sda2.device ||")
	h.tell(DeviceAppeared{Unit: "dev-sda2.device"})
	j := h.start("dev-sda2.swap")
	h.is("dev-sda2.swap", "starting/activating")
	h.tell(MountChanged{Unit: "dev-sda2.swap", Mounted: true})
	h.command("dev-sda2.swap", 0)
	h.is("dev-sda2.swap", "active/active")
	h.wantResult(j, "done")
	j = h.stop("dev-sda2.swap")
	h.command("dev-sda2.swap", 1)
	h.is("dev-sda2.swap", "active/active")
	h.wantResult(j, "failed")
	h.stop("dev-sda2.swap")
	h.command("dev-sda2.swap", 0)
	h.tell(MountChanged{Unit: "dev-sda2.swap"})
	h.is("dev-sda2.swap", "inactive")
}

// A start job of a device waits for it, at most 90 s.
func TestDevice(t *testing.T) {
	h := load(t, "dev-a.device ||", "a.service | BindsTo=dev-a.device; After=dev-a.device |", "w.service | After=dev-a.device |", "dev-b.device | Wants=udev.service |", "udev.service ||")
	j := h.start("a.service")
	jw := h.start("w.service")
	h.advance(89 * time.Second)
	h.is("a.service", "inactive", "w.service", "inactive")
	h.tell(DeviceAppeared{Unit: "dev-a.device"})
	h.is("dev-a.device", "active/plugged", "a.service", "active", "w.service", "active")
	h.wantResult(j, "done")
	h.wantResult(jw, "done")
	h.tell(DeviceAppeared{Unit: "dev-a.device", Gone: true})
	h.is("a.service", "stopping", "w.service", "active")
	h.exit("a.service", 0)
	j = h.start("a.service")
	h.advance(90 * time.Second)
	h.wantResult(j, "dependency")
	h.is("a.service", "inactive")
	h.tell(DeviceAppeared{Unit: "dev-b.device"})
	h.is("udev.service", "active")
}

func TestScope(t *testing.T) {
	up := func(text string) *harness {
		h := load(t)
		h.tell(Loaded{Hold: true, Units: append(h.set.Units, buildUnit(t, "s.scope || "+text))})
		h.start("s.scope")
		h.is("s.scope", "starting/start-chown")
		a := adopt(h)
		h.tell(MainPID{Unit: "s.scope", Incarnation: a.Incarnation, Run: a.Run, Found: true})
		h.is("s.scope", "active/running")
		return h
	}
	h := up("")
	inc := h.view("s.scope").Incarnation
	h.tell(CgroupEmpty{Unit: "s.scope", Incarnation: inc})
	h.is("s.scope", "inactive")

	h = up("TimeoutStopSec=5; SendSIGHUP=yes")
	m := h.mark()
	j := h.stop("s.scope")
	h.did(m, "s.scope", "TERM HUP CONT")
	h.advance(5 * time.Second)
	h.did(m, "s.scope", "TERM HUP CONT kill-cgroup")
	h.tell(CgroupEmpty{Unit: "s.scope", Incarnation: h.view("s.scope").Incarnation})
	h.wantResult(j, "done")

	h = up("RuntimeMaxSec=60")
	h.advance(60 * time.Second)
	h.is("s.scope", "stopping")
	h.tell(CgroupEmpty{Unit: "s.scope", Incarnation: h.view("s.scope").Incarnation})
	h.is("s.scope", "failed")
	h.because("s.scope", RuntimeMax)
}

// A scope without processes fails to start.
func TestScopeWithoutProcesses(t *testing.T) {
	h := load(t)
	h.tell(Loaded{Hold: true, Units: append(h.set.Units, buildUnit(t, "s.scope || "))})
	j := h.start("s.scope")
	a := adopt(h)
	h.tell(MainPID{Unit: "s.scope", Incarnation: a.Incarnation, Run: a.Run})
	h.tell(CgroupEmpty{Unit: "s.scope", Incarnation: a.Incarnation})
	h.wantResult(j, "failed")
	h.is("s.scope", "failed")
}

// A target comes up when all it requires has; it goes when it is asked to.
func TestTarget(t *testing.T) {
	h := load(t, "x.target | Requires=a.service; Wants=b.service; After=a.service b.service |", "a.service || Type=notify", "b.service || Type=notify")
	j := h.start("x.target")
	h.ready("a.service")
	h.is("x.target", "inactive")
	h.exit("b.service", 1)
	h.is("x.target", "active")
	h.wantResult(j, "done")
	h.stop("a.service")
	h.is("x.target", "inactive", "a.service", "stopping")
}

// A stop between the helper's success and the kernel's word, or during a remount,
// leaves no cgroup of the first helper behind (the harness looks for it).
func TestMountStoppedHalfWay(t *testing.T) {
	h := load(t, "data.mount ||")
	h.start("data.mount")
	h.command("data.mount", 0)
	h.is("data.mount", "starting/mounting-done")
	h.stop("data.mount")
	h.command("data.mount", 0)
	h.is("data.mount", "inactive")
}

func TestMountStoppedDuringRemount(t *testing.T) {
	h := load(t, "data.mount ||")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.reload("data.mount")
	remount := h.control("data.mount")
	j := h.stop("data.mount")
	h.end(remount, Exited{Run: remount, Signal: sigKILL})
	h.settle()
	h.command("data.mount", 0)
	h.tell(MountChanged{Unit: "data.mount"})
	h.is("data.mount", "inactive")
	h.wantResult(j, "done")
}

// File systems can lie on top of each other: what is stopped is unmounted until
// nothing is left, but not for ever.
func TestUnmountAgain(t *testing.T) {
	h := load(t, "data.mount || TimeoutSec=10")
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	j := h.stop("data.mount")
	m := h.mark()
	h.command("data.mount", 0)
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.did(m, "data.mount", "remove-cgroup unmount")
	h.command("data.mount", 0)
	h.tell(MountChanged{Unit: "data.mount"})
	h.is("data.mount", "inactive")
	h.wantResult(j, "done")

	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	j = h.stop("data.mount")
	for range maxUnmounts + 1 {
		h.command("data.mount", 0)
		h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	}
	h.is("data.mount", "active/mounted")
	h.wantResult(j, "failed")

	j = h.stop("data.mount") // the last one vanished while it was tried again
	h.command("data.mount", 0)
	h.tell(MountChanged{Unit: "data.mount", Mounted: true})
	h.tell(MountChanged{Unit: "data.mount"})
	h.command("data.mount", 32)
	h.is("data.mount", "inactive")
	h.wantResult(j, "done")
}

// What others mount has what the kernel says of it, and is forgotten when it is
// gone.
func TestForeignMount(t *testing.T) {
	h := load(t, "umount.target ||")
	h.tell(MountChanged{Unit: "media-usb.mount", Mounted: true, What: "/dev/sdb1", Where: "/media/usb", FSType: "vfat", Options: "rw,x=50%"})
	h.is("media-usb.mount", "active/mounted")
	i, _ := h.c.g.Lookup("media-usb.mount")
	u := h.c.g.Unit(i)
	if what, opts := unit.What.Of(u), unit.MountOptions.Of(u); what != "/dev/sdb1" || opts != "rw,x=50%" || u.Path != "" {
		t.Errorf("what %q, options %q, path %q", what, opts, u.Path)
	}
	n := h.c.g.Len()
	h.tell(MountChanged{Unit: "media-usb.mount"})
	if i, ok := h.c.g.Lookup("media-usb.mount"); ok && h.c.g.Unit(i) != nil {
		t.Error("a foreign mount that is gone is still a unit")
	}
	for range 100 {
		h.tell(MountChanged{Unit: "media-usb.mount", Mounted: true, What: "/dev/sdb1", Where: "/media/usb"})
		h.tell(MountChanged{Unit: "media-usb.mount"})
	}
	if h.c.g.Len() > n {
		t.Errorf("the graph grew from %d to %d", n, h.c.g.Len())
	}
}

// A manager that ends by itself leaves the mounts of others alone; the machine's
// own file systems stay at every shutdown.
func TestShutdownLeavesMounts(t *testing.T) {
	for _, kind := range []ShutdownKind{Exit, Poweroff} {
		h := load(t, "data.mount ||", "umount.target ||")
		h.tell(MountChanged{Unit: "proc.mount", Mounted: true, What: "proc", Where: "/proc", FSType: "proc"})
		h.tell(MountChanged{Unit: "media-usb.mount", Mounted: true, What: "/dev/sdb1", Where: "/media/usb"})
		h.tell(MountChanged{Unit: "data.mount", Mounted: true})
		m := h.mark()
		h.tell(ShutdownRequested{Kind: kind})
		h.did(m, "proc.mount", "")
		h.did(m, "data.mount", "unmount")
		want := "unmount"
		if kind == Exit {
			want = ""
		}
		h.did(m, "media-usb.mount", want)
	}
}

// What udev says about a device: a description, units to start when it comes, and
// a reload of those who asked when it changes.
func TestDeviceFromUdev(t *testing.T) {
	h := load(t, "bt.service ||", "old.service | Wants=dev-old.device", "cfg.service | ReloadPropagatedFrom=dev-x.device | ExecReload=/bin/true")
	h.start("cfg.service")
	h.tell(DeviceAppeared{Unit: "dev-x.device", Description: "Disk 100%", Wants: "bt.service none.service"})
	h.is("dev-x.device", "active/plugged", "bt.service", "active")
	i, _ := h.c.g.Lookup("dev-x.device")
	if d := unit.Description.Of(h.c.g.Unit(i)); d != "Disk 100%" {
		t.Errorf("description %q", d)
	}
	h.obedient = true
	h.stop("bt.service")
	h.is("bt.service", "inactive")
	m := h.mark()
	h.tell(DeviceAppeared{Unit: "dev-x.device", Wants: "bt.service"}) // again, unchanged
	h.did(m, "bt.service", "")
	h.is("cfg.service", "active")
	h.tell(DeviceAppeared{Unit: "dev-x.device", Changed: true})
	h.did(m, "cfg.service", "reload")
	h.tell(DeviceAppeared{Unit: "dev-x.device", Gone: true})
	h.is("dev-x.device", "inactive")
}
