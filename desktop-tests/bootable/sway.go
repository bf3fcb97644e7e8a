package bootable

import (
	"context"
	"image/color"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"dynamod/desktop-tests/debtree"
	"dynamod/desktop-tests/vm"
)

// The colours of sway's screen, so that a picture can be told from another.
var (
	Wallpaper = color.RGBA{0x20, 0x60, 0x40, 0xff}
	Bar       = color.RGBA{0x80, 0x20, 0x60, 0xff}
	Paper     = color.RGBA{0xf0, 0xe0, 0xc0, 0xff} // the terminal
)

// SwayModules are the drivers that an initramfs for it must have: the user's session has
// a virtio graphics card, a keyboard and a tablet.
var SwayModules = []string{"virtio_blk", "ext4", "virtio_gpu", "virtio_input", "evdev"}

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
exec foot -o colors.background=f0e0c0 -o colors.foreground=000000 -o cursor.blink=no sh -c '. /etc/skel/terminal'
`

// swayTerminal is what the terminal in sway runs first.
const swayTerminal = `loginctl session-status >/tmp/inside 2>&1
exec sh
`

// Sway is Debian 13 with an unmodified sway, which "user" and "other" get who log
// in on the first and the second terminal, without a password. files go over the rest;
// /etc/skel/terminal is what the terminal in sway runs.
func Sway(ctx context.Context, progress io.Writer, files map[string]vm.Source) (vm.Image, error) {
	tree, err := debtree.Ensure(ctx, debtree.Sway, progress)
	if err != nil {
		return vm.Image{}, err
	}
	all := map[string]vm.Source{
		// libseat asks a seatd first, where one is installed and runs; not here.
		"/etc/systemd/system/seatd.service": {Link: "/dev/null"},
		"/etc/tmpfiles.d/home.conf":         {Text: home("user") + home("other")},
		"/etc/skel/.config/sway/config":     {Text: swayConfig},
		"/etc/skel/terminal":                {Text: swayTerminal},
		"/etc/skel/.bash_profile":           {Text: "case $(tty) in /dev/tty[12]) WLR_RENDERER=pixman exec sway -d >/tmp/sway.$(id -un).log 2>&1;; esac\n"},
	}
	for file, line := range map[string]string{
		"/etc/passwd": "user:x:1000:1000::/home/user:/bin/bash\nother:x:1001:1001::/home/other:/bin/bash\n",
		"/etc/group":  "user:x:1000:\nother:x:1001:\n",
	} {
		text, err := os.ReadFile(filepath.Join(tree, file))
		if err != nil {
			return vm.Image{}, err
		}
		all[file] = vm.Source{Text: string(text) + line}
	}
	maps.Copy(all, files)
	img, err := Debian{Recipe: debtree.Sway, Files: all}.Image(ctx, progress)
	if err != nil {
		return vm.Image{}, err
	}
	shadow := img.Files["/etc/shadow"]
	shadow.Text += "user::20000:0:99999:7:::\nother::20000:0:99999:7:::\n"
	img.Files["/etc/shadow"] = shadow
	return img, nil
}

// home is what tmpfiles.d(5) makes of a user's home directory.
func home(user string) string {
	return strings.NewReplacer("USER", user).Replace("d /home/USER 0700 USER USER\nL /home/USER/.config - - - - /etc/skel/.config\nL /home/USER/.bash_profile - - - - /etc/skel/.bash_profile\n")
}
