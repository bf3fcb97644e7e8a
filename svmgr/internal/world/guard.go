package world

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/internal/sys/cgroupbpf"
	"dynamod/internal/unit"
)

// guard attaches what a unit's cgroup is kept from: devices, addresses, ports,
// interfaces and file systems. It is done by the manager and for the whole group, so
// that no process of the unit gets around it, whatever its commands are marked with.
func (w *World) guard(dir string, u *unit.Unit, slices []string) error {
	n := notes{w, u.Name}
	if err := w.guardDevices(dir, u); err != nil {
		return at("device-policy", err)
	}
	if err := w.guardNetwork(dir, u, slices, n); err != nil {
		return err
	}
	if err := guardPinned(dir, u); err != nil {
		return err
	}
	return w.guardFileSystems(dir, u, n)
}

// guardPinned attaches the programs of others that the unit names
// (systemd.resource-control(5), BPFProgram= and IPIngressFilterPath=).
func guardPinned(dir string, u *unit.Unit) error {
	for _, x := range unit.BPFProgram.Of(u) {
		kind, path, ok := strings.Cut(x, ":")
		if !ok {
			return at("bpf-program", fmt.Errorf("%q is not TYPE:PATH: %w", x, unix.EINVAL))
		}
		if err := cgroupbpf.Pinned(dir, kind, path); err != nil {
			return at("bpf-program", err)
		}
	}
	for kind, paths := range map[string][]string{"ingress": unit.IPIngressFilterPath.Of(u), "egress": unit.IPEgressFilterPath.Of(u)} {
		for _, path := range paths {
			if err := cgroupbpf.Pinned(dir, kind, path); err != nil {
				return at("ip-filter", err)
			}
		}
	}
	return nil
}

// wantsGuard names the settings of the unit that need a cgroup and a manager with
// privileges.
func wantsGuard(u *unit.Unit) (names []string) {
	for _, s := range []struct {
		set     bool
		setting *unit.Setting
	}{
		{unit.DevicePolicy.Of(u) != "auto", unit.DevicePolicy.Setting()}, {len(unit.DeviceAllow.Of(u)) > 0, unit.DeviceAllow.Setting()},
		{unit.IPAccounting.Of(u), unit.IPAccounting.Setting()},
		{len(unit.IPAddressAllow.Of(u)) > 0, unit.IPAddressAllow.Setting()}, {len(unit.IPAddressDeny.Of(u)) > 0, unit.IPAddressDeny.Setting()},
		{len(unit.SocketBindAllow.Of(u)) > 0, unit.SocketBindAllow.Setting()}, {len(unit.SocketBindDeny.Of(u)) > 0, unit.SocketBindDeny.Setting()},
		{len(unit.RestrictNetworkInterfaces.Of(u)) > 0, unit.RestrictNetworkInterfaces.Setting()},
		{len(unit.BPFProgram.Of(u)) > 0, unit.BPFProgram.Setting()},
		{len(unit.IPIngressFilterPath.Of(u)) > 0, unit.IPIngressFilterPath.Setting()}, {len(unit.IPEgressFilterPath.Of(u)) > 0, unit.IPEgressFilterPath.Setting()},
		{len(unit.RestrictFileSystems.Of(u)) > 0, unit.RestrictFileSystems.Setting()},
	} {
		if s.set {
			names = append(names, s.setting.Name+"=")
		}
	}
	return names
}

// unguarded is asked for units without a cgroup. Restrictions on devices, ports and
// interfaces must not be lost in silence; those on addresses and file systems "have
// no effect" then (systemd.resource-control(5), systemd.exec(5)), which is said.
func (w *World) unguarded(u *unit.Unit, why string) error {
	names := wantsGuard(u)
	if len(names) == 0 {
		return nil
	}
	soft := w.cfg.User || os.Geteuid() != 0
	for _, name := range names {
		switch name {
		case "IPAccounting=", "IPAddressAllow=", "IPAddressDeny=", "RestrictFileSystems=":
		default:
			if !soft {
				return at("cgroup", fmt.Errorf("%s takes a cgroup, but %s: %w", name, why, unix.EOPNOTSUPP))
			}
		}
	}
	notes{w, u.Name}.say("without effect, because " + why + ": " + strings.Join(names, " "))
	return nil
}

// rwm are the three kinds of access to a device.
const rwm = cgroupbpf.Read | cgroupbpf.Write | cgroupbpf.Mknod

func (w *World) guardDevices(dir string, u *unit.Unit) error {
	p := sandbox.Of(u)
	policy, allow := unit.DevicePolicy.Of(u), unit.DeviceAllow.Of(u)
	if p.PrivateDevices && policy == "auto" {
		policy = "closed"
	}
	if policy == "auto" && len(allow) > 0 {
		policy = "closed"
	}
	var rules, except []cgroupbpf.Device
	if p.ProtectClock {
		clocks, err := deviceGroup("char-rtc", cgroupbpf.Read)
		if err != nil {
			return err
		}
		if policy == "auto" {
			except = clocks
		} else {
			rules = append(rules, clocks...)
		}
	}
	if policy == "auto" {
		if len(except) == 0 {
			return nil
		}
		return cgroupbpf.Devices(dir, nil, except, true)
	}
	if policy == "closed" {
		for _, d := range []cgroupbpf.Device{{Major: 1, Minor: 3}, {Major: 1, Minor: 5}, {Major: 1, Minor: 7}, {Major: 1, Minor: 8}, {Major: 1, Minor: 9},
			{Major: 5, Minor: 0}, {Major: 5, Minor: 2}, {Major: 136, Minor: -1}} { // null zero full random urandom, tty ptmx pts
			d.Char, d.Access = true, rwm
			rules = append(rules, d)
		}
	}
	if p.RootImage != "" || len(p.MountImages) > 0 {
		allow = append(slices.Clone(allow), "/dev/loop-control rw", "block-loop rwm", "block-blkext rwm")
	}
	for _, item := range allow {
		more, err := deviceRules(item)
		if err != nil {
			return fmt.Errorf("DeviceAllow=%s: %w", item, err)
		}
		rules = append(rules, more...)
	}
	return cgroupbpf.Devices(dir, rules, nil, false)
}

// deviceRules reads "DEVICE rwm" (systemd.resource-control(5)). A device that is not
// there, and a group that the kernel does not have, allow nothing.
func deviceRules(item string) ([]cgroupbpf.Device, error) {
	what, text, _ := strings.Cut(strings.TrimSpace(item), " ")
	access := uint8(rwm)
	if text = strings.TrimSpace(text); text != "" {
		access = 0
		for _, c := range text {
			bit, ok := map[rune]uint8{'r': cgroupbpf.Read, 'w': cgroupbpf.Write, 'm': cgroupbpf.Mknod}[c]
			if !ok {
				return nil, fmt.Errorf("%q is no access: write letters of rwm: %w", text, unix.EINVAL)
			}
			access |= bit
		}
	}
	if strings.HasPrefix(what, "char-") || strings.HasPrefix(what, "block-") {
		return deviceGroup(what, access)
	}
	clean := path.Clean(what)
	if !strings.HasPrefix(clean, "/dev/") && !strings.HasPrefix(clean, "/run/systemd/inaccessible/") {
		return nil, fmt.Errorf("%q is neither below /dev nor a group of devices: %w", what, unix.EINVAL)
	}
	// /dev/char/1:3 names a device by number, whether it is there or not.
	for kind, char := range map[string]bool{"char": true, "block": false} {
		numbers, ok := strings.CutPrefix(clean, "/dev/"+kind+"/")
		major, minor, two := strings.Cut(numbers, ":")
		a, e1 := strconv.ParseUint(major, 10, 12)
		b, e2 := strconv.ParseUint(minor, 10, 20)
		if ok && two && e1 == nil && e2 == nil {
			return []cgroupbpf.Device{{Char: char, Major: int64(a), Minor: int64(b), Access: access}}, nil
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(clean, &st); err != nil {
		return nil, nil
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFCHR && kind != unix.S_IFBLK {
		return nil, fmt.Errorf("%s is no device: %w", clean, unix.ENODEV)
	}
	return []cgroupbpf.Device{{Char: kind == unix.S_IFCHR, Major: int64(unix.Major(uint64(st.Rdev))), Minor: int64(unix.Minor(uint64(st.Rdev))), Access: access}}, nil
}

// deviceGroup finds the majors of "char-NAME" or "block-NAME" in /proc/devices; a number is
// a major itself.
func deviceGroup(what string, access uint8) (out []cgroupbpf.Device, err error) {
	kind, pattern, _ := strings.Cut(what, "-")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q is no pattern: %w", pattern, unix.EINVAL)
	}
	if pattern == "*" {
		return []cgroupbpf.Device{{Char: kind == "char", Major: -1, Minor: -1, Access: access}}, nil
	}
	if major, err := strconv.ParseUint(pattern, 10, 12); err == nil { // crun asks for its terminals so
		return []cgroupbpf.Device{{Char: kind == "char", Major: int64(major), Minor: -1, Access: access}}, nil
	}
	f, err := os.Open("/proc/devices")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := ""
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		switch line {
		case "Character devices:":
			section = "char"
			continue
		case "Block devices:":
			section = "block"
			continue
		}
		number, name, ok := strings.Cut(line, " ")
		major, e := strconv.ParseUint(number, 10, 12)
		if hit, _ := path.Match(pattern, name); ok && e == nil && hit && section == kind {
			out = append(out, cgroupbpf.Device{Char: kind == "char", Major: int64(major), Minor: -1, Access: access})
		}
	}
	return out, sc.Err()
}

func (w *World) guardNetwork(dir string, u *unit.Unit, slices []string, n notes) error {
	allow, deny := unit.IPAddressAllow.Of(u), unit.IPAddressDeny.Of(u)
	for _, s := range slices {
		// The lists of slices hold for all below them.
		if su := w.unitOf(s); su != nil {
			allow = append(append([]string(nil), allow...), unit.IPAddressAllow.Of(su)...)
			deny = append(append([]string(nil), deny...), unit.IPAddressDeny.Of(su)...)
		}
	}
	p := cgroupbpf.Packets{Count: unit.IPAccounting.Of(u)}
	var err error
	if p.Allow, err = prefixes(allow); err != nil {
		return at("ip-filter", fmt.Errorf("IPAddressAllow=: %w", err))
	}
	if p.Deny, err = prefixes(deny); err != nil {
		return at("ip-filter", fmt.Errorf("IPAddressDeny=: %w", err))
	}
	if words := unit.RestrictNetworkInterfaces.Of(u); len(words) > 0 {
		p.Restrict = true
		names, except := listed(words)
		p.Except = except
		for _, name := range names {
			i, err := net.InterfaceByName(name)
			if err != nil {
				n.say("RestrictNetworkInterfaces=" + name + ": there is no such interface now, and one that comes later is not known by this name")
				continue
			}
			p.Interfaces = append(p.Interfaces, uint32(i.Index))
		}
	}
	if len(p.Deny) > 0 || p.Count || p.Restrict {
		err := cgroupbpf.Filter(dir, p)
		if errors.Is(err, cgroupbpf.ErrUnsupported) && !p.Restrict {
			n.say("IPAddressDeny= and IPAccounting= have no effect: " + err.Error())
			err = nil
		}
		if err != nil {
			return at("ip-filter", err)
		}
	}
	var lists [2][]cgroupbpf.Bind
	for i, k := range []unit.Key[[]string]{unit.SocketBindAllow, unit.SocketBindDeny} {
		for _, text := range k.Of(u) {
			b, err := bindRule(text)
			if err != nil {
				return at("socket-bind", fmt.Errorf("%s=%s: %w", k.Setting().Name, text, err))
			}
			lists[i] = append(lists[i], b)
		}
		if len(lists[i]) > 128 {
			return at("socket-bind", fmt.Errorf("%s=: more than 128 rules: %w", k.Setting().Name, unix.E2BIG))
		}
	}
	if len(lists[1]) == 0 {
		return nil
	}
	return at("socket-bind", cgroupbpf.Binds(dir, lists[0], lists[1]))
}

func (w *World) unitOf(name string) *unit.Unit {
	if w.cfg.UnitOf == nil {
		return nil
	}
	return w.cfg.UnitOf(name)
}

// listed reads a list with "~": the first word says whether it is about what is
// allowed or what is not, and the later ones add to it or take away.
func listed(words []string) (names []string, except bool) {
	for i, word := range words {
		name, inverted := strings.CutPrefix(word, "~")
		if i == 0 {
			except = inverted
		}
		names = slices.DeleteFunc(names, func(x string) bool { return x == name })
		if name != "" && inverted == except {
			names = append(names, name)
		}
	}
	return names, except
}

// namedNetworks are the symbolic names of systemd.resource-control(5).
var namedNetworks = map[string][]string{
	"any":        {"0.0.0.0/0", "::/0"},
	"localhost":  {"127.0.0.0/8", "::1/128"},
	"link-local": {"169.254.0.0/16", "fe80::/64"},
	"multicast":  {"224.0.0.0/4", "ff00::/8"},
}

func prefixes(words []string) (out []netip.Prefix, err error) {
	for _, word := range words {
		texts := []string{word}
		if n := namedNetworks[word]; n != nil {
			texts = n
		}
		for _, t := range texts {
			p, err := netip.ParsePrefix(t)
			if err != nil {
				a, e := netip.ParseAddr(t)
				if e != nil || a.Zone() != "" {
					return nil, fmt.Errorf("%q is no address: write 192.0.2.0/24, 2001:db8::/32, any, localhost, link-local or multicast: %w", word, unix.EINVAL)
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

// bindRule reads "[FAMILY:][PROTOCOL:][PORT[-PORT]]" or "any". Port 0, which asks for
// any free port, is in no rule.
func bindRule(text string) (cgroupbpf.Bind, error) {
	b := cgroupbpf.Bind{Low: 1, High: 65535}
	bad := fmt.Errorf("write FAMILY:PROTOCOL:PORTS, such as ipv4:tcp:8000-8080, or any: %w", unix.EINVAL)
	if text == "any" {
		return b, nil
	}
	parts := strings.Split(text, ":")
	stage := 0
	for _, p := range parts {
		switch {
		case stage < 1 && (p == "ipv4" || p == "ipv6"):
			b.Family, stage = unix.AF_INET, 1
			if p == "ipv6" {
				b.Family = unix.AF_INET6
			}
		case stage < 2 && (p == "tcp" || p == "udp"):
			b.Protocol, stage = unix.IPPROTO_TCP, 2
			if p == "udp" {
				b.Protocol = unix.IPPROTO_UDP
			}
		case stage < 3:
			low, high, isRange := strings.Cut(p, "-")
			if !isRange {
				high = low
			}
			x, e1 := strconv.ParseUint(low, 10, 16)
			y, e2 := strconv.ParseUint(high, 10, 16)
			if e1 != nil || e2 != nil || x == 0 || x > y {
				return b, bad
			}
			b.Low, b.High, stage = uint16(x), uint16(y), 3
		default:
			return b, bad
		}
	}
	return b, nil
}

// guardFileSystems is RestrictFileSystems=. It "has no effect" where the kernel lacks
// the security hooks for it (systemd.exec(5)), which is said.
func (w *World) guardFileSystems(dir string, u *unit.Unit, n notes) error {
	words := unit.RestrictFileSystems.Of(u)
	if len(words) == 0 {
		return nil
	}
	magics, except, err := sandbox.FileSystems(words)
	if err != nil {
		return at("file-systems", fmt.Errorf("%w: %w", err, unix.EINVAL))
	}
	err = cgroupbpf.FileSystems(dir, magics, except)
	// What exactly a kernel answers depends on what of it is missing: the types,
	// the hooks, or the leave to use them (lockdown).
	if errors.Is(err, cgroupbpf.ErrUnsupported) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		n.say("RestrictFileSystems= has no effect: " + err.Error())
		return nil
	}
	return at("file-systems", err)
}

// Traffic is what the unit's sockets have sent and received; ok says that it is
// counted (IPAccounting=).
func (w *World) Traffic(unitName string) (t cgroupbpf.Traffic, ok bool) {
	dir := w.CgroupOf(unitName)
	if dir == "" || os.Geteuid() != 0 {
		return t, false
	}
	t, ok, err := cgroupbpf.Count(dir)
	return t, ok && err == nil
}
