package sim

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
	"dynamod/svmgr/internal/core"
)

// fuzzScenario is one of every kind, small enough for a fuzzer to reach all of it.
const fuzzScenario = `scenario rule=fuzz user=false late=0s shutdown-timeout=20s
generation rejected=false evict=false
supervisor sup0 root one-for-all 2 10s
supervisor sup1 sup0 rest-for-one 1 60s
unit default.target
	Unit DefaultDependencies=no
	Unit Wants=a.service b.service c.service k.socket t.timer p.path m.mount auto.automount x.slice n0.service
	Unit Requires=o.service
unit a.service
	Unit After=o.service
	Service Type=simple
	Service ExecStart=/bin/main
	Service ExecStop=/bin/stop
	Service Restart=always
	Service RestartSec=1s
unit b.service
	Unit BindsTo=a.service
	Unit After=a.service
	Unit OnFailure=c.service
	Service Type=notify
	Service NotifyAccess=all
	Service ExecStart=/bin/main
	Service ExecStartPre=/bin/pre
	Service ExecStopPost=/bin/post
	Service WatchdogSec=5s
	Service TimeoutStartSec=10s
	Service FileDescriptorStoreMax=2
unit c.service
	Unit Conflicts=n1.service
	Unit PartOf=b.service
	Service Type=forking
	Service PIDFile=/run/c.pid
	Service ExecStart=/bin/main
	Service ExecReload=/bin/reload
	Service Restart=on-failure
unit o.service
	Service Type=oneshot
	Service ExecStart=/bin/one
	Service ExecStart=-/bin/two
	Service RemainAfterExit=yes
	Unit ConditionPathExists=/a
unit k.socket
	Socket ListenStream=/run/k
unit k.service
	Service Type=notify-reload
	Service ExecStart=/bin/main
unit t.timer
	Timer OnActiveSec=5s
	Timer OnUnitActiveSec=20s
unit t.service
	Service Type=oneshot
	Service ExecStart=/bin/main
unit p.path
	Path PathExists=/watch
unit p.service
	Service Type=exec
	Service ExecStart=/bin/main
	Service TimeoutStopSec=2s
unit m.mount
	Mount What=/dev/d0
	Mount Where=/m
unit dev-d0.device
	Unit JobTimeoutSec=10s
unit auto.mount
	Mount What=tmpfs
	Mount Where=/auto
unit auto.automount
	Automount Where=/auto
	Automount TimeoutIdleSec=5s
unit x.slice
	Unit Description=slice
unit-native n0.service
	service name="n0"
	service exec=["/bin/main"]
	service supervisor="sup0"
unit-native n1.service
	service name="n1"
	service exec=["/bin/main"]
	service supervisor="sup1"
	dependencies wants=["n0.service"]
	dependencies after=["n0.service"]
	restart delay="0"
	restart max-restarts=2
generation rejected=false evict=true
same default.target
same a.service
same o.service
unit b.service
	Service Type=simple
	Service ExecStart=/bin/other
	Unit Upholds=a.service
generation rejected=true evict=false
same default.target
extra session-1.scope
	Unit Description=scope
	Unit BindsTo=a.service
`

// decoder turns bytes into events: any bytes are a history.
type decoder struct {
	data  []byte
	h     *history
	names []string
	next  core.RequestID
	extra bool
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) name() string { return d.names[int(d.byte())%len(d.names)] }

// run is one that exists, the latest ones first.
func (d *decoder) run() *run {
	n := len(d.h.led.order)
	if n == 0 {
		return &run{id: unknownRun}
	}
	return d.h.led.order[n-1-int(d.byte())%n]
}

func (d *decoder) event() (in input) {
	op := d.byte()
	switch op % 24 {
	case 0, 1, 2:
		d.next++
		b := d.byte()
		r := core.Request{ID: d.next, Verb: core.Verb(b % 12), Unit: d.name(), Mode: graph.Mode(d.byte() % 9),
			Wait: b >= 128, Job: core.JobID(d.byte()), Signal: 15, Whom: core.Whom(op / 24 % 3)}
		if op >= 128 {
			r.Mode = graph.Replace
		}
		in.ev = r
	case 3, 4:
		in.ev = core.SpawnDone{Run: d.run().id}
	case 5:
		in.ev = core.SpawnFailed{Run: d.run().id, Stage: "exec", Errno: 2}
	case 6, 7:
		in.ev = core.Exited{Run: d.run().id, Code: int32(d.byte() % 3)}
	case 8:
		in.ev = core.Exited{Run: d.run().id, Signal: int32(1 + d.byte()%31)}
	case 9, 10:
		r := d.run()
		b := d.byte()
		n := core.Notification{Ready: b&1 != 0, Reloading: b&2 != 0, Stopping: b&4 != 0, Watchdog: b&8 != 0}
		if b&16 != 0 {
			n.MainPID = 9
		}
		if b&32 != 0 {
			n.FDStore, n.FDName = 1, "f"
		}
		if b&64 != 0 {
			n.ExtendTimeout = 3 * time.Second
		}
		ev := core.Notified{Unit: r.unit, Incarnation: r.inc, Run: r.id, Notification: n}
		if b&128 != 0 {
			ev.Run = 0
		}
		in.ev = ev
	case 11, 12:
		r := d.run()
		in.ev = core.CgroupEmpty{Unit: r.unit, Incarnation: r.inc}
	case 13:
		r := d.run()
		in.ev = core.OOMKilled{Unit: r.unit, Incarnation: r.inc}
	case 14:
		in.ev = core.Listening{Run: d.run().id, Errno: int32(d.byte() % 2)}
	case 15:
		in.ev = core.ProbeResult{Run: d.run().id, OK: op >= 128, Held: []bool{d.byte()%4 != 0}}
	case 16:
		r := d.run()
		in.ev = core.MainPID{Unit: r.unit, Incarnation: r.inc, Run: r.id, Found: op >= 64}
	case 17:
		in.ev = []core.Event{core.Readable{Unit: "k.socket"}, core.PathChanged{Unit: "p.path"},
			core.AutomountRequested{Unit: "auto.automount"}, core.Ready{Run: d.run().id},
			core.BusNameLost{Name: "x", Unit: d.name()}}[op/24%5]
	case 18:
		in.ev = core.DeviceAppeared{Unit: "dev-d0.device", Gone: op >= 128}
	case 19:
		in.ev = core.MountChanged{Unit: []string{"m.mount", "auto.mount"}[op/24%2], Mounted: op < 128}
	case 20:
		in.ev, in.jump = core.ClockJump{}, time.Duration(int8(d.byte()))*time.Hour
	case 21:
		if !d.extra && op < 128 {
			d.extra = true
			in.ev, in.specs = core.Loaded{}, d.h.sc.Extra
			break
		}
		d.next++
		in.ev, in.gen = core.Reloaded{Request: d.next}, int(op/24)%3
	case 22:
		d.h.kill = int(d.byte()) % 16
		if d.h.kill > 8 {
			d.h.kill = allActionsDone
		}
		in.ev = core.Tick{}
	case 23:
		if op > 200 {
			d.next++
			in.ev = core.ShutdownRequested{Kind: core.ShutdownKind(d.byte() % 6), Request: d.next, Now: op == 239}
			break
		}
		in.ev = core.Tick{}
	}
	return in
}

// pauses are the steps of time between two events.
var pauses = [...]time.Duration{0, 0, 0, time.Millisecond, 100 * time.Millisecond, time.Second, 6 * time.Second, time.Minute}

// fuzzOne plays the bytes and returns the trace of it, and what is wrong.
func fuzzOne(data []byte, tell func(string)) (*Trace, *Violation, error) {
	tr, err := ReadTrace(strings.NewReader(fuzzScenario))
	if err != nil {
		return nil, nil, err
	}
	h, err := newHistory(tr.Scenario, dice{}, passive, nil)
	if err != nil {
		return nil, nil, err
	}
	h.record, h.tell = true, tell
	err = h.fuzz(data)
	tr.Entries = h.entries
	return tr, h.failed(), err
}

func (h *history) fuzz(data []byte) error {
	defer h.guard()
	if err := h.begin(); err != nil {
		return err
	}
	d := &decoder{data: data, h: h, next: 1}
	for _, g := range h.sc.Gens {
		for _, u := range g.Units {
			d.names = append(d.names, u.Name)
		}
	}
	d.names = append(d.names, "session-1.scope", "missing.service", "")
	h.restored = func() (core.ManagerRestored, time.Duration) { return h.survivors(nil), 0 }
	if err := h.step(input{ev: core.Request{ID: 1, Verb: core.VerbStart, Unit: "default.target",
		Source: core.SourceBoot}}); err != nil {
		return err
	}
	for len(d.data) > 0 && h.failed() == nil && h.steps < 600 && !h.obs.handedOver {
		at := h.now + pauses[d.byte()%8]
		if err := h.ticksUntil(at); err != nil || h.failed() != nil {
			return err
		}
		h.now = at
		in := d.event()
		if !h.possible(in) {
			h.kill = -1
			continue
		}
		if err := h.step(in); err != nil || h.failed() != nil {
			return err
		}
	}
	if h.failed() != nil {
		return nil
	}
	return h.conclude(d.next)
}

func FuzzCore(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 3, 0, 0, 3, 1, 3, 3, 0, 6, 6, 0, 0})
	f.Add([]byte{0, 15, 0, 1, 0, 3, 0, 0, 14, 0, 0, 17, 5, 11, 0, 6, 22, 9, 7, 0, 1, 1, 0})
	f.Add(bytes.Repeat([]byte{3, 3, 0, 5, 6, 0, 1}, 30))
	f.Add([]byte{4, 21, 4, 45, 5, 22, 3, 6, 23, 6, 232, 1, 3, 3, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, v, err := fuzzOne(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v == nil {
			return
		}
		tr.Rule = v.Rule
		tr = Shrink(tr, 50_000)
		tr.Notes = []string{v.Error()}
		var text bytes.Buffer
		tr.Write(&text)
		t.Fatalf("%v\n%s", v, text.String())
	})
}
