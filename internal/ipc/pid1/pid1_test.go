package pid1

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"dynamod/internal/ipc/frame"
)

// golden are the recorded frames of this channel and what they say.
var golden = map[string]Message{
	"Request Heartbeat id=1":                   {ID: 1, Kind: Heartbeat, Form: frame.Request},
	"Response HeartbeatAck id=0 in_reply_to=0": {Kind: HeartbeatAck, Form: frame.Response},
	"Request RequestShutdown Halt id=3":        {ID: 3, Kind: RequestShutdown, Form: frame.Request, Shutdown: Halt},
	"Event ShutdownSignal SIGTERM id=0":        {Kind: ShutdownSignal, Form: frame.Event, Text: []byte("SIGTERM")},
	"Request LogToKmsg 6 hello id=70000":       {ID: 70000, Kind: LogToKmsg, Form: frame.Request, Level: 6, Text: []byte("hello")},
}

func TestRecordedFrames(t *testing.T) {
	data, err := os.ReadFile("../frame/testdata/frames.tsv")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(data)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), "\t")
		want, ok := golden[name]
		if !ok {
			continue
		}
		found++
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		var m Message
		if err := Decode(raw[frame.HeaderLen:], &m); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%s: Decode = %+v, %v; want %+v", name, m, err, want)
		}
		if out, err := Append(make([]byte, 0, MaxFrame), &want); err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%s: Append = %x, %v; want %x", name, out, err, raw)
		}
	}
	if found != len(golden) {
		t.Errorf("%d of %d frames are in the record", found, len(golden))
	}
}

// every has each message once, with fields as large as they get.
func every() []Message {
	long := bytes.Repeat([]byte("n"), MaxName)
	exit := Exit{PID: math.MaxInt32, Start: math.MaxUint64, Code: 255, Signal: 64, Core: true, At: math.MaxUint64}
	all := []Message{
		{Kind: Heartbeat}, {Kind: HeartbeatAck},
		{Kind: RequestShutdown, Shutdown: SoftReboot, Urgency: Immediate, Text: bytes.Repeat([]byte("a"), MaxArgument)},
		{Kind: ShutdownSignal, Text: []byte("SIGRTMIN+3")},
		{Kind: LogToKmsg, Level: 7, Text: bytes.Repeat([]byte("t"), MaxText)},
		{Kind: Hello, Count: Version},
		{Kind: Kept, Unit: long, Name: long, Count: MaxFDs},
		{Kind: Exited, Exit: exit},
		{Kind: HelloDone, Lost: math.MaxUint64},
		{Kind: Deposit, Unit: long, Name: long, Count: MaxFDs},
		{Kind: Deposited, Result: Mismatch, Count: math.MaxUint32},
		{Kind: Withdraw, Unit: long, Name: long},
		{Kind: BootDone, Flag: true},
		{Kind: Gate, Flag: true},
		{Kind: Watchdog, Setting: KexecWatchdog, Usec: math.MaxUint64, Text: bytes.Repeat([]byte("g"), MaxGovernor)},
		{Kind: BootPolicy, Usec: MaxBootUsec, Action: BootEmergency},
		{Kind: BootLate, Action: BootReboot},
		{Kind: WatchdogIs, Name: long, Text: bytes.Repeat([]byte("g"), MaxGovernor), Count: math.MaxUint32,
			Dog: Dog{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}},
	}
	for i := range all {
		m := &all[i]
		m.ID = math.MaxUint64
		m.Form = shapes[m.Kind].form
		if m.Form == frame.Response {
			m.InReplyTo = math.MaxUint64
		}
	}
	return all
}

func TestEveryMessageComesBack(t *testing.T) {
	all := every()
	if len(all) != int(numKinds)-1 {
		t.Fatalf("%d messages are tried, there are %d", len(all), numKinds-1)
	}
	for _, want := range all {
		if want.Kind == Withdraw {
			want.Count = 0
		}
		out, err := Append(make([]byte, 0, MaxFrame), &want)
		if err != nil {
			t.Errorf("%v: %v", want.Kind, err)
			continue
		}
		if fixed := len(out) - len(want.Unit) - len(want.Name) - len(want.Text); fixed > room {
			t.Errorf("%v needs %d bytes besides its texts; room is %d", want.Kind, fixed, room)
		}
		payload, n, err := Next(out)
		if err != nil || n != len(out) {
			t.Fatal(n, err)
		}
		var m Message
		if err := Decode(payload, &m); err != nil || !reflect.DeepEqual(m, want) {
			t.Errorf("%v came back as %+v, %v; want %+v", want.Kind, m, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	big := make([]byte, 0, MaxFrame)
	for _, c := range []struct {
		m    Message
		dst  []byte
		want frame.Error
	}{
		{Message{}, big, frame.Unknown},
		{Message{Kind: numKinds}, big, frame.Unknown},
		{Message{Kind: RequestShutdown}, big, frame.Unknown},
		{Message{Kind: RequestShutdown, Shutdown: 9}, big, frame.Unknown},
		{Message{Kind: RequestShutdown, Shutdown: Halt, Urgency: 3}, big, frame.Unknown},
		{Message{Kind: LogToKmsg, Level: 8}, big, frame.Unknown},
		{Message{Kind: Deposit, Count: MaxFDs + 1}, big, frame.Unknown},
		{Message{Kind: Deposited}, big, frame.Unknown},
		{Message{Kind: Heartbeat, Text: []byte("x")}, big, frame.TooLong},
		{Message{Kind: LogToKmsg, Text: make([]byte, MaxText+1)}, big, frame.TooLong},
		{Message{Kind: Deposit, Unit: make([]byte, MaxName+1)}, big, frame.TooLong},
		{Message{Kind: Heartbeat}, make([]byte, 0, 16), frame.NoRoom},
	} {
		if out, err := Append(c.dst, &c.m); err != c.want || len(out) != 0 {
			t.Errorf("Append(%+v) = %d bytes, %v; want %v", c.m, len(out), err, c.want)
		}
	}
	var m Message
	for _, payload := range []string{
		"", "\xc0",
		"\x93\x01\xa7Request\xa9Nonsense!",
		"\x93\x01\xa7Request\x81\xa9Heartbeat\x80",                                     // has no fields
		"\x93\x01\xa7Request\xafRequestShutdown",                                       // lost its kind
		"\x93\x01\xa7Request\x81\xafRequestShutdown\x80",                               //
		"\x93\x01\xa7Request\x81\xafRequestShutdown\x81\xa4kind\xa4Stop",               //
		"\x93\x01\xa7Request\x81\xa9LogToKmsg\x92\xcd\x01\x00\xa1x",                    // level 256: W4
		"\x93\x01\xa7Request\x81\xa9LogToKmsg\x92\xff\xa1x",                            // level -1
		"\x93\x01\xa7Request\x81\xa7Deposit\x93\xa1u\xa1n\xcc\xff",                     // 255 descriptors
		"\x93\x01\xa7Request\x81\xa6Exited\x96\x00\x00\x00\x00\xc2\x00",                // pid 0
		"\x93\x01\xa7Request\x81\xa9LogToKmsg\x92\x01" + strings.Repeat("\x91", 60000), // deep: W4
	} {
		if err := Decode([]byte(payload), &m); err == nil {
			t.Errorf("Decode(%.60q) = %+v", payload, m)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	all := every()
	buf := make([]byte, 0, MaxFrame)
	hostile := []byte("\x93\x01\xa7Request\x81\xa9LogToKmsg\x92\x01" + strings.Repeat("\x91", 60000))
	var m Message
	var failed error
	n := testing.AllocsPerRun(100, func() {
		for i := range all {
			out, err := Append(buf, &all[i])
			if err != nil {
				failed = err
			}
			payload, _, err := Next(out)
			if err != nil {
				failed = err
			}
			if err := Decode(payload, &m); err != nil {
				failed = err
			}
			_ = Decode(payload[:len(payload)-1], &m)
		}
		_ = Decode(hostile, &m)
		_, _ = Append(buf, &Message{Kind: Heartbeat, Text: buf[:1]})
	})
	if failed != nil || n != 0 {
		t.Errorf("%v allocations per run, %v; want none", n, failed)
	}
}

// FuzzDecode: nothing panics, nothing exceeds its limit, and what was understood
// is understood the same after it was written again.
func FuzzDecode(f *testing.F) {
	for _, m := range every() {
		out, _ := Append(make([]byte, 0, MaxFrame), &m)
		f.Add(out[frame.HeaderLen:])
	}
	buf := make([]byte, 0, MaxFrame)
	f.Fuzz(func(t *testing.T, payload []byte) {
		var m, again Message
		if Decode(payload, &m) != nil {
			return
		}
		if len(m.Unit) > MaxName || len(m.Name) > MaxName || len(m.Text) > MaxText || m.Level > 7 || m.Exit.PID < 0 {
			t.Fatalf("beyond the limits: %+v", m)
		}
		m.Form = shapes[m.Kind].form // any is accepted, ours is written
		if m.Form != frame.Response {
			m.InReplyTo = 0
		}
		if m.Kind == Withdraw {
			m.Count = 0
		}
		out, err := Append(buf, &m)
		if err != nil {
			t.Fatalf("Append(%+v): %v", m, err)
		}
		if err := Decode(out[frame.HeaderLen:], &again); err != nil || !equal(&m, &again) {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

// equal takes an empty text for an absent one.
func equal(a, b *Message) bool {
	x, y := *a, *b
	same := bytes.Equal(x.Unit, y.Unit) && bytes.Equal(x.Name, y.Name) && bytes.Equal(x.Text, y.Text)
	x.Unit, x.Name, x.Text, y.Unit, y.Name, y.Text = nil, nil, nil, nil, nil, nil
	return same && reflect.DeepEqual(x, y)
}

func TestDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/ipc.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			rows[strings.Trim(cells[1], " `")] = cells[2] + "|" + cells[3]
		}
	}
	for k := Kind(1); k < numKinds; k++ {
		s := &shapes[k]
		fields := make([]string, len(s.fields))
		for i, f := range s.fields {
			if fields[i] = "`" + f + "`"; i >= s.required {
				fields[i] += "?"
			}
		}
		form := map[frame.Form]string{frame.Request: "Request", frame.Event: "Event", frame.Response: "Response"}[s.form]
		list := strings.Join(fields, ", ")
		if list == "" {
			list = "–"
		}
		if row := rows[s.name]; !strings.HasSuffix(row, form+" | "+list+" ") {
			t.Errorf("docs/ipc.md has %q for %s; want %s with %s", row, s.name, form, list)
		}
	}
}
