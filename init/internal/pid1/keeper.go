package pid1

import ipc "dynamod/internal/ipc/pid1"

// Limits of what is kept. They bound what a manager gone mad can make PID 1 hold;
// with all of a row used the table is half a MiB, and pages never used are never
// backed by memory.
const (
	MaxKept   = 4096
	MaxGroups = 1024
	MaxExits  = 1024
)

type name struct {
	len  uint8
	text [ipc.MaxName]byte
}

func (n *name) set(b []byte)     { n.len = uint8(copy(n.text[:], b)) }
func (n *name) bytes() []byte    { return n.text[:n.len] }
func (n *name) is(b []byte) bool { return string(n.bytes()) == string(b) }

// group is a unit and a name that descriptors are kept under; count 0 is free.
type group struct {
	count      int32
	unit, name name
}

// keeper holds descriptors by number; the shell holds them open.
type keeper struct {
	groups [MaxGroups]group
	// fds[:n] are in the order of their deposit, which is the order in which a
	// service wants them back.
	fds [MaxKept]keptFD
	n   int32

	// What a manager that said Hello has still to get: of the groups from next
	// on, those of fds[from:until].
	sending     bool
	next        int32
	from, until int32
}

type keptFD struct {
	fd    int32
	group int32
}

func (k *keeper) find(unit, name []byte) int32 {
	for i := range k.groups {
		if g := &k.groups[i]; g.count > 0 && g.unit.is(unit) && g.name.is(name) {
			return int32(i)
		}
	}
	return -1
}

func (k *keeper) free() uint32 { return uint32(MaxKept - k.n) }

// add keeps fds, all or none.
func (k *keeper) add(unit, name []byte, fds []int32) bool {
	if len(fds) == 0 {
		return true
	}
	if len(fds) > MaxKept-int(k.n) {
		return false
	}
	at := k.find(unit, name)
	for i := int32(0); at < 0 && i < MaxGroups; i++ {
		if k.groups[i].count == 0 {
			at = i
			k.groups[i].unit.set(unit)
			k.groups[i].name.set(name)
		}
	}
	if at < 0 {
		return false
	}
	for _, fd := range fds {
		k.fds[k.n] = keptFD{fd, at}
		k.n++
	}
	k.groups[at].count += int32(len(fds))
	return true
}

// takeOne drops one descriptor of the unit (and name, if there is one) and returns
// it, -1 when none is left.
func (k *keeper) takeOne(unit, name []byte) int32 {
	for i := range k.fds[:k.n] {
		f := k.fds[i]
		g := &k.groups[f.group]
		if !g.unit.is(unit) || len(name) > 0 && !g.name.is(name) {
			continue
		}
		copy(k.fds[i:k.n-1], k.fds[i+1:k.n])
		k.n--
		g.count--
		if int32(i) < k.from {
			k.from--
		}
		if int32(i) < k.until {
			k.until--
		}
		return f.fd
	}
	return -1
}

// replay begins to hand everything over.
func (k *keeper) replay() { k.sending, k.next, k.from, k.until = true, 0, 0, k.n }

// step fills m and fds with the next part of the replay, ok is false at its end.
func (k *keeper) step(m *ipc.Message, fds *[ipc.MaxFDs]int32) (n int, ok bool) {
	for ; k.sending && k.next < MaxGroups; k.next, k.from = k.next+1, 0 {
		if k.groups[k.next].count == 0 {
			continue
		}
		for ; k.from < k.until && n < len(fds); k.from++ {
			if f := k.fds[k.from]; f.group == k.next {
				fds[n] = f.fd
				n++
			}
		}
		if n > 0 {
			g := &k.groups[k.next]
			*m = ipc.Message{Kind: ipc.Kept, Unit: g.unit.bytes(), Name: g.name.bytes(), Count: uint32(n)}
			return n, true
		}
	}
	k.sending = false
	return 0, false
}

// exits is the ring of what PID 1 reaped for its managers.
type exits struct {
	ring [MaxExits]exitRecord
	// first is the oldest record, then come n; the first sent of them went to a
	// manager already and stay for a while, in case it dies before it reads them.
	first, n, sent int
	lost           uint64
}

type exitRecord struct {
	ipc.Exit
	sentAt Time
}

func (x *exits) at(i int) *exitRecord { return &x.ring[(x.first+i)%MaxExits] }

// add makes room by giving up what was sent, then the oldest, which is counted.
func (x *exits) add(e ipc.Exit) {
	if x.n == MaxExits {
		x.first = (x.first + 1) % MaxExits
		x.n--
		if x.sent > 0 {
			x.sent--
		} else {
			x.lost++
		}
	}
	*x.at(x.n) = exitRecord{Exit: e}
	x.n++
}

// resend is for how long a record that was sent is sent to the next manager too:
// a manager that has not read for so long was replaced because it hung. Twice the
// same exit is no harm, it names the process by its start.
const resend = 60 * Second

// replay lets a new manager have what the former may not have read.
func (x *exits) replay(now Time) {
	for x.sent > 0 && now-x.at(0).sentAt > resend {
		x.first = (x.first + 1) % MaxExits
		x.n--
		x.sent--
	}
	x.sent = 0
}

// step is the next record to send.
func (x *exits) step(now Time) (e ipc.Exit, ok bool) {
	for x.sent < x.n {
		r := x.at(x.sent)
		again := r.sentAt != 0
		x.sent++
		if again && r.Start == 0 {
			continue // without its start it might be taken for a later process
		}
		r.sentAt = now
		return r.Exit, true
	}
	return ipc.Exit{}, false
}
