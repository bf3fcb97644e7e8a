package world

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
)

// socketOptions sets what the unit asks for, before bind. What the kernel refuses
// is an error that names the setting.
func socketOptions(u *unit.Unit, fd, family, typ int) error {
	var fail error
	set := func(wanted bool, name string, level, opt, value int) {
		if !wanted || fail != nil {
			return
		}
		if err := unix.SetsockoptInt(fd, level, opt, value); err != nil {
			fail = fmt.Errorf("%s=: %w", name, err)
		}
	}
	inet, inet6 := family == unix.AF_INET, family == unix.AF_INET6
	tcp := (inet || inet6) && typ == unix.SOCK_STREAM && unit.SocketProtocol.Of(u) != "sctp"
	seconds := func(d time.Duration) int { return int(min((d+time.Second-1)/time.Second, 1<<31-1)) }

	if inet6 {
		switch unit.BindIPv6Only.Of(u) {
		case "both":
			set(true, "BindIPv6Only", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		case "ipv6-only":
			set(true, "BindIPv6Only", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		}
	}
	if inet || inet6 {
		// Without it a restart of the socket would fail while old connections
		// linger (socket(7)); for datagrams it would let others bind too.
		set(typ != unix.SOCK_DGRAM, "SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		set(unit.ReusePort.Of(u), "ReusePort", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		set(unit.Broadcast.Of(u), "Broadcast", unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
		set(unit.FreeBind.Of(u) && inet, "FreeBind", unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		set(unit.FreeBind.Of(u) && inet6, "FreeBind", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		set(unit.Transparent.Of(u) && inet, "Transparent", unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1)
		set(unit.Transparent.Of(u) && inet6, "Transparent", unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
		set(unit.PassPacketInfo.Of(u) && inet, "PassPacketInfo", unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		set(unit.PassPacketInfo.Of(u) && inet6, "PassPacketInfo", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		set(unit.IPTTL.IsSet(u), "IPTTL", unix.IPPROTO_IP, unix.IP_TTL, int(unit.IPTTL.Of(u)))
		set(unit.IPTTL.IsSet(u) && inet6, "IPTTL", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, int(unit.IPTTL.Of(u)))
		if tos := unit.IPTOS.Of(u); tos != "" {
			value, ok := map[string]int{"low-delay": 0x10, "throughput": 0x08, "reliability": 0x04, "low-cost": 0x02}[tos]
			if n, err := strconv.ParseUint(tos, 0, 8); err == nil {
				value, ok = int(n), true
			}
			if !ok {
				return fmt.Errorf("IPTOS=%s: %w", printable(tos), unix.EINVAL)
			}
			set(true, "IPTOS", unix.IPPROTO_IP, unix.IP_TOS, value)
		}
	}
	if tcp {
		set(unit.NoDelay.Of(u), "NoDelay", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		set(unit.KeepAliveTimeSec.IsSet(u), "KeepAliveTimeSec", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(unit.KeepAliveTimeSec.Of(u)))
		set(unit.KeepAliveIntervalSec.IsSet(u), "KeepAliveIntervalSec", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(unit.KeepAliveIntervalSec.Of(u)))
		set(unit.KeepAliveProbes.IsSet(u), "KeepAliveProbes", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, int(unit.KeepAliveProbes.Of(u)))
		set(unit.DeferAcceptSec.IsSet(u), "DeferAcceptSec", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, seconds(unit.DeferAcceptSec.Of(u)))
		if c := unit.TCPCongestion.Of(u); c != "" && fail == nil {
			if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, c); err != nil {
				return fmt.Errorf("TCPCongestion=%s: %w", printable(c), err)
			}
		}
	}
	if family == unix.AF_NETLINK {
		set(unit.PassPacketInfo.Of(u), "PassPacketInfo", unix.SOL_NETLINK, unix.NETLINK_PKTINFO, 1)
	}
	set(unit.KeepAlive.Of(u), "KeepAlive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	set(unit.SocketPriority.IsSet(u), "Priority", unix.SOL_SOCKET, unix.SO_PRIORITY, int(unit.SocketPriority.Of(u)))
	set(unit.Mark.IsSet(u), "Mark", unix.SOL_SOCKET, unix.SO_MARK, int(unit.Mark.Of(u)))
	// Other families have no credentials to pass, and newer kernels say so.
	local := family == unix.AF_UNIX || family == unix.AF_NETLINK
	set(local && unit.PassCredentials.Of(u), "PassCredentials", unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	set(local && unit.PassSecurity.Of(u), "PassSecurity", unix.SOL_SOCKET, unix.SO_PASSSEC, 1)
	switch unit.Timestamping.Of(u) {
	case "us":
		set(true, "Timestamping", unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1)
	case "ns":
		set(true, "Timestamping", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if dev := unit.BindToDevice.Of(u); dev != "" && fail == nil {
		if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, dev); err != nil {
			return fmt.Errorf("BindToDevice=%s: %w", printable(dev), err)
		}
	}
	for _, b := range []struct {
		name        string
		size        unit.Quantity
		opt, forced int
	}{
		{"ReceiveBuffer", unit.ReceiveBuffer.Of(u), unix.SO_RCVBUF, unix.SO_RCVBUFFORCE},
		{"SendBuffer", unit.SendBuffer.Of(u), unix.SO_SNDBUF, unix.SO_SNDBUFFORCE},
	} {
		if b.size.N == 0 || b.size.Infinite || fail != nil {
			continue
		}
		n := int(min(b.size.N, 1<<30))
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, b.forced, n) != nil {
			set(true, b.name, unix.SOL_SOCKET, b.opt, n) // the kernel caps it
		}
	}
	return fail
}
