package translate

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/ipc"
)

// decoded is a value as it comes over the wire.
func decoded(t *testing.T, v any) (string, any) {
	t.Helper()
	m := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/")), dbus.FieldInterface: dbus.MakeVariant("a.b"), dbus.FieldMember: dbus.MakeVariant("C"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(dbus.MakeVariant(v)))}, Body: []any{dbus.MakeVariant(v)}}
	var b strings.Builder
	if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	back, err := dbus.DecodeMessage(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	x := back.Body[0].(dbus.Variant)
	return x.Signature().String(), x.Value()
}

// What clients set is read back the same, through the lines of a unit file.
func TestAssignmentsComeBack(t *testing.T) {
	for _, c := range []struct {
		own, name string
		value     any
		lines     string
		// read is the property that shows it, with its signature and value, if those
		// differ from what was set.
		read, sig string
		want      any
	}{
		{own: "Service", name: "Description", value: "50% of $HOME", lines: "[Unit]Description=50%% of $HOME"},
		{own: "Service", name: "RemainAfterExit", value: true, lines: "[Service]RemainAfterExit=yes"},
		{own: "Service", name: "Type", value: "oneshot", lines: "[Service]Type=oneshot"},
		{own: "Service", name: "User", value: "nobody", lines: "[Service]User=nobody"},
		{own: "Service", name: "Environment", value: []string{"A=b c", "P=%h"}, lines: `[Service]Environment="A=b c" "P=%%h"`},
		{own: "Service", name: "EnvironmentFiles", value: []Marked{{"/etc/x", true}}, lines: "[Service]EnvironmentFile=-/etc/x"},
		{own: "Service", name: "TimeoutStopUSec", value: uint64(1500000), lines: "[Service]TimeoutStopSec=1500000us"},
		{own: "Service", name: "RuntimeMaxUSec", value: uint64(infinity), lines: "[Service]RuntimeMaxSec=infinity"},
		{own: "Service", name: "TimerSlackNSec", value: uint64(70), lines: "[Service]TimerSlackNSec=70ns"},
		{own: "Service", name: "CPUQuotaPerSecUSec", value: uint64(205000), lines: "[Service]CPUQuota=20.5%"},
		{own: "Service", name: "CPUWeight", value: uint64(33), lines: "[Service]CPUWeight=33"},
		{own: "Service", name: "MemoryMax", value: uint64(1 << 30), lines: "[Service]MemoryMax=1073741824"},
		{own: "Service", name: "MemoryMax", value: uint64(infinity), lines: "[Service]MemoryMax=infinity"},
		{own: "Service", name: "MemoryHighScale", value: uint32(1 << 31), lines: "[Service]MemoryHigh=50.0%", read: "MemoryHigh", sig: "t", want: uint64(500)},
		{own: "Service", name: "TasksMax", value: uint64(9), lines: "[Service]TasksMax=9"},
		{own: "Scope", name: "TasksMax", value: uint64(9), lines: "[Scope]TasksMax=9"},
		{own: "Slice", name: "IOWeight", value: uint64(9), lines: "[Slice]IOWeight=9"},
		{own: "Service", name: "Slice", value: "a-b.slice", lines: "[Service]Slice=a-b.slice"},
		{own: "Service", name: "Delegate", value: true, lines: "[Service]Delegate=yes"},
		{own: "Service", name: "DeviceAllow", value: []Pair{{"/dev/null", "rw"}, {"char-pts", "rwm"}}, lines: "[Service]DeviceAllow=/dev/null rw\n[Service]DeviceAllow=char-pts rwm"},
		{own: "Service", name: "IOReadBandwidthMax", value: []Amount{{"/dev/sda", 5000}}, lines: "[Service]IOReadBandwidthMax=/dev/sda 5000"},
		{own: "Service", name: "IPAddressDeny", value: []Network{{2, []byte{10, 0, 0, 0}, 8}}, lines: "[Service]IPAddressDeny=10.0.0.0/8"},
		{own: "Service", name: "SystemCallFilter", value: Filter{false, []string{"mount", "@clock"}}, lines: "[Service]SystemCallFilter=~mount @clock",
			want: Filter{false, []string{"adjtimex", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "mount", "settimeofday"}}},
		{own: "Service", name: "RestrictAddressFamilies", value: Filter{true, []string{"AF_UNIX"}}, lines: "[Service]RestrictAddressFamilies=AF_UNIX"},
		{own: "Service", name: "SuccessExitStatus", value: Exits{[]int32{7}, []int32{1}}, lines: "[Service]SuccessExitStatus=7 SIGHUP"},
		{own: "Service", name: "BindPaths", value: []Bind{{"/a b", "/c", true, 0x4000}}, lines: `[Service]BindPaths="-/a b:/c"`, sig: "none"},
		{own: "Service", name: "ReadWritePaths", value: []string{"/a b", "-/c"}, lines: `[Service]ReadWritePaths="/a b" -/c`},
		{own: "Service", name: "CapabilityBoundingSet", value: uint64(1 | 1<<5), lines: "[Service]CapabilityBoundingSet=CAP_CHOWN CAP_KILL"},
		{own: "Service", name: "AmbientCapabilities", value: uint64(1), lines: "[Service]AmbientCapabilities=CAP_CHOWN"},
		{own: "Service", name: "RestrictNamespaces", value: uint64(0x10000000), lines: "[Service]RestrictNamespaces=user"},
		{own: "Service", name: "RestrictNamespaces", value: uint64(0), lines: "[Service]RestrictNamespaces=yes"},
		{own: "Service", name: "CPUAffinity", value: []byte{7, 2}, lines: "[Service]CPUAffinity=0-2 9"},
		{own: "Service", name: "UMask", value: uint32(0o27), lines: "[Service]UMask=0027"},
		{own: "Service", name: "Nice", value: int32(-5), lines: "[Service]Nice=-5"},
		{own: "Service", name: "KillSignal", value: int32(1), lines: "[Service]KillSignal=SIGHUP"},
		{own: "Service", name: "IOSchedulingClass", value: int32(3), lines: "[Service]IOSchedulingClass=3"},
		{own: "Service", name: "CPUSchedulingPolicy", value: int32(5), lines: "[Service]CPUSchedulingPolicy=idle"},
		{own: "Service", name: "SecureBits", value: int32(3), lines: "[Service]SecureBits=noroot noroot-locked"},
		{own: "Service", name: "PrivateTmp", value: true, lines: "[Service]PrivateTmp=yes", sig: "none"},
		{own: "Service", name: "PrivateTmpEx", value: "disconnected", lines: "[Service]PrivateTmp=disconnected"},
		{own: "Service", name: "ProtectSystem", value: "strict", lines: "[Service]ProtectSystem=strict"},
		{own: "Service", name: "WorkingDirectory", value: "!/tmp", lines: "[Service]WorkingDirectory=-/tmp"},
		{own: "Service", name: "StandardInputData", value: []byte("a\n"), lines: "[Service]StandardInputData=YQo="},
		{own: "Service", name: "SetCredential", value: []Secret{{"id", []byte("x y%")}}, lines: "[Service]SetCredential=id:x y%%"},
		{own: "Service", name: "LogExtraFields", value: [][]byte{[]byte("A=b")}, lines: "[Service]LogExtraFields=A=b"},
		{own: "Service", name: "After", value: []string{"a.service", "b.target"}, lines: "[Unit]After=a.service b.target"},
		{own: "Service", name: "CollectMode", value: "inactive-or-failed", lines: "[Unit]CollectMode=inactive-or-failed"},
		{own: "Service", name: "ExecStart", value: []struct {
			A string
			B []string
			C bool
		}{{"/bin/echo", []string{"echo", "a b", "%n"}, true}}, lines: `[Service]ExecStart=@-/bin/echo echo "a b" "%%n"`, sig: "commands",
			want: []Command{{Path: "/bin/echo", Argv: []string{"echo", "a b", "%n"}, IgnoreFailure: true}}},
		{own: "Service", name: "ExecStartEx", value: []struct {
			A string
			B []string
			C []string
		}{{"/bin/echo", []string{"/bin/echo", "$X"}, []string{"no-env-expand", "privileged"}}}, lines: `[Service]ExecStart=+:/bin/echo $X`, read: "ExecStart", sig: "commands",
			want: []Command{{Path: "/bin/echo", Argv: []string{"/bin/echo", "$X"}}}},
		{own: "Service", name: "Conditions", value: []struct {
			A    string
			B, C bool
			D    string
		}{{"ConditionPathExists", true, true, "/x%"}}, lines: "[Unit]ConditionPathExists=|!/x%%", sig: "none"},
		{own: "Timer", name: "TimersCalendar", value: []Pair{{"OnCalendar", "*:0/5"}}, lines: "[Timer]OnCalendar=*:0/5", sig: "none"},
		{own: "Timer", name: "TimersMonotonic", value: []Amount{{"OnBootUSec", 5000000}}, lines: "[Timer]OnBootSec=5000000us", sig: "none"},
		{own: "Timer", name: "OnActiveUSec", value: uint64(5000000), lines: "[Timer]OnActiveSec=5000000us", sig: "none"},
		{own: "Socket", name: "Listen", value: []Pair{{"Stream", "/run/%x"}}, lines: "[Socket]ListenStream=/run/%%x", sig: "none"},
		{own: "Path", name: "Paths", value: []Pair{{"PathChanged", "/run/x"}}, lines: "[Path]PathChanged=/run/x", sig: "none"},
		{own: "Service", name: "MemoryMax", value: "1G", sig: "none", lines: "[Service]MemoryMax=1G"},
	} {
		sig, v := decoded(t, c.value)
		lines, err := Lines(c.own, []Assignment{{c.name, sig, v}})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var text []string
		for _, l := range lines {
			text = append(text, "["+l.Section+"]"+l.Key+"="+l.Value)
		}
		if got := strings.Join(text, "\n"); c.lines != "" && got != c.lines {
			t.Errorf("%s: lines are\n%s\nwant\n%s", c.name, got, c.lines)
		}
		if c.sig == "none" {
			continue
		}
		f := ipc.Facts{}
		f.Name, f.Load = "x."+strings.ToLower(c.own), "loaded"
		u := NewUnit(f, lines, nil)
		name, want := c.name, c.value
		if c.read != "" {
			name = c.read
		}
		if c.want != nil {
			want = c.want
		}
		row, _ := (&assigner{own: c.own}).row(name)
		if row == nil {
			t.Errorf("there is no property %s", name)
			continue
		}
		if c.sig == "commands" {
			if got := u.Commands(row); !reflect.DeepEqual(got, want) {
				t.Errorf("%s reads as %#v, want %#v", name, got, want)
			}
			continue
		}
		if c.sig != "" {
			sig = c.sig
		}
		got, ok := Setting(u.Model, row, sig, Machine{Memory: 1000})
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %#v (%v), want %#v, from %q", name, got, ok, want, text)
		}
	}
}

// Both halves of a resource limit make one line, whatever comes first.
func TestLimits(t *testing.T) {
	for want, list := range map[string][]Assignment{
		"10:20":       {{"LimitNOFILE", "t", uint64(20)}, {"LimitNOFILESoft", "t", uint64(10)}},
		"5:5":         {{"LimitNOFILESoft", "t", uint64(5)}},
		"infinity:9":  {{"LimitNOFILE", "t", uint64(9)}, {"LimitNOFILESoft", "t", uint64(infinity)}},
		"1:infinity":  {{"LimitNOFILESoft", "t", uint64(1)}, {"LimitNOFILE", "t", uint64(infinity)}},
		"7:7":         {{"LimitNOFILE", "t", uint64(7)}},
		"7:7 (twice)": {{"LimitNOFILE", "t", uint64(1)}, {"LimitNOFILE", "t", uint64(7)}},
	} {
		lines, err := Lines("Service", list)
		if err != nil || len(lines) != 1 || lines[0].Value != strings.Fields(want)[0] {
			t.Errorf("%v, %v; want %s", lines, err, want)
		}
	}
}

func TestWhatCannotBeSet(t *testing.T) {
	for _, c := range []struct {
		own, name string
		value     any
		want      string
	}{
		{"Service", "Nonsense", "x", "unknown property"},
		{"Service", "MainPID", uint32(1), "unknown property"},
		{"Slice", "ExecStart", "x", "unknown property"},
		{"Service", "ExecStart", "/bin/true", "its type"},
		{"Service", "ExecStart", []struct {
			A string
			B []string
			C bool
		}{{"true", []string{"true"}, false}}, "absolute path"},
		{"Service", "ExecStartEx", []struct {
			A string
			B []string
			C []string
		}{{"/bin/true", []string{"true"}, []string{"quickly"}}}, "no flag"},
		{"Service", "Description", "a\nb", "does not fit"},
		{"Service", "Description", `a\`, "does not fit"},
		{"Service", "KillSignal", int32(99), "no signal"},
		{"Service", "StandardOutputFileDescriptor", int32(1), "descriptors"},
		{"Service", "Conditions", []Pair{{"a", "b"}}, "its type"},
		{"Service", "IPAddressDeny", []Network{{2, []byte{1}, 8}}, "no valid address"},
		{"Socket", "Listen", []Pair{{"Nonsense", "b"}}, "none of its kinds"},
		{"Service", "LimitNOFILE", "x", "its type"},
		{"Service", "LimitNONSENSE", uint64(1), "unknown property"},
	} {
		sig, v := decoded(t, c.value)
		if lines, err := Lines(c.own, []Assignment{{c.name, sig, v}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%v: %v, %v; want an error with %q", c.name, c.value, lines, err, c.want)
		}
	}
}
