package api

import (
	_ "embed"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"

	"dynamod/hostnamed/internal/disk"
	"dynamod/internal/bus"
)

// Names are the bus names.
var Names = []string{hostName, timeName, localeName}

const (
	hostName   = "org.freedesktop.hostname1"
	timeName   = "org.freedesktop.timedate1"
	localeName = "org.freedesktop.locale1"

	hostPath   = "/org/freedesktop/hostname1"
	timePath   = "/org/freedesktop/timedate1"
	localePath = "/org/freedesktop/locale1"
)

// memberList are the members as systemd 257 shows them, in its order.
//
//go:embed members.tsv
var memberList string

// Server is the three services.
type Server struct {
	disk   disk.Disk
	kernel Kernel
	units  Units
	log    *slog.Logger
	// services have one name and one object each, for a connection of their own: rules of the
	// bus for a name (busconfig, send_destination=) count for whatever its owner owns.
	services map[string]*bus.Service
	// fixed are the facts of the machine that do not change.
	fixed func() fixed
	// mu is held while something is changed: a file is read, changed and written by one
	// call at a time.
	mu sync.Mutex
	// ntp is held while services are switched.
	ntp sync.Mutex
}

// New makes the server; root is "/" but in tests.
func New(root string, kernel Kernel, units Units, log *slog.Logger) *Server {
	s := &Server{disk: disk.Disk{Root: root}, kernel: kernel, units: units, log: log}
	s.fixed = sync.OnceValue(s.readFixed)
	by := bus.FromList(memberList, s.parts())
	one := func(path, name string, find func() any) *bus.Service {
		list := []*bus.Interface{by[name]}
		return bus.NewService(bus.NewTree(&bus.Node{Path: path,
			Find: func(*bus.Call, string) (any, []*bus.Interface, error) { return find(), list, nil }}), log)
	}
	s.services = map[string]*bus.Service{
		hostName:   one(hostPath, "hostname1", func() any { return s.facts() }),
		timeName:   one(timePath, "timedate1", func() any { return s.clock() }),
		localeName: one(localePath, "locale1", func() any { return s.languages() }),
	}
	return s
}

// Service is what to put on a bus under one of Names.
func (s *Server) Service(name string) *bus.Service { return s.services[name] }

// changed notes that properties of the object behind a name are others now.
func (s *Server) changed(path, name string, properties ...string) {
	s.services[name].Changed(path, name, properties...)
}

// flush tells of what was noted.
func (s *Server) flush() {
	for _, name := range Names {
		s.services[name].Flush()
	}
}

func (s *Server) parts() bus.Parts {
	p := bus.Parts{Methods: map[string]func(*bus.Call) error{}, Getters: map[string]func(any) (any, error){}}
	s.hostParts(p)
	s.timeParts(p)
	s.localeParts(p)
	return p
}

// change is what all setters have in common: polkit's leave, one at a time, and the
// signals before the answer. Arguments are checked before it.
func (s *Server) change(c *bus.Call, action string, interactive bool, do func() error) error {
	return bus.Later(func() error { return s.allowed(&s.mu, c, action, interactive, do) })
}

// allowed is change for who may wait, with a lock of its own.
func (s *Server) allowed(lock *sync.Mutex, c *bus.Call, action string, interactive bool, do func() error) error {
	if err := c.AuthorizeAsking(action, interactive); err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	err := do()
	s.flush() // also what was changed before an error
	return err
}

// read is a file, for what is then changed or shown; one that cannot be read is as if it
// were not there, and the log has why.
func (s *Server) read(path string) string {
	text, err := s.disk.Read(path)
	if err != nil {
		s.log.Warn("a file is not read", "path", path, "err", err)
	}
	return text
}

// failed is the error that a client gets for one of the system, by the name of its number
// as systemd's services give it.
func failed(what string, err error) error {
	var known *bus.Error
	if errors.As(err, &known) {
		return err
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return bus.Errorf(bus.ErrFailed, "%s: %v", what, err)
	}
	name := "System.Error." + unix.ErrnoName(errno)
	switch errno {
	case unix.EACCES, unix.EPERM:
		name = bus.ErrAccessDenied
	}
	return bus.Errorf(name, "%s: %v", what, err)
}

// line makes text that comes from files and firmware one that may be on the bus, which
// hangs up on who sends it anything but UTF-8.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
