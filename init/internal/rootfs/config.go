package rootfs

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/cmdline"
	"dynamod/internal/sys/mount"
)

// Config is what the kernel command line says about the root file system.
type Config struct {
	// Root is where it lies; Type is "" for what the device says.
	Root  Name
	Type  string
	Flags uintptr
	Data  string
	// Wait is how long the device may take to appear, Delay what is waited for
	// after that.
	Wait, Delay time.Duration
	// Init is the program on it; "" for the usual ones.
	Init string
	Live *Live
}

// Live is a live system: a squashfs on a medium.
type Live struct {
	Media    Name
	Squashfs string
	// Overlay makes it writable, in memory.
	Overlay bool
	// Copy takes the squashfs into memory, so that the medium can be removed.
	Copy bool
	// Offset and Size are the place of the squashfs on the medium, in bytes, where
	// that is known; Size 0 for a file.
	Offset, Size int64
}

// Asked says whether the command line wants another root file system at all.
func Asked(line cmdline.Line) bool {
	_, root := line.Value("root")
	live, _ := line.Switch("dynamod.live", false)
	return root || live
}

const (
	defaultWait = 10 * time.Second
	askedWait   = 30 * time.Second
	maxWait     = 24 * time.Hour
)

// Read reads a command line. The error says what is wrong and what would be right.
func Read(line cmdline.Line) (c Config, err error) {
	c.Wait = defaultWait
	if line.Has("rootwait") {
		c.Wait = askedWait
		if v, ok := line.Value("rootwait"); ok {
			if c.Wait, err = secondsOf("rootwait", v); err != nil {
				return c, err
			}
		}
	}
	if v, ok := line.Value("rootdelay"); ok {
		if c.Delay, err = secondsOf("rootdelay", v); err != nil {
			return c, err
		}
	}
	if c.Init, _ = line.Value("init"); c.Init != "" && c.Init[0] != '/' {
		return c, errors.New("init=" + c.Init + " is no absolute path")
	}
	if live, bad := line.Switch("dynamod.live", false); live || bad != "" {
		if bad != "" {
			return c, errors.New("dynamod.live=" + bad + " is neither yes nor no")
		}
		c.Live, err = readLive(line)
		return c, err
	}
	root, _ := line.Value("root")
	if c.Root, err = ParseName(root); err != nil {
		return c, errors.New("root=" + root + ": " + err.Error())
	}
	c.Type, _ = line.Value("rootfstype")
	if c.Type == "auto" {
		c.Type = ""
	}
	flags, _ := line.Value("rootflags")
	if line.Last("ro", "rw") != "rw" {
		flags = "ro," + flags
	}
	o, err := mount.Parse(flags)
	if err != nil {
		return c, errors.New("rootflags: " + err.Error())
	}
	c.Flags, c.Data = o.Flags, o.Data
	return c, nil
}

func readLive(line cmdline.Line) (*Live, error) {
	l := &Live{Squashfs: "/live/root.squashfs"}
	media, ok := line.Value("dynamod.media")
	if !ok {
		media = "LABEL=DYNAISO"
	}
	var err error
	if l.Media, err = ParseName(media); err != nil {
		return nil, errors.New("dynamod.media=" + media + ": " + err.Error())
	}
	if v, ok := line.Value("dynamod.squashfs"); ok {
		if !strings.HasPrefix(v, "/") || strings.Contains(v, "/../") {
			return nil, errors.New("dynamod.squashfs=" + v + " is no absolute path on the medium")
		}
		l.Squashfs = v
	}
	for name, to := range map[string]*bool{"dynamod.overlay": &l.Overlay, "dynamod.live.copy_squash": &l.Copy} {
		var bad string
		if *to, bad = line.Switch(name, true); bad != "" {
			return nil, errors.New(name + "=" + bad + " is neither yes nor no")
		}
	}
	direct, bad := line.Switch("dynamod.live.direct_squash", false)
	if bad != "" {
		return nil, errors.New("dynamod.live.direct_squash=" + bad + " is neither yes nor no")
	}
	if direct {
		l.Copy = false
	}
	if v, ok := line.Value("dynamod.squash_pread"); ok {
		block, size, ok := strings.Cut(v, ":")
		a, err1 := strconv.ParseInt(block, 10, 40)
		n, err2 := strconv.ParseInt(size, 10, 48)
		if !ok || err1 != nil || err2 != nil || a < 0 || n <= 0 {
			return nil, errors.New("dynamod.squash_pread=" + v + " is not BLOCK:BYTES, a block of 2048 bytes and a length")
		}
		l.Offset, l.Size, l.Copy = a*2048, n, true
	}
	return l, nil
}

func secondsOf(name, v string) (time.Duration, error) {
	n, err := strconv.ParseUint(v, 10, 32)
	d := time.Duration(n) * time.Second
	if err != nil || d > maxWait {
		return 0, errors.New(name + "=" + v + " is no number of seconds")
	}
	return d, nil
}
