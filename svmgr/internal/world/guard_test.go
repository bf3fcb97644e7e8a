package world

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroupbpf"
	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func perlScript(text string) string {
	return "perl -MSocket -e '" + text + "'"
}

// bindTo is a bind of a socket to a port of the loopback device.
func bindTo(kind, port string) string {
	return perlScript(`socket(S, AF_INET, SOCK_` + kind + `, 0) or die; bind(S, sockaddr_in(` + port + `, INADDR_LOOPBACK)) or exit 1`)
}

// ping sends a datagram to a port of 127.0.0.1 that the program itself listens to,
// and waits for it.
const pingSelf = `socket(S, AF_INET, SOCK_DGRAM, 0) or die; bind(S, sockaddr_in(0, INADDR_LOOPBACK)) or die; ` +
	`my $to = getsockname(S); send(S, "hello", 0, $to) or exit 1; vec(my $r = "", fileno(S), 1) = 1; select($r, undef, undef, 0.5) == 1 or exit 2`

var guards = []attempt{
	{name: "DevicePolicy=closed", settings: []string{"DevicePolicy=closed"}, denied: "head -c0 /dev/tty0 || head -c0 /dev/kmsg", works: "echo x >/dev/null && head -c1 /dev/zero >/dev/null"},
	{name: "DevicePolicy=strict", settings: []string{"DevicePolicy=strict", "DeviceAllow=/dev/null rw"}, denied: "head -c1 /dev/zero >/dev/null", works: "echo x >/dev/null"},
	{name: "DeviceAllow", settings: []string{"DeviceAllow=/dev/kmsg r"}, denied: "head -c0 /dev/loop-control", works: "head -c0 /dev/kmsg && echo x >/dev/null"},
	{name: "DeviceAllow of a group", settings: []string{"DevicePolicy=strict", "DeviceAllow=char-mem rw"}, denied: "head -c0 /dev/loop-control", works: "head -c1 /dev/zero >/dev/null"},
	{name: "DeviceAllow, one kind of access", settings: []string{"DeviceAllow=/dev/loop-control r"}, denied: ": >>/dev/loop-control", works: "head -c0 /dev/loop-control"},
	{name: "DeviceAllow=char-*", settings: []string{"DevicePolicy=strict", "DeviceAllow=char-* rw"}, denied: "head -c0 /dev/loop0", works: "head -c0 /dev/kmsg"},
	{name: "PrivateDevices, whatever is mounted", settings: []string{"PrivateDevices=yes", "BindPaths=/dev/kmsg:/tmp/dynamod-kmsg"}, denied: "head -c0 /tmp/dynamod-kmsg", works: "head -c1 /dev/zero >/dev/null", always: true},
	{name: "IPAddressDeny", settings: []string{"IPAddressDeny=any"}, denied: perlScript(pingSelf), works: bindTo("DGRAM", "0")},
	{name: "IPAddressAllow", settings: []string{"IPAddressDeny=any", "IPAddressAllow=localhost"}, denied: perlScript(strings.Replace(pingSelf, "send(S, \"hello\", 0, $to)", "send(S, \"hello\", 0, sockaddr_in(9, inet_aton(\"192.0.2.1\")))", 1)), works: perlScript(pingSelf), always: true},
	{name: "IPAddressDeny of a network", settings: []string{"IPAddressDeny=127.0.0.0/8"}, denied: perlScript(pingSelf), works: bindTo("DGRAM", "0")},
	{name: "SocketBindDeny", settings: []string{"SocketBindDeny=any", "SocketBindAllow=ipv4:tcp:18000-18010"}, denied: bindTo("STREAM", "18011"), works: bindTo("STREAM", "18010")},
	{name: "SocketBindDeny of a protocol", settings: []string{"SocketBindDeny=udp"}, denied: bindTo("DGRAM", "18012"), works: bindTo("STREAM", "18012") + " && " + bindTo("DGRAM", "0")},
	{name: "RestrictNetworkInterfaces", settings: []string{"RestrictNetworkInterfaces=~lo"}, denied: perlScript(pingSelf), works: bindTo("DGRAM", "0")},
	{name: "RestrictNetworkInterfaces, allowed", settings: []string{"RestrictNetworkInterfaces=lo"}, denied: "false", works: perlScript(pingSelf), always: true},
}

func TestGuards(t *testing.T) {
	needRoot(t)
	dir := cgroupDir(t)
	if dir == "" {
		t.Fatal("there is no cgroup2 directory for the test")
	}
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	for _, a := range guards {
		t.Run(a.name, func(t *testing.T) {
			prove(t, r, a, strings.NewReplacer())
		})
	}
}

// BPFProgram= and IPIngressFilterPath= (systemd.resource-control(5)) attach a program that
// somebody has pinned; one that is not there fails the start.
func TestPinnedPrograms(t *testing.T) {
	needRoot(t)
	dir := cgroupDir(t)
	if dir == "" {
		t.Fatal("there is no cgroup2 directory for the test")
	}
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	for _, settings := range [][]string{{"BPFProgram=bind4:/nonexistent"}, {"BPFProgram=nonsense:/x"}, {"BPFProgram=bind4"}} {
		failed, _ := r.script("b.service", "true", settings...)
		if failed == nil || failed.Stage != "bpf-program" {
			t.Errorf("%q: %+v; want a failure of the stage bpf-program", settings, failed)
		}
	}
	for _, s := range []string{"IPIngressFilterPath=/nonexistent", "IPEgressFilterPath=/nonexistent"} {
		if failed, _ := r.script("b.service", "true", s); failed == nil || failed.Stage != "ip-filter" {
			t.Errorf("%s: %+v; want a failure of the stage ip-filter", s, failed)
		}
	}
	bpffs := t.TempDir()
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		t.Fatalf("no BPF file system can be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(bpffs, unix.MNT_DETACH) })
	no, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCGroupInet4Bind,
		License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer no.Close()
	if err := no.Pin(bpffs + "/no"); err != nil {
		t.Fatal(err)
	}
	prove(t, r, attempt{name: "BPFProgram", settings: []string{"BPFProgram=bind4:" + bpffs + "/no"}, denied: bindTo("STREAM", "0"), works: "true"}, strings.NewReplacer())
}

// The lists of slices hold for the units in them.
func TestSlicesGuardTheirUnits(t *testing.T) {
	needRoot(t)
	dir := cgroupDir(t)
	slice := service(t, "walled.slice", "[Slice]\nIPAddressDeny=any")
	r := newRig(t, func(c *Config) {
		c.CgroupRoot = dir
		c.UnitOf = func(name string) *unit.Unit {
			if name == slice.Name {
				return slice
			}
			return nil
		}
	})
	run := func(lines ...string) int32 {
		t.Helper()
		_, exit := r.script("a.service", perlScript(pingSelf), append(lines, "Slice=walled.slice")...)
		return exit.Code
	}
	if code := run(); code == 0 {
		t.Error("the list of the slice does not hold")
	}
	if code := run("IPAddressAllow=127.0.0.1"); code != 0 {
		t.Errorf("what the unit allows is denied: %d", code)
	}
}

func TestTrafficIsCounted(t *testing.T) {
	needRoot(t)
	dir := cgroupDir(t)
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	u := service(t, "a.service", "IPAccounting=yes", "ExecStart=/bin/sh -c '"+quoteScript(perlScript(pingSelf)+" && sleep 1000")+"'")
	run := r.spawn(u)
	testkit.Eventually(t, "the packets", func() bool {
		got, ok := r.Traffic("a.service")
		// An IP header, a UDP header and five bytes, each way.
		return ok && got.OutPackets == 1 && got.InPackets == 1 && got.OutBytes == 33 && got.InBytes == 33
	})
	if _, ok := r.Traffic("b.service"); ok {
		t.Error("a unit that does not run is counted")
	}
	r.Perform(core.KillCgroup{Unit: "a.service", Incarnation: run})
	r.lifeOf(run)
}

func TestRestrictFileSystems(t *testing.T) {
	needRoot(t)
	dir := cgroupDir(t)
	r := newRig(t, func(c *Config) { c.CgroupRoot = dir })
	_, exit := r.script("a.service", "head -c1 /sys/kernel/uevent_seqnum", "RestrictFileSystems=~sysfs")
	if exit == nil {
		t.Fatal("it did not start")
	}
	said := slices.ContainsFunc(r.Warnings("a.service"), func(s string) bool { return strings.Contains(s, "RestrictFileSystems= has no effect") })
	if worked := exit.Code == 0; worked != said {
		t.Errorf("opening worked: %v; said to have no effect: %v, %q", worked, said, r.Warnings("a.service"))
	}
	r.succeeds("b.service", "head -c1 /sys/kernel/uevent_seqnum >/dev/null && ls /", "RestrictFileSystems=~btrfs")
	r.refused("file-systems", unix.EINVAL, "RestrictFileSystems=lunch")
}

// Without cgroups nothing of it is lost in silence.
func TestUnguarded(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	r.refused("cgroup", unix.EOPNOTSUPP, "DeviceAllow=/dev/null rw")
	r.refused("cgroup", unix.EOPNOTSUPP, "SocketBindDeny=any")
	r.succeeds("a.service", "true", "IPAddressDeny=any")
	if w := r.Warnings("a.service"); len(w) != 1 || !strings.Contains(w[0], "IPAddressDeny=") {
		t.Errorf("warnings: %q", w)
	}
}

func TestGuardGrammar(t *testing.T) {
	for text, want := range map[string]cgroupbpf.Bind{
		"any":              {Low: 1, High: 65535},
		"ipv6":             {Family: unix.AF_INET6, Low: 1, High: 65535},
		"tcp":              {Protocol: unix.IPPROTO_TCP, Low: 1, High: 65535},
		"1234":             {Low: 1234, High: 1234},
		"ipv4:udp:10-20":   {Family: unix.AF_INET, Protocol: unix.IPPROTO_UDP, Low: 10, High: 20},
		"ipv6:10000-65535": {Family: unix.AF_INET6, Low: 10000, High: 65535},
	} {
		if got, err := bindRule(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "70000", "20-10", "tcp:ipv4", "ipv4:ipv6", "1:2", "icmp"} {
		if got, err := bindRule(text); err == nil {
			t.Errorf("%s: %+v; want an error", text, got)
		}
	}
	for text, want := range map[string]string{"localhost": "[127.0.0.0/8 ::1/128]", "192.0.2.7": "[192.0.2.7/32]", "192.0.2.7/24": "[192.0.2.0/24]", "2001:db8::/32": "[2001:db8::/32]"} {
		if got, err := prefixes([]string{text}); err != nil || strings.ReplaceAll(strings.Trim(strings.Join(texts(got), " "), " "), "  ", " ") != strings.Trim(want, "[]") {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	if _, err := prefixes([]string{"fe80::1%lo"}); err == nil {
		t.Error("an address with a zone is taken")
	}
	for _, bad := range []string{"/dev/null rx", "/etc/passwd r", "/dev/shm rw", "char-[ r"} {
		if got, err := deviceRules(bad); err == nil {
			t.Errorf("%s: %+v; want an error", bad, got)
		}
	}
	if got, err := deviceRules("/dev/block/8:0 r"); err != nil || len(got) != 1 || got[0] != (cgroupbpf.Device{Major: 8, Access: cgroupbpf.Read}) {
		t.Errorf("by number: %+v, %v", got, err)
	}
	if got, err := deviceRules("char-136 rw"); err != nil || len(got) != 1 || got[0] != (cgroupbpf.Device{Char: true, Major: 136, Minor: -1, Access: cgroupbpf.Read | cgroupbpf.Write}) {
		t.Errorf("by major: %+v, %v", got, err)
	}
	if got, err := deviceRules("/dev/not-there rw"); err != nil || len(got) != 0 {
		t.Errorf("a device that is missing: %+v, %v", got, err)
	}
}

func texts(list []netip.Prefix) (out []string) {
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}
