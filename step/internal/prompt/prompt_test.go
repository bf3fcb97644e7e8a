package prompt

import (
	"strings"
	"testing"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		name, tty, term, installed, want, err string
	}{
		{"util-linux, a screen", "tty1", "", "agetty=/sbin/agetty getty=/sbin/agetty", "/sbin/agetty: agetty --noclear tty1 linux", ""},
		{"util-linux, a serial line", "ttyS0", "", "agetty=/sbin/agetty", "/sbin/agetty: agetty --noclear --keep-baud ttyS0 115200,57600,38400,9600 vt220", ""},
		{"BusyBox, a screen", "tty2", "", "getty=/bin/busybox", "/sbin/getty: getty 0 tty2 linux", ""},
		{"BusyBox, a serial line", "ttyS0", "xterm", "getty=/bin/busybox", "/sbin/getty: getty -L 0 ttyS0 xterm", ""},
		{"BusyBox without links", "hvc0", "", "busybox=/bin/busybox", "/sbin/busybox: busybox getty -L 0 hvc0 vt220", ""},
		{"somebody else's getty", "tty1", "", "getty=/usr/sbin/mingetty busybox=/bin/busybox", "/sbin/busybox: busybox getty 0 tty1 linux", ""},
		{"nothing", "tty1", "", "", "", "neither agetty"},
		{"no name", "", "", "agetty=/x", "", "no terminal"},
		{"an option", "-x", "", "agetty=/x", "", "no terminal"},
		{"elsewhere", "../mem", "", "agetty=/x", "", "no terminal"},
	} {
		find := func(name string) (string, string) {
			for p := range strings.FieldsSeq(c.installed) {
				if n, real, _ := strings.Cut(p, "="); n == name {
					return "/sbin/" + name, real
				}
			}
			return "", ""
		}
		cmd, err := For(c.tty, c.term, find)
		got := ""
		if err == nil {
			got = cmd.Path + ": " + strings.Join(cmd.Args, " ")
		}
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, got, err, c.want, c.err)
		}
	}
}
