//go:build !vm

package world

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// optionRow is a setting of sockets and what the kernel says of a socket that has it.
type optionRow struct {
	setting    string // NAME=VALUE
	listen     string // Listen… line
	level, opt int
	want       int
	// atLeast: the kernel rounds up, and doubles buffers.
	atLeast bool
}

const (
	tcp4  = "ListenStream=127.0.0.1:PORT"
	tcp6  = "ListenStream=[::1]:PORT"
	udp4  = "ListenDatagram=127.0.0.1:PORT"
	udp6  = "ListenDatagram=[::1]:PORT"
	local = "ListenStream=DIR/s"
)

var optionRows = []optionRow{
	{"BindIPv6Only=ipv6-only", "ListenStream=[::]:PORT", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1, false},
	{"BindIPv6Only=both", "ListenStream=[::]:PORT", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0, false},
	{"KeepAlive=yes", tcp4, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, false},
	{"KeepAliveTimeSec=77", tcp4, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 77, false},
	{"KeepAliveIntervalSec=7", tcp6, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 7, false},
	{"KeepAliveProbes=4", tcp4, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4, false},
	{"NoDelay=yes", tcp4, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, false},
	{"Priority=5", tcp4, unix.SOL_SOCKET, unix.SO_PRIORITY, 5, false},
	{"DeferAcceptSec=3", tcp4, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 3, true},
	{"ReceiveBuffer=64K", udp4, unix.SOL_SOCKET, unix.SO_RCVBUF, 64 << 10, true},
	{"SendBuffer=64K", udp4, unix.SOL_SOCKET, unix.SO_SNDBUF, 64 << 10, true},
	{"IPTOS=low-delay", tcp4, unix.IPPROTO_IP, unix.IP_TOS, 0x10, false},
	{"IPTTL=33", udp4, unix.IPPROTO_IP, unix.IP_TTL, 33, false},
	{"IPTTL=34", udp6, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 34, false},
	{"Mark=6", tcp4, unix.SOL_SOCKET, unix.SO_MARK, 6, false},
	{"FreeBind=yes", "ListenStream=192.0.2.7:PORT", unix.IPPROTO_IP, unix.IP_FREEBIND, 1, false},
	{"Transparent=yes", tcp4, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1, false},
	{"Broadcast=yes", udp4, unix.SOL_SOCKET, unix.SO_BROADCAST, 1, false},
	{"PassCredentials=yes", local, unix.SOL_SOCKET, unix.SO_PASSCRED, 1, false},
	{"PassSecurity=yes", local, unix.SOL_SOCKET, unix.SO_PASSSEC, 1, false},
	{"PassPacketInfo=yes", udp4, unix.IPPROTO_IP, unix.IP_PKTINFO, 1, false},
	{"PassPacketInfo=yes", udp6, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1, false},
	{"Timestamping=us", udp4, unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1, false},
	{"Timestamping=ns", udp4, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1, false},
	{"ReusePort=yes", tcp4, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, false},
	{"SocketProtocol=udplite", udp4, unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_UDPLITE, false},
	{"SocketProtocol=sctp", tcp4, unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_SCTP, false},
}

// optionsElsewhere are proved by the tests named here.
var optionsElsewhere = map[string]string{
	"Backlog": "TestSocketOptions", "BindToDevice": "TestSocketOptions", "TCPCongestion": "TestSocketOptions", "PipeSize": "TestListenKinds",
	"SocketMode": "TestListenKinds", "SocketUser": "TestSocketOwner", "SocketGroup": "TestSocketOwner", "Symlinks": "TestSymlinksAndRemoval",
	"MessageQueueMaxMessages": "TestMessageQueue", "MessageQueueMessageSize": "TestMessageQueue",
	"PassFileDescriptorsToExec": "TestSocketCommandsGetSockets",
	// Smack is in no kernel of Debian: such a socket is refused.
	"SmackLabel": "", "SmackLabelIPIn": "", "SmackLabelIPOut": "",
}

// Every option of sockets is on the socket that the kernel has.
func TestSocketOptions(t *testing.T) {
	needRoot(t)
	cased := map[string]bool{}
	open := func(t *testing.T, r *rig, name string, lines ...string) (fd int, errno unix.Errno) {
		dir := t.TempDir()
		for k := range lines {
			lines[k] = strings.NewReplacer("PORT", freePort(t), "DIR", dir).Replace(lines[k])
		}
		if errno = r.listens(socketUnit(t, name, lines...)); errno != 0 {
			return -1, errno
		}
		return r.socket(name).listeners[0].fd, 0
	}
	r := newRig(t)
	for _, row := range optionRows {
		name, _, _ := strings.Cut(row.setting, "=")
		cased[name] = true
		t.Run(row.setting+" "+row.listen, func(t *testing.T) {
			for _, with := range []bool{false, true} {
				lines := []string{row.listen}
				if with || name == "FreeBind" {
					lines = append(lines, row.setting)
				}
				unitName := map[bool]string{false: "without.socket", true: "with.socket"}[with]
				fd, errno := open(t, r, unitName, lines...)
				if with && (errno == unix.EPROTONOSUPPORT || errno == unix.ESOCKTNOSUPPORT) {
					t.Logf("this kernel has no such protocol, and the socket says so: %v", errno)
					return
				}
				if errno != 0 {
					t.Fatalf("%q: %v", lines, errno)
				}
				n, err := unix.GetsockoptInt(fd, row.level, row.opt)
				r.Perform(core.Unlisten{Unit: unitName})
				has := n == row.want || row.atLeast && n >= row.want
				if err != nil || with && !has {
					t.Errorf("%q: the kernel says %d, %v; want %d", lines, n, err, row.want)
				}
				if !with && n == row.want && name != "FreeBind" && name != "BindIPv6Only" {
					t.Errorf("without %s the kernel says %d as well: this row proves nothing", row.setting, n)
				}
			}
		})
	}
	t.Run("names", func(t *testing.T) {
		fd, errno := open(t, r, "named.socket", tcp4, "BindToDevice=lo", "TCPCongestion=reno", "Backlog=3")
		if errno != 0 {
			t.Fatal(errno)
		}
		if dev, err := unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE); err != nil || dev != "lo" {
			t.Errorf("BindToDevice: %q, %v", dev, err)
		}
		if c, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil || strings.TrimRight(c, "\x00") != "reno" {
			t.Errorf("TCPCongestion: %q, %v", c, err)
		}
		// tcp(7), TCP_INFO: of a listening socket tcpi_sacked is the backlog.
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.Sacked != 3 {
			t.Errorf("Backlog: %+v, %v", info, err)
		}
	})
	// A row for each setting of the table.
	table, err := os.ReadFile("../../../internal/unit/settings_socketopt.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range unit.Table() {
		if s.In != unit.InSocket || s.Effect != unit.ByWorld || !bytes.Contains(table, []byte(`"`+s.Native+`"`)) {
			continue
		}
		if _, elsewhere := optionsElsewhere[s.Name]; !cased[s.Name] && !elsewhere {
			t.Errorf("%s= has no row in this test", s.Name)
		}
	}
	bodies := testBodies(t)
	for name, test := range optionsElsewhere {
		if test != "" && !strings.Contains(bodies[test], name+"=") {
			t.Errorf("%s does not name %s=", test, name)
		}
	}
}
