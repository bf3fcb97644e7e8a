// dynamod-logind is org.freedesktop.login1: it makes sessions for pam_systemd, knows who
// sits where, and asks the manager to end or suspend the machine when it may.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/internal/sys/memory"
	"dynamod/logind/internal/api"
	"dynamod/logind/internal/device"
	"dynamod/sdnotify"
)

// inhibitorsPerUser is how many locks one user may hold: more than any desktop takes, and
// few of the 8192 of all.
const inhibitorsPerUser = 1024

func main() {
	// What is kept lives long, and there is little of it: a heap that may double before
	// it is looked at would be most of what this program takes.
	debug.SetGCPercent(25)
	// One login after the other keeps one processor busy; caches and queues of the run-time
	// for each more are memory, and handing work over to them takes time.
	runtime.GOMAXPROCS(1)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := memory.SmallPages(); err != nil {
		log.Warn("this program may take more memory than it needs", "err", err)
	}
	err := run(os.Args[1:], log)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		log.Error("dynamod-logind ends", "err", err)
		os.Exit(1)
	}
}

func run(args []string, log *slog.Logger) error {
	f := flag.NewFlagSet("dynamod-logind", flag.ContinueOnError)
	control := f.String("control", ipc.SocketPath, "the manager's control socket")
	address := f.String("bus", "/run/dbus/system_bus_socket", "the socket of the message bus")
	root := f.String("root", "/", "the directory that has run, var, etc, dev and sys")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	passed, err := sdnotify.ListenFDs()
	if err != nil {
		return err
	}
	kept := map[string]*os.File{}
	for _, f := range passed {
		name := f.Name()
		if kept[name], err = device.Quiet(f); err != nil {
			return fmt.Errorf("take over %s: %w", name, err)
		}
	}
	s := api.New(&manager{&ipc.Kept{Path: *control, Patience: patience}, log}, api.Options{Root: *root, PerUser: inhibitorsPerUser, Store: store{}, Kept: kept}, log)
	if err := s.Prepare(); err != nil {
		return err
	}
	ready := sync.OnceFunc(func() {
		if _, err := sdnotify.Notify(sdnotify.Ready); err != nil {
			log.Warn("the manager was not told that we are ready", "err", err)
		}
	})
	var parts sync.WaitGroup
	parts.Go(func() {
		s.Service().Join(bus.Bus{Address: *address, Names: []string{api.Name}, Heard: s.Heard, Met: s.Met, Joined: func(*bus.Client) { ready() }})
	})
	defer s.Service().Resting(restAfter, func() {
		if _, err := memory.GiveBack(); err != nil {
			log.Warn("memory that is not needed any more is kept", "err", err)
		}
	})()
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	for ctx.Err() == nil {
		select {
		case <-again:
			s.Reload()
		case <-ctx.Done():
		}
	}
	signal.Stop(again)
	s.Close()
	parts.Wait()
	return nil
}

// restAfter is how long nobody must have asked for anything until memory is given back:
// most of it was needed for the start.
const restAfter = 10 * time.Second

// store is the manager's, which gives the descriptors to the next start. It does not look
// whether they are good any more: a device that was revoked would seem to be gone.
type store struct{}

func (store) Keep(name string, f *os.File) error {
	_, err := sdnotify.NotifyWithFDs("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, int(f.Fd()))
	return err
}

func (store) Forget(name string) error {
	_, err := sdnotify.Notify("FDSTOREREMOVE=1\nFDNAME=" + name)
	return err
}
