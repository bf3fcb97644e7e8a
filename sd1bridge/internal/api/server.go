package api

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dynamod/internal/bus"
	"dynamod/internal/install"
	"dynamod/internal/ipc"
	"dynamod/internal/unitname"
	"dynamod/sd1bridge/internal/translate"
	"dynamod/sd1bridge/internal/upstream"
)

// Name is the bus name of the manager.
const Name = "org.freedesktop.systemd1"

// Options say for which manager the bridge speaks.
type Options struct {
	// User is a user's manager; Root is "/" but for tests.
	User bool
	Root string
	// Version is that of this program.
	Version string
}

// Server is the interface systemd1 before one manager.
type Server struct {
	up      *upstream.Manager
	log     *slog.Logger
	opts    Options
	machine translate.Machine
	bus     *bus.Service
	tables  *tables
	jobs    jobs
	refs    refs
	shown   shown
	stdio   stdio
	listed  listed
	first   sync.Once // to hear the manager
	names   onBus
	presets install.Presetting
	// busComes is what Wake gives out.
	busComes chan struct{}
	// activations has a place for each one that is under way.
	activations chan struct{}

	// refused counts the calls that were refused for want of rights.
	refused atomic.Int64
	// changing is held while links of unit files are changed.
	changing sync.Mutex

	mu   sync.Mutex
	info ipc.PingResult
	// subscribers are the bus names that asked for signals.
	subscribers map[string]bool
}

// New makes a server. Serve its Service.
func New(up *upstream.Manager, opts Options, log *slog.Logger) *Server {
	s := &Server{up: up, log: log, opts: opts, machine: machine(), subscribers: map[string]bool{},
		activations: make(chan struct{}, maxActivations), busComes: make(chan struct{}, 1)}
	s.presets.Root, s.presets.User = opts.Root, opts.User
	s.names.wanted = map[string]string{}
	s.tables = s.build()
	s.jobs.open, s.refs.held = map[uint32]bool{}, map[string]map[string]int{}
	s.stdio.by = map[string][]int{}
	one := func(name string) *bus.Interface { return s.tables.by[name] }
	alone := bus.One(nil, one("Manager"))
	s.bus = bus.NewService(bus.NewTree(
		&bus.Node{Path: translate.ManagerPath, Find: func(c *bus.Call, _ string) (any, []*bus.Interface, error) {
			_, list, err := alone(c, "")
			return &managerObject{s: s}, list, err
		}},
		s.logControl(),
		&bus.Node{Path: translate.UnitsPath + "/*", Find: s.findUnit, Names: s.unitLabels},
		&bus.Node{Path: translate.JobsPath + "/*", Find: s.findJob, Names: s.jobLabels},
	), log)
	s.heardBy()
	return s
}

// Service is what answers on sockets and buses.
func (s *Server) Service() *bus.Service { return s.bus }

// patience is how long the manager may take to answer what needs no waiting.
const patience = 20 * time.Second

func (s *Server) ctx(c *bus.Call) (context.Context, context.CancelFunc) {
	parent := s.bus.Context() // the end must not wait for a manager that does not answer
	if c != nil {
		parent = c.Context()
	}
	return context.WithTimeout(parent, patience)
}

// ask asks the manager and gives refusals their D-Bus names.
func (s *Server) ask(c *bus.Call, v ipc.Verb, args, result any) error {
	ctx, cancel := s.ctx(c)
	defer cancel()
	return named(s.up.Call(ctx, v, args, result))
}

// pages asks for one page after the other: after is the After of args, take gets each
// page and tells its Next.
func pages[R any](s *Server, c *bus.Call, v ipc.Verb, args any, after *string, take func(*R) string) error {
	for {
		var r R
		if err := s.ask(c, v, args, &r); err != nil {
			return err
		}
		next := take(&r)
		if next == "" || next == *after {
			return nil
		}
		*after = next
	}
}

// errorNames of refusals where they differ from systemd1's own prefix and the kind.
var errorNames = map[string]string{
	"InvalidArgs": bus.ErrInvalidArgs, "AccessDenied": bus.ErrAccessDenied, "NotSupported": bus.ErrNotSupported, "Timeout": bus.ErrTimeout,
	"Internal": bus.ErrFailed, "Refused": bus.ErrFailed, "Busy": bus.ErrFailed, "TooLarge": bus.ErrLimitsExceeded, "TooManyRequests": bus.ErrLimitsExceeded,
	"NoSuchProcess": "org.freedesktop.DBus.Error.UnixProcessIdUnknown", "Protected": prefix + "OnlyByDependency", "ReloadRejected": prefix + "LoadFailed",
	"UnitInactive": prefix + "UnitInactive",
}

// named gives an error of the IPC the name that D-Bus clients know.
func named(err error) error {
	var e *ipc.Error
	if !errors.As(err, &e) {
		return err
	}
	name := errorNames[e.Kind]
	if name == "" {
		name = prefix + e.Kind
	}
	text := e.Text
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return &bus.Error{Name: name, Text: text}
}

// unitObject is a unit as one call sees it: fetched when it is first needed, and
// then the same for all properties.
type unitObject struct {
	s    *Server
	name string
	call *bus.Call
	mu   sync.Mutex
	u    *translate.Unit
	err  error
	// has is how much u tells.
	has effort
}

// effort is how far the manager goes to tell of a unit: to files of the kernel, to those of
// the configuration, or to both.
type effort uint8

const (
	measured effort = 1 << iota
	onDisk
	// remembered is what it has in memory.
	remembered effort = 0
)

// efforts are those of properties that are more than remembered.
var efforts = map[string]effort{"UnitFileState": onDisk, "UnitFilePreset": onDisk, "NeedDaemonReload": onDisk,
	"MemoryCurrent": measured, "MemoryPeak": measured, "MemorySwapCurrent": measured, "MemorySwapPeak": measured, "TasksCurrent": measured, "CPUUsageNSec": measured}

// get fetches the unit with what a property needs, or with everything if all properties
// are asked for.
func (o *unitObject) get(need effort) (*translate.Unit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.call != nil && o.call.Member == "GetAll" {
		need = measured | onDisk
	}
	if o.u != nil && o.has&need == need || o.err != nil {
		return o.u, o.err
	}
	if need |= o.has; need == remembered {
		if u := o.s.up.Remembers(o.name); u != nil {
			o.u = u
			return u, nil
		}
	}
	ctx, cancel := o.s.ctx(o.call)
	defer cancel()
	fetch := [...]func(context.Context, string) (*translate.Unit, error){remembered: o.s.up.Quick, measured: o.s.up.Measured, onDisk: o.s.up.OnDisk, measured | onDisk: o.s.up.Unit}
	o.u, o.err = fetch[need](ctx, o.name)
	o.err, o.has = named(o.err), need
	return o.u, o.err
}

// findUnit finds any valid unit name: the manager loads it when it is looked at.
func (s *Server) findUnit(c *bus.Call, label string) (any, []*bus.Interface, error) {
	name, ok := translate.Unlabel(label)
	if label == "self" && c != nil {
		u, err := s.unitOfPID(c, 0)
		if err != nil {
			return nil, nil, err
		}
		name, ok = u, true
	}
	n, err := unitname.Parse(name)
	if !ok || err != nil || n.IsTemplate() {
		return nil, nil, bus.Errorf(bus.ErrUnknownObject, "Unknown object '%s'.", translate.UnitsPath+"/"+label)
	}
	// GetAll("") has the unit's own interface first, as systemd has.
	var list []*bus.Interface
	own := n.Type.String()
	if i := s.tables.by[strings.ToUpper(own[:1])+own[1:]]; i != nil {
		list = append(list, i)
	}
	list = append(list, s.tables.by["Unit"])
	return &unitObject{s: s, name: name, call: c}, list, nil
}

func (s *Server) unitLabels() []string {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	units, err := s.up.List(ctx, ipc.ListArgs{All: true, InUse: true})
	if err != nil {
		s.log.Warn("units could not be listed", "err", err)
	}
	var out []string
	for _, u := range units {
		out = append(out, translate.Label(u.Name))
	}
	return out
}

func (s *Server) jobLabels() []string {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	list, err := s.up.Jobs(ctx)
	if err != nil {
		s.log.Warn("jobs could not be listed", "err", err)
	}
	var out []string
	for _, j := range list {
		out = append(out, strconv.FormatUint(uint64(j.ID), 10))
	}
	return out
}

// ping asks who the manager is; a manager that is not there is what was known last.
func (s *Server) ping() ipc.PingResult {
	ctx, cancel := s.ctx(nil)
	defer cancel()
	var p ipc.PingResult
	err := s.up.Call(ctx, ipc.VerbPing, &ipc.PingArgs{Protocol: ipc.Protocol}, &p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.info = p
	}
	return s.info
}
