package boot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dynamod/internal/sys/efivar"
	"dynamod/internal/sys/replace"
	"dynamod/internal/sys/virt"
)

// NoMenu is the timeout of a menu that was not asked for.
const NoMenu = math.MaxUint64

// maxFile bounds what is read of a small file, in bytes.
const maxFile = 64 << 10

const (
	// toFirmware is EFI_OS_INDICATIONS_BOOT_TO_FW_UI.
	toFirmware = 1 << 0
	// Bits of LoaderFeatures (Boot Loader Interface).
	hasTimeoutOneShot = 1 << 1
	hasEntryOneShot   = 1 << 3
)

// Loader is the firmware and the boot loader of a machine. Without EFI variables nothing
// but the argument of reboot(2) can be set, unless the administrator has a service of the
// shutdown do it: $SYSTEMD_REBOOT_TO_FIRMWARE_SETUP, …_BOOT_LOADER_MENU and
// …_BOOT_LOADER_ENTRY (https://systemd.io/ENVIRONMENT/) are booleans, of which true puts
// the wish into a file of /run/systemd, and false forbids it.
type Loader struct {
	root      string
	container bool
	efi       bool
	vars      efivar.Variables
	log       *slog.Logger
	// by has the variables of the environment that are set.
	by map[string]bool
	// kind is the type of the partition that is mounted at a directory, "" if none is.
	kind func(dir string) string
}

// Names of the environment, and of the files below /run/systemd.
const (
	firmware = "firmware-setup"
	menu     = "boot-loader-menu"
	entry    = "boot-loader-entry"
)

// New looks at the machine below root.
func New(root string, environ func(string) string, log *slog.Logger) *Loader {
	l := &Loader{root: root, log: log, by: map[string]bool{}}
	l.container = virt.Detect(virt.Machine{Root: os.DirFS(root), Environ: environ}).Container != ""
	if _, err := os.Stat(filepath.Join(root, "sys/firmware/efi")); err == nil {
		l.efi = !l.container // the host's firmware is not a container's
	}
	l.vars = efivar.Of(root)
	l.kind = l.partition
	for _, what := range []string{firmware, menu, entry} {
		name := "SYSTEMD_REBOOT_TO_" + strings.ToUpper(strings.ReplaceAll(what, "-", "_"))
		value := environ(name)
		switch strings.ToLower(value) {
		case "":
		case "yes", "y", "true", "t", "on", "1":
			l.by[what] = true
		case "no", "n", "false", "f", "off", "0":
			l.by[what] = false
		default:
			log.Warn("a variable of the environment is no boolean: write yes or no; it counts as no", "variable", name, "value", value)
			l.by[what] = false
		}
	}
	return l
}

// file is where a wish is put for a service of the shutdown.
func (l *Loader) file(what string) string {
	return filepath.Join(l.root, "run/systemd/reboot-to-"+what)
}

// byFile says whether the wish is put into a file; otherwise whether it may go to EFI.
func (l *Loader) byFile(what string) (file, variable bool) {
	on, said := l.by[what]
	return on, !said && l.efi
}

// Parameter is the argument of reboot(2) that is set, "" for none.
func (l *Loader) Parameter() string { return line(l.parameter()) }

func (l *Loader) parameter() string { return filepath.Join(l.root, "run/systemd/reboot-param") }

// line is the first line of a file, "" without one.
func line(path string) string {
	text, err := bounded(path)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// bounded reads the start of a file.
func bounded(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(data), err
}

// ValidParameter says that the kernel can take the text: reboot(2) has room for 255
// bytes. systemd's takes control characters too, of which it shows one line.
func ValidParameter(text string) bool {
	return len(text) <= 255 && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// HasParameter says that the machine has a reboot(2) with an argument.
func (l *Loader) HasParameter() bool { return !l.container }

// SetParameter sets the argument, "" for none. dynamod-svmgr, or systemd-shutdown, hands
// it to the kernel at a reboot.
func (l *Loader) SetParameter(text string) error { return put(l.parameter(), text, text != "") }

// put writes a line to a file, or removes it.
func put(path, text string, there bool) error {
	if !there {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if text != "" {
		text += "\n"
	}
	return replace.File(path, text)
}

// HasFirmware says that the firmware can be asked to show its setup at the next start.
func (l *Loader) HasFirmware() bool {
	file, variable := l.byFile(firmware)
	return file || variable && l.vars.Number("OsIndicationsSupported", efivar.Global)&toFirmware != 0
}

// Firmware says that it has been asked.
func (l *Loader) Firmware() bool {
	file, variable := l.byFile(firmware)
	if file {
		_, err := os.Stat(l.file(firmware))
		return err == nil
	}
	return variable && l.HasFirmware() && l.vars.Number("OsIndications", efivar.Global)&toFirmware != 0
}

// SetFirmware asks, or takes it back. What else the system has told the firmware stays.
func (l *Loader) SetFirmware(on bool) error {
	if file, _ := l.byFile(firmware); file {
		return put(l.file(firmware), "", on)
	}
	was := l.vars.Number("OsIndications", efivar.Global)
	now := was &^ toFirmware
	if on {
		now |= toFirmware
	}
	if now == was {
		return nil
	}
	return l.vars.Set("OsIndications", efivar.Global, binary.LittleEndian.AppendUint64(nil, now))
}

// feature says that the boot loader has a feature of the Boot Loader Interface.
func (l *Loader) feature(bit uint64) bool {
	return l.vars.Number("LoaderFeatures", efivar.Loader)&bit != 0
}

// HasMenu says that the boot loader can be asked for its menu.
func (l *Loader) HasMenu() bool {
	file, variable := l.byFile(menu)
	return file || variable && l.feature(hasTimeoutOneShot)
}

const second = 1_000_000

// Menu is for how long the menu will be shown, in microseconds; 0 is until somebody
// chooses, and NoMenu not at all.
func (l *Loader) Menu() uint64 {
	file, variable := l.byFile(menu)
	text := ""
	switch {
	case file:
		text = line(l.file(menu))
	case variable:
		text = l.vars.Text("LoaderConfigTimeoutOneShot", efivar.Loader)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || variable && n > NoMenu/second {
		return NoMenu
	}
	if variable {
		n *= second
	}
	return n
}

// SetMenu asks for the menu; what EFI is told has whole seconds, rounded up.
func (l *Loader) SetMenu(timeout uint64) error {
	if file, _ := l.byFile(menu); file {
		return put(l.file(menu), strconv.FormatUint(timeout, 10), timeout != NoMenu)
	}
	if timeout == NoMenu {
		return l.vars.Drop("LoaderConfigTimeoutOneShot", efivar.Loader)
	}
	seconds := timeout / second
	if timeout%second != 0 {
		seconds++
	}
	return l.vars.SetText("LoaderConfigTimeoutOneShot", efivar.Loader, strconv.FormatUint(seconds, 10))
}

// ValidEntry says that an entry may have the name: that of a file (UAPI.1, Boot Loader
// Specification).
func ValidEntry(name string) bool {
	return name != "" && len(name) <= 255 && name != "." && name != ".." && strings.Trim(name, entryLetters) == ""
}

// entryLetters are what the name of an entry is made of.
const entryLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_.@-"

// HasEntry says that the boot loader can be told which entry comes next.
func (l *Loader) HasEntry() bool {
	file, variable := l.byFile(entry)
	return file || variable && l.feature(hasEntryOneShot)
}

// Entry is the one that comes next, "" for the loader's own choice.
func (l *Loader) Entry() string {
	file, variable := l.byFile(entry)
	name := ""
	switch {
	case file:
		name = line(l.file(entry))
	case variable:
		name = l.vars.Text("LoaderEntryOneShot", efivar.Loader)
	}
	if name != "" && !ValidEntry(name) {
		l.log.Warn("the entry that was chosen is no name of one, and is passed over", "name", fmt.Sprintf("%.64q", name))
		return ""
	}
	return name
}

// SetEntry chooses an entry, "" for none.
func (l *Loader) SetEntry(name string) error {
	if file, _ := l.byFile(entry); file {
		return put(l.file(entry), name, name != "")
	}
	if name == "" {
		return l.vars.Drop("LoaderEntryOneShot", efivar.Loader)
	}
	return l.vars.SetText("LoaderEntryOneShot", efivar.Loader, name)
}
