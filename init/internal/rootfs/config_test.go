package rootfs

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/volume"
	"dynamod/internal/cmdline"
)

func TestRead(t *testing.T) {
	for text, want := range map[string]Config{
		"root=/dev/vda1":                             {Root: Name{Path, "/dev/vda1"}, Flags: unix.MS_RDONLY, Wait: defaultWait},
		"root=vda1 ro rw":                            {Root: Name{Path, "/dev/vda1"}, Wait: defaultWait},
		"root=UUID=AB-cd rw ro":                      {Root: Name{UUID, "AB-cd"}, Flags: unix.MS_RDONLY, Wait: defaultWait},
		`root="LABEL=a b" rootwait`:                  {Root: Name{Label, "a b"}, Flags: unix.MS_RDONLY, Wait: 30 * time.Second},
		"root=/dev/disk/by-label/a\\x20b rootwait=5": {Root: Name{Label, "a b"}, Flags: unix.MS_RDONLY, Wait: 5 * time.Second},
		"root=8:1 rootdelay=3":                       {Root: Name{Number, "8:1"}, Flags: unix.MS_RDONLY, Wait: defaultWait, Delay: 3 * time.Second},
		"root=PARTLABEL=x rootfstype=btrfs rootflags=rw,noatime,subvol=@,compress=zstd init=/bin/sh": {Root: Name{PartLabel, "x"}, Type: "btrfs",
			Flags: unix.MS_NOATIME, Data: "subvol=@,compress=zstd", Wait: defaultWait, Init: "/bin/sh"},
	} {
		if got, err := Read(cmdline.Parse(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"root=": "empty", "root=NFS=x": "not known", "root=UUID=": "nothing after", "root=/dev/a rootwait=soon": "seconds",
		"root=/dev/a rootflags=loop": "mount(8)", "root=/dev/a init=sh": "absolute",
		"dynamod.live=maybe": "neither yes nor no", "dynamod.live dynamod.squashfs=x": "absolute path",
		"dynamod.live dynamod.squash_pread=1": "BLOCK:BYTES", "dynamod.live dynamod.media=": "empty",
	} {
		if _, err := Read(cmdline.Parse(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want something about %q", text, err, want)
		}
	}
}

func TestReadLive(t *testing.T) {
	media := Name{Label, "DYNAISO"}
	for text, want := range map[string]Live{
		"dynamod.live":                     {Media: media, Squashfs: "/live/root.squashfs", Overlay: true, Copy: true},
		"dynamod.live=1 dynamod.overlay=0": {Media: media, Squashfs: "/live/root.squashfs", Copy: true},
		"dynamod.live dynamod.media=UUID=1 dynamod.squashfs=/x dynamod.live.copy_squash=no": {Media: Name{UUID, "1"}, Squashfs: "/x", Overlay: true},
		"dynamod.live dynamod.live.direct_squash=1":                                         {Media: media, Squashfs: "/live/root.squashfs", Overlay: true},
		"dynamod.live dynamod.live.direct_squash=1 dynamod.squash_pread=10:4096": {Media: media, Squashfs: "/live/root.squashfs", Overlay: true, Copy: true,
			Offset: 20480, Size: 4096},
	} {
		c, err := Read(cmdline.Parse(text))
		if err != nil || c.Live == nil || *c.Live != want {
			t.Errorf("%s: %+v, %v; want %+v", text, c.Live, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	d := device{name: "vda1", number: "254:1", system: volume.System{Type: "ext4", UUID: "ab-cd", Label: "Root"},
		part: volume.Partition{Number: 1, UUID: "deadbeef-01", Label: "part"}}
	for name, want := range map[string]int{"/dev/vda1": 2, "vda1": 2, "254:1": 2, "UUID=AB-CD": 2, "LABEL=Root": 2, "LABEL=ROOT": 1,
		"PARTUUID=DEADBEEF-01": 2, "PARTLABEL=part": 2, "LABEL=part": 0, "UUID=deadbeef-01": 0, "/dev/vda": 0} {
		n, err := ParseName(name)
		if got := n.match(&d); err != nil || got != want {
			t.Errorf("%s fits %d, %v; want %d", name, got, err, want)
		}
	}
}

// What is written is what was read.
func FuzzName(f *testing.F) {
	for _, s := range []string{"UUID=x", "/dev/disk/by-label/a\\x20b", "8:1", "sda"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseName(text)
		if err != nil {
			return
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			// A value may look like a link of udev's or begin with quotes.
			if !strings.ContainsAny(n.Value, "\"\\") && !strings.HasPrefix(n.Value, "/dev/disk/") {
				t.Errorf("%q is %+v, that is %+v, %v", text, n, again, err)
			}
		}
	})
}
