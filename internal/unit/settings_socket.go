package unit

// The [Socket] section: what is listened on and when it triggers; the options
// of the sockets themselves are in settings_socketopt.go. systemd.socket(5).

// Listens are all Listen…= lines of a socket in the order of the file.
var Listens = listens(Setting{Native: "socket.listens", In: InSocket, DBus: "Listen", Signature: "a(ss)", Since: "1", internal: true,
	Effect: ByCore, Source: "systemd.socket(5)", Doc: "All addresses of the socket; set through the keys for each kind."})

func listenRow(native, name, since, doc string) Key[[]Listen] {
	return listens(Setting{Native: native, Name: "Listen" + name, tag: name, In: InSocket, DBus: "Listen", Signature: "a(ss)", Since: since,
		Effect: ByCore, Source: "systemd.socket(5)", Doc: doc, into: []*Setting{Listens.s}})
}

var ListenStream = listenRow("socket.listen-stream", "Stream", "", "A stream socket to listen on: a path, @name, port, address with port, or vsock.")

var ListenDatagram = listenRow("socket.listen-datagram", "Datagram", "", "A datagram socket to listen on.")

var ListenSequentialPacket = listenRow("socket.listen-sequential-packet", "SequentialPacket", "", "A sequential packet socket to listen on.")

var ListenFIFO = listenRow("socket.listen-fifo", "FIFO", "", "A FIFO to make and read from.")

var ListenNetlink = listenRow("socket.listen-netlink", "Netlink", "", "A netlink family, and perhaps a multicast group, to listen on.")

var ListenSpecial = listenRow("socket.listen-special", "Special", "", "A device or other special file to open.")

var ListenMessageQueue = listenRow("socket.listen-message-queue", "MessageQueue", "", "A POSIX message queue to listen on.")

var ListenUSBFunction = listenRow("socket.listen-usb-function", "USBFunction", "227", "A USB FunctionFS directory to serve.")

var SocketService = unitName(Setting{Native: "socket.service", Name: "Service", tag: "service",
	In: InSocket, Since: "", Effect: ByGraph, Source: "systemd.socket(5)",
	Doc: "The service to start on traffic; by default the one of the same name."})

var Accept = boolean(Setting{Native: "socket.accept", Name: "Accept",
	In: InSocket, DBus: "Accept", Signature: "b", Since: "", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "Starts one instance of the service for each connection instead of one service for the socket."})

var FlushPending = boolean(Setting{Native: "socket.flush-pending", Name: "FlushPending",
	In: InSocket, DBus: "FlushPending", Signature: "b", Since: "247", Effect: ByWorld, Source: "systemd.socket(5)",
	Doc: "Throws waiting input away when the service has ended, instead of starting it again."})

var Writable = boolean(Setting{Native: "socket.writable", Name: "Writable",
	In: InSocket, DBus: "Writable", Signature: "b", Since: "227", Effect: ByWorld, Source: "systemd.socket(5)",
	Doc: "Opens special files for reading and writing instead of reading only."})

var MaxConnections = integer(Setting{Native: "socket.max-connections", Name: "MaxConnections", Default: "64", Max: 1<<32 - 1,
	In: InSocket, DBus: "MaxConnections", Signature: "u", Since: "", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "How many instances may run at a time with Accept=yes; further connections are refused."})

var MaxConnectionsPerSource = integer(Setting{Native: "socket.max-connections-per-source", Name: "MaxConnectionsPerSource", Max: 1<<32 - 1,
	In: InSocket, DBus: "MaxConnectionsPerSource", Signature: "u", Since: "232", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "How many connections one source may have at a time; 0 means no limit."})

var SocketTimeoutSec = duration(Setting{Native: "socket.timeout", Name: "TimeoutSec", Default: "1min 30s", tag: "zero-forever",
	In: InSocket, DBus: "TimeoutUSec", Signature: "t", Since: "", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "How long each command of the socket unit may take."})

var ExecStopPre = execs(Setting{Native: "socket.exec-stop-pre", Name: "ExecStopPre",
	In: InSocket, DBus: "ExecStopPre", Signature: "a(sasbttttuii)", Since: "", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "Commands run before the sockets are closed and removed."})

var RemoveOnStop = boolean(Setting{Native: "socket.remove-on-stop", Name: "RemoveOnStop",
	In: InSocket, DBus: "RemoveOnStop", Signature: "b", Since: "214", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "Removes the file nodes of the socket unit when it is stopped."})

var FileDescriptorName = str(Setting{Native: "socket.fd-name", Name: "FileDescriptorName",
	In: InSocket, DBus: "FileDescriptorName", Signature: "s", Since: "227", Effect: ByWorld, Source: "systemd.socket(5)",
	Doc: "The name under which the descriptors are passed; by default that of the socket unit."})

var TriggerLimitIntervalSec = duration(Setting{Native: "socket.trigger-limit-interval", Name: "TriggerLimitIntervalSec", Default: "2s",
	In: InSocket, DBus: "TriggerLimitIntervalUSec", Signature: "t", Since: "230", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "The window in which activations are counted against TriggerLimitBurst=."})

var TriggerLimitBurst = integer(Setting{Native: "socket.trigger-limit-burst", Name: "TriggerLimitBurst", Default: "20", Max: 1<<32 - 1,
	In: InSocket, DBus: "TriggerLimitBurst", Signature: "u", Since: "230", Effect: ByCore, Source: "systemd.socket(5)",
	Doc: "How many activations the window allows before the socket fails; 200 by default with Accept=yes."})

var PollLimitIntervalSec = duration(Setting{Native: "socket.poll-limit-interval", Name: "PollLimitIntervalSec", Default: "2s",
	In: InSocket, DBus: "PollLimitIntervalUSec", Signature: "t", Since: "255", Effect: ByWorld, Source: "systemd.socket(5)",
	Doc: "The window in which polling events of one descriptor are counted; polling pauses when there are too many."})

var PollLimitBurst = integer(Setting{Native: "socket.poll-limit-burst", Name: "PollLimitBurst", Default: "15", Max: 1<<32 - 1,
	In: InSocket, DBus: "PollLimitBurst", Signature: "u", Since: "255", Effect: ByWorld, Source: "systemd.socket(5)",
	Doc: "How many polling events the window allows; 150 by default with Accept=yes."})
