package live

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/dynamodctl/internal/fake"
	"dynamod/internal/ipc"
)

// start runs a fake manager and connects to it.
func start(t *testing.T) (*fake.Manager, Target, *ipc.Client) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	m, err := fake.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	target := Target{Socket: socket}
	c, err := target.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return m, target, c
}

func TestPath(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for _, c := range []struct {
		target Target
		want   string
	}{
		{Target{Getenv: env(nil)}, "/run/dynamod/control.sock"},
		{Target{Getenv: env(map[string]string{"DYNAMOD_SOCKET": "/x"})}, "/x"},
		{Target{Socket: "/y", User: true, Getenv: env(map[string]string{"DYNAMOD_SOCKET": "/x"})}, "/y"},
		{Target{User: true, Getenv: env(map[string]string{"DYNAMOD_SOCKET": "/x", "XDG_RUNTIME_DIR": "/run/user/7"})}, "/run/user/7/dynamod/control.sock"},
	} {
		if got, err := c.target.Path(); got != c.want || err != nil {
			t.Errorf("Path of %+v = %q, %v; want %q", c.target, got, err, c.want)
		}
	}
	if _, err := (Target{User: true, Getenv: env(nil)}).Path(); err == nil || !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
		t.Errorf("without XDG_RUNTIME_DIR: %v", err)
	}
}

// TestCannotConnect: each way in which nobody answers has its own words.
func TestCannotConnect(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := ipc.Listen(dead, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	talker := filepath.Join(dir, "talker")
	other, err := net.Listen("unix", talker)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() { // ends with the listener
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("220 mail.example.org ESMTP\n"))
			c.Close()
		}
	}()
	for _, c := range []struct{ path, text, hint string }{
		{filepath.Join(dir, "none"), "there is no socket " + dir, "is dynamod-svmgr running"},
		{file, "is not a socket", "--socket PATH"},
		{dead, "nobody listens", "start it"},
		{talker, "not JSON", "another program"},
	} {
		_, err := Target{Socket: c.path}.Dial(t.Context())
		var e *ConnectError
		if !errors.As(err, &e) || !strings.Contains(e.Text, c.text) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%s: %v (%+v); want %q and the hint %q", filepath.Base(c.path), err, e, c.text, c.hint)
		}
	}
	if got := explain(dead, false, os.ErrPermission); !got.(*ConnectError).Denied && os.Geteuid() == 0 {
		t.Log("root is never denied, so the words for that are not tested here")
	}
}

// TestRun: jobs are queued in order, their ends come with events, failures with
// the reason.
func TestRun(t *testing.T) {
	m, target, c := start(t)
	out, err := Run(t.Context(), c, target, Request{Verb: ipc.VerbStart, Units: []string{"idle", "db", "wbe", "web", "app"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range out {
		got = append(got, out[i].Name+" "+out[i].Result+" "+ipc.KindOf(out[i].Err))
	}
	want := []string{"idle done ", "db failed ", "wbe  NoSuchUnit", "web  ", "app dependency "}
	if !slices.Equal(got, want) {
		t.Errorf("outcomes %q; want %q", got, want)
	}
	if out[1].Why == nil || out[1].Why.Chain[0].Cause.Kind != "exit-code" {
		t.Errorf("the failure of db comes without a reason: %+v", out[1].Why)
	}
	if len(out[4].Why.Chain) != 2 {
		t.Errorf("the failure of app does not lead to db: %+v", out[4].Why)
	}
	var started []string
	for _, a := range m.Asked() {
		if rest, ok := strings.CutPrefix(a, "start {Unit:"); ok {
			started = append(started, strings.Fields(rest)[0])
		}
	}
	if want := []string{"idle", "db", "wbe", "web", "app"}; !slices.Equal(started, want) {
		t.Errorf("asked for %q; want %q", started, want)
	}
}

// TestProgress: while a job waits, each tick shows what for; the end clears it.
func TestProgress(t *testing.T) {
	m, target, c := start(t)
	tick := make(chan time.Time, 3)
	for range cap(tick) {
		tick <- time.Time{}
	}
	var seen []string
	ticks := 0
	out, err := Run(t.Context(), c, target, Request{Verb: ipc.VerbStart, Units: []string{"slow"}, Tick: tick, Progress: func(jobs []ipc.Job) {
		for _, j := range jobs {
			seen = append(seen, j.Unit+" "+strings.Join(j.WaitsFor, ","))
		}
		seen = append(seen, "|")
		if ticks++; ticks == cap(tick) {
			m.Finish(7, "done") // the fake's first job
		}
	}})
	if err != nil || out[0].Result != "done" {
		t.Fatalf("%+v, %v", out, err)
	}
	// What nobody waits for is not shown, though the fake has other jobs too.
	if want := []string{"slow.service db.service", "|", "slow.service db.service", "|", "slow.service db.service", "|", "|"}; !slices.Equal(seen, want) {
		t.Errorf("progress %q; want %q", seen, want)
	}
}

// TestInterrupt: the end of ctx ends the waiting with what is known.
func TestInterrupt(t *testing.T) {
	_, target, c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	tick := make(chan time.Time, 1)
	tick <- time.Time{}
	out, err := Run(ctx, c, target, Request{Verb: ipc.VerbStart, Units: []string{"idle", "slow"}, Tick: tick, Progress: func(jobs []ipc.Job) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v; want canceled", err)
	}
	if out[1].Job == 0 || out[1].Result != "" {
		t.Errorf("outcome %+v; want a job without result", out[1])
	}
}

// TestManagerReplaced: the end of a job that came while the manager was being
// replaced is asked for.
func TestManagerReplaced(t *testing.T) {
	m, target, c := start(t)
	tick := make(chan time.Time, 1)
	tick <- time.Time{}
	var next *fake.Manager
	out, err := Run(t.Context(), c, target, Request{Verb: ipc.VerbStart, Units: []string{"slow"}, Tick: tick, Progress: func(jobs []ipc.Job) {
		if next != nil {
			return
		}
		m.Close()
		var err error
		if next, err = fake.Listen(target.Socket); err != nil {
			t.Error(err)
		}
	}})
	if next != nil {
		defer next.Close()
	}
	if err != nil || out[0].Result != "lost" {
		t.Errorf("%+v, %v; want the result lost: the new manager does not know the job", out[0], err)
	}
}

func TestNoWaitAndDryRun(t *testing.T) {
	_, target, c := start(t)
	out, err := Run(t.Context(), c, target, Request{Verb: ipc.VerbStart, Units: []string{"slow"}, NoWait: true})
	if err != nil || out[0].Job == 0 || out[0].Result != "" {
		t.Errorf("no wait: %+v, %v", out, err)
	}
	out, err = Run(t.Context(), c, target, Request{Verb: ipc.VerbStop, Units: []string{"db"}, Args: ipc.JobArgs{DryRun: true}})
	if err != nil || len(out[0].Plan) != 2 {
		t.Errorf("dry run: %+v, %v", out, err)
	}
}

// TestFollow: each line comes once, however often it is seen.
func TestFollow(t *testing.T) {
	_, _, c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	tick := make(chan time.Time)
	go func() { // ends after the ticks
		tick <- time.Time{}
		tick <- time.Time{}
		tick <- time.Time{}
		cancel()
	}()
	n := 0
	err := Follow(ctx, c, ipc.LogsArgs{}, tick, func(lines []ipc.LogLine) error { n += len(lines); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n != len(fake.Lines()) {
		t.Errorf("%d lines; want %d", n, len(fake.Lines()))
	}
}
