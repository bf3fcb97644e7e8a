//go:build vm

package scenarios

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/desktop-tests/bootable"
	"dynamod/desktop-tests/internal/picture"
	"dynamod/desktop-tests/vm"
)

// spy is a compositor that gives nothing back: as long as PID is in front, it takes the
// descriptors of its input devices (pidfd_open(2), pidfd_getfd(2): the same open files),
// keeps them when that one goes to the back, and reads them until FILE.stop is there.
const spy = `#!/usr/bin/perl
use strict; use IO::Handle;
my ($pid, $file) = @ARGV;
my (@all, $bytes, $errors);
my $p = syscall(434, $pid + 0, 0);
die "pidfd_open: $!" if $p < 0;
for my $l (glob("/proc/$pid/fd/*")) {
	next unless readlink($l) =~ m{^/dev/input/event};
	my ($n) = $l =~ /(\d+)$/;
	my $fd = syscall(438, $p, $n + 0, 0);
	die "pidfd_getfd: $!" if $fd < 0;
	open(my $f, "+<&=", $fd) or die $!;
	my $name = "\0" x 256;
	ioctl($f, 0x81004506, $name) or die "EVIOCGNAME while in front: $!";
	push @all, $f;
}
sub note { open(my $o, ">", "$file.$_[0]") or die $!; print $o $_[1]; }
note("holds", scalar @all);
until (-e "$file.begin") { select(undef, undef, undef, 0.05) }
until (-e "$file.stop") {
	$errors = 0;
	for my $f (@all) {
		my $n = sysread($f, my $buf, 4096);
		if (defined $n) { $bytes += $n } elsif ($!{ENODEV}) { $errors++ }
	}
	select(undef, undef, undef, 0.02);
}
note("result", ($bytes + 0) . " bytes, " . (@all - $errors) . " alive");
`

// twoUsers is shell that knows who may use the graphics card.
const twoUsers = waits + `
may() { runuser -u $1 -- test -w /dev/dri/card0; }
only() { may $1 && ! may $2; }
neither() { ! may user && ! may other; }
spies() { perl /root/spy $(pgrep -xo -u $1 sway) /tmp/spy.$1 & until_ spy-of-$1 test -s /tmp/spy.$1.holds; same devices-of-$1 "$([ $(cat /tmp/spy.$1.holds) -ge 2 ] && echo several)" several; }
caught() { touch /tmp/spy.$1.stop; until_ result-$1 test -s /tmp/spy.$1.result; same revoked-of-$1 "$(cat /tmp/spy.$1.result)" "0 bytes, 0 alive"; }
by() { same typed-by-$1 "$(stat -c %U /tmp/$2)" $1; }
`

// TestTwoCompositors: two users have a sway each, on two terminals of one seat. The screen, the
// keyboard and the access lists are those of the one in front, whatever the other one has
// kept open; then the same with a seatd, which libseat prefers.
func TestTwoCompositors(t *testing.T) {
	k := kernel(t)
	img, err := bootable.Sway(t.Context(), os.Stderr, map[string]vm.Source{"/root/waits": {Text: twoUsers}, "/root/spy": {Text: spy}})
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := img.MakeExt4(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	m := boot(t, vm.Spec{Name: "compositors", Kernel: k, Board: vm.Q35, Screen: true, Memory: 1536, Limit: 12 * time.Minute,
		Initramfs: ourInitramfs(t, k, false, bootable.SwayModules...),
		Append:    []string{"root=LABEL=" + bootable.DebianLabel, "rootfstype=ext4", "init=" + bootable.InitPrograms["dynamod"]},
		Disks:     []vm.Drive{{File: disk}}})
	login(t, m)
	ask := func(line string) { t.Helper(); asks(t, m, line) }
	to := func(key, tty string) {
		t.Helper()
		if err := m.SendKeys("ctrl", "alt", key); err != nil {
			t.Fatal(err)
		}
		ask("until_ front-" + tty + " front " + tty)
	}
	comes := func(user, tty string) {
		t.Helper()
		ask("until_ prompt-" + tty + " pgrep -t " + tty + " agetty")
		for _, r := range user {
			press(t, m, string(r))
		}
		press(t, m, "ret")
		ask("until_ sway-of-" + user + " pgrep -x -u " + user + " sway; until_ bar-of-" + user + " pgrep -x -u " + user + " swaybar; until_ foot-of-" + user + " pgrep -x -u " + user + " foot")
	}
	goes := func(user string) {
		t.Helper()
		if err := m.SendKeys("meta_l", "q"); err != nil {
			t.Fatal(err)
		}
		ask("gone() { ! pgrep -u " + user + "; }; until_ left-" + user + " gone")
	}
	// sameAs waits until the screen is what it was.
	sameAs := func(name, file string) {
		t.Helper()
		before, err := picture.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if d := picture.Differs(before, screen(t, m, name)); d < 0.5 {
				return
			}
			ask("pgrep -x sway")
		}
		t.Errorf("%s: not the same picture as before", name)
	}
	typed(t, m, ". ./waits", "# ")
	comes("user", "tty1")
	keyboard(t, m, "a")
	ask("by user a; only user other; same first-alone $? 0; spies user")
	users := filepath.Join(m.Dir, "users.png")
	screen(t, m, "users")
	to("f2", "tty2")
	ask("until_ nobody-in-front neither; touch /tmp/spy.user.begin")
	comes("other", "tty2")
	keyboard(t, m, "b")
	ask("by other b; only other user; same second-alone $? 0; spies other; caught user; loginctl")
	screen(t, m, "others")
	to("f1", "tty1")
	ask("until_ first-again only user other; touch /tmp/spy.other.begin")
	sameAs("users-again", users)
	keyboard(t, m, "c")
	ask("by user c; caught other")
	goes("user")
	to("f2", "tty2")
	ask("until_ second-again only other user")
	sameAs("others-again", filepath.Join(m.Dir, "others.png"))
	keyboard(t, m, "d")
	ask("by other d")
	goes("other")
	ask("until_ no-acl neither; alone() { test -z \"$(loginctl --no-legend | grep -v root)\"; }; until_ no-session alone")
	// seatd has the devices now, for members of the group video.
	ask("rm /etc/systemd/system/seatd.service; usermod -aG video user; check reload systemctl daemon-reload; check seatd systemctl start seatd; until_ seatd-socket test -S /run/seatd.sock; rm -f /tmp/sway.*.log")
	to("f1", "tty1")
	comes("user", "tty1")
	ask("grep -o \"backend 'seatd'\" /tmp/sway.user.log; same seatd-is-used $? 0")
	keyboard(t, m, "e")
	ask("by user e")
	screen(t, m, "seatd")
	to("f2", "tty2")
	ask("until_ prompt-beside-seatd pgrep -t tty2 agetty")
	if got := picture.Share(screen(t, m, "seatd-away"), bootable.Wallpaper); got > 1 {
		t.Errorf("%.1f %% of the screen is sway's on another terminal", got)
	}
	to("f1", "tty1")
	sameAs("seatd-again", filepath.Join(m.Dir, "seatd.png"))
	keyboard(t, m, "f")
	goes("user")
	ask("until_ prompt-again pgrep -t tty1 agetty; until_ no-acl-again acl no")
	typed(t, m, "echo done >/dev/vport0p1; kill -TERM 1", "")
	finish(t, m)
}
