package sandbox

import (
	"flag"
	"os"
	"strings"
	"testing"

	"dynamod/internal/unit"
)

var update = flag.Bool("update", false, "write docs/security.md anew")

func TestMarkdownIsUpToDate(t *testing.T) {
	const file = "../../docs/security.md"
	if *update {
		if err := os.WriteFile(file, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Error("docs/security.md is out of date: go test ./internal/sandbox -run Markdown -update")
	}
}

// service builds a unit from lines of [Service].
func service(t *testing.T, lines ...string) *unit.Unit {
	t.Helper()
	f := unit.File{Path: "/etc/systemd/system/x.service"}
	for i, l := range append([]string{"ExecStart=/bin/true"}, lines...) {
		key, value, _ := strings.Cut(l, "=")
		fr := unit.Fragment{Section: "Service", Key: key, Text: value}
		fr.Pos.File, fr.Pos.Line = f.Path, int32(i+2)
		if value == "" {
			fr.Op = unit.Reset
		}
		f.Fragments = append(f.Fragments, fr)
	}
	u, ds := unit.Build(unit.Source{Name: "x.service", HasMain: true, Files: []unit.File{f}})
	for _, d := range ds {
		t.Errorf("%s: %s", d.Key, d.Message)
	}
	if u.Load != unit.Loaded {
		t.Fatalf("the unit is %v", u.Load)
	}
	return u
}

func open(t *testing.T, r Rating, leaves string) int {
	t.Helper()
	for _, f := range r.Findings {
		if f.Leaves == leaves {
			return f.Open
		}
	}
	t.Fatalf("nothing is said about %q", leaves)
	return 0
}

// Every setting that confines is judged, or it is written down why not.
func TestNoSettingIsForgotten(t *testing.T) {
	judged := map[*unit.Setting]bool{}
	for _, r := range rateTable {
		for _, s := range r.settings {
			judged[s] = true
			if s.Effect == unit.NotYet || s.Effect == unit.Obsolete {
				t.Errorf("%s is rated, but has no effect", s.Native)
			}
		}
		if r.weight <= 0 || r.leaves == "" || r.mend == "" {
			t.Errorf("the row of %s lacks something", r.settings[0].Native)
		}
	}
	for key := range unrated {
		if s, ok := unit.LookupNative(key); !ok || judged[s] {
			t.Errorf("%s is rated, or no setting, and said not to be rated", key)
		}
	}
	others := map[string]bool{"service.user.user": true, "service.user.group": true, "service.user.supplementary-groups": true,
		"service.user.dynamic": true, "service.keyring-mode": true, "service.umask": true, "cgroup.delegate": true,
		"cgroup.device-allow": true, "cgroup.device-policy": true, "cgroup.ip-address-allow": true, "cgroup.ip-address-deny": true,
		"cgroup.socket-bind-allow": true, "cgroup.socket-bind-deny": true, "cgroup.restrict-network-interfaces": true}
	for _, s := range unit.Table() {
		if strings.HasPrefix(s.Native, "sandbox.") || strings.HasPrefix(s.Native, "namespace.") || others[s.Native] {
			delete(others, s.Native)
			if !judged[s] && unrated[s.Native] == "" {
				t.Errorf("%s is neither in rateTable nor in unrated", s.Native)
			}
		}
	}
	for n := range others {
		t.Errorf("there is no setting %s", n)
	}
}

func TestEveryCapabilityIsInOneRow(t *testing.T) {
	rows := map[string]int{}
	for _, r := range rateTable {
		_, names, _ := strings.Cut(r.mend, "CapabilityBoundingSet= without")
		for _, n := range strings.Fields(names) {
			rows[strings.ToLower(strings.TrimPrefix(n, "CAP_"))]++
		}
	}
	for _, n := range capabilityNames {
		if rows[n] != 1 {
			t.Errorf("%s is in %d rows", n, rows[n])
		}
	}
}

func TestNothingWrittenIsOpenAndEverythingIsTight(t *testing.T) {
	bare := Rate(service(t), false)
	if bare.Score < 9 || bare.Word != "open" {
		t.Errorf("a service that says nothing has %.1f, %s", bare.Score, bare.Word)
	}
	if bare.Findings[0].Setting != "User=" || bare.Findings[0].Mend == "" {
		t.Errorf("the first finding is %+v", bare.Findings[0])
	}
	shut := Rate(service(t, "DynamicUser=yes", "CapabilityBoundingSet=", "NoExecPaths=/", "ExecPaths=/usr", "ProtectSystem=strict", "ProtectHome=yes",
		"PrivateTmp=disconnected", "PrivateMounts=yes", "PrivateDevices=yes", "DevicePolicy=closed", "UMask=0077", "PrivateNetwork=yes",
		"IPAddressDeny=any", "SocketBindDeny=any", "RestrictNetworkInterfaces=lo", "RestrictAddressFamilies=none", "PrivateUsers=yes",
		"PrivatePIDs=yes", "PrivateIPC=yes", "RemoveIPC=yes", "KeyringMode=private", "ProtectProc=invisible", "ProcSubset=pid",
		"ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectControlGroups=yes", "ProtectClock=yes",
		"ProtectHostname=yes", "AppArmorProfile=x", "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources",
		"SystemCallArchitectures=native", "RestrictNamespaces=yes", "RestrictSUIDSGID=yes", "MemoryDenyWriteExecute=yes",
		"RestrictRealtime=yes", "LockPersonality=yes", "RestrictFileSystems=@basic-api"), false)
	if shut.Score > 0.1 || shut.Word != "tight" {
		t.Errorf("a service that closes everything has %.1f, %s", shut.Score, shut.Word)
		for _, f := range shut.Findings {
			if f.Open > 0 {
				t.Logf("%d %s: %s", f.Open, f.Setting, f.Leaves)
			}
		}
	}
}

// Each line closes what is said about it, and the score falls.
func TestRows(t *testing.T) {
	for _, c := range []struct {
		leaves string
		lines  []string
		want   int
	}{
		{"processes are root", []string{"User=nobody"}, 0},
		{"processes are root", []string{"User=root"}, 10},
		{"processes are root", []string{"DynamicUser=yes"}, 0},
		{"set-user-ID programs give new privileges", []string{"DynamicUser=yes"}, 0},
		{"administering the system", nil, 10},
		{"administering the system", []string{"CapabilityBoundingSet=CAP_NET_BIND_SERVICE"}, 0},
		{"administering the system", []string{"CapabilityBoundingSet=~CAP_SYS_ADMIN"}, 0},
		{"administering the system", []string{"User=nobody"}, 5},
		{"administering the system", []string{"User=nobody", "NoNewPrivileges=yes"}, 0},
		{"administering the system", []string{"User=nobody", "NoNewPrivileges=yes", "AmbientCapabilities=CAP_SYS_ADMIN"}, 10},
		{"loading kernel modules", []string{"ProtectKernelModules=yes"}, 0},
		{"a command with + runs outside of the sandbox", []string{"ExecStartPre=+/bin/true"}, 10},
		{"the operating system can be changed", []string{"ProtectSystem=full"}, 5},
		{"the operating system can be changed", []string{"RootDirectory=/srv/x"}, 2},
		{"home directories are within reach", []string{"ProtectHome=read-only"}, 5},
		{"devices can be opened", []string{"PrivateDevices=yes"}, 0},
		{"devices can be opened", []string{"DevicePolicy=closed", "DeviceAllow=block-*"}, 4},
		{"every address can be talked to", []string{"IPAddressDeny=any", "IPAddressAllow=localhost"}, 0},
		{"every address can be talked to", []string{"IPAddressDeny=10.0.0.0/8"}, 6},
		{"network packets can be made and read raw", []string{"RestrictAddressFamilies=AF_UNIX AF_INET"}, 0},
		{"Internet sockets can be opened", []string{"RestrictAddressFamilies=AF_UNIX AF_INET"}, 5},
		{"Internet sockets can be opened", []string{"RestrictAddressFamilies=~AF_PACKET"}, 10},
		{"network packets can be made and read raw", []string{"RestrictAddressFamilies=~AF_PACKET"}, 0},
		{"system calls are not limited to a list", []string{"SystemCallFilter=@system-service"}, 0},
		{"system calls are not limited to a list", []string{"SystemCallFilter=~@mount"}, 10},
		{"system calls of @mount", []string{"SystemCallFilter=~@mount"}, 0},
		{"system calls of @mount", []string{"SystemCallFilter=~@mount:EPERM"}, 0},
		{"system calls of @mount", nil, 10},
		{"system calls of @clock", []string{"ProtectClock=yes"}, 0},
		{"system calls of other architectures", []string{"SystemCallArchitectures=native x86"}, 5},
		{"namespaces can be made", []string{"RestrictNamespaces=yes"}, 0},
		{"namespaces can be made", []string{"RestrictNamespaces=~user"}, 9},
		{"a part of the cgroup tree is its own", []string{"Delegate=yes"}, 10},
		{"new files can be read by others", []string{"UMask=0027"}, 2},
	} {
		r := Rate(service(t, c.lines...), false)
		if got := open(t, r, c.leaves); got != c.want {
			t.Errorf("%s with %v: %d, not %d", c.leaves, c.lines, got, c.want)
		}
		if bare := Rate(service(t), false); c.want < 10 && r.Score > bare.Score {
			t.Errorf("%v raises the score from %.1f to %.1f", c.lines, bare.Score, r.Score)
		}
	}
	if r := Rate(service(t), true); open(t, r, "processes are root") != 0 {
		t.Error("a user's service is said to be root")
	}
}
