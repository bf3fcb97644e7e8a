package loop

import (
	"encoding/json"
	"fmt"
	"reflect"

	"dynamod/svmgr/internal/core"
)

// recorded are the events that can be written down and read back, by name.
var recorded = map[string]reflect.Type{}

// names is the reverse.
var names = map[reflect.Type]string{}

var _ = register(core.Loaded{}, core.Released{}, core.Accepted{}, core.SpawnDone{}, core.SpawnFailed{}, core.Exited{}, core.Notified{}, core.Ready{}, core.MainPID{},
	core.CgroupEmpty{}, core.OOMKilled{}, core.Listening{}, core.Readable{}, core.PathChanged{}, core.DeviceAppeared{},
	core.MountChanged{}, core.AutomountRequested{}, core.BusNameAcquired{}, core.BusNameLost{}, core.ProbeResult{},
	core.ClockJump{}, core.Request{}, core.ShutdownRequested{}, core.WatchdogsSet{}, core.BootMarked{}, core.Tick{})

func register(events ...core.Event) bool {
	for _, e := range events {
		t := reflect.TypeOf(e)
		recorded[t.Name()], names[t] = t, t.Name()
	}
	return true
}

// encode appends one line; false when the event is not one of those.
func encode(b []byte, now core.Time, ev core.Event) ([]byte, bool, error) {
	name, ok := names[reflect.TypeOf(ev)]
	if !ok {
		return b, false, nil
	}
	body, err := json.Marshal(ev)
	if err != nil {
		return b, false, fmt.Errorf("encode %s: %w", name, err)
	}
	line, err := json.Marshal(eventOnDisk{Type: name, Time: now, Body: body})
	if err != nil {
		return b, false, fmt.Errorf("encode %s: %w", name, err)
	}
	return append(append(b, line...), '\n'), true, nil
}

func decode(line []byte) (core.Time, core.Event, error) {
	var e eventOnDisk
	if err := json.Unmarshal(line, &e); err != nil {
		return core.Time{}, nil, err
	}
	t, ok := recorded[e.Type]
	if !ok {
		return core.Time{}, nil, fmt.Errorf("unknown event %q", e.Type)
	}
	v := reflect.New(t)
	if len(e.Body) > 0 {
		if err := json.Unmarshal(e.Body, v.Interface()); err != nil {
			return core.Time{}, nil, fmt.Errorf("%s: %w", e.Type, err)
		}
	}
	return e.Time, v.Elem().Interface().(core.Event), nil
}
