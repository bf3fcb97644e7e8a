//go:build vm

package scenarios

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// The colours of the screen, so that a picture can be told from another.
var (
	wallpaper = color.RGBA{0x20, 0x60, 0x40, 0xff}
	barColour = color.RGBA{0x80, 0x20, 0x60, 0xff}
	paper     = color.RGBA{0xf0, 0xe0, 0xc0, 0xff}
)

// swayConfig has a picture that stands still: no clock, no cursor that blinks.
const swayConfig = `output * bg #206040 solid_color
default_border pixel 4
seat * hide_cursor 1000
bar {
	position top
	status_command while echo ready; do sleep 3600; done
	colors {
		background #802060
	}
}
bindsym Mod4+q exec swaymsg exit
exec swaymsg 'workspace 1; gaps outer all set 60'
exec foot -o colors.background=f0e0c0 -o colors.foreground=000000 -o cursor.blink=no sh -c 'loginctl session-status >/tmp/inside 2>&1; exec sh'
`

// waits is shell for "until it is so, at most a minute or so".
const waits = say + `
until_() { n=$1; shift; for i in $(seq 150); do if "$@" >/dev/null 2>&1; then say "ok $n"; return; fi; sleep 0.2; done
	say "FAIL $n: $* never came true"
	exec >/dev/vport0p2 2>&1; journalctl -b -n 60 --no-pager; tail -c 9000 /tmp/sway.log; for u in user@1000 autovt@tty2 getty@tty2; do dynamodctl status $u; dynamodctl why $u; dynamodctl logs $u; done; dynamodctl logs systemd-logind; cat /run/systemd/seats/seat0; loginctl; ps -eo pid,user,tty,args; exit; }
front() { [ "$(cat /sys/class/tty/tty0/active)" = "$1" ]; }
acl() { case $(ls -l /dev/dri/card0) in ??????????+*) [ "$1" = yes ];; *) [ "$1" = no ];; esac; }
nobody_left() { ! pgrep -u user; }
`

func swayDisk(t *testing.T) string {
	t.Helper()
	top, err := vm.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := debtree.Ensure(t.Context(), debtree.Sway, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	with := func(file, line string) vm.Source {
		text, err := os.ReadFile(filepath.Join(tree, file))
		if err != nil {
			t.Fatal(err)
		}
		return vm.Source{Text: string(text) + line + "\n"}
	}
	img, err := bootable.Debian{Recipe: debtree.Sway, Files: map[string]vm.Source{
		"/etc/dynamod/services/systemd-logind.toml":    {Host: filepath.Join(top, "config/shadow/systemd-logind.toml")},
		"/etc/dynamod/services/dynamod-sd1bridge.toml": {Text: bridgeService},
		"/etc/passwd":                   with("etc/passwd", "user:x:1000:1000::/home/user:/bin/bash"),
		"/etc/group":                    with("etc/group", "user:x:1000:"),
		"/etc/tmpfiles.d/home.conf":     {Text: "d /home/user 0700 user user\nL /home/user/.config - - - - /etc/skel/.config\nL /home/user/.bash_profile - - - - /etc/skel/.bash_profile\n"},
		"/etc/skel/.config/sway/config": {Text: swayConfig},
		"/etc/skel/.bash_profile":       {Text: "[ \"$(tty)\" = /dev/tty1 ] && WLR_RENDERER=pixman exec sway -d >/tmp/sway.log 2>&1\n"},
		"/root/waits":                   {Text: waits},
	}}.Image(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	shadow := img.Files["/etc/shadow"]
	shadow.Text += "user::20000:0:99999:7:::\n"
	img.Files["/etc/shadow"] = shadow
	disk := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	return disk
}

// press types on the machine's keyboard; words longer than a letter are QEMU's names.
func press(t *testing.T, m *vm.Machine, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if err := m.SendKeys(k); err != nil {
			t.Fatal(err)
		}
	}
}

// screen is what the machine shows.
func screen(t *testing.T, m *vm.Machine, name string) image.Image {
	t.Helper()
	file, err := m.Screenshot(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	t.Logf("the screen: %s", file)
	return img
}

// share is how much of a picture has a colour, in percent.
func share(img image.Image, want color.RGBA) float64 {
	n, b := 0, img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if r, g, bl, _ := img.At(x, y).RGBA(); uint8(r>>8) == want.R && uint8(g>>8) == want.G && uint8(bl>>8) == want.B {
				n++
			}
		}
	}
	return 100 * float64(n) / float64(b.Dx()*b.Dy())
}

// differs is how much of two pictures is not the same, in percent.
func differs(a, b image.Image) float64 {
	if a.Bounds() != b.Bounds() {
		return 100
	}
	n, r := 0, a.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				n++
			}
		}
	}
	return 100 * float64(n) / float64(r.Dx()*r.Dy())
}

// TestSway: a user logs in on the console of a Debian 13 that boots with dynamod, and an
// unmodified sway comes up through libseat's logind backend. It gets the keyboard, comes
// back after a switch of terminals and over a killed logind, and leaves nothing behind.
func TestSway(t *testing.T) {
	k := kernel(t)
	m := boot(t, vm.Spec{Name: "sway", Kernel: k, Board: vm.Q35, Screen: true, Memory: 1536, Limit: 12 * time.Minute,
		Initramfs: ourInitramfs(t, k, false, "virtio_blk", "ext4", "virtio_gpu", "virtio_input", "evdev"),
		Append:    []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms["dynamod"]},
		Disks:     []vm.Drive{{File: swayDisk(t), Keep: true}}})
	login(t, m)
	ask := func(line string) {
		t.Helper()
		typed(t, m, "("+line+"); echo asked=$?", "asked=[0-9]+")
		if err := m.Results.Failures(); err != nil {
			t.Fatal(err)
		}
	}
	typed(t, m, ". ./waits", "# ")
	ask("until_ prompt pgrep -t tty1 agetty")
	press(t, m, "u", "s", "e", "r", "ret")
	ask("until_ sway pgrep -x sway; until_ terminal test -s /tmp/inside; until_ bar pgrep -x swaybar")
	ask(`grep -q "Seat: seat0; vc1" /tmp/inside; same seat $? 0; grep -q "Type: wayland" /tmp/inside; same type $? 0; grep -q "State: active" /tmp/inside; same state $? 0; cat /tmp/inside`)
	ask("until_ user-manager systemctl is-active user@1000; until_ user-bus test -S /run/user/1000/bus; same user-units \"$(runuser -u user -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user is-active dbus.socket)\" active")
	ask("until_ acl acl yes; loginctl; ps -eo pid,user,tty,rss,args --sort=pid | tail -40")
	first := screen(t, m, "first")
	for what, want := range map[string]struct {
		colour color.RGBA
		least  float64
	}{"wallpaper": {wallpaper, 10}, "bar": {barColour, 1}, "terminal": {paper, 40}} {
		if got := share(first, want.colour); got < want.least {
			t.Errorf("the %s covers %.1f %% of the screen; want %.0f or more", what, got, want.least)
		}
	}
	// The keyboard reaches the terminal. After a switch sway opens it a moment after it
	// has drawn, and what is pressed before that is for nobody.
	keyboard := func(letter string) {
		t.Helper()
		for range 20 {
			press(t, m, "ret", "t", "o", "u", "c", "h", "spc", "slash", "t", "m", "p", "slash", letter, "ret")
			if err := m.Console.Send("for i in $(seq 15); do test -e /tmp/" + letter + " && break; sleep 0.2; done; test -e /tmp/" + letter + "; echo typed=$?\n"); err != nil {
				t.Fatal(err)
			}
			switch found, err := m.Console.Expect(t.Context(), "typed=[01]"); {
			case err != nil:
				t.Fatal(err)
			case found == "typed=0":
				return
			}
		}
		t.Fatalf("no key reaches the terminal (%s)", letter)
	}
	keyboard("k")
	before := screen(t, m, "before-switch")
	away := func(name string) {
		t.Helper()
		if err := m.SendKeys("ctrl", "alt", "f2"); err != nil {
			t.Fatal(err)
		}
		ask("until_ " + name + "-away front tty2; until_ " + name + "-prompt pgrep -t tty2 agetty; until_ " + name + "-no-acl acl no")
		if got := share(screen(t, m, name+"-away"), wallpaper); got > 1 {
			t.Errorf("%s: %.1f %% of the screen is sway's on another terminal", name, got)
		}
		if err := m.SendKeys("ctrl", "alt", "f1"); err != nil {
			t.Fatal(err)
		}
		ask("until_ " + name + "-back front tty1; until_ " + name + "-acl acl yes")
		same := false
		for range 20 { // it draws when it has its devices again
			if d := differs(before, screen(t, m, name+"-back")); d < 0.5 {
				same = true
				break
			}
			ask("pgrep -x sway")
		}
		if !same {
			t.Errorf("%s: not the same picture as before", name)
		}
	}
	away("switch")
	keyboard("m")
	ask("another() { new=$(pgrep -xo dynamod-logind) && [ $new != $old ]; }; old=$(pgrep -xo dynamod-logind); check kill kill -9 $old; until_ another-logind another; until_ logind-answers loginctl session-status 2; pgrep -x sway; same sway-stays $? 0")
	away("killed")
	keyboard("l")
	if err := m.SendKeys("meta_l", "q"); err != nil {
		t.Fatal(err)
	}
	ask("until_ sway-ends nobody_left; until_ acl-gone acl no; loginctl; until_ prompt-again pgrep -t tty1 agetty")
	typed(t, m, "echo done >/dev/vport0p1; kill -TERM 1", "")
	finish(t, m)
}
