//go:build vm

package scenarios

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/internal/picture"
	"dynamod/desktop-tests/vm"
)

// waits is shell for "until it is so, at most a minute or so".
const waits = say + `
until_() { n=$1; shift; for i in $(seq 150); do if "$@" >/dev/null 2>&1; then say "ok $n"; return; fi; sleep 0.2; done
	say "FAIL $n: $* never came true"
	exec >/dev/vport0p2 2>&1; journalctl -b -n 60 --no-pager; tail -c 9000 /tmp/sway.*.log; for u in user@1000 autovt@tty2 getty@tty2; do dynamodctl status $u; dynamodctl why $u; dynamodctl logs $u; done; dynamodctl logs systemd-logind; cat /run/systemd/seats/seat0; loginctl; ps -eo pid,user,tty,args; exit; }
front() { [ "$(cat /sys/class/tty/tty0/active)" = "$1" ]; }
acl() { case $(ls -l /dev/dri/card0) in ??????????+*) [ "$1" = yes ];; *) [ "$1" = no ];; esac; }
nobody_left() { ! pgrep -u user; }
`

func swayDisk(t *testing.T) string {
	t.Helper()
	img, err := bootable.Sway(t.Context(), os.Stderr, map[string]vm.Source{"/root/waits": {Text: waits}})
	if err != nil {
		t.Fatal(err)
	}
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

// asks has root's shell on the serial console do something, and fails with it.
func asks(t *testing.T, m *vm.Machine, line string) {
	t.Helper()
	typed(t, m, "("+line+"); echo asked=$?", "asked=[0-9]+")
	if err := m.Results.Failures(); err != nil {
		t.Fatal(err)
	}
}

// keyboard says that the keyboard reaches the terminal on the screen: who has it makes the
// file /tmp/LETTER. After a switch sway opens it a moment after it has drawn, and what is
// pressed before that is for nobody.
func keyboard(t *testing.T, m *vm.Machine, letter string) {
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

// screen is what the machine shows.
func screen(t *testing.T, m *vm.Machine, name string) image.Image {
	t.Helper()
	file, err := m.Screenshot(name)
	if err != nil {
		t.Fatal(err)
	}
	img, err := picture.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the screen: %s", file)
	return img
}

// TestSway: a user logs in on the console of a Debian 13 that boots with dynamod, and an
// unmodified sway comes up through libseat's logind backend. It gets the keyboard, comes
// back after a switch of terminals and over a killed logind, and leaves nothing behind.
func TestSway(t *testing.T) {
	k := kernel(t)
	m := boot(t, vm.Spec{Name: "sway", Kernel: k, Board: vm.Q35, Screen: true, Memory: 1536, Limit: 12 * time.Minute,
		Initramfs: ourInitramfs(t, k, false, bootable.SwayModules...),
		Append:    []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms["dynamod"]},
		Disks:     []vm.Drive{{File: swayDisk(t), Keep: true}}})
	login(t, m)
	ask := func(line string) { t.Helper(); asks(t, m, line) }
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
	}{"wallpaper": {bootable.Wallpaper, 10}, "bar": {bootable.Bar, 1}, "terminal": {bootable.Paper, 40}} {
		if got := picture.Share(first, want.colour); got < want.least {
			t.Errorf("the %s covers %.1f %% of the screen; want %.0f or more", what, got, want.least)
		}
	}
	keyboard := func(letter string) { t.Helper(); keyboard(t, m, letter) }
	keyboard("k")
	before := screen(t, m, "before-switch")
	away := func(name string) {
		t.Helper()
		if err := m.SendKeys("ctrl", "alt", "f2"); err != nil {
			t.Fatal(err)
		}
		ask("until_ " + name + "-away front tty2; until_ " + name + "-prompt pgrep -t tty2 agetty; until_ " + name + "-no-acl acl no")
		if got := picture.Share(screen(t, m, name+"-away"), bootable.Wallpaper); got > 1 {
			t.Errorf("%s: %.1f %% of the screen is sway's on another terminal", name, got)
		}
		if err := m.SendKeys("ctrl", "alt", "f1"); err != nil {
			t.Fatal(err)
		}
		ask("until_ " + name + "-back front tty1; until_ " + name + "-acl acl yes")
		same := false
		for range 20 { // it draws when it has its devices again
			if d := picture.Differs(before, screen(t, m, name+"-back")); d < 0.5 {
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
