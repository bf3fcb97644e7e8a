package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/autofs"
	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/mount"
	"dynamod/internal/sys/mountinfo"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// automounts are the autofs mount points of automount units (systemd.automount(5)).
// Who reaches one waits in the kernel until a token is answered: as soon as something
// is mounted there, or when the core watches again, which it does when the mount
// unit is at rest: then nothing came of it and they get an error.
//
// A manager that dies leaves the mount point; those who reach it meanwhile get
// ENOENT. The next one takes it over with a new pipe (reopen), and what is mounted
// on top is not touched.
type automounts struct {
	mu    sync.Mutex
	units map[string]*autoPoint
	// leaving are closed ones with something on top: autofs goes when that goes.
	leaving map[string]string
}

type autoPoint struct {
	u     *unit.Unit
	where string
	// ctl is /dev/autofs, mnt the descriptor of the mount there, pipe our end.
	ctl  *autofs.Control
	mnt  int
	pipe int
	eye  eye
	// watching is what the core wants; waiting are the tokens of those who wait,
	// told says that the core knows of them.
	watching, told bool
	waiting        []uint32
	// expiring are the tokens of an expiry under way.
	expiring []uint32
	stop     context.CancelFunc
}

// autofsSource is what the mount table shows as the source of our autofs.
const autofsSource = "dynamod"

func (m *automounts) init() { m.units, m.leaving = map[string]*autoPoint{}, map[string]string{} }

// openAutomount answers Listen for an automount unit.
func (w *World) openAutomount(a core.Listen) {
	w.pool.do(a.Unit.Name, func() {
		err := w.setAutomount(a.Unit)
		var errno unix.Errno
		if errors.Is(err, autofs.ErrUnavailable) {
			w.log.Info("no automount point: the kernel has no autofs", "unit", a.Unit.Name, "err", err)
			w.post(core.Listening{Run: a.Run, Errno: core.Unsupported})
			return
		}
		if err != nil {
			w.log.Error("cannot set up an automount point", "unit", a.Unit.Name, "err", err)
			if !errors.As(err, &errno) {
				errno = unix.EIO
			}
		}
		w.post(core.Listening{Run: a.Run, Errno: int32(errno)})
	})
}

// setAutomount puts the autofs in place, or takes over one that a former manager
// left.
func (w *World) setAutomount(u *unit.Unit) (err error) {
	where := whereOf(u)
	if where == "" || where == "/" {
		return fmt.Errorf("%q is no place for an automount: %w", where, unix.EINVAL)
	}
	m := &w.senses.automount
	m.mu.Lock()
	_, open := m.units[u.Name]
	delete(m.leaving, where)
	m.mu.Unlock()
	if open {
		return fmt.Errorf("it is in place already: %w", unix.EBUSY)
	}
	p := &autoPoint{u: u, where: where, mnt: -1, pipe: -1}
	defer func() {
		if err != nil {
			p.release(w)
		}
	}()
	if p.ctl, err = autofs.OpenControl(); err != nil {
		return err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	p.pipe = ends[0]
	defer unix.Close(ends[1]) // the kernel keeps its own
	at, err := tableNow(where)
	if err != nil {
		return err
	}
	switch {
	case at.Triggers && at.Autofs.Source == autofsSource:
		if p.mnt, err = p.ctl.OpenMount(where, autofs.Device(at.Autofs.Major, at.Autofs.Minor)); err != nil {
			return err
		}
		if err := p.ctl.Catatonic(p.mnt); err != nil {
			return err
		}
		if err := p.ctl.SetPipe(p.mnt, ends[1]); err != nil {
			return err
		}
		w.log.Info("took over an automount point of a former manager", "unit", u.Name, "where", where)
	case at.Mounted:
		return fmt.Errorf("%s is mounted already: %w", where, unix.EBUSY)
	default:
		if err := os.MkdirAll(where, fs.FileMode(unit.DirectoryMode.Of(u))); err != nil {
			return fmt.Errorf("make the mount point: %w", err)
		}
		if err := autofs.MountDirect(autofsSource, where, ends[1], unix.Getpgrp(), unit.ExtraOptions.Of(u)); err != nil {
			return err
		}
		if at, err = tableNow(where); err == nil && !at.Triggers {
			err = fmt.Errorf("the autofs at %s is not in the mount table: %w", where, unix.ENOENT)
		}
		if err == nil {
			p.mnt, err = p.ctl.OpenMount(where, autofs.Device(at.Autofs.Major, at.Autofs.Minor))
		}
		if err != nil {
			_ = mount.Unmount(where, true, false)
			return err
		}
	}
	ctx, cancel := context.WithCancel(w.senses.ctx)
	p.stop = cancel
	m.mu.Lock()
	m.units[u.Name] = p
	m.mu.Unlock()
	if err := w.open(&p.eye, p.pipe, epoll.In, func(uint32) { w.autofsPacket(p) }); err != nil {
		cancel()
		m.mu.Lock()
		delete(m.units, u.Name)
		m.mu.Unlock()
		return err
	}
	if idle := unit.TimeoutIdleSec.Of(u); idle > 0 && idle != unit.Forever {
		if err := p.ctl.SetTimeout(p.mnt, idle); err != nil {
			w.log.Error("an automount will not expire", "unit", u.Name, "err", err)
			return nil
		}
		w.start(func() { w.expireIdle(ctx, p, idle) }) // ends with the context
	}
	return nil
}

// tableNow reads what is mounted at one place.
func tableNow(where string) (mountinfo.Point, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return mountinfo.Point{}, fmt.Errorf("read the mount table: %w", err)
	}
	var t mountinfo.Table
	t.Update(data)
	return t.At(where), nil
}

// release closes the descriptors; the mount point stays.
func (p *autoPoint) release(w *World) {
	w.shut(&p.eye)
	if p.stop != nil {
		p.stop()
	}
	for _, fd := range [...]int{p.mnt, p.pipe} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if p.ctl != nil {
		p.ctl.Close()
	}
}

// autofsPacket is called by the watcher.
func (w *World) autofsPacket(p *autoPoint) {
	var buf [autofs.PacketSize]byte
	n, err := unix.Read(p.pipe, buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	m := &w.senses.automount
	if err != nil || n == 0 {
		w.log.Error("the kernel gave an automount point up", "unit", p.u.Name, "err", err)
		w.shut(&p.eye)
		return
	}
	pkt, err := autofs.Parse(buf[:n])
	if err != nil {
		w.log.Error("an automount point got rubbish", "unit", p.u.Name, "err", err)
		return
	}
	mountUnit := strings.TrimSuffix(p.u.Name, ".automount") + ".mount"
	m.mu.Lock()
	var ev core.Event
	if pkt.Kind == autofs.Expire {
		p.expiring = append(p.expiring, pkt.Token)
		ev = core.Request{Verb: core.VerbStop, Unit: mountUnit, Source: core.SourceAutomount}
		w.start(func() { w.boundExpiry(p, pkt.Token) }) // ends with the world or after its time
	} else {
		p.waiting = append(p.waiting, pkt.Token)
		w.log.Info("somebody waits for an automount", "unit", p.u.Name, "pid", pkt.PID, "uid", pkt.UID)
		ev = p.tell()
	}
	m.mu.Unlock()
	if ev != nil {
		w.post(ev)
	}
}

// tell is the event that the core wants, once, when somebody waits.
func (p *autoPoint) tell() core.Event {
	if !p.watching || len(p.waiting) == 0 {
		return nil
	}
	p.watching, p.told = false, true
	return core.AutomountRequested{Unit: p.u.Name}
}

// watchAutomount: the mount unit is at rest. Those who were told of and still wait
// get an error; others are told of.
func (w *World) watchAutomount(u *unit.Unit) {
	w.pool.do(u.Name, func() {
		m := &w.senses.automount
		m.mu.Lock()
		p := m.units[u.Name]
		m.mu.Unlock()
		if p == nil {
			// A manager that was restored does not listen again.
			if err := w.setAutomount(u); err != nil {
				w.log.Error("cannot take over an automount point", "unit", u.Name, "err", err)
				return
			}
			m.mu.Lock()
			p = m.units[u.Name]
			m.mu.Unlock()
		}
		there, err := tableNow(p.where)
		m.mu.Lock()
		if m.units[u.Name] != p {
			m.mu.Unlock()
			return
		}
		p.watching = true
		if p.told && len(p.waiting) > 0 {
			w.answer(p, p.waiting, err == nil && there.Mounted, unix.ENOENT)
			p.waiting = nil
		}
		p.told = false
		ev := p.tell()
		m.mu.Unlock()
		if ev != nil {
			w.post(ev)
		}
	})
}

func (w *World) unwatchAutomount(name string) {
	w.pool.do(name, func() {
		m := &w.senses.automount
		m.mu.Lock()
		defer m.mu.Unlock()
		if p := m.units[name]; p != nil {
			p.watching = false
			p.told = true // the core is at work for whoever waits
		}
	})
}

// answer is called with the lock held.
func (w *World) answer(p *autoPoint, tokens []uint32, ok bool, errno unix.Errno) {
	for _, t := range tokens {
		var err error
		if ok {
			err = p.ctl.Ready(p.mnt, t)
		} else {
			err = p.ctl.Fail(p.mnt, t, errno)
		}
		if err != nil {
			w.log.Error("cannot answer those who wait for an automount", "unit", p.u.Name, "err", err)
		}
	}
}

// automountPlace hears of each place in the mount table that changed.
func (w *World) automountPlace(at mountinfo.Point) {
	m := &w.senses.automount
	m.mu.Lock()
	defer m.mu.Unlock()
	if name, ok := m.leaving[at.Path]; ok && !at.Mounted {
		delete(m.leaving, at.Path)
		if at.Triggers {
			if err := mount.Unmount(at.Path, false, false); err != nil {
				w.log.Warn("an automount point stays behind", "unit", name, "err", err)
			}
		}
	}
	for _, p := range m.units {
		if p.where != at.Path {
			continue
		}
		if at.Mounted {
			w.answer(p, p.waiting, true, 0)
			p.waiting = nil
		} else {
			w.answer(p, p.expiring, true, 0)
			p.expiring = nil
		}
	}
}

// automountRunEnded hears of helpers that ended: an unmount that failed ends the
// expiry that asked for it.
func (w *World) automountRunEnded(o owedWord) {
	if o.stage != core.StageUnmount || !o.failed {
		return
	}
	m := &w.senses.automount
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.units[strings.TrimSuffix(o.unit, ".mount")+".automount"]; p != nil {
		w.answer(p, p.expiring, false, unix.EBUSY)
		p.expiring = nil
	}
}

// expireIdle asks the kernel now and then whether the mount is idle; it answers with
// a packet.
func (w *World) expireIdle(ctx context.Context, p *autoPoint, idle time.Duration) {
	every := max(idle/4, 500*time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if !w.senses.tables.isMounted(p.where) {
			continue
		}
		if err := p.ctl.Expire(p.mnt); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EBUSY) {
			if ctx.Err() == nil {
				w.log.Debug("expiry of an automount", "unit", p.u.Name, "err", err)
			}
		}
	}
}

// boundExpiry gives an expiry up that nobody brings to an end: as long as it is open,
// everybody who reaches the mount waits.
func (w *World) boundExpiry(p *autoPoint, token uint32) {
	const longest = 3 * time.Minute // twice the usual TimeoutSec= of a mount
	t := time.NewTimer(longest)
	defer t.Stop()
	select {
	case <-w.senses.ctx.Done():
		return
	case <-t.C:
	}
	m := &w.senses.automount
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(p.expiring, token); i >= 0 {
		w.answer(p, p.expiring[i:i+1], false, unix.EBUSY)
		p.expiring = slices.Delete(p.expiring, i, i+1)
	}
}

// releaseAll closes what is left at the end.
func (m *automounts) releaseAll(w *World) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.units {
		p.release(w)
	}
	m.init()
}

// closeAutomount undoes Listen. What is mounted on top stays, and the autofs goes
// with it.
func (w *World) closeAutomount(name string) {
	w.pool.do(name, func() {
		m := &w.senses.automount
		m.mu.Lock()
		p := m.units[name]
		delete(m.units, name)
		if p == nil {
			m.mu.Unlock()
			return
		}
		w.answer(p, p.waiting, false, unix.ENOENT)
		w.answer(p, p.expiring, false, unix.EBUSY)
		p.waiting, p.expiring = nil, nil
		m.mu.Unlock()
		if err := p.ctl.Catatonic(p.mnt); err != nil {
			w.log.Warn("cannot silence an automount point", "unit", name, "err", err)
		}
		p.release(w)
		at, err := tableNow(p.where)
		switch {
		case err != nil:
			w.log.Error("an automount point stays behind", "unit", name, "err", err)
		case at.Mounted:
			m.mu.Lock()
			m.leaving[p.where] = name
			m.mu.Unlock()
		case at.Triggers:
			if err := mount.Unmount(p.where, false, false); err != nil {
				w.log.Warn("an automount point is in use and is detached", "unit", name, "err", err)
				if err := mount.Unmount(p.where, true, false); err != nil {
					w.log.Error("an automount point stays behind", "unit", name, "err", err)
				}
			}
		}
	})
}

// closeAutomounts is for the end of the manager: nobody is left waiting in the
// kernel, and the mount points stay for the next one.
func (w *World) closeAutomounts() {
	m := &w.senses.automount
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.units {
		w.answer(p, p.waiting, false, unix.ENOENT)
		w.answer(p, p.expiring, false, unix.EBUSY)
		p.waiting, p.expiring = nil, nil
	}
}
