package api

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// everyWish lets all that the next start may be told be put into files.
var everyWish = map[string]string{"SYSTEMD_REBOOT_TO_FIRMWARE_SETUP": "1", "SYSTEMD_REBOOT_TO_BOOT_LOADER_MENU": "1", "SYSTEMD_REBOOT_TO_BOOT_LOADER_ENTRY": "1"}

// bootsWith starts logind again, with other variables of the environment, and with an
// entry of the boot loader.
func (r *rig) bootsWith(environ map[string]string, entry string) {
	r.t.Helper()
	dir := filepath.Join(r.root, "run/boot-loader-entries/loader/entries")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, entry+".conf"), []byte("linux /v\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.server.Close()
	r.environ = environ
	r.start()
}

type wishCase struct {
	method string
	arg    any
	err    string // the error's name, and its text
}

const (
	notSupported = "org.freedesktop.DBus.Error.NotSupported: "
	invalid      = "org.freedesktop.DBus.Error.InvalidArgs: "
)

func (r *rig) wish(x wishCase) {
	r.t.Helper()
	err := r.manager().Call(managerIface+".SetReboot"+x.method, 0, x.arg).Err
	got := ""
	if err != nil {
		got = errorName(err) + ": " + err.Error()
	}
	if x.err == "" && err != nil || !strings.HasPrefix(got, x.err) {
		r.t.Errorf("%s(%.40v): %q", x.method, x.arg, got)
	}
}

func (r *rig) wishes(want map[string]any) {
	r.t.Helper()
	for name, w := range want {
		var got any
		if strings.HasPrefix(name, "Can") {
			if err := r.manager().Call(managerIface+"."+name, 0).Store(&got); err != nil {
				r.t.Fatal(err)
			}
		} else {
			v, err := r.manager().GetProperty(managerIface + "." + name)
			if err != nil {
				r.t.Fatal(err)
			}
			got = v.Value()
		}
		if !reflect.DeepEqual(got, w) {
			r.t.Errorf("%s is %v, want %v", name, got, w)
		}
	}
}

// A machine without EFI. Answers and texts are those of systemd-logind 257.13 in a Debian
// 13 tree, asked with busctl and gdbus.
func TestRebootWithoutEFI(t *testing.T) {
	r := begin(t)
	r.bootsWith(nil, "zeta")
	r.wishes(map[string]any{"RebootParameter": "", "RebootToFirmwareSetup": false, "RebootToBootLoaderMenu": uint64(math.MaxUint64), "RebootToBootLoaderEntry": "",
		"BootLoaderEntries": []string{"zeta.conf"}, "CanRebootParameter": "yes", "CanRebootToFirmwareSetup": "na", "CanRebootToBootLoaderMenu": "na", "CanRebootToBootLoaderEntry": "na"})
	for _, x := range []wishCase{
		{"Parameter", "recovery", ""},
		{"Parameter", strings.Repeat("0", 256), invalid + "Invalid reboot parameter"},
		{"Parameter", "ünicode", invalid + "Invalid reboot parameter"},
		{"ToFirmwareSetup", true, notSupported + "Firmware does not support boot into firmware."},
		{"ToFirmwareSetup", false, notSupported + "Firmware does not support boot into firmware."},
		{"ToBootLoaderMenu", uint64(5e6), notSupported + "Boot loader does not support boot into boot loader menu."},
		{"ToBootLoaderMenu", uint64(math.MaxUint64), notSupported + "Boot loader does not support boot into boot loader menu."},
		{"ToBootLoaderEntry", "debian", notSupported + "Boot loader entry 'debian' is not known."},
		{"ToBootLoaderEntry", "zeta.conf", notSupported + "Loader does not support boot into boot loader entry."},
		{"ToBootLoaderEntry", "", notSupported + "Loader does not support boot into boot loader entry."},
		{"ToBootLoaderEntry", "bad/name", invalid + "Boot loader entry name"},
		{"ToBootLoaderEntry", "a b", invalid + "Boot loader entry name"},
	} {
		r.wish(x)
	}
	if got := r.read("reboot-param"); got != "recovery\n" {
		t.Errorf("reboot-param is %q", got)
	}
	r.wishes(map[string]any{"RebootParameter": "recovery"})
	r.wish(wishCase{"Parameter", "", ""})
	if _, err := os.Stat(filepath.Join(r.root, "run/systemd/reboot-param")); err == nil {
		t.Error("an empty parameter leaves the file")
	}
	// In a container there is no reboot(2) with an argument.
	if err := os.WriteFile(filepath.Join(r.root, "run/systemd/container"), []byte("lxc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.bootsWith(nil, "zeta")
	r.wishes(map[string]any{"CanRebootParameter": "na"})
	r.wish(wishCase{"Parameter", "x", notSupported + "Reboot parameter not supported in containers, refusing."})
	r.wish(wishCase{"Parameter", "ü", notSupported + "Reboot parameter not supported in containers, refusing."})
}

// Wishes are shown, kept in files, and taken back; a user whom polkit does not let has none.
func TestRebootWishes(t *testing.T) {
	r := begin(t)
	r.bootsWith(everyWish, "zeta")
	r.wishes(map[string]any{"CanRebootToFirmwareSetup": "yes", "CanRebootToBootLoaderMenu": "yes", "CanRebootToBootLoaderEntry": "yes"})
	for _, x := range []wishCase{{"ToFirmwareSetup", true, ""}, {"ToBootLoaderMenu", uint64(5000001), ""}, {"ToBootLoaderEntry", "zeta", ""}} {
		r.wish(x)
	}
	r.wishes(map[string]any{"RebootToFirmwareSetup": true, "RebootToBootLoaderMenu": uint64(5000001), "RebootToBootLoaderEntry": "zeta"})
	them := r.stranger(65534).Object(Name, dbus.ObjectPath(managerPath))
	for method, arg := range map[string]any{"SetRebootParameter": "x", "SetRebootToFirmwareSetup": false, "SetRebootToBootLoaderMenu": uint64(math.MaxUint64), "SetRebootToBootLoaderEntry": ""} {
		if err := them.Call(managerIface+"."+method, 0, arg).Err; err == nil {
			t.Errorf("%s is done for a stranger", method)
		}
	}
	for _, name := range []string{"CanRebootParameter", "CanRebootToFirmwareSetup", "CanRebootToBootLoaderMenu", "CanRebootToBootLoaderEntry"} {
		var got string
		if err := them.Call(managerIface+"."+name, 0).Store(&got); err != nil || got != "no" {
			t.Errorf("%s says %q to a stranger, %v", name, got, err)
		}
	}
	r.wishes(map[string]any{"RebootParameter": "", "RebootToFirmwareSetup": true, "RebootToBootLoaderMenu": uint64(5000001), "RebootToBootLoaderEntry": "zeta"})
	for _, x := range []wishCase{{"ToFirmwareSetup", false, ""}, {"ToBootLoaderMenu", uint64(math.MaxUint64), ""}, {"ToBootLoaderEntry", "", ""}} {
		r.wish(x)
	}
	r.wishes(map[string]any{"RebootToFirmwareSetup": false, "RebootToBootLoaderMenu": uint64(math.MaxUint64), "RebootToBootLoaderEntry": ""})
}
