// dynamod-hostnamed is org.freedesktop.hostname1, timedate1 and locale1: the names of the
// machine, its clock and time zone, its language and keyboard. The bus starts it when
// somebody asks, and it ends when nobody has asked for a while.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"dynamod/hostnamed/internal/api"
	"dynamod/internal/bus"
	"dynamod/internal/ipc"
	"dynamod/sdnotify"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	err := run(os.Args[1:], log)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		log.Error("dynamod-hostnamed ends", "err", err)
		os.Exit(1)
	}
}

// joinTime is how long the bus may take to let us have our names: the one who had them
// before may be about to end.
const joinTime = 20 * time.Second

func run(args []string, log *slog.Logger) error {
	f := flag.NewFlagSet("dynamod-hostnamed", flag.ContinueOnError)
	control := f.String("control", ipc.SocketPath, "the manager's control socket")
	address := f.String("bus", "/run/dbus/system_bus_socket", "the socket of the message bus")
	root := f.String("root", "/", "the directory that has etc, run, usr, proc and sys")
	idle := f.Duration("idle", 30*time.Second, "how long nobody has to ask before it ends; 0 for never")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := api.New(*root, kernel{*root}, &manager{&ipc.Kept{Path: *control, Patience: patience}, *root}, log)
	tell := func(state string) {
		if _, err := sdnotify.Notify(state); err != nil {
			log.Warn("the manager was not told", "state", state, "err", err)
		}
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	// A bus that is lost and found again is joined again; the newest client counts.
	var mu sync.Mutex
	clients := map[string]*bus.Client{}
	joined := make(chan struct{}, 1)
	for _, name := range api.Names {
		defer s.Service(name).Close()
		parts.Go(func() {
			s.Service(name).Join(bus.Bus{Address: *address, Names: []string{name}, Joined: func(k *bus.Client) {
				mu.Lock()
				defer mu.Unlock()
				clients[name] = k
				if len(clients) < len(api.Names) {
					return
				}
				select {
				case joined <- struct{}{}:
				default:
				}
			}})
		})
	}
	ready := sync.OnceFunc(func() { tell(sdnotify.Ready) })
	timer := time.After(joinTime)
	all := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-joined:
			all = true
			ready()
		case <-timer:
		}
		if !all {
			return fmt.Errorf("the bus at %s was not joined in %v", *address, joinTime)
		}
		if *idle == 0 {
			timer = nil
			continue
		}
		left := time.Duration(0)
		for _, name := range api.Names {
			left = max(left, *idle-s.Service(name).Quiet())
		}
		if left > 0 {
			timer = time.After(left)
			continue
		}
		// Told first: a start that is asked for now waits for our end.
		tell(sdnotify.Stopping)
		for _, name := range api.Names {
			mu.Lock()
			client := clients[name]
			mu.Unlock()
			if err := client.Retire(ctx, name); err != nil && ctx.Err() == nil {
				log.Warn("a name was not given up in order", "name", name, "err", err)
			}
		}
		return nil
	}
}
