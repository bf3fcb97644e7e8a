package ipc

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a manager with a few units.
type fake struct {
	mu    sync.Mutex
	units map[string]Unit
	peers []Peer
	calls []Request
	// jobs decides how a job that is waited for ends; nil means done at once.
	jobs func(ctx context.Context, unit string) (string, error)
	// visible is given to subscribers.
	visible func(string) bool
}

func newFake(names ...string) *fake {
	f := &fake{units: map[string]Unit{}}
	for _, n := range names {
		f.units[n+".service"] = Unit{Name: n + ".service", Type: "service", State: "active", PID: 7, Load: "loaded"}
	}
	return f
}

func (f *fake) find(name string) (Unit, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u, ok := f.units[name]; ok {
		return u, nil
	}
	if u, ok := f.units[name+".service"]; ok {
		return u, nil
	}
	return Unit{}, Errorf("NoSuchUnit", "there is no unit %s", name).WithUnit(name)
}

func (f *fake) Handle(ctx context.Context, p Peer, q Request) (Response, error) {
	f.mu.Lock()
	f.peers, f.calls = append(f.peers, p), append(f.calls, q)
	f.mu.Unlock()
	switch a := q.Args.(type) {
	case *PingArgs:
		return Response{Result: &PingResult{Program: "fake", PID: 1, Mode: "test", State: "running"}}, nil
	case *SubscribeArgs:
		return Response{Visible: f.visible}, nil
	case *ListArgs:
		return Response{Result: f.list(a)}, nil
	case *UnitArgs:
		if a.PID == 300 {
			a.Unit = "sshd"
		} else if a.PID != 0 {
			return Response{}, Errorf("NoUnitForPID", "no unit has the process %d", a.PID)
		}
		u, err := f.find(a.Unit)
		return Response{Result: &Status{Unit: u}}, err
	case *TreeArgs:
		return Response{Result: &TreeResult{Rows: []TreeRow{{Name: "root", Strategy: "one-for-one"},
			{Depth: 1, Name: "sshd.service", State: "active", PID: 4711}, {Depth: 1, Name: "b.service", State: "dormant"}}}}, nil
	case *JobArgs:
		return f.job(a)
	}
	return Response{}, nil
}

func (f *fake) job(a *JobArgs) (Response, error) {
	u, err := f.find(a.Unit)
	if err != nil || !a.Wait {
		return Response{Result: &JobResult{Job: 1}}, err
	}
	return Response{Later: func(ctx context.Context) (any, error) {
		if f.jobs == nil {
			return &JobResult{Job: 1, Result: "done"}, nil
		}
		word, err := f.jobs(ctx, u.Name)
		return &JobResult{Job: 1, Result: word}, err
	}}, nil
}

func (f *fake) list(a *ListArgs) *ListResult {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &ListResult{Units: []Unit{}, Total: len(f.units)}
	var names []string
	for n := range f.units {
		if n > a.After {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		if len(r.Units) == MaxRows {
			r.Next = r.Units[MaxRows-1].Name
			break
		}
		r.Units = append(r.Units, f.units[n])
	}
	return r
}

func (f *fake) count(v Verb) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range f.calls {
		if q.Verb == v {
			n++
		}
	}
	return n
}

// flat fails the test if goroutines are left at its end.
func flat(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		if !eventually(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before }) {
			buf := make([]byte, 1<<20)
			t.Logf("%s", buf[:runtime.Stack(buf, true)])
		}
	})
}

// eventually waits for what other goroutines do, without sleeping.
func eventually(t *testing.T, what string, ok func() bool) bool {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Errorf("waited in vain for %s", what)
			return false
		}
	}
	return true
}

// serve starts a server on a socket and ends it with the test.
func serve(t *testing.T, h Handler) (*Server, string) {
	t.Helper()
	flat(t)
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := Listen(path, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(h, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, path
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw is a client without manners.
type raw struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func connect(t *testing.T, path string) *raw {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return wrap(t, c)
}

func wrap(t *testing.T, c net.Conn) *raw {
	t.Cleanup(func() { c.Close() })
	return &raw{t, c, bufio.NewReader(c)}
}

func (r *raw) say(format string, args ...any) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.Conn, format, args...); err != nil {
		r.t.Errorf("write: %v", err)
	}
}

// hear reads one line of JSON.
func (r *raw) hear() (got reply) {
	r.t.Helper()
	line, err := r.in.ReadBytes('\n')
	if err != nil {
		r.t.Fatalf("read: %v (%q)", err, line)
	}
	if err := json.Unmarshal(line, &got); err != nil {
		r.t.Fatalf("%q: %v", line, err)
	}
	return got
}

// refusal expects an error of a kind.
func (r *raw) refusal(kind string) {
	r.t.Helper()
	got := r.hear()
	if got.Error == nil || got.Error.Kind != kind {
		r.t.Errorf("heard %+v (%s); want an error of the kind %s", got.Error, got.Result, kind)
	}
}

// silence expects the end of the connection and nothing before it.
func (r *raw) silence() {
	r.t.Helper()
	rest, err := io.ReadAll(r.in)
	if len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		r.t.Errorf("heard %q, %v; want the end", rest, err)
	}
}

// event reads one event.
func (r *raw) event() (e Event) {
	r.t.Helper()
	got := r.hear()
	if got.Method != eventMethod {
		r.t.Fatalf("heard %+v; want an event", got)
	}
	if err := json.Unmarshal(got.Params, &e); err != nil {
		r.t.Fatal(err)
	}
	return e
}
