package api

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"dynamod/internal/bus"
	"dynamod/logind/internal/boot"
	"dynamod/logind/internal/conf"
	"dynamod/logind/internal/device"
	"dynamod/logind/internal/session"
)

// Name is the bus name.
const Name = "org.freedesktop.login1"

// Units is what logind needs of the service manager.
type Units interface {
	// Start and Stop wait for the end of their jobs. A unit that has no file is
	// ErrNoUnit.
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	// Scope makes and starts a transient scope of one process.
	Scope(ctx context.Context, scope Scope) error
	// Abandon says that the scope's processes may stay.
	Abandon(ctx context.Context, unit string) error
	Kill(ctx context.Context, unit string, signal int32) error
	// Shutdown ends the machine: poweroff, reboot, halt, kexec or soft-reboot.
	Shutdown(ctx context.Context, kind string) error
	// Watch calls gone for every scope that has become inactive, until ctx ends; scopes
	// lists those that are believed to be there, to be checked when it begins.
	Watch(ctx context.Context, scopes func() []string, gone func(unit string))
}

// ErrNoUnit says that a unit has no file.
var ErrNoUnit = errors.New("there is no such unit")

// Scope is a transient scope.
type Scope struct {
	Name, Description, Slice string
	PID                      int32
	// Wants are units that it comes after and wants; Properties are settings such as
	// MemoryMax.
	Wants      []string
	Properties map[string]string
}

// Options say where things are.
type Options struct {
	// Root is before /run, /var and /sys; "/" but in tests.
	Root string
	// PerUser bounds the inhibitors of one user other than root.
	PerUser int
	// Hardware and Terminals are the machine's below Root if nil.
	Hardware  Hardware
	Terminals Terminals
	// Store keeps the descriptors of devices; nil keeps none. Kept are those that a
	// logind before this one has left, by name.
	Store Store
	Kept  map[string]*os.File
	// Environ is the environment; nil is that of the process.
	Environ func(string) string
	// Cgroup is the group of a process, below that of PID 1; nil asks the kernel.
	Cgroup func(pid int32) string
}

// held are the descriptors of a session: its leader's, and the reading end of its FIFO.
type held struct {
	leader, fifo *os.File
	// follow is a second descriptor of the leader, for the poller.
	follow   *os.File
	followed bool
	// keep says that the FIFO is there already.
	keep       bool
	properties map[string]string
}

// Server is login1.
type Server struct {
	opts    Options
	log     *slog.Logger
	units   Units
	service *bus.Service
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu sync.Mutex
	// settings are those of logind.conf(5).
	settings conf.Settings
	core     *session.Core
	// boot is what the next start is told; booting is held by who tells it.
	boot    *boot.Loader
	booting sync.Mutex
	// sleepConf are the settings of sleep.conf(5).
	sleepConf *sleepConf
	request   uint64
	waiting   map[uint64]chan answer
	held      map[string]*held
	locks     map[uint64]*os.File
	// arriving is for the session that the core is about to make.
	arriving *held
	// taken are the devices of sessions, taking is the one that the core is asked about.
	taken  map[handle]*taken
	taking *taken
	// restored are devices that were kept and are not yet their sessions\' again.
	restored map[handle]*taken
	// bus is the id of the bus on which controllers have their names.
	bus string
	// telling is held by one flush at a time, and never while mu is.
	telling sync.Mutex
	// after is what is to be done when changes of properties have been told.
	after []func()
	// owed is how many of these, or of those that a flush has taken, are not done yet.
	owed int
	// saved is what the state files say, as sums of their texts, by path.
	saved map[string]uint64
	seed  maphash.Seed
	// absent are the units of users who are there that have no file.
	absent map[string]bool
	// vtFailed is why the event at hand did not get its terminal.
	vtFailed error
	// wall is the text of wall messages, wallOn whether there are any.
	wall      string
	wallOn    bool
	hardware  Hardware
	terminals Terminals
	unfollow  func()
	timer     *time.Timer
	closed    bool
	// accessReset says that resetAccess was there.
	accessReset bool
}

type answer struct {
	grant session.Grant
	err   error
}

// New makes the server. Nothing runs before Prepare.
func New(units Units, o Options, log *slog.Logger) *Server {
	_, err := os.Stat(filepath.Join(o.Root, "dev/tty0"))
	settings := readConfig(o.Root, log)
	if o.Environ == nil {
		o.Environ = os.Getenv
	}
	if o.Cgroup == nil {
		o.Cgroup = belowFirst(cgroupOf)
	}
	s := &Server{opts: o, settings: settings, log: log, units: units, core: session.New(limits(&settings, o.PerUser), err == nil), waiting: map[uint64]chan answer{},
		held: map[string]*held{}, locks: map[uint64]*os.File{}, taken: map[handle]*taken{}, restored: map[handle]*taken{}, absent: map[string]bool{}, saved: map[string]uint64{}, seed: maphash.MakeSeed(), hardware: o.Hardware, terminals: o.Terminals, wallOn: true}
	s.core.Handling = handling(&settings)
	s.boot = boot.New(o.Root, o.Environ, log)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.service = bus.NewService(s.tree(), log)
	if s.hardware == nil {
		s.hardware = machine{device.New(o.Root), log}
	}
	s.sleepConf = &sleepConf{root: o.Root, log: log}
	if h, ok := s.hardware.(tunable); ok {
		h.Tune(s.sleepConf.get)
	}
	s.attend()
	if s.terminals == nil {
		s.terminals = device.NewTerminals(o.Root, s.leaving, s.shown)
	}
	return s
}

// Service is what to put on a bus.
func (s *Server) Service() *bus.Service { return s.service }

// Prepare makes the directories that clients watch, takes over the sessions from before,
// and follows units and terminals until Close. Join a bus after it.
func (s *Server) Prepare() error {
	for _, d := range []string{"seats", "sessions", "users", "machines", "inhibit", "shutdown"} {
		if err := os.MkdirAll(s.run(d), 0o755); err != nil {
			return err
		}
	}
	if s.core.Seats["seat0"].VTs {
		s.shown() // what is in front decides which devices of before go on
	}
	s.mu.Lock()
	s.core.Started(now())
	s.mu.Unlock()
	// Seats are there before their sessions: what was kept of the devices of a session in
	// front is not muted for a moment, of which its controller would not be told.
	stop, err := s.hardware.Follow(func(e session.Event) {
		if _, shared := e.(session.Shared); !shared || s.accessIsRight() {
			s.handle(e)
		}
	})
	if err != nil {
		return err
	}
	s.unfollow = stop
	s.restore()
	s.dropKept()
	s.mu.Lock()
	s.writeSeat(s.core.Seats["seat0"])
	s.mu.Unlock()
	s.readLinger()
	s.reserve()
	s.mu.Lock()
	s.core.Sleeps = s.hardware.Sleeps()
	s.mu.Unlock()
	s.restoreSchedule()
	s.work.Go(func() { s.units.Watch(s.ctx, s.scopes, s.unitGone) })
	s.followVT()
	s.resetAccess()
	return nil
}

// resetAccess puts the devices of all seats right: what a logind before this one did not
// take back is nobody's.
func (s *Server) resetAccess() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accessReset = true
	for id, seat := range s.core.Seats {
		to := int64(-1)
		if x := s.core.Sessions[seat.Active]; x != nil {
			to = int64(x.UID)
		}
		s.quietly("put the access to devices right", s.hardware.Access(id, -2, to))
	}
}

// accessIsRight says that resetAccess was there. What udev does before it puts right; who
// sits there is not known yet.
func (s *Server) accessIsRight() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accessReset
}

// Close lets go of everything; sessions stay in their files, for the next one.
func (s *Server) Close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, h := range s.held {
		h.close()
	}
	for _, f := range s.locks {
		f.Close()
	}
	for _, t := range s.taken {
		t.file.Close()
	}
	s.mu.Unlock()
	if s.unfollow != nil {
		s.unfollow()
	}
	s.service.Close()
	s.work.Wait()
	s.terminals.Close()
}

func (h *held) close() {
	for _, f := range []*os.File{h.leader, h.fifo, h.follow} {
		if f != nil {
			f.Close()
		}
	}
}

func (s *Server) run(parts ...string) string {
	return filepath.Join(append([]string{s.opts.Root, "run/systemd"}, parts...)...)
}

// Heard takes the signals of the bus: who leaves it loses control of sessions.
func (s *Server) Heard(m *dbus.Message) {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	sender, _ := m.Headers[dbus.FieldSender].Value().(string)
	if member != "NameOwnerChanged" || sender != "org.freedesktop.DBus" || len(m.Body) != 3 {
		return
	}
	if name, _ := m.Body[0].(string); m.Body[2] == "" && strings.HasPrefix(name, ":") {
		s.handle(session.ClientGone{Client: name})
	}
}

// now is the moment, by both clocks.
func now() session.Now {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // this clock always is there
	return session.Now{Wall: time.Now().UnixMicro(), Mono: ts.Nano() / 1000}
}

// handle gives an event to the core and carries out what it says.
func (s *Server) handle(e session.Event) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.locked(e)
	s.mu.Unlock()
	s.flush()
}

// flush tells of changed properties, and then what is to be told after them: of the same
// events, for those that come meanwhile have changes that are not told yet.
func (s *Server) flush() {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	after := s.after
	s.after = nil
	s.mu.Unlock()
	s.service.Flush()
	for _, f := range after {
		f()
	}
	s.mu.Lock()
	s.owed -= len(after)
	s.mu.Unlock()
}

// tellAfter has f called behind the next flush; s.mu is held.
func (s *Server) tellAfter(f func()) {
	s.after = append(s.after, f)
	s.owed++
}

// ask makes a request of the core and waits for its answer.
func (s *Server) ask(ctx context.Context, event func(request uint64) session.Event) (session.Grant, error) {
	ch := make(chan answer, 1)
	s.mu.Lock()
	s.request++
	r := s.request
	s.waiting[r] = ch
	s.mu.Unlock()
	s.handle(event(r))
	select {
	case a := <-ch:
		return a.grant, a.err
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.waiting, r)
		s.mu.Unlock()
		return session.Grant{}, ctx.Err()
	}
}

// locked carries out the actions of one event, in order; s.mu is held. What takes time
// goes to a goroutine that comes back with an event.
func (s *Server) locked(e session.Event) {
	for _, a := range s.core.Handle(now(), e) {
		s.act(a)
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if d := s.core.Deadline(); d != 0 {
		wait := time.Duration(max(d-now().Mono, 0)) * time.Microsecond
		s.timer = time.AfterFunc(wait, func() { s.handle(session.Tick{}) })
	}
}

func (s *Server) act(a session.Action) {
	switch a := a.(type) {
	case session.Refuse:
		s.answer(a.Request, answer{err: bus.Errorf(a.Name, "%s", a.Text)})
	case session.Grant:
		s.answer(a.Request, answer{grant: a})
	case session.OpenUser:
		s.openUser(a.UID, a.Manager)
	case session.CloseUser:
		s.closeUser(a.UID)
	case session.Open:
		s.open(a)
	case session.StopScope:
		s.later(func() { s.quietly("stop scope", s.units.Stop(s.ctx, "session-"+a.ID+".scope")) })
	case session.Abandon:
		s.abandon(a.ID)
	case session.Forget:
		if h := s.held[a.ID]; h != nil {
			h.close()
			delete(s.held, a.ID)
		}
	case session.Appeared:
		s.appeared(a)
	case session.Vanished:
		s.vanished(a)
	case session.Changed:
		s.changed(a)
	case session.Prepare:
		s.prepare(a)
	case session.SecureAttention:
		s.service.Emit(managerPath, managerIface, "SecureAttentionKey", a.Seat, seatPath(a.Seat))
	case session.Execute:
		s.later(func() { s.execute(a.Transition) })
	default:
		s.deviceAct(a)
	}
}

func (s *Server) answer(r uint64, a answer) {
	if ch := s.waiting[r]; ch != nil {
		delete(s.waiting, r)
		ch <- a
	}
}

// later runs f aside; it ends when s.ctx does, at the latest.
func (s *Server) later(f func()) { s.work.Go(f) }

func (s *Server) quietly(what string, err error) {
	if err != nil && !errors.Is(err, ErrNoUnit) && s.ctx.Err() == nil {
		s.log.Warn(what, "err", err)
	}
}
