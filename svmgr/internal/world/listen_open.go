package world

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/accounts"
	"dynamod/internal/unit"
)

// openListener binds one Listen…= line (systemd.socket(5)).
func openListener(u *unit.Unit, spec unit.Listen) (*listener, error) {
	l := &listener{fd: -1, spec: spec}
	var err error
	switch spec.Kind {
	case "Stream", "Datagram", "SequentialPacket":
		err = l.socket(u)
	case "FIFO":
		err = l.fifo(u)
	case "Special":
		err = l.special(u)
	case "Netlink":
		err = l.netlink(u)
	case "MessageQueue":
		err = l.messageQueue(u)
	case "USBFunction":
		err = fmt.Errorf("dynamod does not serve USB FunctionFS: %w", unix.EOPNOTSUPP)
	default:
		err = fmt.Errorf("dynamod cannot listen on it: %w", unix.EOPNOTSUPP)
	}
	if err == nil && l.queue == "" {
		err = smackLabels(u, l.fd)
	}
	if err != nil {
		if l.fd >= 0 {
			unix.Close(l.fd)
		}
		if l.file != "" {
			_ = os.Remove(l.file)
		}
		return nil, err
	}
	return l, nil
}

var socketTypes = map[string]int{"Stream": unix.SOCK_STREAM, "Datagram": unix.SOCK_DGRAM, "SequentialPacket": unix.SOCK_SEQPACKET}

var socketProtocols = map[string]int{"udplite": unix.IPPROTO_UDPLITE, "sctp": unix.IPPROTO_SCTP, "mptcp": unix.IPPROTO_MPTCP}

func (l *listener) socket(u *unit.Unit) error {
	sa, family, err := parseAddress(l.spec.Address)
	if err != nil {
		return err
	}
	typ := socketTypes[l.spec.Kind]
	proto := 0
	if family == unix.AF_INET || family == unix.AF_INET6 {
		proto = socketProtocols[unit.SocketProtocol.Of(u)]
	}
	l.fd, err = unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err == unix.EAFNOSUPPORT && family == unix.AF_INET6 {
		// A kernel without IPv6: a mere port means IPv4 then.
		if v6, ok := sa.(*unix.SockaddrInet6); ok && v6.Addr == [16]byte{} && !strings.Contains(l.spec.Address, ":") {
			sa, family = &unix.SockaddrInet4{Port: v6.Port}, unix.AF_INET
			l.fd, err = unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		}
	}
	if err != nil {
		l.fd = -1
		return fmt.Errorf("socket: %w", err)
	}
	if err := socketOptions(u, l.fd, family, typ); err != nil {
		return err
	}
	path := ""
	if a, ok := sa.(*unix.SockaddrUnix); ok && a.Name[0] == '/' {
		path = a.Name
		err = l.bindFile(u, sa, path)
	} else {
		err = unix.Bind(l.fd, sa)
	}
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if typ != unix.SOCK_DGRAM {
		if err := unix.Listen(l.fd, int(min(unit.Backlog.Of(u), 1<<31-1))); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		l.stream = true
	}
	return nil
}

// parseAddress reads an address of ListenStream= and its kind.
func parseAddress(s string) (unix.Sockaddr, int, error) {
	bad := func() (unix.Sockaddr, int, error) {
		return nil, 0, fmt.Errorf("%q is no address: %w", printable(s), unix.EINVAL)
	}
	switch {
	case s == "":
		return bad()
	case s[0] == '/' || s[0] == '@' && len(s) > 1:
		return &unix.SockaddrUnix{Name: s}, unix.AF_UNIX, nil
	case strings.HasPrefix(s, "vsock:"):
		f := strings.Split(s, ":")
		if len(f) != 3 {
			return bad()
		}
		cid := uint64(unix.VMADDR_CID_ANY)
		var err error
		if f[1] != "" {
			if cid, err = strconv.ParseUint(f[1], 10, 32); err != nil {
				return bad()
			}
		}
		port, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			return bad()
		}
		return &unix.SockaddrVM{CID: uint32(cid), Port: uint32(port)}, unix.AF_VSOCK, nil
	}
	if port, err := strconv.ParseUint(s, 10, 16); err == nil && port > 0 {
		return &unix.SockaddrInet6{Port: int(port)}, unix.AF_INET6, nil
	}
	// "[ADDRESS]:PORT%INTERFACE": the scope stands at the very end.
	text, scope, _ := strings.Cut(s, "%")
	if strings.HasPrefix(s, "[") && strings.Contains(s[:strings.LastIndexByte(s, ']')+1], "%") {
		text, scope = s, "" // or inside of the brackets, as netip reads it
	}
	ap, err := netip.ParseAddrPort(text)
	if err != nil || ap.Port() == 0 && !strings.HasSuffix(text, ":0") {
		return bad()
	}
	if ap.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, unix.AF_INET, nil
	}
	if scope == "" {
		scope = ap.Addr().Zone()
	}
	sa := &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
	if scope != "" {
		if n, err := strconv.ParseUint(scope, 10, 32); err == nil {
			sa.ZoneId = uint32(n)
		} else {
			ifc, err := net.InterfaceByName(scope)
			if err != nil {
				return nil, 0, fmt.Errorf("interface %q: %w", printable(scope), unix.ENODEV)
			}
			sa.ZoneId = uint32(ifc.Index)
		}
	}
	return sa, unix.AF_INET6, nil
}

// bindFile makes the socket's file with its mode and owner. What is in the way is
// removed if it is a socket that nobody listens on any more.
func (l *listener) bindFile(u *unit.Unit, sa unix.Sockaddr, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), fs.FileMode(unit.DirectoryMode.Of(u))); err != nil {
		return err
	}
	// The umask belongs to the whole process, so the mode is set afterwards; until
	// then fchmod before bind (socket(7): bind takes the mode from the socket's
	// inode) keeps others out.
	_ = unix.Fchmod(l.fd, unit.SocketMode.Of(u)&0o777)
	err := unix.Bind(l.fd, sa)
	if err == unix.EADDRINUSE && isSocket(path) {
		if err := os.Remove(path); err != nil {
			return err
		}
		err = unix.Bind(l.fd, sa)
	}
	if err != nil {
		return err
	}
	l.file = path
	return ownNode(u, path)
}

func isSocket(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode().Type() == fs.ModeSocket
}

// ownNode gives a socket or FIFO its owner first, then its mode: never the other
// way round, or the wrong owner could use it for a moment. It is held meanwhile: who
// owns the directory could put a link to another file into its place.
func ownNode(u *unit.Unit, path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if t := st.Mode & unix.S_IFMT; t != unix.S_IFSOCK && t != unix.S_IFIFO {
		return fmt.Errorf("%s was exchanged for something else: %w", path, unix.ESTALE)
	}
	user, group := unit.SocketUser.Of(u), unit.SocketGroup.Of(u)
	if user != "" || group != "" {
		uid, gid, err := owners(user, group)
		if err != nil {
			return err
		}
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	// fchmod(2) does not take such a descriptor (open(2), O_PATH).
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), unit.SocketMode.Of(u))
}

func (l *listener) fifo(u *unit.Unit) error {
	path := l.spec.Address
	if err := os.MkdirAll(filepath.Dir(path), fs.FileMode(unit.DirectoryMode.Of(u))); err != nil {
		return err
	}
	err := unix.Mkfifo(path, 0o600)
	if err == nil {
		l.file = path
	} else if err != unix.EEXIST {
		return fmt.Errorf("mkfifo: %w", err)
	}
	// Read and write, so that it never ends when the last writer goes.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	l.fd = fd
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("it is there and no FIFO: %w", unix.EEXIST)
	}
	l.file = path
	if n := unit.PipeSize.Of(u); n.N > 0 && !n.Infinite {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, int(n.N)); err != nil {
			return fmt.Errorf("PipeSize=: %w", err)
		}
	}
	return ownNode(u, path)
}

func (l *listener) special(u *unit.Unit) error {
	flags := unix.O_RDONLY
	if unit.Writable.Of(u) {
		flags = unix.O_RDWR
	}
	fd, err := unix.Open(l.spec.Address, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	l.fd = fd
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if k := st.Mode & unix.S_IFMT; k != unix.S_IFCHR && k != unix.S_IFREG {
		return fmt.Errorf("it is neither a character device nor a special file: %w", unix.EINVAL)
	}
	return nil
}

// netlinkFamilies are those of netlink(7) under systemd's names.
var netlinkFamilies = map[string]int{
	"route": unix.NETLINK_ROUTE, "firewall": unix.NETLINK_FIREWALL, "inet-diag": unix.NETLINK_SOCK_DIAG, "nflog": unix.NETLINK_NFLOG, "xfrm": unix.NETLINK_XFRM,
	"selinux": unix.NETLINK_SELINUX, "iscsi": unix.NETLINK_ISCSI, "audit": unix.NETLINK_AUDIT, "fib-lookup": unix.NETLINK_FIB_LOOKUP,
	"connector": unix.NETLINK_CONNECTOR, "netfilter": unix.NETLINK_NETFILTER, "ip6-fw": unix.NETLINK_IP6_FW, "dnrtmsg": unix.NETLINK_DNRTMSG,
	"kobject-uevent": unix.NETLINK_KOBJECT_UEVENT, "scsitransport": unix.NETLINK_SCSITRANSPORT, "rdma": unix.NETLINK_RDMA,
}

func (l *listener) netlink(u *unit.Unit) error {
	f := strings.Fields(l.spec.Address)
	if len(f) == 0 || len(f) > 2 {
		return unix.EINVAL
	}
	family, ok := netlinkFamilies[f[0]]
	if !ok {
		n, err := strconv.ParseUint(f[0], 10, 16)
		if err != nil {
			return fmt.Errorf("there is no such netlink family: %w", unix.EPROTONOSUPPORT)
		}
		family = int(n)
	}
	group := uint64(0)
	if len(f) == 2 {
		var err error
		if group, err = strconv.ParseUint(f[1], 10, 32); err != nil {
			return fmt.Errorf("its group is no number: %w", unix.EINVAL)
		}
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, family)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	l.fd = fd
	if err := socketOptions(u, fd, unix.AF_NETLINK, unix.SOCK_RAW); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: uint32(group)}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// mqAttr is struct mq_attr of mq_getattr(3).
type mqAttr struct {
	flags, maxMessages, messageSize, current int
	_                                        [4]int
}

func (l *listener) messageQueue(u *unit.Unit) error {
	name := strings.TrimPrefix(l.spec.Address, "/") // the system call wants it bare
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	var attr *mqAttr
	if n, size := unit.MessageQueueMaxMessages.Of(u), unit.MessageQueueMessageSize.Of(u); n > 0 && size > 0 {
		attr = &mqAttr{maxMessages: int(n), messageSize: int(size)}
	} else if n > 0 || size > 0 {
		return fmt.Errorf("MessageQueueMaxMessages= and MessageQueueMessageSize= are set together: %w", unix.EINVAL)
	}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_CREAT,
		uintptr(unit.SocketMode.Of(u)), uintptr(unsafe.Pointer(attr)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("mq_open: %w", errno)
	}
	l.fd, l.queue = int(fd), name
	user, group := unit.SocketUser.Of(u), unit.SocketGroup.Of(u)
	if user != "" || group != "" {
		uid, gid, err := owners(user, group)
		if err != nil {
			return err
		}
		if err := unix.Fchown(l.fd, uid, gid); err != nil {
			return fmt.Errorf("chown: %w", err)
		}
	}
	// The umask took from the mode.
	if err := unix.Fchmod(l.fd, unit.SocketMode.Of(u)&0o777); err != nil {
		return fmt.Errorf("chmod: %w", err)
	}
	return nil
}

func mqUnlink(name string) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// owners are the numbers for SocketUser= and SocketGroup=; -1 leaves one alone. A
// user alone brings its own group (systemd.socket(5)).
func owners(user, group string) (uid, gid int, err error) {
	uid, gid = -1, -1
	if user != "" {
		a, err := accounts.System.User(user)
		if err != nil {
			return 0, 0, fmt.Errorf("SocketUser=: %w", err)
		}
		uid = int(a.UID)
		if a.Listed {
			gid = int(a.GID)
		}
	}
	if group != "" {
		g, err := accounts.System.Group(group)
		if err != nil {
			return 0, 0, fmt.Errorf("SocketGroup=: %w", err)
		}
		gid = int(g)
	}
	return uid, gid, nil
}
