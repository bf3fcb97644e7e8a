// dynamod-sd1bridge is org.freedesktop.systemd1 for the programs that talk to systemd:
// on the private socket that systemctl uses, and on the message bus as soon as there is
// one. It asks dynamod-svmgr over the control socket and decides nothing itself; when
// it dies, nothing else does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/internal/sys/memory"
	"dynamod/sd1bridge/internal/api"
	"dynamod/sd1bridge/internal/upstream"
	"dynamod/sdnotify"
)

// version is set by the build (-ldflags -X main.version=…).
var version = "development"

type settings struct {
	user                     bool
	control, private, system string
}

func main() {
	// Little is kept and much is passed through: a heap that is collected early is
	// a third smaller, and answering takes the time it took. On one processor it does:
	// on several, threads that hand garbage to each other take as much as the work.
	debug.SetGCPercent(40)
	runtime.GOMAXPROCS(1)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := memory.SmallPages(); err != nil {
		log.Warn("this program may take more memory than it needs", "err", err)
	}
	s, err := parse(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "dynamod-sd1bridge:", err)
		}
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, s, log); err != nil {
		log.Error("dynamod-sd1bridge ends", "err", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("dynamod-sd1bridge", flag.ContinueOnError)
	f.BoolVar(&s.user, "user", false, "speak for this user's manager")
	f.StringVar(&s.control, "control", "", "the manager's control socket")
	f.StringVar(&s.private, "private", "", "the private socket to listen on")
	f.StringVar(&s.system, "bus", "", "the socket of the message bus to join, - for none")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	dir, control, busSocket := "/run", ipc.SocketPath, "/run/dbus/system_bus_socket"
	if s.user {
		dir = os.Getenv("XDG_RUNTIME_DIR")
		if dir == "" && (s.control == "" || s.private == "" || s.system == "") {
			return s, errors.New("-user needs $XDG_RUNTIME_DIR, which is not set; log in through PAM or set it")
		}
		control, busSocket = filepath.Join(dir, "dynamod/control.sock"), filepath.Join(dir, "bus")
	}
	for p, d := range map[*string]string{&s.control: control, &s.private: filepath.Join(dir, "systemd/private"), &s.system: busSocket} {
		if *p == "" {
			*p = d
		}
	}
	return s, nil
}

// restAfter is how long nobody must have asked for anything until memory is given back.
// Pages that are in use have to be fetched again: who asks every few seconds shall not
// wait for that.
const restAfter = 10 * time.Second

// run serves until ctx ends.
func run(ctx context.Context, s settings, log *slog.Logger) error {
	up := upstream.New(s.control, log)
	defer up.Close()
	server := api.New(up, api.Options{User: s.user, Root: "/", Version: version}, log)
	service := server.Service()
	l, err := listen(s.private)
	if err != nil {
		return err
	}
	var parts sync.WaitGroup
	parts.Go(func() { server.Run(ctx) })
	defer service.Resting(restAfter, func() {
		if _, err := memory.GiveBack(); err != nil {
			log.Warn("memory that is not needed any more is kept", "err", err)
		}
	})()
	failed := make(chan error, 1)
	parts.Go(func() {
		uid := uint32(os.Getuid())
		failed <- service.ServePrivate(l, func(peer uint32) bool { return peer == 0 || peer == uid })
	})
	if s.system != "-" {
		parts.Go(func() {
			service.Join(bus.Bus{Address: s.system, Names: []string{api.Name},
				Heard: func(m *dbus.Message) { server.Heard(m) }, Joined: server.Joined, Left: server.Left, Wake: server.Wake()})
		})
	}
	if _, err := sdnotify.Notify(sdnotify.Ready); err != nil {
		log.Warn("the manager was not told that we are ready", "err", err)
	}
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	}
	service.Close()
	if err == nil {
		parts.Wait()
	}
	return err
}

// listen takes the place of a socket that nobody listens on any more.
func listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the private socket: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("somebody answers on %s already: is systemd or another bridge running?", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove a dead private socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	// Who may speak is checked by uid; the mode keeps others from filling the backlog.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect the private socket: %w", err)
	}
	return l, nil
}
