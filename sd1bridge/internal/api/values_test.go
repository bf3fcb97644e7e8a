package api

import (
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/ipc"
	"dynamod/internal/sandbox"
	"dynamod/sd1bridge/internal/translate"
	"dynamod/sd1bridge/internal/upstream"
)

// bare is a unit of a type of which nothing is known, and rich one with much set.
func bare(name string) *unitObject {
	f := ipc.Facts{}
	f.Name, f.Load, f.Active, f.Sub, f.Type = name, "loaded", "inactive", "dead", name[2:]
	return ready(translate.NewUnit(f, nil, nil))
}

func ready(u *translate.Unit) *unitObject {
	return &unitObject{u: u, has: measured | onDisk}
}

func testServer() *Server {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	return New(upstream.New("/nowhere", log), Options{Root: "/"}, log)
}

// Each property of each type of unit has a value of its type when nothing is set.
func TestEveryPropertyHasAValue(t *testing.T) {
	s := testServer()
	n := 0
	for _, typ := range []string{"service", "socket", "timer", "path", "mount", "automount", "slice", "scope", "device", "target", "swap"} {
		o := bare("x." + typ)
		for _, m := range members() {
			if m.kind != "property" || m.iface != "Unit" && m.iface != string(typ[0]-'a'+'A')+typ[1:] {
				continue
			}
			get := s.getter(m)
			if get == nil {
				continue
			}
			v, err := get(o)
			if err != nil {
				t.Errorf("%s.%s: %v", m.iface, m.name, err)
				continue
			}
			if sig := dbus.SignatureOf(v).String(); sig != m.types {
				t.Errorf("%s.%s has the type %s, want %s", m.iface, m.name, sig, m.types)
			}
			n++
		}
	}
	if n < 1500 {
		t.Errorf("only %d values were looked at", n)
	}
}

// What other settings imply is in a value, as systemd 257 showed it for rsyslog.service
// and fstrim.service of Debian 13; names of system calls that no machine has are not.
func TestImpliedValues(t *testing.T) {
	s := testServer()
	value := func(property string, lines ...string) any {
		t.Helper()
		settings := []ipc.Setting{{Section: "Service", Key: "ExecStart", Value: "/bin/true"}}
		for _, l := range lines {
			key, v, _ := strings.Cut(l, "=")
			settings = append(settings, ipc.Setting{Section: "Service", Key: key, Value: v})
		}
		u := translate.NewUnit(func() ipc.Facts { f := ipc.Facts{}; f.Name, f.Load = "x.service", "loaded"; return f }(), settings, nil)
		for _, m := range members() {
			if m.kind == "property" && m.iface+"."+m.name == "Service."+property {
				v, err := s.getter(m)(ready(u))
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
		}
		t.Fatalf("there is no %s", property)
		return nil
	}
	bit := func(name string) uint64 { return 1 << sandbox.CapabilityNumber(name) }
	all := value("CapabilityBoundingSet").(uint64)
	for _, row := range []struct {
		line, policy string
		gone         uint64
		allow        []translate.Pair
	}{
		{"Nice=0", "auto", 0, []translate.Pair{}},
		{"ProtectKernelModules=yes", "auto", bit("CAP_SYS_MODULE"), []translate.Pair{}},
		{"ProtectKernelLogs=yes", "auto", bit("CAP_SYSLOG"), []translate.Pair{}},
		{"PrivateDevices=yes", "closed", bit("CAP_MKNOD") | bit("CAP_SYS_RAWIO"), []translate.Pair{}},
		{"ProtectClock=yes", "closed", bit("CAP_SYS_TIME") | bit("CAP_WAKE_ALARM"), []translate.Pair{{A: "char-rtc", B: "r"}}},
	} {
		if got := value("CapabilityBoundingSet", row.line); got != all&^row.gone {
			t.Errorf("%s: CapabilityBoundingSet is %x, want %x", row.line, got, all&^row.gone)
		}
		if got := value("DevicePolicy", row.line); got != row.policy {
			t.Errorf("%s: DevicePolicy is %v, want %s", row.line, got, row.policy)
		}
		if got := value("DeviceAllow", row.line); !reflect.DeepEqual(got, row.allow) {
			t.Errorf("%s: DeviceAllow is %v, want %v", row.line, got, row.allow)
		}
	}
	if got := value("DevicePolicy", "ProtectClock=yes", "DevicePolicy=strict"); got != "strict" {
		t.Errorf("DevicePolicy=strict is %v", got)
	}
	if got := value("CapabilityBoundingSet", "ProtectClock=yes", "CapabilityBoundingSet=CAP_SYS_TIME CAP_KILL"); got != bit("CAP_KILL") {
		t.Errorf("of two there are %x", got)
	}
	if got := value("SystemCallFilter", "SystemCallFilter=@file-system @default").(translate.Filter).Words; slices.Contains(got, "fstatat") ||
		!slices.Contains(got, "openat") || !slices.Contains(got, "cacheflush") {
		t.Errorf("SystemCallFilter is %v", got)
	}
}

// Values of settings are those that systemd 257 showed for the same lines: recorded in
// a container with systemctl show, or as the manual of the setting says.
func TestValuesOfSettings(t *testing.T) {
	s := testServer()
	u := translate.NewUnit(func() ipc.Facts { f := ipc.Facts{}; f.Name, f.Load = "x.service", "loaded"; return f }(), []ipc.Setting{
		{Section: "Service", Key: "ExecStart", Value: "-/bin/sh -c 'a b'"},
		{Section: "Service", Key: "CPUQuota", Value: "20%"},
		{Section: "Service", Key: "MemoryMax", Value: "1G"},
		{Section: "Service", Key: "MemoryHigh", Value: "50%"},
		{Section: "Service", Key: "TimeoutStopSec", Value: "infinity"},
		{Section: "Service", Key: "RestartSec", Value: "1.5s"},
		{Section: "Service", Key: "LimitNOFILE", Value: "10:20"},
		{Section: "Service", Key: "CapabilityBoundingSet", Value: "CAP_CHOWN"},
		{Section: "Service", Key: "CapabilityBoundingSet", Value: "CAP_KILL"},
		{Section: "Service", Key: "SystemCallFilter", Value: "~mount"},
		{Section: "Service", Key: "SystemCallErrorNumber", Value: "EPERM"},
		{Section: "Service", Key: "EnvironmentFile", Value: "-/etc/x"},
		{Section: "Service", Key: "DeviceAllow", Value: "/dev/null rw"},
		{Section: "Service", Key: "CPUAffinity", Value: "0-2 9"},
		{Section: "Service", Key: "RestrictNamespaces", Value: "yes"},
		{Section: "Service", Key: "IOReadBandwidthMax", Value: "/dev/sda 5M"},
		{Section: "Service", Key: "IPAddressAllow", Value: "127.0.0.1"},
		{Section: "Service", Key: "SuccessExitStatus", Value: "3 SIGHUP"},
		{Section: "Service", Key: "UMask", Value: "0027"},
		{Section: "Service", Key: "PrivateTmp", Value: "yes"},
		{Section: "Service", Key: "Nice", Value: "-5"},
		{Section: "Unit", Key: "ConditionPathExists", Value: "|!/x"},
	}, []ipc.Relation{{Relation: "After", Unit: "a.target"}, {Relation: "Slice", Unit: "system.slice"}})
	s.machine.Memory = 1000
	for property, want := range map[string]any{
		"Service.CPUQuotaPerSecUSec": uint64(200000), "Service.MemoryMax": uint64(1 << 30), "Service.MemoryHigh": uint64(500),
		"Service.TimeoutStopUSec": uint64(1<<64 - 1), "Service.RestartUSec": uint64(1500000),
		"Service.LimitNOFILE": uint64(20), "Service.LimitNOFILESoft": uint64(10), "Service.CapabilityBoundingSet": uint64(1 | 1<<5),
		"Service.SystemCallFilter": translate.Filter{Allow: false, Words: []string{"mount"}}, "Service.SystemCallErrorNumber": int32(1),
		"Service.EnvironmentFiles": []translate.Marked{{Text: "/etc/x", Flag: true}}, "Service.DeviceAllow": []translate.Pair{{A: "/dev/null", B: "rw"}},
		"Service.CPUAffinity": []byte{7, 2}, "Service.RestrictNamespaces": uint64(0),
		"Service.IOReadBandwidthMax": []translate.Amount{{Path: "/dev/sda", Value: 5000000}},
		"Service.IPAddressAllow":     []translate.Network{{Family: 2, Address: []byte{127, 0, 0, 1}, Prefix: 32}},
		"Service.SuccessExitStatus":  translate.Exits{Codes: []int32{3}, Signals: []int32{1}}, "Service.UMask": uint32(0o27),
		"Service.PrivateTmp": true, "Service.PrivateTmpEx": "connected", "Service.Nice": int32(-5), "Service.Slice": "system.slice",
		"Unit.After": []string{"a.target"}, "Unit.Before": []string{},
		"Unit.Conditions":   []translate.Check{{Name: "ConditionPathExists", Trigger: true, Negate: true, Arg: "/x"}},
		"Service.ExecStart": []translate.Command{{Path: "/bin/sh", Argv: []string{"/bin/sh", "-c", "a b"}, IgnoreFailure: true}},
	} {
		found := false
		for _, m := range members() {
			if m.kind == "property" && m.iface+"."+m.name == property {
				found = true
				got, err := s.getter(m)(ready(u))
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s is %#v (%v), want %#v", property, got, err, want)
				}
			}
		}
		if !found {
			t.Errorf("there is no property %s", property)
		}
	}
}

// What the manager measures is fetched for the properties that show it, and for no others.
func TestEfforts(t *testing.T) {
	s := &Server{}
	with := translate.NewUnit(ipc.Facts{Status: ipc.Status{Unit: ipc.Unit{Name: "x.service", Load: "loaded"}, Enabled: "enabled", NeedsReload: true,
		Resources: &ipc.Usage{Memory: 1, MemoryPeak: 2, MemoryMax: 3, Swap: 4, SwapPeak: 5, CPU: 6, Tasks: 7, TasksMax: 8, IORead: 9, IOWrite: 10, OOMKills: 11}}}, nil, nil)
	unmeasured, unread := *with, *with
	unmeasured.Resources, unread.Enabled, unread.NeedsReload = nil, "", false
	for _, m := range members() {
		if m.kind != "property" || m.iface != "Service" && m.iface != "Unit" || m.name == "UnitFilePreset" {
			continue
		}
		get := unitProperty(m)
		if get == nil {
			continue
		}
		a, _ := get(with, s)
		for what, u := range map[effort]*translate.Unit{measured: &unmeasured, onDisk: &unread} {
			b, _ := get(u, s)
			if differ := !reflect.DeepEqual(a, b); differ != (efforts[m.name]&what != 0) {
				t.Errorf("%s is %v, without the effort %d %v", m.name, a, what, b)
			}
		}
	}
}
