package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWanted(t *testing.T) {
	root := func(fstype, options string) mounted {
		return mounted{where: "/", fstype: fstype, options: strings.Split(options, ",")}
	}
	fstab := func(options string) *line { return &line{where: "/", options: strings.Split(options, ",")} }
	const protected, ofType = "its device is write-protected", "it is squashfs"
	for name, c := range map[string]struct {
		m         mounted
		l         *line
		protected bool
		options   []string
		because   string
	}{
		"no line":                       {root("ext4", "ro,relatime"), nil, false, []string{"rw"}, ""},
		"no line, writable":             {root("ext4", "rw,relatime"), nil, false, nil, ""},
		"/usr without a line":           {mounted{where: "/usr", fstype: "ext4", options: []string{"ro"}}, nil, false, nil, ""},
		"defaults":                      {root("ext4", "ro"), fstab("defaults"), false, []string{"rw"}, ""},
		"options":                       {root("ext4", "ro"), fstab("noatime,x-y,errors=remount-ro"), false, []string{"rw", "noatime", "errors=remount-ro"}, ""},
		"read-only on purpose":          {root("ext4", "ro"), fstab("ro,noatime"), false, []string{"ro", "noatime"}, ""},
		"squashfs":                      {root("squashfs", "ro"), nil, false, nil, ofType},
		"protected":                     {root("ext4", "ro"), nil, true, nil, protected},
		"protected, defaults":           {root("ext4", "ro"), fstab("defaults"), true, nil, protected},
		"protected, options":            {root("ext4", "ro"), fstab("rw,noatime"), true, []string{"ro", "noatime"}, protected},
		"protected, read-only":          {root("ext4", "ro"), fstab("ro,noatime"), true, []string{"ro", "noatime"}, ""},
		"protected below a live system": {root("overlay", "rw"), nil, true, nil, ""},
	} {
		if options, because := c.m.wanted(c.l, c.protected); !slices.Equal(options, c.options) || because != c.because {
			t.Errorf("%s: %q because %q, want %q because %q", name, options, because, c.options, c.because)
		}
	}
}

func TestWriteProtected(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make device nodes")
	}
	s := &shell{root: t.TempDir()}
	for device, ro := range map[string]string{"254:0": "1\n", "254:1": "0\n"} {
		dir := filepath.Join(s.root, "sys/dev/block", device)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "ro"), []byte(ro), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"vda", "vdb"} {
		if err := unix.Mknod(filepath.Join(s.root, "dev", name), unix.S_IFBLK|0o600, int(unix.Mkdev(254, uint32(i)))); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		m    mounted
		want bool
	}{
		"ext4":             {mounted{device: "254:0", source: "/dev/vda"}, true},
		"ext4, writable":   {mounted{device: "254:1", source: "/dev/vdb"}, false},
		"btrfs":            {mounted{device: "0:31", source: "/dev/vda"}, true},
		"btrfs, writable":  {mounted{device: "0:31", source: "/dev/vdb"}, false},
		"tmpfs":            {mounted{device: "0:31", source: "tmpfs"}, false},
		"not a device":     {mounted{device: "0:31", source: "/dev"}, false},
		"unknown to sysfs": {mounted{device: "8:1", source: "/dev/root"}, false},
	} {
		if got := s.writeProtected(c.m); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
