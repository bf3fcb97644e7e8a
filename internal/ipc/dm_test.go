package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"dynamod/internal/ipc/frame"
)

// recorded are the frames that the original's encoder made.
func recorded(t testing.TB) map[string][]byte {
	data, err := os.ReadFile("frame/testdata/frames.tsv")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for line := range strings.Lines(string(data)) {
		if name, digits, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && line[0] != '#' {
			if out[name], err = hex.DecodeString(digits); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// toPID1 are the rows that internal/ipc/pid1 tests.
var toPID1 = []string{"Heartbeat", "HeartbeatAck", "RequestShutdown", "ShutdownSignal", "LogToKmsg"}

func TestEveryRecordedFrame(t *testing.T) {
	requests := map[string]dmRequest{
		"Request StartService sshd id=1":   {id: 1, kind: "StartService", name: "sshd"},
		"Request StopService sshd id=1":    {id: 1, kind: "StopService", name: "sshd"},
		"Request RestartService sshd id=1": {id: 1, kind: "RestartService", name: "sshd"},
		"Request ServiceStatus sshd id=1":  {id: 1, kind: "ServiceStatus", name: "sshd"},
		"Request ListServices id=1":        {id: 1, kind: "ListServices"},
		"Request TreeStatus id=1":          {id: 1, kind: "TreeStatus"},
		"Request Reload id=1":              {id: 1, kind: "Reload"},
		"Request Shutdown Reboot id=1":     {id: 1, kind: "Shutdown", name: "Reboot"},
		"Request Shutdown Poweroff id=1":   {id: 1, kind: "Shutdown", name: "Poweroff"},
		"Request GetServiceByPid 300 id=2": {id: 2, kind: "GetServiceByPid", pid: 300},
	}
	replies := map[string][]byte{
		"Response Ack id=1":                                dmAck(1),
		"Response Error 'unknown service: x' id=1":         dmError(1, "unknown service: x"),
		"Response ServiceInfo sshd running pid=4711 root":  dmServiceInfo(1, dmService{"sshd", "running", 4711}, "root"),
		"Response ServiceInfo sshd stopped pid=nil root":   dmServiceInfo(1, dmService{"sshd", "stopped", 0}, "root"),
		"Response ServiceList [a running 7, b failed nil]": dmServiceList(1, []dmService{{"a", "running", 7}, {"b", "failed", 0}}, false, false),
		"Response ServiceList empty":                       dmServiceList(1, nil, false, false),
		"Response Tree 'x'":                                dmTree(1, "x"),
		"Response ServiceByPid sshd 300":                   dmServiceByPid(1, "sshd", 300),
		"Response ServiceByPid nil -5":                     dmServiceByPid(1, "", -5),
	}
	for name, want := range recorded(t) {
		if q, ok := requests[name]; ok {
			delete(requests, name)
			if got, err := decodeDM(want[frame.HeaderLen:]); err != nil || !reflect.DeepEqual(got, q) {
				t.Errorf("%s: decoded as %+v, %v; want %+v", name, got, err, q)
			}
			if got := original(q); !bytes.Equal(got, want) {
				t.Errorf("%s: the test's own client sends %x; want %x", name, got, want)
			}
			continue
		}
		if got, ok := replies[name]; ok {
			delete(replies, name)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: %x; want %x", name, got, want)
			}
			continue
		}
		if word := strings.Fields(name)[1]; !strings.Contains(strings.Join(toPID1, " "), word) {
			t.Errorf("%s is tested nowhere", name)
		}
	}
	if len(requests) > 0 || len(replies) > 0 {
		t.Errorf("not in the record: %v %v", requests, replies)
	}
}

// original encodes a request as the original's client does.
func original(q dmRequest) []byte {
	p := frame.BeginMessage(nil, &frame.Envelope{ID: q.id, Form: frame.Request})
	switch field := dmRequests[q.kind]; field {
	case "":
		p = frame.AppendStr(p, q.kind)
	case "pid":
		p = frame.AppendInt(frame.AppendStr(variant(p, q.kind, 1), field), int64(q.pid))
	default:
		p = frame.AppendStr(frame.AppendStr(variant(p, q.kind, 1), field), q.name)
	}
	p, err := frame.End(p, 0)
	if err != nil {
		panic(err)
	}
	return p
}

// originalCall is the whole of the original's client: connect, write one frame,
// read a header, read a payload, hang up. It gives the reply's frame.
func originalCall(conn net.Conn, request []byte) ([]byte, error) {
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	head := make([]byte, frame.HeaderLen)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head[2:])
	if head[0] != 'D' || head[1] != 'M' || size > frame.MaxPayload {
		return nil, fmt.Errorf("header %x", head)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(conn, body)
	return append(head, body...), err
}

func callDM(t *testing.T, path string, q dmRequest) []byte {
	t.Helper()
	got, err := originalCall(connect(t, path), original(q))
	if err != nil {
		t.Fatalf("%s: %v", q.kind, err)
	}
	return got
}

func TestOriginalClient(t *testing.T) {
	h := newFake("sshd")
	h.units["sshd.service"] = Unit{Name: "sshd.service", Type: "service", State: "reloading", PID: 4711}
	h.jobs = func(_ context.Context, unit string) (string, error) {
		if unit == "bad.service" {
			return "dependency", nil
		}
		return "done", nil
	}
	_, path := serve(t, h)
	frames := recorded(t)
	for _, c := range []struct {
		q    dmRequest
		want string
	}{
		{dmRequest{id: 1, kind: "StartService", name: "sshd"}, "Response Ack id=1"},
		{dmRequest{id: 1, kind: "StopService", name: "sshd"}, "Response Ack id=1"},
		{dmRequest{id: 1, kind: "RestartService", name: "sshd"}, "Response Ack id=1"},
		{dmRequest{id: 1, kind: "Reload"}, "Response Ack id=1"},
		{dmRequest{id: 1, kind: "Shutdown", name: "Reboot"}, "Response Ack id=1"},
		{dmRequest{id: 1, kind: "StartService", name: "x"}, "Response Error 'unknown service: x' id=1"},
		{dmRequest{id: 1, kind: "ServiceStatus", name: "x"}, "Response Error 'unknown service: x' id=1"},
		{dmRequest{id: 1, kind: "ServiceStatus", name: "sshd"}, "Response ServiceInfo sshd running pid=4711 root"},
		{dmRequest{id: 1, kind: "GetServiceByPid", pid: 300}, "Response ServiceByPid sshd 300"},
		{dmRequest{id: 1, kind: "GetServiceByPid", pid: -5}, "Response ServiceByPid nil -5"},
	} {
		if got := callDM(t, path, c.q); !bytes.Equal(got, frames[c.want]) {
			t.Errorf("%+v: %q; want %s", c.q, got, c.want)
		}
	}
	if a := h.calls[4].Args.(*ShutdownArgs); a.Kind != "reboot" {
		t.Errorf("shutdown asks for %+v", a)
	}
	want := dmTree(9, "[supervisor: root] strategy=OneForOne\n  sshd [running] pid=4711\n  b [failed]\n")
	if got := callDM(t, path, dmRequest{id: 9, kind: "TreeStatus"}); !bytes.Equal(got, want) {
		t.Errorf("tree: %q; want %q", got, want)
	}
	h.mu.Lock()
	h.units = map[string]Unit{"a.service": {Name: "a.service", State: "active", PID: 7}, "b.service": {Name: "b.service", State: "failed"},
		"bad.service": {Name: "bad.service", State: "blocked"}}
	h.mu.Unlock()
	if got, want := callDM(t, path, dmRequest{id: 3, kind: "StartService", name: "bad"}), dmError(3, "cannot start bad: dependency"); !bytes.Equal(got, want) {
		t.Errorf("W60, a start that fails: %q; want %q", got, want)
	}
	h.mu.Lock()
	delete(h.units, "bad.service")
	h.mu.Unlock()
	if got := callDM(t, path, dmRequest{id: 1, kind: "ListServices"}); !bytes.Equal(got, frames["Response ServiceList [a running 7, b failed nil]"]) {
		t.Errorf("list: %q", got)
	}
}

// TestLongListsByFrame: what does not fit is an error or comes in pages, and never
// a dropped connection (W61).
func TestLongListsByFrame(t *testing.T) {
	h := newFake()
	var want []string
	for i := range 3000 {
		n := fmt.Sprintf("service-%04d", i)
		want = append(want, n)
		h.units[n+".service"] = Unit{Name: n + ".service", State: "active", PID: 1 << 30}
	}
	_, path := serve(t, h)
	if got := callDM(t, path, dmRequest{id: 1, kind: "ListServices"}); !bytes.Contains(got, []byte("3000 services do not fit")) {
		t.Errorf("without pages: %.100q", got)
	}
	var names []string
	for after, pages := "", 0; ; pages++ {
		p := frame.BeginMessage(nil, &frame.Envelope{ID: 5, Form: frame.Request})
		p = frame.AppendStr(frame.AppendStr(variant(p, "ListServices", 1), "after"), after)
		p, _ = frame.End(p, 0)
		got, err := originalCall(connect(t, path), p)
		if err != nil || pages > 10 {
			t.Fatalf("page %d: %v", pages, err)
		}
		var page []string
		page, after = listed(t, got[frame.HeaderLen:])
		names = append(names, page...)
		if after == "" {
			break
		}
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("%d names in pages; want %d", len(names), len(want))
	}
	long := strings.Repeat("a line of the tree\n", 10000)
	if got := dmTree(1, long); len(got) > frame.HeaderLen+frame.MaxPayload || !bytes.Contains(got, []byte("more lines: use")) {
		t.Errorf("a long tree has %d bytes and ends in %q", len(got), got[len(got)-60:])
	}
}

// listed takes a ServiceList apart.
func listed(t *testing.T, payload []byte) (names []string, next string) {
	t.Helper()
	e, err := frame.Open(payload)
	if err != nil || string(e.Variant) != "ServiceList" {
		t.Fatalf("%q, %v", payload, err)
	}
	r := frame.NewReader(e.Fields)
	for range r.Map() {
		if string(r.Key()) == "next" {
			next = string(r.Str(1000))
			continue
		}
		for range r.Array() {
			for range r.Map() {
				if string(r.Key()) == "name" {
					names = append(names, string(r.Str(1000)))
				} else {
					r.Skip()
				}
			}
		}
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	return names, next
}

func TestWireStatesAreComplete(t *testing.T) {
	for _, s := range []string{"inactive", "blocked", "starting", "active", "reloading", "stopping", "completed",
		"restart-pending", "failed", "dormant", "abandoned", "skipped"} {
		switch wireState(s) {
		case "stopped", "starting", "running", "stopping", "failed", "abandoned":
		default:
			t.Errorf("%s is sent as %s, which the original does not know", s, wireState(s))
		}
	}
}

func TestFramesCutAndMangled(t *testing.T) {
	_, path := serve(t, newFake("sshd"))
	good := original(dmRequest{id: 1, kind: "ServiceStatus", name: "sshd"})
	big := frame.Begin(nil)
	big[4] = 2 // 128 KiB
	for _, c := range []struct {
		name string
		send []byte
		want string
	}{
		{"garbage before the frame", append([]byte("Dxyz\x00DDM\xff\xff"), good...), "larger than"},
		{"garbage without a lie", append([]byte("Dxyz\x00D"), good...), "ServiceInfo"},
		{"two frames", append(bytes.Clone(good), good...), "ServiceInfo"},
		{"too large", big, "larger than"},
		{"empty payload", []byte("DM\x00\x00\x00\x00"), "broken frame"},
		{"not MessagePack", []byte("DM\x03\x00\x00\x00\xc1\xc1\xc1"), "broken frame"},
		{"unknown", []byte("DM\x0d\x00\x00\x00\x93\x05\xa7Request\xa2No"), "unknown command"},
		{"field missing", []byte("DM\x15\x00\x00\x00\x93\x05\xa7Request\x81\xa8Shutdown\x80"), "needs"},
		{"strange kind", original(dmRequest{id: 1, kind: "Shutdown", name: "Explode"}), "unknown kind"},
	} {
		conn := connect(t, path)
		// What the server does not read before it answers may make the write fail.
		go func() { conn.Conn.Write(c.send) }()
		got, err := io.ReadAll(conn)
		if len(got) == 0 || !bytes.Contains(got, []byte(c.want)) {
			t.Errorf("%s: %q, %v; want %s", c.name, got, err, c.want)
		}
	}
	// A frame that never ends is left alone when its sender hangs up.
	conn := connect(t, path)
	conn.Conn.Write(good[:len(good)/2])
	conn.Conn.(*net.UnixConn).CloseWrite()
	conn.silence()
	// More garbage than a frame could have.
	conn = connect(t, path)
	go conn.Conn.Write([]byte(strings.Repeat("Dx", MaxMessage)))
	if got, _ := io.ReadAll(conn); !bytes.Contains(got, []byte("no frame")) {
		t.Errorf("garbage: %q", got)
	}
}

// TestAckDoesNotWaitForEver: the original's clients give up after 10 s.
func TestAckDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFake("slow")
		h.jobs = func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
		s := NewServer(h, nil)
		defer s.Close()
		mine, theirs := net.Pipe()
		if e := s.serveConn(theirs, Peer{PIDFD: -1}); e != nil {
			t.Fatal(e)
		}
		got, err := originalCall(mine, original(dmRequest{id: 1, kind: "StartService", name: "slow"}))
		if err != nil || !bytes.Equal(got, dmAck(1)) {
			t.Errorf("%q, %v; want Ack", got, err)
		}
	})
}
