package fsck

import (
	"strings"
	"testing"
)

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		cmdline string
		want    Policy
		unknown string
	}{
		{"quiet", Policy{}, ""},
		{"fsck.mode=force fsck.repair=yes", Policy{Force, Yes}, ""},
		{"fsck.mode=skip fsck.repair=no", Policy{Skip, No}, ""},
		{"fsck.mode=force fsck.mode=auto", Policy{}, ""},
		{"forcefsck", Policy{Mode: Force}, ""},
		{"fastboot", Policy{Mode: Skip}, ""},
		{"fsck.mode=always fsck.repair=maybe", Policy{}, "fsck.mode=always fsck.repair=maybe"},
	} {
		p, unknown := ReadPolicy(c.cmdline)
		if p != c.want || strings.Join(unknown, " ") != c.unknown {
			t.Errorf("%q: %v, unknown %v; want %v, %s", c.cmdline, p, unknown, c.want, c.unknown)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		p    Policy
		s    Subject
		want string
	}{
		{Policy{}, Subject{"/dev/vda1", "ext4", false}, "fsck.ext4 -a /dev/vda1"},
		{Policy{Force, Yes}, Subject{"/dev/vda1", "ext4", false}, "fsck.ext4 -y -f /dev/vda1"},
		{Policy{Force, No}, Subject{"/dev/vda1", "vfat", false}, "fsck.vfat -n /dev/vda1"},
		{Policy{Mode: Skip}, Subject{"/dev/vda1", "ext4", false}, "skip: the kernel command line"},
		{Policy{}, Subject{"/dev/vda1", "ext4", true}, "skip: it is mounted read-write"},
		{Policy{}, Subject{"tmpfs", "tmpfs", false}, "skip: it is on no device"},
		{Policy{}, Subject{"/dev/loop0", "squashfs", false}, "skip: file systems of type squashfs"},
		{Policy{}, Subject{"/dev/vda1", "auto", false}, "skip: its type is not known"},
		{Policy{}, Subject{"/dev/vda1", "../../bin/sh", false}, "skip: file systems of type"},
	} {
		pl := c.p.For(c.s)
		got := pl.Checker + " " + strings.Join(pl.Args, " ")
		if pl.Skipped != "" {
			got = "skip: " + pl.Skipped
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%v %v: %s; want %s", c.p, c.s, got, c.want)
		}
	}
}

// Every code of fsck(8), alone and added up.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		code int
		want Verdict
		text string
	}{
		{0, Continue, "clean"},
		{1, Continue, "corrected"},
		{2, Reboot, "rebooted"},
		{3, Reboot, "corrected, the system must be rebooted"},
		{4, Fail, "uncorrected"},
		{6, Fail, "uncorrected"},
		{8, Fail, "could not do its work"},
		{16, Fail, "wrong way"},
		{32, Fail, "cancelled"},
		{128, Fail, "library"},
		{12, Fail, "uncorrected, the checker could not"},
		{-1, Fail, "killed"},
	} {
		got, text := Judge(c.code)
		if got != c.want || !strings.Contains(text, c.text) {
			t.Errorf("code %d: %v, %q; want %v, %q", c.code, got, text, c.want, c.text)
		}
	}
	for code := range 256 {
		v, text := Judge(code)
		if text == "" || (code&^3 != 0) != (v == Fail) {
			t.Errorf("code %d: %v, %q", code, v, text)
		}
	}
}
