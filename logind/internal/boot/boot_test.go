package boot

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/sys/efivar"
)

func machine(t *testing.T, environ map[string]string, files map[string]string) (*Loader, string) {
	t.Helper()
	root := t.TempDir()
	files["run/systemd/x"] = ""
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return New(root, func(name string) string { return environ[name] }, slog.New(slog.NewTextHandler(io.Discard, nil))), root
}

func wide(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		for _, c := range text + "\x00" {
			b.WriteString(string([]byte{byte(c), byte(c >> 8)}))
		}
	}
	return b.String()
}

const vars = "sys/firmware/efi/efivars/"

// efi is a machine whose firmware and loader can do everything. The variables, before and
// after, are as systemd-logind 257.13 reads and leaves them in the same directory (its
// name put over /sys/firmware in a Debian 13 tree).
func efi() map[string]string {
	return map[string]string{
		vars + "OsIndicationsSupported-" + efivar.Global: "\x06\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00",
		vars + "LoaderFeatures-" + efivar.Loader:         "\x06\x00\x00\x00\xff\x01\x00\x00\x00\x00\x00\x00",
		vars + "LoaderEntries-" + efivar.Loader:          "\x06\x00\x00\x00" + wide("debian.conf", "win", "auto-reboot-to-firmware-setup"),
	}
}

func TestVariables(t *testing.T) {
	l, root := machine(t, nil, efi())
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, vars, name))
		if err != nil {
			return ""
		}
		return string(data)
	}
	if !l.HasFirmware() || !l.HasMenu() || !l.HasEntry() || l.Firmware() || l.Menu() != NoMenu || l.Entry() != "" {
		t.Fatalf("at first: %v %v %v, %v %d %q", l.HasFirmware(), l.HasMenu(), l.HasEntry(), l.Firmware(), l.Menu(), l.Entry())
	}
	if got := l.Entries(); !slices.Equal(got, []string{"auto-reboot-to-firmware-setup"}) {
		t.Errorf("the entries are %q", got)
	}
	for _, x := range []struct {
		do   func() error
		name string
		want string
	}{
		{func() error { return l.SetFirmware(true) }, "OsIndications-" + efivar.Global, "\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"},
		{func() error { return l.SetFirmware(false) }, "OsIndications-" + efivar.Global, "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"},
		{func() error { return l.SetMenu(5_000_000) }, "LoaderConfigTimeoutOneShot-" + efivar.Loader, "\x07\x00\x00\x005\x00\x00\x00"},
		{func() error { return l.SetMenu(0) }, "LoaderConfigTimeoutOneShot-" + efivar.Loader, "\x07\x00\x00\x000\x00\x00\x00"},
		{func() error { return l.SetMenu(1) }, "LoaderConfigTimeoutOneShot-" + efivar.Loader, "\x07\x00\x00\x001\x00\x00\x00"},
		{func() error { return l.SetMenu(NoMenu) }, "LoaderConfigTimeoutOneShot-" + efivar.Loader, ""},
		{func() error { return l.SetMenu(NoMenu) }, "LoaderConfigTimeoutOneShot-" + efivar.Loader, ""},
		{func() error { return l.SetEntry("auto-win") }, "LoaderEntryOneShot-" + efivar.Loader, "\x07\x00\x00\x00" + wide("auto-win")},
		{func() error { return l.SetEntry("") }, "LoaderEntryOneShot-" + efivar.Loader, ""},
	} {
		if err := x.do(); err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		if got := read(x.name); got != x.want {
			t.Errorf("%s is %q, want %q", x.name, got, x.want)
		}
	}
	// Other indications of the system stay.
	if err := os.WriteFile(filepath.Join(root, vars, "OsIndications-"+efivar.Global), []byte("\x07\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.SetFirmware(true); err != nil || !l.Firmware() || read("OsIndications-" + efivar.Global)[4] != 5 {
		t.Errorf("%v, %v, %q", err, l.Firmware(), read("OsIndications-"+efivar.Global))
	}
	if err := errors.Join(l.SetMenu(90_000_001), l.SetEntry("auto-win")); err != nil || l.Menu() != 91_000_000 || l.Entry() != "auto-win" {
		t.Errorf("%v, %d, %q", err, l.Menu(), l.Entry())
	}
}

// What is damaged, or of a machine that cannot, is nothing.
func TestCannot(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no EFI":    {},
		"container": {"run/systemd/container": "lxc\n", vars + "LoaderFeatures-" + efivar.Loader: efi()[vars+"LoaderFeatures-"+efivar.Loader], vars + "OsIndicationsSupported-" + efivar.Global: efi()[vars+"OsIndicationsSupported-"+efivar.Global]},
		"other loader and firmware": {vars + "LoaderFeatures-" + efivar.Loader: "\x06\x00\x00\x00\xf5\x01\x00\x00\x00\x00\x00\x00",
			vars + "OsIndicationsSupported-" + efivar.Global: "\x06\x00\x00\x00\xfe\x00\x00\x00\x00\x00\x00\x00"},
		"damaged": {vars + "LoaderFeatures-" + efivar.Loader: "\x06\x00", vars + "OsIndicationsSupported-" + efivar.Global: "\x06\x00\x00\x00\x01",
			vars + "LoaderConfigTimeoutOneShot-" + efivar.Loader: "\x06\x00\x00\x00x", vars + "LoaderEntryOneShot-" + efivar.Loader: "\x06\x00\x00\x00" + wide("a/b"),
			vars + "LoaderEntries-" + efivar.Loader: "\x06\x00\x00\x00" + wide("auto-a/b") + "x"},
	} {
		l, _ := machine(t, nil, files)
		if l.HasFirmware() || l.HasMenu() || l.HasEntry() || l.Firmware() || l.Menu() != NoMenu || l.Entry() != "" || len(l.Entries()) != 0 {
			t.Errorf("%s: %v %v %v %v %d %q %q", name, l.HasFirmware(), l.HasMenu(), l.HasEntry(), l.Firmware(), l.Menu(), l.Entry(), l.Entries())
		}
		if l.HasParameter() != (name != "container") {
			t.Errorf("%s: HasParameter is %v", name, l.HasParameter())
		}
	}
}

// The files that take the place of variables (https://systemd.io/ENVIRONMENT/).
func TestFiles(t *testing.T) {
	on := map[string]string{"SYSTEMD_REBOOT_TO_FIRMWARE_SETUP": "yes", "SYSTEMD_REBOOT_TO_BOOT_LOADER_MENU": "1", "SYSTEMD_REBOOT_TO_BOOT_LOADER_ENTRY": "true"}
	l, root := machine(t, on, map[string]string{})
	if !l.HasFirmware() || !l.HasMenu() || !l.HasEntry() {
		t.Fatal("the files are not for use")
	}
	check := func(when, firmwareFile, menuFile, entryFile string) {
		t.Helper()
		for name, want := range map[string]string{"firmware-setup": firmwareFile, "boot-loader-menu": menuFile, "boot-loader-entry": entryFile} {
			data, err := os.ReadFile(filepath.Join(root, "run/systemd/reboot-to-"+name))
			if got := string(data); got != want && !(err != nil && want == "none") {
				t.Errorf("%s: %s is %q, %v", when, name, got, err)
			}
		}
	}
	if err := errors.Join(l.SetFirmware(true), l.SetMenu(5_000_001), l.SetEntry("zeta.conf")); err != nil || !l.Firmware() || l.Menu() != 5_000_001 || l.Entry() != "zeta.conf" {
		t.Errorf("%v, %v, %d, %q", err, l.Firmware(), l.Menu(), l.Entry())
	}
	check("set", "", "5000001\n", "zeta.conf\n")
	for range 2 { // taken back twice is no error
		if err := errors.Join(l.SetFirmware(false), l.SetMenu(NoMenu), l.SetEntry("")); err != nil || l.Firmware() || l.Menu() != NoMenu || l.Entry() != "" {
			t.Errorf("%v, %v, %d, %q", err, l.Firmware(), l.Menu(), l.Entry())
		}
		check("taken back", "none", "none", "none")
	}
	for _, word := range []string{"no", "maybe"} {
		off := map[string]string{}
		for name := range on {
			off[name] = word
		}
		if l, _ := machine(t, off, efi()); l.HasFirmware() || l.HasMenu() || l.HasEntry() {
			t.Errorf("%q does not forbid", word)
		}
	}
}

// As systemctl and systemd-logind 257.13 write it, and what they show of it.
func TestParameter(t *testing.T) {
	l, root := machine(t, nil, map[string]string{})
	path := filepath.Join(root, "run/systemd/reboot-param")
	if err := l.SetParameter("recovery now"); err != nil || l.Parameter() != "recovery now" {
		t.Errorf("%v, %q", err, l.Parameter())
	}
	if data, err := os.ReadFile(path); string(data) != "recovery now\n" {
		t.Errorf("%q, %v", data, err)
	}
	for text, want := range map[string]string{"hand": "hand", "hand\nb\n": "hand", "\n\n": ""} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := l.Parameter(); got != want {
			t.Errorf("%q shows as %q", text, got)
		}
	}
	if err := errors.Join(l.SetParameter(""), l.SetParameter("")); err != nil || l.Parameter() != "" {
		t.Errorf("%v, %q", err, l.Parameter())
	}
	for text, want := range map[string]bool{"": true, "a b": true, strings.Repeat("0", 255): true, strings.Repeat("0", 256): false, "ünicode": false, "a\nb": false, "\x00": false} {
		if ValidParameter(text) != want {
			t.Errorf("%.20q is %v", text, !want)
		}
	}
}

// The order is that in which systemd-logind 257.13 shows the same files.
func TestEntries(t *testing.T) {
	dir := "run/boot-loader-entries/loader/entries/"
	e := func(title, version string) string {
		return "title " + title + "\nversion " + version + "\nmachine-id 0123456789abcdef0123456789abcdef\nlinux /vm\n"
	}
	image, err := os.ReadFile(os.Args[0]) // a program, but none of EFI
	if err != nil {
		t.Fatal(err)
	}
	l, root := machine(t, nil, map[string]string{dir + "debian-1.conf": e("Debian A", "1"), dir + "debian-2.conf": e("Debian A", "2"), dir + "zeta.conf": e("Zeta", "1"),
		dir + "empty.conf": "", dir + "note.txt": "", dir + "nolinux.conf": "title only\n", dir + "sorted.conf": "efi /x.efi\nsort-key aaa\ntitle Q\n",
		dir + "garb+3-1.conf": "garbage\nlinux /v\n", dir + "sp ace.conf": "x\n", dir + "Linux-only.conf": "linux /nofile\n",
		"run/boot-loader-entries/EFI/Linux/broken.efi": string(image)})
	want := []string{"sorted.conf", "zeta.conf", "nolinux.conf", "garb.conf", "empty.conf", "debian-2.conf", "debian-1.conf", "Linux-only.conf"}
	if got := l.Entries(); !slices.Equal(got, want) {
		t.Errorf("the entries are %q", got)
	}
	for name, known := range map[string]bool{"zeta": true, "zeta.conf": true, "zet": false, "": false} {
		if Known(want, name) != known {
			t.Errorf("%q is known: %v", name, !known)
		}
	}
	// A directory is a place for entries if it is a partition of the right type.
	if err := os.RemoveAll(filepath.Join(root, "run/boot-loader-entries")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"boot", "efi"} {
		d := filepath.Join(root, d, "loader/entries")
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "x.conf"), []byte("sort-key x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.Entries(); len(got) != 0 {
		t.Errorf("plain directories have %q", got)
	}
	l.kind = func(dir string) string { return map[string]string{"boot": extended, "efi": esp}[filepath.Base(dir)] }
	if got := l.Entries(); !slices.Equal(got, []string{"x.conf"}) {
		t.Errorf("the partitions have %q", got)
	}
}

// Whatever stands in an entry, the order is one, and names are names.
func FuzzEntries(f *testing.F) {
	f.Add("sort-key a\nversion 1\n", "version 2\nsort-key a")
	f.Fuzz(func(t *testing.T, a, b string) {
		dir := t.TempDir()
		for name, text := range map[string]string{"a.conf": a, "b.conf": b} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		list := texts(dir)
		if len(list) != 2 || order(list[0], list[1]) == 0 || (order(list[0], list[1]) < 0) == (order(list[1], list[0]) < 0) {
			t.Errorf("%q and %q: %+v", a, b, list)
		}
	})
}

// The patterns that these two were once: matching with them took a quarter of a megabyte.
var (
	tries     = regexp.MustCompile(`\+[0-9]+(-[0-9]+)?$`)
	entryName = regexp.MustCompile(`^[A-Za-z0-9+_.@-]{1,255}$`)
)

func FuzzEntryNames(f *testing.F) {
	for _, name := range []string{"", "a", "a+3", "a+3-0", "a+1-2-3", "a3-5", "a-5", "a+-5", "a+3-", "a+3+4", "+3", "+", "-", "3", "a+3-0\n", "a b", ".", "..", "é", strings.Repeat("x", 255), strings.Repeat("x", 256)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, want := uncounted(name), tries.ReplaceAllString(name, ""); got != want {
			t.Errorf("%q without its tries is %q, want %q", name, got, want)
		}
		if got, want := ValidEntry(name), entryName.MatchString(name) && name != "." && name != ".."; got != want {
			t.Errorf("%q may be a name: %v, want %v", name, got, want)
		}
	})
}
