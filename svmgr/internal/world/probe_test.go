package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

func (r *rig) probes(u *unit.Unit, what core.Probed) core.RunID {
	r.next++
	r.Perform(core.Probe{Run: r.next, Unit: u, What: what, Conditions: unit.Conditions.Of(u)})
	return r.next
}

func ready(t *testing.T, text string) *unit.Unit {
	return nativeService(t, "a.service", "[service]\nexec = ['/bin/true']\n[readiness]\ninterval = '20ms'\n"+text)
}

func health(t *testing.T, text string) *unit.Unit {
	return nativeService(t, "a.service", "[service]\nexec = ['/bin/true']\n[health]\n"+text)
}

func TestProbeConditions(t *testing.T) {
	r := newRig(t)
	u := service(t, "a.service", "[Unit]", "ConditionPathExists=/", "ConditionPathExists=!/", "ConditionPathExists=/nope", "ConditionFirmware=!device-tree-compatible(acme", "[Service]", "ExecStart=/bin/true")
	run := r.probes(u, core.ProbeConditions)
	e := until[core.ProbeResult](r)
	if e.Run != run || e.OK || fmt.Sprint(e.Held) != "[true true false true]" || e.Detail != "PathExists=!/" {
		t.Errorf("%+v", e)
	}
}

func TestReadyByPort(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		r := newRig(t)
		port := freePort(t)
		run := r.probes(ready(t, "type = 'tcp-port'\nport = "+port), core.ProbeReady)
		r.quiet(t)
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Skip(err)
		}
		if e := until[core.ProbeResult](r); e.Run != run || !e.OK {
			t.Errorf("%+v", e)
		}
		l.Close()
	}
}

func TestReadyByHTTP(t *testing.T) {
	r := newRig(t)
	status := make(chan int, 3)
	status <- 500
	status <- 404
	status <- 204
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.RequestURI() != "/up?x=1" {
			t.Error(q.URL)
		}
		w.WriteHeader(<-status)
	}))
	defer s.Close()
	run := r.probes(ready(t, "type = 'http'\nurl = '"+s.URL+"/up?x=1'"), core.ProbeReady)
	if e := until[core.ProbeResult](r); e.Run != run || !e.OK || len(status) != 0 {
		t.Errorf("%+v, %d answers left", e, len(status))
	}
}

func TestReadyByPath(t *testing.T) {
	r := newRig(t)
	p := filepath.Join(t.TempDir(), "sub", "sock")
	run := r.probes(ready(t, "type = 'path'\npath = '"+p+"'"), core.ProbeReady)
	r.armed(1)
	do(t, os.Mkdir(filepath.Dir(p), 0o755))
	r.quiet(t)
	do(t, os.WriteFile(p, nil, 0o600))
	if e := until[core.ProbeResult](r); e.Run != run || !e.OK {
		t.Errorf("%+v", e)
	}
}

// A probe that is not wanted any more is silent and leaves nothing behind.
func TestCancelProbe(t *testing.T) {
	r := newRig(t)
	p := filepath.Join(t.TempDir(), "x")
	run := r.probes(ready(t, "type = 'path'\npath = '"+p+"'"), core.ProbeReady)
	r.armed(1)
	r.Perform(core.CancelProbe{Run: run})
	r.armed(0)
	do(t, os.WriteFile(p, nil, 0o600))
	r.quiet(t)
	testkit.Eventually(t, "the probe to be forgotten", func() bool {
		r.senses.mu.Lock()
		defer r.senses.mu.Unlock()
		return len(r.senses.probes) == 0
	})
}

func TestHealthChecks(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	do(t, err)
	defer l.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/hang" {
			<-q.Context().Done()
			return
		}
		w.WriteHeader(map[string]int{"/ok": 200, "/moved": 302, "/sick": 503}[q.URL.Path])
	}))
	defer web.Close()
	closed := "127.0.0.1:" + freePort(t)
	for _, c := range []struct{ text, fail string }{
		{"type = 'tcp'\nendpoint = '" + l.Addr().String() + "'", ""},
		{"type = 'tcp'\nendpoint = '" + strings.TrimPrefix(l.Addr().String(), "127.0.0.1:") + "'", ""},
		{"type = 'tcp'\nendpoint = '" + closed + "'", "connect " + closed + ": connection refused"},
		{"type = 'http'\nendpoint = '" + web.URL + "/ok'", ""},
		{"type = 'http'\nendpoint = '" + web.URL + "/moved'", ""},
		{"type = 'http'\nendpoint = '" + web.URL + "/sick'", "HTTP status 503 Service Unavailable"},
		{"type = 'http'\ntimeout = '50ms'\nendpoint = '" + web.URL + "/hang'", "timed out"},
		{"type = 'http'\nendpoint = 'https://x/'", "no http:// URL"},
		{"type = 'path'\npath = '/'", ""},
		{"type = 'path'\npath = '/nonexistent'", "no such file"},
	} {
		run := r.probes(health(t, c.text), core.ProbeHealth)
		e := until[core.ProbeResult](r)
		if e.Run != run || e.OK != (c.fail == "") || !strings.Contains(e.Detail, c.fail) || e.OK && e.Detail != "" {
			t.Errorf("%s: %+v", c.text, e)
		}
	}
}

// A server that speaks nonsense, or too much, is unhealthy and costs nothing.
func TestFetchOfNonsense(t *testing.T) {
	for _, answer := range []string{"", "hello\r\n", "HTTP/1.1 abc\r\n", "HTTP/1.1\r\n", strings.Repeat("x", 100000), "HTTP/1.1 99 no\r\n"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		do(t, err)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte(answer))
		}()
		if err := fetch(context.Background(), "http://"+l.Addr().String()); err == nil {
			t.Errorf("%.20q is healthy", answer)
		}
		l.Close()
	}
}

func TestAgainSlowsDown(t *testing.T) {
	n := 0
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if again(ctx, 20*time.Millisecond, func(context.Context) bool { n++; return false }) || n > 17 || n < 2 {
		t.Errorf("%d looks in 300 ms", n)
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error(ctx.Err())
	}
}

func TestStamps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "timers")
	do(t, writeStamp(dir, core.Stamp{Unit: "a.timer", Wall: 1234567890123456789}))
	do(t, writeStamp(dir, core.Stamp{Unit: "b.timer", Wall: 1}))
	do(t, writeStamp(dir, core.Stamp{Unit: "b.timer", Wall: 2_000_000_000}))
	if err := writeStamp(dir, core.Stamp{Unit: "../x"}); err == nil {
		t.Error("a name with a slash was taken")
	}
	got := Stamps(dir)
	if len(got) != 2 || got["a.timer"] != 1234567890123456789 || got["b.timer"] != 2_000_000_000 {
		t.Error(got)
	}
}
