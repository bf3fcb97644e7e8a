package keeper

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/sdnotify"
)

// Above keeps descriptors with the service manager that runs this one: it must have
// room for them (FileDescriptorStoreMax=, which $FDSTORE tells) and a notification
// socket.
type Above struct {
	socket string
	refuse func(unit, name string, err error)
	queue  chan sdnotify.Datagram
	done   sync.WaitGroup

	mu sync.Mutex
	// room is how many more fit, have how many are kept under each name.
	room   int
	have   map[string]int
	closed bool
}

// mark begins the names of what this package stores, to tell it from sockets that
// were passed for other reasons.
const mark = "dynamod/"

// maxFDName is how long a name may be (sd_notify(3), FDNAME=).
const maxFDName = 255

// FromAbove returns what was kept for a former manager, and the keeper if the
// service manager above offers one, else nil. It takes over the descriptors of
// $LISTEN_FDS; others than its own are closed, because nothing here uses them. former is
// what a former program of this process has left there, which comes in no other way.
// Nothing is sent before Run.
func FromAbove(former []Kept) (*Above, []Kept, error) {
	files, err := sdnotify.ListenFDs()
	if err != nil {
		return nil, nil, fmt.Errorf("take descriptors from the service manager above: %w", err)
	}
	var kept []Kept
	have := map[string]int{}
	for _, f := range former {
		have[fdName(f.Unit, f.Name)] += len(f.FDs)
	}
	for _, f := range files {
		unitName, name, ok := parseName(f.Name())
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		f.Close()
		if err != nil {
			return nil, kept, fmt.Errorf("take descriptors from the service manager above: %w", err)
		}
		if !ok {
			unix.Close(fd)
			continue
		}
		have[f.Name()]++
		if n := len(kept); n > 0 && kept[n-1].Unit == unitName && kept[n-1].Name == name {
			kept[n-1].FDs = append(kept[n-1].FDs, fd)
			continue
		}
		kept = append(kept, Kept{unitName, name, []int{fd}})
	}
	room, err := strconv.Atoi(os.Getenv("FDSTORE"))
	socket := os.Getenv("NOTIFY_SOCKET")
	if err != nil || room <= 0 || socket == "" {
		return nil, kept, nil
	}
	for _, n := range have {
		room -= n
	}
	return &Above{socket: socket, queue: make(chan sdnotify.Datagram, maxQueue), room: room, have: have}, kept, nil
}

// Run begins to send. Why descriptors are not kept after all is told to refuse, by a
// goroutine that ends with Close.
func (k *Above) Run(refuse func(unit, name string, err error)) {
	k.refuse = refuse
	k.done.Add(1)
	go k.send()
}

// fdName is the name of one thing in the store above. ':' and control characters
// may not be in it.
func fdName(unit, name string) string { return mark + escape(unit) + "/" + escape(name) }

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ':' || c == '/' || c == '%' {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func parseName(s string) (unit, name string, ok bool) {
	s, ok = strings.CutPrefix(s, mark)
	u, n, two := strings.Cut(s, "/")
	if !ok || !two {
		return "", "", false
	}
	unit, ok = unescape(u)
	if !ok {
		return "", "", false
	}
	name, ok = unescape(n)
	return unit, name, ok
}

func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

// Keep stores copies of fds for the unit under name, beside what is there under it.
func (k *Above) Keep(unit, name string, fds ...int) error {
	label := fdName(unit, name)
	if len(label) > maxFDName {
		return fmt.Errorf("the name %.30s… is too long for the service manager above", label)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return fmt.Errorf("the talk to the service manager above is over")
	}
	if len(fds) > k.room {
		return fmt.Errorf("the service manager above keeps no more descriptors: raise FileDescriptorStoreMax= of this manager's unit")
	}
	own, err := copies(fds)
	if err != nil {
		return err
	}
	// FDPOLL=0: what the last writer has left in a pipe must not go with him.
	if err := k.post(sdnotify.Datagram{Socket: k.socket, State: "FDSTORE=1\nFDPOLL=0\nFDNAME=" + label, FDs: own}); err != nil {
		closeAll(own)
		return err
	}
	k.room -= len(fds)
	k.have[label] += len(fds)
	return nil
}

// Drop closes what is kept for the unit under name, or under all names if it is "".
func (k *Above) Drop(unit, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	for label, n := range k.have {
		u, l, _ := parseName(label)
		if u != unit || name != "" && l != name {
			continue
		}
		if k.post(sdnotify.Datagram{Socket: k.socket, State: "FDSTOREREMOVE=1\nFDNAME=" + label}) != nil {
			return // the next manager drops it
		}
		k.room += n
		delete(k.have, label)
	}
}

// Ready tells the service manager above that this one takes requests.
func (k *Above) Ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil
	}
	return k.post(sdnotify.Datagram{Socket: k.socket, State: sdnotify.Ready})
}

// post queues a datagram; it is called with the lock held.
func (k *Above) post(d sdnotify.Datagram) error {
	select {
	case k.queue <- d:
		return nil
	default:
		return fmt.Errorf("the service manager above does not take what it is sent")
	}
}

// send waits where the service manager above is slow.
func (k *Above) send() {
	defer k.done.Done()
	for d := range k.queue {
		err := d.Send()
		closeAll(d.FDs)
		if err != nil && k.refuse != nil {
			unitName, name := "", ""
			if _, label, ok := strings.Cut(d.State, "FDNAME="); ok {
				unitName, name, _ = parseName(label)
			}
			k.refuse(unitName, name, err)
		}
	}
}

// Close sends what waits and ends the talk. Descriptors stay above.
func (k *Above) Close() {
	k.mu.Lock()
	if !k.closed {
		k.closed = true
		close(k.queue)
	}
	k.mu.Unlock()
	k.done.Wait()
}
