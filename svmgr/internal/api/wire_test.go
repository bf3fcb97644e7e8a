package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dynamod/internal/ipc"
)

// serve puts a server before a fake manager; the owner of the socket is whoever runs
// the test.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	f.api.access.Owner = uint32(os.Getuid())
	file := filepath.Join(t.TempDir(), "s")
	l, err := ipc.Listen(file, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	s := ipc.NewServer(f.api, nil)
	f.api.PublishTo(s.Publish)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }() // ends by Close
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return file
}

func dial(t *testing.T, file string) *ipc.Client {
	t.Helper()
	c, err := ipc.Dial(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// The whole way: client, socket, server, api, core, and back; with events.
func TestOverTheSocket(t *testing.T) {
	var texts []string
	for k := range 1500 {
		texts = append(texts, fmt.Sprintf("s%04d.service |Description=%s", k, strings.Repeat("long ", 20)))
	}
	f := newFake(t, "", append(texts, web...)...)
	file := serve(t, f)
	c, ev := dial(t, file), dial(t, file)
	want(t, "ping", c.Server().Program, "dynamod-svmgr")
	sub, err := ev.Subscribe(t.Context(), ipc.SubscribeArgs{Kinds: []string{ipc.EventUnit}, Units: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.List(t.Context(), ipc.ListArgs{All: true, Types: []string{"service"}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "all pages", len(all), 1505)
	var r ipc.JobResult
	if err := c.Call(t.Context(), ipc.VerbStart, &ipc.JobArgs{Unit: "web", Wait: true}, &r); err != nil {
		t.Fatal(err)
	}
	want(t, "started", line(r.Result, r.Unit.State), "done active")
	for _, state := range []string{"starting", "active"} {
		e, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want(t, "event", line(e.Unit, e.State, e.Seq > sub.Seq), line("web.service", state, true))
	}
	err = c.Call(t.Context(), ipc.VerbStop, &ipc.JobArgs{Unit: "wbe"}, nil)
	var e *ipc.Error
	if !errors.As(err, &e) || e.Hint != "did you mean web.service?" {
		t.Errorf("%v %+v", err, e)
	}
}

// The original's frames, byte for byte as reference/dynamod-contract.md has them.
func TestOriginalFrames(t *testing.T) {
	f := newFake(t, "", "sshd.service |", "old.service |")
	file := serve(t, f)
	ask := func(frame string) string {
		t.Helper()
		p, _ := hex.DecodeString(frame)
		c, err := net.Dial("unix", file)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(answer)
	}
	const start = "444d3000000083a2696401a46b696e64a752657175657374a4626f647981ac53746172745365727669636581a46e616d65a473736864"
	if a := ask(start); !strings.HasSuffix(a, "\xa4body\xa3Ack") {
		t.Errorf("StartService: %q", a)
	}
	want(t, "sshd", f.state("sshd.service"), "active")
	unknown := strings.Replace(start, hex.EncodeToString([]byte("sshd")), hex.EncodeToString([]byte("nope")), 1)
	if a := ask(unknown); !strings.Contains(a, "unknown service: nope") {
		t.Errorf("unknown: %q", a)
	}
	status := "ServiceStatus"
	frame := "83a2696401a46b696e64a752657175657374a4626f647981" + "ad" + hex.EncodeToString([]byte(status)) + "81a46e616d65a473736864"
	a := ask(fmt.Sprintf("444d%02x000000%s", len(frame)/2, frame))
	for _, w := range []string{"ServiceInfo", "\xa4name\xa4sshd", "\xa6status\xa7running", "\xaasupervisor\xa4root"} {
		if !strings.Contains(a, w) {
			t.Errorf("ServiceStatus lacks %q: %q", w, a)
		}
	}
	list := "83a2696401a46b696e64a752657175657374a4626f6479ac" + hex.EncodeToString([]byte("ListServices"))
	a = ask(fmt.Sprintf("444d%02x000000%s", len(list)/2, list))
	if !strings.Contains(a, "\xa4name\xa3old\xa6status\xa7stopped\xa3pid\xc0") {
		t.Errorf("ListServices: %q", a)
	}
}

// Many clients at once ask for everything, while units come and go and the rules
// and the configuration change. It is for the race detector.
func TestManyClientsAtOnce(t *testing.T) {
	f := newFake(t, "", append(web, "again.service |[Service];Restart=always")...)
	f.api.PublishTo(func(ipc.Event) {})
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			p := []ipc.Peer{root, alice}[k%2]
			for range 10 {
				for _, v := range ipc.Verbs() {
					switch {
					case served[v], v == ipc.VerbShutdown, v == ipc.VerbDaemonReload, v == ipc.VerbRollback, v == ipc.VerbAdd, v == ipc.VerbSetProperty:
						continue
					}
					r, err := f.api.Handle(context.Background(), p, ipc.Request{Verb: v, Args: argsOn(v, []string{"web", "db", "again"}[k%3])})
					if err == nil && r.Later != nil {
						r.Later(context.Background())
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			f.api.ReloadAccess()
			f.exit("again.service", 0)
			f.call(root, ipc.VerbDaemonReload, &ipc.ReloadArgs{})
		}
	})
	wg.Wait()
}

// Lists that are longer than a message come in pages.
func TestLongListsHavePages(t *testing.T) {
	f := newFake(t, "", web...)
	c := dial(t, serve(t, f))
	for n := range 300 {
		name := fmt.Sprintf("%03d%s", n, strings.Repeat("x", 252)) // as long as FDNAME= may be
		f.stored = append(f.stored, ipc.StoredFD{Name: name, Path: "/" + name})
		f.users = append(f.users, ipc.DynamicUser{UID: uint32(n), Name: name})
	}
	var stored []ipc.StoredFD
	args := ipc.StoredArgs{Unit: "web.service"}
	err := ipc.Pages(t.Context(), c, ipc.VerbStored, &args, &args.After, func(r *ipc.StoredResult) error {
		stored = append(stored, r.Stored...)
		return nil
	})
	if err != nil || !slices.Equal(stored, f.stored) {
		t.Errorf("%d of %d descriptors, %v", len(stored), len(f.stored), err)
	}
	var users []ipc.DynamicUser
	var page ipc.Page
	err = ipc.Pages(t.Context(), c, ipc.VerbDynamicUsers, &page, &page.After, func(r *ipc.DynamicUsersResult) error {
		users = append(users, r.Users...)
		return nil
	})
	if err != nil || !slices.Equal(users, f.users) {
		t.Errorf("%d of %d users, %v", len(users), len(f.users), err)
	}
}
