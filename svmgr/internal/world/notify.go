package world

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/pidfd"
	"dynamod/sdnotify"
	"dynamod/svmgr/internal/core"
)

// notifySocket is the one socket that all services report to. Who sent a datagram
// is known by the kernel's credentials, never by what is in it.
type notifySocket struct {
	path string
	sock *sdnotify.Socket
	eye  eye

	// dropped counts what came from nobody that we know, or was no notification.
	dropped atomic.Uint64

	// order is held from a notification's number to its place in the loop's queue.
	order sync.Mutex
	// mu guards what the loop's and the watcher's goroutines share: how many
	// notifications were handed over and handled, and the barriers in between.
	mu            sync.Mutex
	told, handled uint64
	barriers      []barrier
}

// barrier is an fd that is closed when the first after notifications are handled.
type barrier struct {
	after uint64
	fd    int
}

// maxBarriers bounds the waiting barriers; more are answered early rather than
// kept open.
const maxBarriers = 256

// maxDrain bounds how many datagrams are taken at a time. The kernel queues fewer
// (net.unix.max_dgram_qlen), so that before a process is reaped all are taken that
// it sent.
const maxDrain = 1024

func (w *World) startNotify() error {
	n := &notifySocket{path: filepath.Join(w.cfg.RuntimeDir, "notify")}
	if err := os.MkdirAll(w.cfg.RuntimeDir, 0o755); err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	sock, err := w.notifyAgain(n.path)
	if err != nil {
		return err
	}
	w.keep("", keptNotify, int(sock.File().Fd()))
	n.sock = sock
	w.senses.notify = n
	if err := w.open(&n.eye, int(sock.File().Fd()), epoll.In, func(uint32) { w.drainNotify() }); err != nil {
		sock.Close()
		return err
	}
	return nil
}

// notifyAgain takes over the socket of a former manager, with whatever was sent to it
// meanwhile, or makes one.
func (w *World) notifyAgain(path string) (*sdnotify.Socket, error) {
	for _, fd := range w.keptFor("", keptNotify) {
		sa, err := unix.Getsockname(fd)
		if a, ok := sa.(*unix.SockaddrUnix); err == nil && ok && a.Name == path && isSocket(path) {
			// Again beside what the keeper has would be once more each time.
			w.dropKept("", keptNotify)
			return sdnotify.NewSocket(fd)
		}
		unix.Close(fd)
		w.dropKept("", keptNotify)
	}
	return sdnotify.Listen(path)
}

func (n *notifySocket) close() {
	n.sock.Close()
	for _, b := range n.barriers {
		unix.Close(b.fd)
	}
	n.barriers = nil
}

// NotifyDropped is how many datagrams were dropped, for the manager's statistics.
func (w *World) NotifyDropped() uint64 { return w.senses.notify.dropped.Load() }

// drainNotify takes all waiting datagrams. The watcher calls it, when some arrive
// and before it reaps.
func (w *World) drainNotify() {
	for range maxDrain {
		r, err := w.senses.notify.sock.TryReceive()
		if err != nil {
			w.log.Error("cannot read notifications", "err", err)
			return
		}
		if r == nil {
			return
		}
		w.notified(r)
		r.Close()
	}
}

// notified maps one datagram to a unit and hands it over.
func (w *World) notified(r *sdnotify.Received) {
	n := w.senses.notify
	drop := func(why string, args ...any) {
		n.dropped.Add(1)
		w.log.Warn("notification dropped", append([]any{"why", why, "pid", r.PID, "uid", r.UID}, args...)...)
	}
	if r.Truncated {
		drop("it is longer than 4096 bytes")
		return
	}
	m, err := sdnotify.Parse(r.Data)
	if err != nil {
		drop(err.Error())
		return
	}
	if m.Barrier {
		if len(r.FDs) != 1 {
			drop("BARRIER=1 comes with one descriptor", "descriptors", len(r.FDs))
			return
		}
		n.barrier(r.FDs[0])
		r.FDs = nil
		return
	}
	if r.PID <= 0 {
		drop("its sender lives in another pid namespace")
		return
	}
	o, ok := w.runOf(r.PID)
	if !ok {
		drop("its sender belongs to no service")
		return
	}
	// The number was looked up after the datagram came: it must still be the
	// sender's. Our children keep theirs, for they are reaped after this.
	if r.PIDFD >= 0 && pidfd.Signal(r.PIDFD, 0) != nil {
		drop("its sender is gone", "unit", o.Unit)
		return
	}
	if len(m.Bad) > 0 {
		w.log.Info("notification with bad values", "unit", o.Unit, "keys", fmt.Sprintf("%.100q", m.Bad))
	}
	ev := core.Notified{Unit: o.Unit, Incarnation: o.Incarnation, Run: o.Run, Notification: notification(m)}
	if w.isMainAlready(o, m.MainPID) || w.countsApart(o) {
		ev.MainPID = 0
	}
	if m.FDStore && !m.FDStoreRemove {
		ev.FDStore = w.senses.store.offer(o.Unit, r.FDs, m.NoPoll)
		r.FDs = nil
		if r.Lost {
			w.log.Warn("descriptors for the store were lost: the manager has too many open", "unit", o.Unit)
		}
	}
	w.tell(ev)
}

// tell hands a notification over. Its place in the order of all, by which the ledger
// knows it, is settled before anybody else can post one.
func (w *World) tell(ev core.Notified) {
	n := w.senses.notify
	n.order.Lock()
	defer n.order.Unlock()
	n.mu.Lock()
	n.told++
	seq := n.told
	n.mu.Unlock()
	w.ledger.noted(w, seq, ev)
	w.post(ev)
}

// notification is a message in the core's terms.
func notification(m *sdnotify.Message) core.Notification {
	n := core.Notification{
		Ready: m.Ready, Reloading: m.Reloading, Stopping: m.Stopping, Errno: int32(m.Errno), BusError: printable(m.BusError), VarlinkError: printable(m.VarlinkError), MainPID: int32(m.MainPID),
		Watchdog: m.Watchdog, WatchdogTrigger: m.WatchdogTrigger, WatchdogPeriod: m.WatchdogPeriod,
		ExtendTimeout: m.ExtendTimeout, ReloadStamp: m.Monotonic, FDName: m.FDName, FDRemove: m.FDStoreRemove, FDNoPoll: m.NoPoll,
	}
	if m.Status != nil {
		n.Status = printable(*m.Status)
	}
	if m.ExitStatus != nil {
		n.ExitStatus = fmt.Sprint(*m.ExitStatus)
	}
	return n
}

// countsApart says that the owner's processes have numbers of their own: those that
// they tell mean nothing here.
func (w *World) countsApart(o owner) bool {
	g := w.groupOf(o.Unit, o.Incarnation)
	if g == nil {
		return false
	}
	p := sandbox.Of(g.u)
	return p.PrivatePIDs
}

// isMainAlready says that MAINPID= names the main process that is known as such:
// many services send it every time.
func (w *World) isMainAlready(o owner, pid int) bool {
	if pid == 0 {
		return false
	}
	main, ok := w.ownerByPID(pid)
	return ok && main.Unit == o.Unit && main.Incarnation == o.Incarnation && main.Role == core.RoleMain
}

// barrier keeps fd until what was handed over before is handled.
func (n *notifySocket) barrier(fd int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.handled >= n.told || len(n.barriers) >= maxBarriers {
		unix.Close(fd)
		return
	}
	n.barriers = append(n.barriers, barrier{n.told, fd})
}

// notificationHandled: the loop is done with a notification. Its descriptors that
// the core did not want are closed.
func (w *World) notificationHandled(ev core.Notified) {
	n := w.senses.notify
	if ev.FDStore > 0 {
		w.senses.store.settle(ev.Unit)
	}
	n.mu.Lock()
	n.handled++
	handled := n.handled
	for len(n.barriers) > 0 && n.barriers[0].after <= n.handled {
		unix.Close(n.barriers[0].fd)
		n.barriers = n.barriers[1:]
	}
	n.mu.Unlock()
	w.ledger.handled(w, handled)
}
