package api

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/envfile"
	"dynamod/internal/testkit/conform"
)

// Every member of systemd 257 is shown as it was recorded, and no other.
func TestIntrospectionIsAsRecorded(t *testing.T) {
	r := begin(t, nil)
	for _, name := range Names {
		service := name[strings.LastIndexByte(name, '.')+1:]
		var text string
		if err := r.conn.Object(name, object(name)).Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		shown, err := conform.ShownOf(service, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range conform.CompareOf(service, shown) {
			t.Error(d)
		}
		if len(shown) < 9 {
			t.Errorf("%s shows %d members", service, len(shown))
		}
	}
}

// Each name has a connection of its own, that answers for its object alone: rules of the bus
// that deny SetLocale at locale1 (Debian has them) are not passed by what is allowed at
// another of the names.
func TestNamesAreApart(t *testing.T) {
	r := begin(t, nil)
	owners := map[string]string{}
	for _, name := range Names {
		var owner string
		if err := r.conn.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, name).Store(&owner); err != nil || owners[owner] != "" {
			t.Errorf("%s belongs to %s, which has %s; %v", name, owner, owners[owner], err)
		}
		owners[owner] = name
		for _, other := range Names {
			err := r.conn.Object(name, object(other)).Call("org.freedesktop.DBus.Properties.GetAll", 0, other).Err
			if (err == nil) != (name == other) {
				t.Errorf("%s at %s: %v", other, name, err)
			}
		}
	}
}

const release = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n"

func laptop() map[string]string {
	return map[string]string{"etc/hostname": "vm\n", "usr/lib/os-release": release, "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"sys/class/dmi/id/chassis_type": "9\n", "sys/class/dmi/id/sys_vendor": "LENOVO\n", "sys/class/dmi/id/product_name": "20XY\n", "sys/class/dmi/id/product_serial": "SER123\n",
		"sys/class/dmi/id/product_uuid": "12345678-1234-1234-1234-1234567890AB\n", "sys/class/dmi/id/bios_date": "04/01/2014\n", "sys/class/dmi/id/bios_vendor": "Sea\xffVendor\n",
		"proc/sys/kernel/random/boot_id": "66c0b172-742f-4a6e-b6ae-46ef0c5d0d06\n"}
}

func TestHostnameProperties(t *testing.T) {
	r := begin(t, laptop())
	id := []byte{1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	for name, want := range map[string]any{"Hostname": "rigbox", "StaticHostname": "vm", "PrettyHostname": "", "DefaultHostname": "localhost", "HostnameSource": "transient",
		"Chassis": "laptop", "IconName": "computer-laptop", "HardwareVendor": "LENOVO", "HardwareModel": "20XY", "FirmwareVendor": "Sea\ufffdVendor",
		"FirmwareDate": uint64(1396310400000000), "OperatingSystemPrettyName": "Debian GNU/Linux 13 (trixie)", "HomeURL": "https://www.debian.org/", "KernelName": "Linux",
		"OperatingSystemSupportEnd": ^uint64(0), "VSockCID": ^uint32(0), "MachineID": id} {
		if got := r.get(hostName, name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %v; want %v", name, got, want)
		}
	}
	r.write("etc/machine-id", "uninitialized\n")
	if got := r.get(hostName, "MachineID"); !reflect.DeepEqual(got, []byte{}) {
		t.Errorf("without a machine ID: %v", got)
	}
	// As udev wrote it in a machine of QEMU, where systemd 257 shows that model.
	for _, udev := range []struct{ data, vendor, model string }{
		{"I:3297617\nE:ID_VENDOR=QEMU\nE:ID_MODEL=Standard PC _Q35 + ICH9, 2009_\nV:1\n", "QEMU", "Standard PC _Q35 + ICH9, 2009_"},
		{"E:ID_VENDOR=a\nE:ID_VENDOR_FROM_DATABASE=A GmbH\nE:ID_MODEL=b\nE:ID_MODEL_FROM_DATABASE=B\nV:1\n", "A GmbH", "B"},
	} {
		r.write("run/udev/data/+dmi:id", udev.data)
		if v, m := r.get(hostName, "HardwareVendor"), r.get(hostName, "HardwareModel"); v != udev.vendor || m != udev.model {
			t.Errorf("%q: %q, %q", udev.data, v, m)
		}
	}
}

// What the setters do to files, kernel and properties, as systemd-hostnamed 257 does it.
func TestSetHostname(t *testing.T) {
	r := begin(t, laptop())
	next := r.changes(hostName)
	steps := []struct {
		method, value, kernel, static, marker, source string
		names                                         []string
	}{
		{method: "SetHostname", value: "foo", kernel: "vm", static: "vm\n", marker: "-", source: "static", names: []string{"Hostname", "HostnameSource"}},
		{method: "SetStaticHostname", value: "", kernel: "localhost", static: "-", marker: "localhost\n", source: "default", names: []string{"Hostname", "HostnameSource", "StaticHostname"}},
		{method: "SetHostname", value: "trans", kernel: "trans", static: "-", marker: "-", source: "transient", names: []string{"Hostname", "HostnameSource"}},
		{method: "SetHostname", value: "", kernel: "localhost", static: "-", marker: "localhost\n", source: "default", names: []string{"Hostname", "HostnameSource"}},
		{method: "SetStaticHostname", value: "MyBigBox", kernel: "MyBigBox", static: "MyBigBox\n", marker: "-", source: "static", names: []string{"Hostname", "HostnameSource", "StaticHostname"}},
	}
	for _, s := range steps {
		if e := r.call(hostName, s.method, s.value, false); e != "" {
			t.Fatalf("%s %q: %s", s.method, s.value, e)
		}
		u, _ := r.kernel.Uname()
		if got := []string{u.Node, r.file("etc/hostname"), r.file("run/systemd/default-hostname"), r.get(hostName, "HostnameSource").(string)}; !slices.Equal(got, []string{s.kernel, s.static, s.marker, s.source}) {
			t.Errorf("after %s %q: %q; want %q", s.method, s.value, got, []string{s.kernel, s.static, s.marker, s.source})
		}
		told := next()
		for _, n := range s.names {
			if v, ok := told[n]; !ok || v.Value() != r.get(hostName, n) {
				t.Errorf("after %s %q: %s is told as %v", s.method, s.value, n, v)
			}
		}
		if len(told) != len(s.names) {
			t.Errorf("after %s %q: %v is told", s.method, s.value, told)
		}
	}
}

func TestSetMachineInfo(t *testing.T) {
	files := laptop()
	files["etc/machine-info"] = "# a comment\nFOO='bar baz'\n\nLOCATION=here\n"
	r := begin(t, files)
	next := r.changes(hostName)
	for _, s := range []struct{ method, value, file, told string }{
		{"SetPrettyHostname", `it"s $a ` + "`b`" + ` \x '`, "FOO=\"bar baz\"\nLOCATION=here\nPRETTY_HOSTNAME=\"it\\\"s \\$a \\`b\\` \\\\x '\"\n", "PrettyHostname"},
		{"SetLocation", "", "FOO=\"bar baz\"\nPRETTY_HOSTNAME=\"it\\\"s \\$a \\`b\\` \\\\x '\"\n", "Location"},
		{"SetPrettyHostname", "", "FOO=\"bar baz\"\n", "PrettyHostname"},
		{"SetChassis", "tablet", "FOO=\"bar baz\"\nCHASSIS=tablet\n", "Chassis IconName"},
		{"SetIconName", "pc", "FOO=\"bar baz\"\nCHASSIS=tablet\nICON_NAME=pc\n", "IconName"},
		{"SetDeployment", "production", "FOO=\"bar baz\"\nCHASSIS=tablet\nICON_NAME=pc\nDEPLOYMENT=production\n", "Deployment"},
	} {
		if e := r.call(hostName, s.method, s.value, false); e != "" {
			t.Fatalf("%s %q: %s", s.method, s.value, e)
		}
		if got := r.file("etc/machine-info"); got != s.file {
			t.Errorf("after %s %q: %q; want %q", s.method, s.value, got, s.file)
		}
		var told []string
		for n, v := range next() {
			told = append(told, n)
			if v.Value() != r.get(hostName, n) {
				t.Errorf("%s is told as %v", n, v)
			}
		}
		slices.Sort(told)
		if got := strings.Join(told, " "); got != s.told {
			t.Errorf("after %s: %s is told; want %s", s.method, got, s.told)
		}
	}
}

// What is not valid changes nothing (defect W80: newlines and quotes).
func TestHostnameRefuses(t *testing.T) {
	r := begin(t, laptop())
	for _, s := range []struct{ method, value, text string }{
		{"SetStaticHostname", "a b", "Invalid static hostname 'a b'"}, {"SetHostname", "x\ny", "Invalid hostname 'x\ny'"}, {"SetPrettyHostname", "a\nCHASSIS=vm", "Invalid pretty hostname 'a\nCHASSIS=vm'"},
		{"SetChassis", "blob", "Invalid chassis 'blob'"}, {"SetIconName", "../x", "Invalid icon name '../x'"}, {"SetDeployment", "a\"b", "Invalid deployment 'a\"b'"},
		{"SetLocation", "a\x1bb", "Invalid location 'a\x1bb'"},
	} {
		want := "org.freedesktop.DBus.Error.InvalidArgs: " + s.text
		if e := r.call(hostName, s.method, s.value, false); e != want {
			t.Errorf("%s %q: %q; want %q", s.method, s.value, e, want)
		}
	}
	u, _ := r.kernel.Uname()
	if u.Node != "rigbox" || r.file("etc/hostname") != "vm\n" || r.file("etc/machine-info") != "-" {
		t.Errorf("something was changed: %q %q %q", u.Node, r.file("etc/hostname"), r.file("etc/machine-info"))
	}
}

// Errors of the system are told by their number, and change nothing else.
func TestHostnameFails(t *testing.T) {
	r := begin(t, laptop())
	r.kernel.set(func() { r.kernel.refuse = os.NewSyscallError("sethostname", unix.EPERM) })
	if e := r.call(hostName, "SetHostname", "foo", false); !strings.HasPrefix(e, "org.freedesktop.DBus.Error.AccessDenied: Failed to set hostname") {
		t.Errorf("%q", e)
	}
	// A loop of links is what root cannot write through either.
	if err := os.Symlink("machine-info", filepath.Join(r.root, "etc/machine-info")); err != nil {
		t.Fatal(err)
	}
	if e := r.call(hostName, "SetLocation", "x", false); !strings.HasPrefix(e, "System.Error.ELOOP: Failed to write machine info") {
		t.Errorf("%q", e)
	}
	r.write("etc/hostname", strings.Repeat("x", 70000))
	if got := r.get(hostName, "StaticHostname"); got != "" {
		t.Errorf("a file that is too long gives %q", got)
	}
}

// Setters at the same time lose nothing.
func TestHostnameAtOnce(t *testing.T) {
	r := begin(t, laptop())
	var all sync.WaitGroup
	set := map[string]string{"SetPrettyHostname": "PRETTY_HOSTNAME", "SetLocation": "LOCATION", "SetDeployment": "DEPLOYMENT", "SetIconName": "ICON_NAME"}
	for method := range set {
		all.Go(func() {
			for i := range 30 {
				if e := r.call(hostName, method, fmt.Sprint(i), false); e != "" {
					t.Errorf("%s: %s", method, e)
				}
			}
		})
	}
	all.Wait()
	vars := envfile.Vars(r.file("etc/machine-info"))
	for _, key := range set {
		if v := envfile.Get(vars, key); v != "29" {
			t.Errorf("%s=%q", key, v)
		}
	}
	if len(vars) != len(set) {
		t.Errorf("%v", vars)
	}
}

// Others than root are asked about: each method by its action, the password only when the
// caller wants to be asked, and what is not valid is not worth a question.
func TestHostnamePolkit(t *testing.T) {
	r := begin(t, laptop())
	p := r.bus.Polkit
	const denied, ask = "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
	p.Forget()
	var calls [][]string
	var answers, questions []string
	for _, s := range []struct {
		method, action string
		args           []string
	}{
		{"SetHostname", "set-hostname", []string{"s:x", "b:"}}, {"SetStaticHostname", "set-static-hostname", []string{"s:x", "b:"}},
		{"SetPrettyHostname", "set-static-hostname", []string{"s:x", "b:"}}, {"SetIconName", "set-machine-info", []string{"s:x", "b:"}},
		{"SetChassis", "set-machine-info", []string{"s:vm", "b:"}}, {"SetDeployment", "set-machine-info", []string{"s:x", "b:"}},
		{"SetLocation", "set-machine-info", []string{"s:x", "b:"}}, {"GetProductUUID", "get-product-uuid", []string{"b:"}}, {"GetHardwareSerial", "get-hardware-serial", nil},
	} {
		for i, want := range []string{ask, denied} {
			args := slices.Clone(s.args)
			if n := len(args); n > 0 {
				args[n-1] += []string{"false", "true"}[i]
			} else if i == 1 {
				continue // it has no argument that says whether to ask
			}
			calls = append(calls, append([]string{hostName, hostPath, hostName + "." + s.method}, args...))
			answers = append(answers, want)
			questions = append(questions, fmt.Sprintf("%s.%s %d", hostName, s.action, i))
		}
	}
	for i, got := range r.bus.CallsAsUser(calls...) {
		if !strings.HasPrefix(got, answers[i]) {
			t.Errorf("%q: %s; want %s", calls[i], got, answers[i])
		}
	}
	if asked := p.Asked(); !slices.Equal(asked, questions) {
		t.Errorf("polkit was asked %q; want %q", asked, questions)
	}
	if got := r.bus.CallAsUser(hostName, hostPath, hostName+".SetStaticHostname", "s:a b", "b:true"); !strings.HasPrefix(got, "org.freedesktop.DBus.Error.InvalidArgs") || len(p.Asked()) != 0 {
		t.Errorf("an invalid name: %s", got)
	}
	if r.file("etc/hostname") != "vm\n" || r.file("etc/machine-info") != "-" {
		t.Error("something was changed")
	}
	for _, secret := range []bool{false, true} {
		if secret {
			for _, a := range actions {
				p.Allow(a)
			}
		}
		got := r.bus.CallAsUser(hostName, hostPath, hostName+".Describe")
		if !strings.HasPrefix(got, "ok [{") || strings.Contains(got, "SER123") != secret || strings.Contains(got, "1234567890ab") != secret {
			t.Errorf("described as %s", got)
		}
	}
	if got := r.bus.CallAsUser(hostName, hostPath, hostName+".SetStaticHostname", "s:new", "b:false"); got != "ok []" || r.file("etc/hostname") != "new\n" {
		t.Errorf("with leave: %s; %q", got, r.file("etc/hostname"))
	}
	if got := r.bus.CallAsUser(hostName, hostPath, hostName+".GetHardwareSerial"); got != "ok [SER123]" {
		t.Errorf("with leave: %s", got)
	}
}

func TestDescribe(t *testing.T) {
	r := begin(t, laptop())
	var text string
	if err := r.conn.Object(hostName, hostPath).Call(hostName+".Describe", 0).Store(&text); err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil || v["HardwareSerial"] != "SER123" || v["ProductUUID"] != "123456781234123412341234567890ab" || v["Chassis"] != "laptop" || v["BootID"] != "66c0b172742f4a6eb6ae46ef0c5d0d06" {
		t.Errorf("%v: %s", err, text)
	}
	r = begin(t, nil)
	for method, want := range map[string]string{"GetHardwareSerial": "org.freedesktop.hostname1.NoHardwareSerial: Failed to read hardware serial from firmware."} {
		if e := r.call(hostName, method); e != want {
			t.Errorf("%s: %s", method, e)
		}
	}
	if e := r.call(hostName, "GetProductUUID", false); e != "org.freedesktop.hostname1.NoProductUUID: Failed to read product UUID from firmware." {
		t.Error(e)
	}
}
