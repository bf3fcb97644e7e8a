package world

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// openFiles opens what OpenFile= names for the main process (systemd.service(5)).
func (w *World) openFiles(a core.Spawn, out *passed) error {
	if !isMain(a) {
		return nil
	}
	for _, item := range unit.OpenFile.Of(a.Unit) {
		f, err := parseOpenFile(item)
		if err != nil {
			return at("open-file", err)
		}
		fd, err := f.open()
		if err != nil && f.graceful {
			w.log.Info("a file for the unit cannot be opened", "unit", a.Unit.Name, "file", f.path, "err", err)
			continue
		}
		if err != nil {
			return at("open-file", fmt.Errorf("%s: %w", f.path, err))
		}
		out.fds = append(out.fds, passedFD{fd: fd, at: -1, name: f.name, listen: true})
	}
	return nil
}

type openFile struct {
	path, name string
	flags      int
	graceful   bool
}

// parseOpenFile reads "PATH:NAME:OPTIONS". Colons in the path are written "\:".
func parseOpenFile(item string) (openFile, error) {
	bad := func(why string) (openFile, error) {
		return openFile{}, fmt.Errorf("OpenFile=%s: %s: %w", item, why, unix.EINVAL)
	}
	p, rest, _ := cutColon(item)
	name, options, _ := strings.Cut(rest, ":")
	f := openFile{path: p, name: name, flags: unix.O_RDWR}
	if p == "" || p[0] != '/' {
		return bad("write the whole path, from /")
	}
	if f.name == "" {
		f.name = path.Base(p)
	}
	if len(f.name) > 255 || strings.ContainsFunc(f.name, func(r rune) bool { return r < ' ' || r > '~' || r == ':' }) {
		return bad("the name has characters that $LISTEN_FDNAMES cannot hold, or more than 255")
	}
	var seen []string
	for o := range strings.SplitSeq(options, ",") {
		if o == "" {
			continue
		}
		if slices.Contains(seen, o) {
			return bad("the option " + o + " stands twice")
		}
		seen = append(seen, o)
		switch o {
		case "read-only":
			f.flags = f.flags&^unix.O_ACCMODE | unix.O_RDONLY
		case "append":
			f.flags |= unix.O_APPEND
		case "truncate":
			f.flags |= unix.O_TRUNC
		case "graceful":
			f.graceful = true
		default:
			return bad("the options are read-only, append, truncate and graceful")
		}
	}
	if f.flags&unix.O_ACCMODE == unix.O_RDONLY && f.flags&(unix.O_APPEND|unix.O_TRUNC) != 0 {
		return bad("what is read-only is neither appended to nor truncated")
	}
	return f, nil
}

func (f openFile) open() (int, error) {
	// Without O_NONBLOCK a FIFO would hold up the unit's strand for ever.
	fd, err := unix.Open(f.path, f.flags|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err == nil {
		err = unix.SetNonblock(fd, false)
		return fd, err
	}
	if err != unix.ENXIO {
		return -1, err
	}
	// That is what a socket says.
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		if fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return -1, err
		}
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: f.path}); err == nil {
			return fd, nil
		}
		unix.Close(fd)
		if err != unix.EPROTOTYPE {
			break
		}
	}
	return -1, err
}

// settleBlocking gives the sockets of a run the mode that NonBlocking= asks for. The
// mode belongs to the socket and not to the descriptor: the manager itself reads
// from sockets in no way that could block.
func settleBlocking(u *unit.Unit, fds []passedFD) error {
	on := unit.NonBlocking.Of(u)
	for _, f := range fds {
		if err := unix.SetNonblock(f.fd, on); err != nil {
			return fmt.Errorf("the blocking mode of a socket: %w", err)
		}
	}
	return nil
}
