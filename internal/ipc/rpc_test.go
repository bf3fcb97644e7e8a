package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dynamod/internal/access"
)

func TestCallsByLine(t *testing.T) {
	_, path := serve(t, newFake("sshd"))
	c := connect(t, path)
	for _, q := range []struct{ say, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"unsubscribe"}`, `1 {}`},
		{`  {"jsonrpc":"2.0","id":"a","method":"start","params":{"unit":"sshd"}} `, `"a" {"job":1}`},
		{`{"jsonrpc":"2.0","id":null,"method":"unsubscribe","params":null}`, `null {}`},
		{`{"jsonrpc":"2.0","id":2,"method":"start","params":{"unit":"nginx"}}`, `2 NoSuchUnit there is no unit nginx`},
		{`{"jsonrpc":"2.0","id":3,"method":"strat"}`, `3 NoSuchVerb there is no method "strat"`},
		{`{"jsonrpc":"2.0","id":4,"method":"start","params":{"unit":"sshd","wiat":true}}`, `4 InvalidArgs unknown field "wiat"`},
		{`{"jsonrpc":"2.0","id":5,"method":"start","params":{}}`, `5 InvalidArgs start needs "unit"`},
		{`{"jsonrpc":"2.0","id":6,"method":"start"}`, `6 InvalidArgs start needs "unit"`},
		{`{"jsonrpc":"2.0","id":7,"method":"start","params":["sshd"]}`, `7 InvalidArgs params must be an object`},
		{`{"jsonrpc":"2.0","id":8,"method":"start","params":{"unit":5}}`, `8 InvalidArgs cannot unmarshal number`},
		{`{"id":9,"method":"ping"}`, `9 InvalidRequest "jsonrpc" must be "2.0"`},
		{`{"jsonrpc":"2.0","id":10}`, `10 InvalidRequest "method" is missing`},
		{`{"jsonrpc":"2.0","id":{},"method":"ping"}`, `null InvalidRequest id must be`},
		{`{"jsonrpc":"2.0","id":11,"method":"ping","params":{"protocol":-1}}`, `11 InvalidArgs protocol must not`},
		{`{"jsonrpc":"2.0","id":12,"method":"subscribe","params":{"kinds":["unti"]}}`, `12 InvalidArgs there is no event`},
		{`{"jsonrpc":"2.0","id":13,"method":"subscribe","params":{"units":["["]}}`, `13 InvalidArgs "[" is no pattern`},
		{`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, `null InvalidRequest batches are not supported`},
		// Blank lines and notifications have no answer, even when they fail.
		{"\n\r\n" + `{"jsonrpc":"2.0","method":"start","params":{"unit":"nginx"}}` + "\n" +
			`{"jsonrpc":"2.0","method":"nonsense"}` + "\n" + `{"jsonrpc":"2.0","method":"unsubscribe"}` + "\n" +
			`{"jsonrpc":"2.0","id":14,"method":"unsubscribe"}`, `14 {}`},
		{`{"jsonrpc":"2.0",`, `null ParseError not JSON`},
	} {
		c.say("%s\n", q.say)
		r := c.hear()
		got := string(r.ID) + " " + string(r.Result)
		if r.Error != nil {
			got = fmt.Sprintf("%s %s %s", r.ID, r.Error.Kind, r.Error.Text)
		}
		if !strings.HasPrefix(got, q.want) {
			t.Errorf("%s\n got %s\nwant %s", q.say, got, q.want)
		}
	}
	c.silence() // what is not JSON ends the conversation
}

func TestOneShotClients(t *testing.T) {
	h := newFake("sshd")
	release := make(chan struct{})
	h.jobs = func(context.Context, string) (string, error) { <-release; return "done", nil }
	s, path := serve(t, h)
	// printf '{…}' | nc -N: no newline, and the writing side is closed at once.
	c := connect(t, path)
	c.say(`{"jsonrpc":"2.0","id":1,"method":"start","params":{"unit":"sshd","wait":true}}`)
	c.Conn.(*net.UnixConn).CloseWrite()
	eventually(t, "the call", func() bool { return h.count(VerbStart) == 1 })
	close(release)
	if r := c.hear(); string(r.Result) != `{"job":1,"result":"done"}` {
		t.Errorf("heard %s", r.Result)
	}
	c.silence()
	c = connect(t, path)
	c.say(`{"jsonrpc":"2.0","id":1,"method":"subscribe"}`)
	c.Conn.(*net.UnixConn).CloseWrite()
	c.hear()
	s.Publish(Event{Kind: EventStarted})
	if r := c.hear(); r.Method != eventMethod {
		t.Errorf("heard %+v", r)
	}
}

func TestClient(t *testing.T) {
	h := newFake("sshd", "bad")
	h.jobs = func(_ context.Context, u string) (string, error) {
		if u == "bad.service" {
			return "", Errorf("UnitMasked", "%s is masked", u).WithUnit(u).WithHint("unmask it")
		}
		return "done", nil
	}
	_, path := serve(t, h)
	c := dial(t, path)
	if s := c.Server(); s.Program != "fake" || s.Protocol != Protocol {
		t.Errorf("server: %+v", s)
	}
	var r JobResult
	if err := c.Call(t.Context(), VerbStart, &JobArgs{Unit: "sshd", Wait: true}, &r); err != nil || r.Result != "done" {
		t.Errorf("start: %+v, %v", r, err)
	}
	err := c.Call(t.Context(), VerbStart, &JobArgs{Unit: "bad", Wait: true}, &r)
	want := &Error{Code: CodeMasked, Kind: "UnitMasked", Text: "bad.service is masked", Unit: "bad.service", Hint: "unmask it"}
	if e := (*Error)(nil); !errors.As(err, &e) || !reflect.DeepEqual(e, want) {
		t.Errorf("error came over as %#v; want %#v", err, want)
	}
	if err := c.Call(t.Context(), VerbList, &ListArgs{Units: []string{strings.Repeat("x", MaxMessage)}}, nil); KindOf(err) != "TooLarge" {
		t.Errorf("a request that is too large: %v", err)
	}
	var d Discovery
	if err := c.Call(t.Context(), VerbDiscover, nil, &d); err != nil || len(d.Methods) != len(verbs) {
		t.Errorf("discovery: %d methods, %v", len(d.Methods), err)
	}
	c.Close()
	if err := c.Call(t.Context(), VerbPing, nil, nil); err == nil {
		t.Error("a closed client answers")
	}
	if _, err := Dial(t.Context(), path+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no socket: %v", err)
	}
}

func TestClientDeadline(t *testing.T) {
	h := newFake("sshd")
	h.jobs = func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	_, path := serve(t, h)
	c := dial(t, path)
	// Before, in and after the write, as it happens.
	for _, limit := range []time.Duration{0, time.Microsecond, 20 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := c.Call(ctx, VerbStart, &JobArgs{Unit: "sshd", Wait: true}, nil)
		cancel()
		if KindOf(err) != "Timeout" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("within %v: %v; want Timeout", limit, err)
		}
	}
	if err := c.Call(t.Context(), VerbPing, nil, nil); err != nil {
		t.Errorf("the connection is of no use after a deadline: %v", err)
	}
}

// TestOrder: what one client sends is begun in that order, though answers may
// overtake one another.
func TestOrder(t *testing.T) {
	h := newFake("a")
	release := make(chan struct{})
	h.jobs = func(context.Context, string) (string, error) { <-release; return "done", nil }
	_, path := serve(t, h)
	c := connect(t, path)
	for i := range 10 {
		c.say(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{"unit":"a","wait":%v}}`+"\n", i, []string{"start", "stop"}[i%2], i == 0)
	}
	for i := 1; i < 10; i++ {
		if r := c.hear(); string(r.ID) != fmt.Sprint(i) {
			t.Errorf("answer %d has the id %s", i, r.ID)
		}
	}
	close(release)
	if r := c.hear(); string(r.ID) != "0" {
		t.Errorf("the last answer has the id %s", r.ID)
	}
	for i, q := range h.calls {
		if want := []Verb{VerbStart, VerbStop}[i%2]; q.Verb != want {
			t.Errorf("call %d is %s; want %s", i, q.Verb, want)
		}
	}
}

func TestPages(t *testing.T) {
	h := newFake()
	for i := range 5000 {
		n := fmt.Sprintf("unit-%05d.service", i)
		h.units[n] = Unit{Name: n, Description: strings.Repeat("d", i%300)}
	}
	_, path := serve(t, h)
	all, err := dial(t, path).List(t.Context(), ListArgs{})
	if err != nil || len(all) != 5000 {
		t.Fatalf("%d units, %v", len(all), err)
	}
	for i, u := range all {
		if u != h.units[fmt.Sprintf("unit-%05d.service", i)] {
			t.Fatalf("unit %d is %+v", i, u)
		}
	}
	if n := h.count(VerbList); n < 5 || n > 60 {
		t.Errorf("%d pages", n)
	}
}

// TestEveryLongAnswerFits: whatever a handler returns, the line is within the
// limit, and following Next visits every row once.
func TestEveryLongAnswerFits(t *testing.T) {
	text := strings.Repeat("ü<", 40)
	for _, v := range verbs {
		whole := v.result()
		grow(reflect.ValueOf(whole).Elem(), 400, text)
		line, err := encodeResult(call{verb: v.name, args: v.args()}, whole)
		if err != nil {
			if KindOf(err) != "TooLarge" {
				t.Errorf("%s: %v", v.name, err)
			} else if _, ok := whole.(sizable); ok {
				t.Errorf("%s cannot be cut: %v", v.name, err)
			}
			continue
		}
		if len(line) > MaxMessage || line[len(line)-1] != '\n' {
			t.Errorf("%s: a line of %d bytes", v.name, len(line))
		}
		if !json.Valid(line) {
			t.Errorf("%s: no JSON", v.name)
		}
	}
	var got strings.Builder
	want := strings.Repeat("ü<", 100000)
	for args := (&Page{}); ; {
		r := &DebugResult{Text: want[args.Offset():]}
		if _, err := encodeResult(call{verb: VerbDebugState, args: args}, r); err != nil {
			t.Fatal(err)
		}
		got.WriteString(r.Text)
		if args.After = r.Next; r.Next == "" {
			break
		}
	}
	if got.String() != want {
		t.Error("pages of text do not add up")
	}
	deep := &DepsResult{}
	for i := range 3000 {
		deep.Rows = append(deep.Rows, DepRow{Unit: fmt.Sprint(i), Why: text})
	}
	var seen []DepRow
	for args := (&DepsArgs{}); ; {
		r := &DepsResult{Rows: deep.Rows[args.Offset():]}
		if _, err := encodeResult(call{verb: VerbDeps, args: args}, r); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, r.Rows...)
		if args.After = r.Next; r.Next == "" {
			break
		}
	}
	if !reflect.DeepEqual(seen, deep.Rows) {
		t.Errorf("pages have %d rows; want %d", len(seen), len(deep.Rows))
	}
}

// grow fills a result: n elements in each list of the outermost struct.
func grow(v reflect.Value, n int, text string) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), n, n))
			for k := range n {
				if e := f.Index(k); e.Kind() == reflect.Struct {
					grow(e, 0, fmt.Sprint(k, text))
				} else if e.Kind() == reflect.String {
					e.SetString(fmt.Sprint(k, text))
				}
			}
		case reflect.String:
			if f.SetString(text); v.Type() == reflect.TypeFor[DebugResult]() {
				f.SetString(strings.Repeat(text, n))
			}
		case reflect.Struct:
			if f.Type() != reflect.TypeFor[More]() {
				grow(f, 0, text)
			}
		}
	}
}

func TestErrorsAlwaysFit(t *testing.T) {
	e := Errorf("ReloadRejected", "%s", strings.Repeat("x", 1<<20)).WithHint("%s", strings.Repeat("\x00", 1<<20)).WithUnit(strings.Repeat("u", 1<<20))
	for range 5000 {
		e.Diags = append(e.Diags, Diagnostic{Message: strings.Repeat("m", 100)})
	}
	line := encodeError(nil, e)
	var r reply
	if err := json.Unmarshal(line, &r); err != nil || len(line) > MaxMessage || len(r.Error.Diags) == 0 {
		t.Errorf("%d bytes, %v, %d findings", len(line), err, len(r.Error.Diags))
	}
}

func TestTables(t *testing.T) {
	seen := map[Verb]bool{}
	for _, v := range verbs {
		if seen[v.name] || v.summary == "" {
			t.Errorf("%s: twice, or without summary", v.name)
		}
		seen[v.name] = true
		for _, r := range v.rights {
			if !slices.Contains(access.Rights, access.Right(r)) {
				t.Errorf("%s needs %s, which internal/access does not know", v.name, r)
			}
		}
	}
	for _, r := range []Right{RightQuery, RightStart, RightStop, RightReload, RightSystem} {
		if !slices.Contains(access.Rights, access.Right(r)) {
			t.Errorf("internal/access does not know %s", r)
		}
	}
	if Verb("nonsense").Rights()[0] != RightSystem {
		t.Error("an unknown verb is free for all")
	}
	codes := map[Code]bool{}
	for _, k := range kinds {
		codes[k.Code] = true
		if e := Errorf(k.Kind, "x"); e.Code != k.Code || e.Retryable() != k.Retryable {
			t.Errorf("%s: %+v", k.Kind, e)
		}
	}
	for c := CodeRefused; c <= CodeTimeout; c++ {
		if !codes[c] {
			t.Errorf("no kind of error has the code %d", c)
		}
	}
	if Errorf("SomethingElse", "x").Code != CodeRefused {
		t.Error("an unknown kind has a code of its own")
	}
	if n := len(encodeMust(t, Discover())); n > MaxMessage {
		t.Errorf("the discovery has %d bytes", n)
	}
}

func encodeMust(t *testing.T, v any) []byte {
	line, err := encodeResult(call{verb: VerbDiscover}, v)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// FuzzCall: no line makes the parser panic, allocate beyond reason, or forget the
// id that it should answer to.
func FuzzCall(f *testing.F) {
	for _, v := range verbs {
		args, _ := json.Marshal(v.args())
		f.Add(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, v.name, args))
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":"x","method":"list","params":{"units":["",""],"after":"\ud800"}}`))
	f.Add([]byte(strings.Repeat(`{"a":[`, 3000)))
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > MaxMessage {
			return
		}
		c, err := parseCall(line)
		if err == nil && (verbIndex[c.verb] == nil || c.args == nil) {
			t.Fatalf("%q is understood as %+v", line, c)
		}
		if err != nil && !json.Valid(encodeError(c.id, err)) {
			t.Fatalf("%q gets an answer that is no JSON", line)
		}
	})
}

// FuzzFrame: the same for DM frames.
func FuzzFrame(f *testing.F) {
	for _, raw := range recorded(f) {
		f.Add(raw[6:])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		q, err := decodeDM(payload)
		if err == nil && len(q.name)+len(q.after) > 2*maxUnitName {
			t.Fatalf("%+v is beyond the limits", q)
		}
		if err == nil && !q.paged {
			again, err := decodeDM(original(q)[6:])
			if err != nil || again != q {
				t.Fatalf("%+v came back as %+v, %v", q, again, err)
			}
		}
	})
}

// TestDecodersAllocateInProportion: the worst that fits into a message.
func TestDecodersAllocateInProportion(t *testing.T) {
	fill := func(head, part, tail string) []byte {
		return []byte(head + strings.Repeat(part, (MaxMessage-len(head)-len(tail))/len(part)) + tail)
	}
	head := `{"jsonrpc":"2.0","id":1,"method":"list","params":`
	for name, line := range map[string][]byte{
		"many empty texts": fill(head+`{"units":["`, `","`, `"]}}`),
		"many numbers":     fill(`{"jsonrpc":"2.0","id":1,"method":"jobs","params":{"ids":[1`, `,1`, `]}}`),
		"many settings":    fill(`{"jsonrpc":"2.0","id":1,"method":"add","params":{"unit":"a","settings":[{}`, `,{}`, `]}}`),
		"deep":             fill(head, `[`, ``),
		"deep and closed":  []byte(head + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + "}"),
		"many keys":        fill(`{"a":1`, `,"a":1`, `}`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		parseCall(line)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 32*MaxMessage {
			t.Errorf("%s: %d bytes for a message of %d", name, got, len(line))
		}
	}
	for name, p := range map[string][]byte{
		"array32": []byte("\x93\x01\xa7Request\x81\xacListServices\xdd\xff\xff\xff\xff"),
		"str32":   []byte("\x93\x01\xa7Request\x81\xacStartService\x81\xa4name\xdb\xff\xff\xff\xff"),
	} {
		if n := testing.AllocsPerRun(10, func() { decodeDM(p) }); n > 10 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
