package world

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/svmgr/internal/core"
)

// fdStore keeps descriptors that services gave away with FDSTORE=1. The core
// decides how many a unit may have and when they go; between the datagram and its
// decision they wait as a batch.
type fdStore struct {
	mu sync.Mutex
	// waiting are batches in the order of their notifications, one for each
	// that came with descriptors.
	waiting map[string][]*batch
	kept    map[string][]*storedFD
}

type batch struct {
	fds    []int
	noPoll bool
}

type storedFD struct {
	fd   int
	name string
	eye  eye
	kept string // its name with the keeper
}

// maxWaiting bounds the descriptors of a unit that wait for a decision.
const maxWaiting = 1024

func (s *fdStore) init() {
	s.waiting, s.kept = map[string][]*batch{}, map[string][]*storedFD{}
}

// offer takes over fds and returns how many are offered to the core: those that
// are not kept already (sd_notify(3): duplicates are removed).
func (s *fdStore) offer(unit string, fds []int, noPoll bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := 0
	for _, b := range s.waiting[unit] {
		held += len(b.fds)
	}
	b := &batch{noPoll: noPoll}
	for _, fd := range fds {
		if held+len(b.fds) >= maxWaiting || s.known(unit, b, fd) {
			unix.Close(fd)
			continue
		}
		b.fds = append(b.fds, fd)
	}
	if len(b.fds) > 0 {
		s.waiting[unit] = append(s.waiting[unit], b)
	}
	return len(b.fds)
}

// known says whether fd is the same open file as one that is held for the unit.
func (s *fdStore) known(unit string, b *batch, fd int) bool {
	for _, k := range s.kept[unit] {
		if sameFile(k.fd, fd) {
			return true
		}
	}
	for _, other := range b.fds {
		if sameFile(other, fd) {
			return true
		}
	}
	return false
}

// sameFile compares open file descriptions (kcmp(2)); a kernel without that says no.
func sameFile(a, b int) bool {
	const kcmpFile = 0
	me := uintptr(unix.Getpid())
	r, _, errno := unix.Syscall6(unix.SYS_KCMP, me, me, kcmpFile, uintptr(a), uintptr(b), 0)
	return errno == 0 && r == 0
}

// deposit keeps the next n descriptors of the unit's first batch.
func (w *World) deposit(a core.Deposit) {
	s := &w.senses.store
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.waiting[a.Unit]
	if len(list) == 0 {
		w.log.Warn("no descriptors are waiting to be stored", "unit", a.Unit, "name", a.Name)
		return
	}
	b := list[0]
	for range min(a.N, len(b.fds)) {
		k := &storedFD{fd: b.fds[0], name: a.Name, kept: w.storedName(a.Name, !b.noPoll)}
		b.fds = b.fds[1:]
		w.keep(a.Unit, k.kept, k.fd)
		w.storeLocked(a.Unit, k, !b.noPoll)
	}
}

// storedName says all of a stored descriptor that a successor must know.
func (w *World) storedName(label string, polled bool) string {
	w.kept.mu.Lock()
	defer w.kept.mu.Unlock()
	w.kept.stored++
	flag := "-"
	if polled {
		flag = "p"
	}
	return fmt.Sprintf("%s%d/%s/%s", keptStored, w.kept.stored, flag, label)
}

func (w *World) store(unit string, k *storedFD, polled bool) {
	w.senses.store.mu.Lock()
	defer w.senses.store.mu.Unlock()
	w.storeLocked(unit, k, polled)
}

func (w *World) storeLocked(unit string, k *storedFD, polled bool) {
	s := &w.senses.store
	s.kept[unit] = append(s.kept[unit], k)
	if polled {
		// What cannot be polled, such as a file, is kept without.
		_ = w.open(&k.eye, k.fd, onHangup, func(uint32) { w.hungUp(unit, k) })
	}
}

// hungUp drops a stored descriptor whose other end is gone.
func (w *World) hungUp(unit string, k *storedFD) {
	s := &w.senses.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.kept[unit] {
		if o == k {
			s.kept[unit] = append(s.kept[unit][:i:i], s.kept[unit][i+1:]...)
			w.shut(&k.eye)
			w.dropKept(unit, k.kept)
			unix.Close(k.fd)
			w.log.Info("a stored descriptor hung up and is dropped", "unit", unit, "name", k.name)
			return
		}
	}
}

// settle closes what the core left of the unit's first batch.
func (s *fdStore) settle(unit string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.waiting[unit]
	if len(list) == 0 {
		return
	}
	for _, fd := range list[0].fds {
		unix.Close(fd)
	}
	if list = list[1:]; len(list) == 0 {
		delete(s.waiting, unit)
		return
	}
	s.waiting[unit] = list
}

// withdraw closes stored descriptors, and the connection of an instance that the
// core did not want.
func (w *World) withdraw(a core.Withdraw) {
	s := &w.senses.store
	s.mu.Lock()
	var rest []*storedFD
	for _, k := range s.kept[a.Unit] {
		if a.Name != "" && k.name != a.Name {
			rest = append(rest, k)
			continue
		}
		w.shut(&k.eye)
		w.dropKept(a.Unit, k.kept)
		unix.Close(k.fd)
	}
	if s.kept[a.Unit] = rest; len(rest) == 0 {
		delete(s.kept, a.Unit)
	}
	s.mu.Unlock()
	if a.Name == "" {
		w.hangUp(a.Unit)
	}
}

// give duplicates what is stored for a unit. The copies are the caller's: a stored
// descriptor may hang up and be closed before they are used.
func (s *fdStore) give(unit string, out *passed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept[unit] {
		fd, err := unix.FcntlInt(uintptr(k.fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return err
		}
		out.fds = append(out.fds, passedFD{fd: fd, at: -1, name: k.name, listen: true})
	}
	return nil
}

func (s *fdStore) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.kept {
		for _, k := range list {
			unix.Close(k.fd)
		}
	}
	for _, list := range s.waiting {
		for _, b := range list {
			for _, fd := range b.fds {
				unix.Close(fd)
			}
		}
	}
	s.init()
}

// StoredFD is a descriptor in the store, as fstat(2) and fcntl(2) tell it.
type StoredFD struct {
	Name                 string
	Mode, Major, Minor   uint32
	Inode                uint64
	RdevMajor, RdevMinor uint32
	Path                 string
	Flags                uint32
}

// Stored are the descriptors in the store of a unit.
func (w *World) Stored(unit string) []StoredFD {
	s := &w.senses.store
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []StoredFD
	for _, k := range s.kept[unit] {
		d := StoredFD{Name: k.name}
		var st unix.Stat_t
		if unix.Fstat(k.fd, &st) == nil {
			d.Mode, d.Inode = st.Mode, st.Ino
			d.Major, d.Minor = unix.Major(st.Dev), unix.Minor(st.Dev)
			d.RdevMajor, d.RdevMinor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
		}
		d.Path, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", k.fd))
		if flags, err := unix.FcntlInt(uintptr(k.fd), unix.F_GETFL, 0); err == nil {
			d.Flags = uint32(flags)
		}
		out = append(out, d)
	}
	return out
}
