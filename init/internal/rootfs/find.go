package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/volume"
	"dynamod/internal/sys/uevent"
)

// Say writes a line for people; level as in syslog(3).
type Say func(level uint8, text string)

// devices looks at all block devices that there are.
func devices() []device {
	dir, err := os.ReadDir("/sys/class/block")
	if err != nil {
		return nil
	}
	var out []device
	for _, e := range dir {
		if d, ok := look(e.Name()); ok {
			out = append(out, d)
		}
	}
	return out
}

// look reads one device, and for a partition the table of its disk.
func look(name string) (d device, ok bool) {
	sys := "/sys/class/block/" + name
	for _, boring := range []string{"ram", "zram", "nbd"} {
		if strings.HasPrefix(name, boring) {
			return d, false
		}
	}
	d.name = strings.ReplaceAll(name, "!", "/") // as sysfs writes a name with a slash
	d.number = line(sys + "/dev")
	if line(sys+"/size") == "0" {
		return d, false // a drive without a medium, a loop device without a file
	}
	f, err := os.Open("/dev/" + d.name)
	if err != nil {
		return d, false
	}
	defer f.Close()
	d.system, _ = volume.Probe(f)
	n, err := strconv.Atoi(line(sys + "/partition"))
	if err != nil {
		return d, true // a whole disk
	}
	real, err := filepath.EvalSymlinks(sys)
	if err != nil {
		return d, true
	}
	disk := filepath.Base(filepath.Dir(real))
	whole, err := os.Open("/dev/" + strings.ReplaceAll(disk, "!", "/"))
	if err != nil {
		return d, true
	}
	defer whole.Close()
	sectors, _ := strconv.ParseInt(line("/sys/class/block/"+disk+"/size"), 10, 54)
	for _, p := range volume.Partitions(whole, sectors*512) {
		if p.Number == n {
			d.part = p
		}
	}
	return d, true
}

func line(file string) string {
	b, _ := os.ReadFile(file)
	return strings.TrimSpace(string(b))
}

// find waits until there is a device of that name.
func find(name Name, wait time.Duration, say Say) (device, error) {
	// First listen, then look: what appears in between is heard of.
	l, err := uevent.Listen(uevent.Kernel)
	if err != nil {
		return device{}, err
	}
	defer l.Close()
	heard := make(chan struct{}, 1)
	go func() { // ends when the socket is closed
		for {
			e, _, _, err := l.Next()
			if err != nil && err != uevent.ErrLost {
				return
			}
			if err == uevent.ErrLost || e.Props["SUBSYSTEM"] == "block" {
				select {
				case heard <- struct{}{}:
				default:
				}
			}
		}
	}()
	late := time.NewTimer(wait)
	defer late.Stop()
	told := false
	for {
		all := devices()
		var best *device
		fit := 0
		for i := range all {
			if m := name.match(&all[i]); m > fit {
				best, fit = &all[i], m
			}
		}
		if best != nil {
			return *best, nil
		}
		if name.Kind == Path && !strings.HasPrefix(name.Value, "/dev/") {
			return device{}, errors.New(name.Value + " is no device")
		}
		if !told {
			say(5, "waiting up to "+wait.String()+" for "+name.String())
			told = true
		}
		select {
		case <-heard:
		case <-late.C:
			return device{}, errors.New("there is no " + name.String() + " after " + wait.String() + "; " + describe(all))
		}
	}
}

// describe lists what there is, for people who look for what is missing.
func describe(all []device) string {
	if len(all) == 0 {
		return "there are no block devices at all: is a driver missing in the initramfs?"
	}
	text := "there are:"
	for i, d := range all {
		if i == 24 {
			return text + " …"
		}
		text += " " + d.name
		for _, w := range []string{d.system.Type, tag("LABEL=", d.system.Label), tag("UUID=", d.system.UUID), tag("PARTLABEL=", d.part.Label), tag("PARTUUID=", d.part.UUID)} {
			if w != "" {
				text += " " + w
			}
		}
		text += ";"
	}
	return strings.TrimSuffix(text, ";")
}

func tag(name, value string) string {
	if value == "" {
		return ""
	}
	return name + value
}

// pause waits as rootdelay= says.
func pause(d time.Duration, say Say) {
	if d > 0 {
		say(5, "rootdelay: "+d.String())
		time.Sleep(d)
	}
}

// deviceFile is the file of a device; the kernel makes it before it tells of it.
func (d *device) file() string { return "/dev/" + d.name }

// Modules loads what an initramfs has for this kernel: the files that
// /etc/dynamod/modules lists, one a line, in an order in which each has what it needs.
// Without the list modprobe is asked for the usual drivers, if it is there.
func Modules(say Say) {
	const list = "/etc/dynamod/modules"
	b, err := os.ReadFile(list)
	if os.IsNotExist(err) {
		modprobe(say)
		return
	}
	if err != nil {
		say(3, err.Error())
	}
	failed := 0
	for file := range strings.FieldsSeq(string(b)) {
		if err := load(file); err != nil && err != unix.EEXIST && err != unix.ENODEV {
			if failed++; failed <= 5 {
				say(4, "load "+file+": "+err.Error())
			}
		}
	}
	if failed > 5 {
		say(4, strconv.Itoa(failed-5)+" more modules could not be loaded")
	}
}

func load(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	flags := 0
	for _, packed := range []string{".xz", ".zst", ".gz"} {
		if strings.HasSuffix(file, packed) {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
	}
	return unix.FinitModule(fd, "", flags)
}

// usual are the drivers of the machines that most people have.
var usual = []string{"virtio_pci", "virtio_blk", "virtio_scsi", "scsi_mod", "sd_mod", "sr_mod", "cdrom", "ata_piix", "ahci",
	"nvme", "usb-storage", "uas", "ext4", "btrfs", "xfs", "loop", "squashfs", "isofs", "overlay"}

func modprobe(say Say) {
	var program string
	for _, p := range []string{"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe"} {
		if unix.Access(p, unix.X_OK) == nil {
			program = p
			break
		}
	}
	if _, err := os.Stat("/lib/modules"); err != nil || program == "" {
		say(6, "the initramfs has no modules to load")
		return
	}
	for _, m := range usual {
		p, err := os.StartProcess(program, []string{"modprobe", "-q", m}, &os.ProcAttr{})
		if err != nil {
			say(4, err.Error())
			return
		}
		_, _ = p.Wait() // one that this kernel has built in or does not know is no failure
	}
}
