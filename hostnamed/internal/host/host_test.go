package host

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"dynamod/internal/envfile"
)

// As systemd-hostnamed 257 answered (Debian 13).
func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{"vm": true, "A": true, "1": true, "a.b": true, "1.2.3.4": true, "a--b": true, "a.localhost": true, "0x1": true,
		strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false, "a b": false, "a_b": false, ".": false, "a..b": false, "a.": false,
		"a-": false, "-a": false, "a-.b": false, "a.-b": false, "é": false, "a/b": false, "(none)": false, "a\nb": false} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}

func TestStaticName(t *testing.T) {
	for text, want := range map[string]string{"vm\n": "vm", " x \n": "x", "# c\n\nfoo\nbar\n": "foo", "a_b\n": "ab", "é\n": "", "a..b\n": "a.b", "FOO": "FOO",
		"\n": "", "a.\n": "a", "a b\n": "ab", strings.Repeat("a", 70): strings.Repeat("a", 64), "": "", "-a-.b\n": "a.b",
		strings.Repeat("a", 62) + ".b": strings.Repeat("a", 62) + ".b", strings.Repeat("a", 63) + ".b": strings.Repeat("a", 63), "...\n": ""} {
		if got := StaticName(text); got != want {
			t.Errorf("StaticName(%q) = %q; want %q", text, got, want)
		}
	}
}

// What a file gives is a valid name or none.
func FuzzStaticName(f *testing.F) {
	for _, s := range []string{"vm\n", "a..b", "-a.-b-", strings.Repeat("a-", 40), "# x\n\xff\ny_z.\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := StaticName(s)
		if n != "" && !ValidName(n) {
			t.Errorf("StaticName(%q) = %q", s, n)
		}
		if ValidName(s) && n != s {
			t.Errorf("StaticName(%q) = %q", s, n)
		}
	})
}

func TestValid(t *testing.T) {
	for _, test := range []struct {
		what  string
		valid func(string) bool
		good  []string
		bad   []string
	}{
		{"pretty", ValidPretty, []string{"", "Ada's Box", "Müller", "  sp  ", strings.Repeat("x", 300)}, []string{"a\nb", "a\tb", "a\x7fb", "\xff", strings.Repeat("x", MaxText+1)}},
		{"location", ValidLocation, []string{"", "2nd shelf"}, []string{"a\nb"}},
		{"icon", ValidIcon, []string{"", "computer-vm", "a b", "é", strings.Repeat("x", 255)}, []string{"a/b", ".", "..", strings.Repeat("x", 256), "a\nb"}},
		{"deployment", ValidDeployment, []string{"", "production", "-", strings.Repeat("x", 300)}, []string{"a b", "é", "a/b", "a#b", "a_b", "a'b", "a$b", "a=b"}},
		{"chassis", ValidChassis, []string{"", "tablet", "vm", "container", "watch", "convertible"}, []string{"blob", "a b", "Tablet"}},
	} {
		for _, s := range test.good {
			if !test.valid(s) {
				t.Errorf("%s %q is refused", test.what, s)
			}
		}
		for _, s := range test.bad {
			if test.valid(s) {
				t.Errorf("%s %q is accepted", test.what, s)
			}
		}
	}
}

// Whatever is accepted is one assignment in machine-info, also for who reads it by lines.
func FuzzMachineInfo(f *testing.F) {
	f.Add("x\"\nCHASSIS=vm")
	f.Add("$(reboot)`id`\\")
	f.Fuzz(func(t *testing.T, s string) {
		for _, valid := range []func(string) bool{ValidPretty, ValidIcon, ValidDeployment, ValidChassis} {
			if s == "" || !valid(s) {
				continue
			}
			text := envfile.Render(envfile.Set([]envfile.Var{{Name: "FOO", Value: "bar"}}, "X", s))
			if strings.Count(text, "\n") != 2 || strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), unicode.IsControl) {
				t.Errorf("%q is written as %q", s, text)
			}
			if got := envfile.Vars(text); len(got) != 2 || got[1].Value != s {
				t.Errorf("%q is read as %q", s, got)
			}
		}
	})
}

func TestChassis(t *testing.T) {
	for _, test := range []struct {
		m    Machine
		want string
	}{
		{Machine{}, ""}, {Machine{Container: "docker", VM: "kvm", DMI: "9"}, "container"}, {Machine{VM: "kvm", DMI: "9"}, "vm"},
		{Machine{DMI: "9"}, "laptop"}, {Machine{DMI: "31"}, "convertible"}, {Machine{DMI: "17", ACPI: "2"}, "server"}, {Machine{DMI: "3"}, "desktop"},
		{Machine{DMI: "2", ACPI: "8"}, "tablet"}, {Machine{DMI: "x"}, ""}, {Machine{DMI: "-3"}, ""}, {Machine{Tree: "handset\x00"}, "handset"},
		{Machine{Tree: "all-in-one"}, "desktop"}, {Machine{Tree: "toaster"}, ""}, {Machine{DMI: "11"}, "handset"}, {Machine{DMI: "34"}, "embedded"},
	} {
		if got := test.m.Chassis(); got != test.want {
			t.Errorf("%+v is a %q; want %q", test.m, got, test.want)
		}
		if !ValidChassis(test.m.Chassis()) {
			t.Errorf("%+v is no kind of chassis", test.m)
		}
	}
}

func TestDates(t *testing.T) {
	for s, want := range map[string]uint64{"04/01/2014": 1396310400000000, "4/1/2014": 1396310400000000, "04/01/99": 922924800000000, "": Unknown, "13/40/2014": Unknown,
		"2014-04-01": Unknown, "01/02/1969": Unknown} {
		if got := FirmwareDate(s); got != want {
			t.Errorf("FirmwareDate(%q) = %d; want %d", s, got, want)
		}
	}
	if got := Day("2030-05-06"); got != 1904256000000000 {
		t.Errorf("Day = %d", got)
	}
	if got := Day("soon"); got != Unknown {
		t.Errorf("Day = %d", got)
	}
}

func TestID(t *testing.T) {
	want := [16]byte{0x12, 0x34, 0x56, 0x78, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 0x90, 0xab}
	for _, s := range []string{"12345678-1234-1234-1234-1234567890AB", "123456781234123412341234567890ab"} {
		if got, ok := ID(s); !ok || got != want {
			t.Errorf("ID(%q) = %x, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "uninitialized", "123456781234123412341234567890", "123456781234123412341234567890ab0", strings.Repeat("0", 32), strings.Repeat("f", 32), "é"} {
		if _, ok := ID(s); ok {
			t.Errorf("ID(%q) is one", s)
		}
	}
}

// The name that is in force, and where it is from.
func TestSource(t *testing.T) {
	for _, test := range []struct{ kernel, static, marked, name, source string }{
		{"box", "box", "", "box", "static"}, {"box", "vm", "", "box", "transient"}, {"box", "", "", "box", "transient"},
		{"localhost", "", "localhost", "localhost", "default"}, {"localhost", "", "", "localhost", "transient"}, {"", "", "", "localhost", "default"},
		{"(none)", "", "", "localhost", "default"}, {"box", "", "localhost", "box", "transient"},
	} {
		f := &Facts{Kernel: test.kernel, Static: test.static, Marked: test.marked}
		if f.Hostname() != test.name || f.Source() != test.source {
			t.Errorf("%+v: %q, %q", test, f.Hostname(), f.Source())
		}
	}
	for _, test := range []struct {
		static, transient, name string
		def                     bool
	}{{"vm", "foo", "vm", false}, {"", "foo", "foo", false}, {"", "", "dflt", true}, {"vm", "", "vm", false}} {
		f := &Facts{Static: test.static, Release: envfile.Vars("DEFAULT_HOSTNAME=dflt\n")}
		if name, def := f.Apply(test.transient); name != test.name || def != test.def {
			t.Errorf("%+v: %q, %v", test, name, def)
		}
	}
	if d := (&Facts{Release: envfile.Vars("DEFAULT_HOSTNAME='a b'\n")}).Default(); d != Fallback {
		t.Errorf("an invalid default is %q", d)
	}
}

// The text that systemd-hostnamed 257 gave for the same files.
func TestDescribe(t *testing.T) {
	f := &Facts{Kernel: "0x1", CID: 3, Sysname: "Linux", KernelRelease: "6.18", Version: "#1 SMP",
		Release: envfile.Vars("ID=x\nPRETTY_NAME=\"X Y\"\nCPE_NAME=cpe:/o:x\nSUPPORT_END=2030-05-06\nDEFAULT_HOSTNAME=dflt\nHOME_URL=http://é/\nFOO=bar\n"),
		Info:    envfile.Vars("# hi\nFOO=bar baz\nPRETTY_HOSTNAME=\"x y\"\n\nCHASSIS=blob\nHARDWARE_VENDOR=Me\nHARDWARE_MODEL=\"M 1\"\nDEPLOYMENT=a b\n"),
		BootID:  [16]byte{0x66, 15: 6}, MachineID: [16]byte{1, 15: 0xef}}
	want := `{"Hostname":"0x1","StaticHostname":null,"PrettyHostname":"x y","DefaultHostname":"dflt","HostnameSource":"transient","IconName":"computer-blob","Chassis":"blob","Deployment":"a b","Location":null,"KernelName":"Linux","KernelRelease":"6.18","KernelVersion":"#1 SMP","OperatingSystemPrettyName":"X Y","OperatingSystemCPEName":"cpe:/o:x","OperatingSystemHomeURL":"http://é/","OperatingSystemSupportEnd":1904256000000000,"OperatingSystemReleaseData":["ID=x","PRETTY_NAME=X Y","CPE_NAME=cpe:/o:x","SUPPORT_END=2030-05-06","DEFAULT_HOSTNAME=dflt","HOME_URL=http://é/","FOO=bar"],"MachineInformationData":["FOO=bar baz","PRETTY_HOSTNAME=x y","CHASSIS=blob","HARDWARE_VENDOR=Me","HARDWARE_MODEL=M 1","DEPLOYMENT=a b"],"HardwareVendor":"Me","HardwareModel":"M 1","HardwareSerial":null,"FirmwareVersion":null,"FirmwareVendor":null,"MachineID":"010000000000000000000000000000ef","BootID":"66000000000000000000000000000006","ProductUUID":null,"VSockCID":3}`
	if got, err := f.Describe(); err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	f = &Facts{CID: NoCID, UUID: "12345678-1234-1234-1234-1234567890AB", Serial: "<S>", FirmwareDate: "04/01/2014"}
	got, err := f.Describe()
	var v map[string]any
	if err != nil || json.Unmarshal([]byte(got), &v) != nil || v["VSockCID"] != nil || v["ProductUUID"] != "123456781234123412341234567890ab" || v["HardwareSerial"] != "<S>" ||
		v["FirmwareDate"] != 1396310400000000.0 || v["MachineID"] != nil || v["IconName"] != "computer" || v["Hostname"] != "localhost" || v["OperatingSystemPrettyName"] != "Linux" {
		t.Errorf("%v %s", err, got)
	}
}

// Files of any content make valid JSON that says what they say.
func FuzzDescribe(f *testing.F) {
	f.Add("A=1\nPRETTY_HOSTNAME=\"\\\"\\xff\"", "PRETTY_NAME='</x>'\n", "\x00\x1b", "box")
	f.Fuzz(func(t *testing.T, info, release, serial, kernel string) {
		x := &Facts{Info: envfile.Vars(info), Release: envfile.Vars(release), Serial: serial, Kernel: kernel}
		text, err := x.Describe()
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if want := strings.ToValidUTF8(x.Location(), "\ufffd"); want != "" && strings.ReplaceAll(v["Location"].(string), "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("location %q is described as %q", want, v["Location"])
		}
	})
}
