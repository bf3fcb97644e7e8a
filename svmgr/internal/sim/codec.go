package sim

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// Events and actions are written as "Name Field=value …", zero fields left
// out, RunIDs by the names of the ledger. The form is for people and for
// testdata; it is read back with the names of another history.

var eventTypes = func() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for _, ev := range allEvents {
		t := reflect.TypeOf(ev)
		m[t.Name()] = t
	}
	return m
}()

// allEvents and allActions are for coverage and for reading; the tests compare
// their lengths with the core's sources.
var allEvents = []core.Event{core.Loaded{}, core.Released{}, core.Reloaded{}, core.SpawnDone{}, core.SpawnFailed{}, core.Exited{},
	core.Notified{}, core.Ready{}, core.MainPID{}, core.CgroupEmpty{}, core.OOMKilled{}, core.Listening{},
	core.Readable{}, core.Accepted{}, core.PathChanged{}, core.DeviceAppeared{}, core.MountChanged{},
	core.AutomountRequested{}, core.BusNameAcquired{}, core.BusNameLost{}, core.ProbeResult{}, core.ClockJump{},
	core.ManagerRestored{}, core.Request{}, core.ShutdownRequested{}, core.WatchdogsSet{}, core.BootMarked{}, core.Tick{}}

var allActions = []core.Action{core.Spawn{}, core.Signal{}, core.KillCgroup{}, core.RemoveCgroup{}, core.Reconfigure{}, core.Freeze{},
	core.Thaw{}, core.Adopt{}, core.Listen{}, core.Unlisten{}, core.Watch{}, core.Unwatch{}, core.Probe{},
	core.CancelProbe{}, core.Publish{}, core.Reply{}, core.Log{}, core.Deposit{}, core.Withdraw{}, core.HandOver{},
	core.Emergency{}, core.Stamp{}}

// encode writes an event or action.
func (s symbols) encode(v any) string {
	rv := reflect.ValueOf(v)
	var b strings.Builder
	b.WriteString(rv.Type().Name())
	s.encodeFields(&b, rv)
	return b.String()
}

func (s symbols) encodeFields(b *strings.Builder, rv reflect.Value) {
	t := rv.Type()
	for i := range t.NumField() {
		f := rv.Field(i)
		if t.Field(i).Anonymous {
			s.encodeFields(b, f)
			continue
		}
		if f.IsZero() {
			continue
		}
		b.WriteByte(' ')
		b.WriteString(t.Field(i).Name)
		b.WriteByte('=')
		b.WriteString(s.value(t.Field(i).Name, f))
	}
}

func quoteIfNeeded(v string) string {
	if v == "" || strings.ContainsAny(v, " \t\n\"=,:") {
		return strconv.Quote(v)
	}
	return v
}

func joined[T any](in []T, f func(T) string) string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return strings.Join(out, ",")
}

func unitNameOf(u *unit.Unit) string {
	if u == nil {
		return "-"
	}
	return u.Name
}

func (s symbols) value(field string, f reflect.Value) string {
	switch v := f.Interface().(type) {
	case core.RunID:
		if field == "Incarnation" {
			return s.incName(v)
		}
		return s.runName(v)
	case core.JobID:
		return s.jobName(v)
	case []core.RunID:
		return joined(v, s.runName)
	case []core.Exited:
		return joined(v, func(e core.Exited) string {
			return fmt.Sprintf("%s:%d:%d", s.runName(e.Run), e.Code, e.Signal)
		})
	case []string:
		return joined(v, quoteIfNeeded)
	case []bool:
		return joined(v, strconv.FormatBool)
	case *unit.Unit:
		return unitNameOf(v)
	case []*unit.Unit:
		return joined(v, unitNameOf)
	case *unit.Set:
		return "set"
	case []diag.Diag:
		return strconv.Itoa(len(v))
	case []core.Finding:
		return joined(v, func(f core.Finding) string { return f.Name + ":" + strconv.FormatBool(f.OK) })
	case []unit.Condition:
		return strconv.Itoa(len(v))
	case unit.Exec:
		return v.Path
	case core.Cause:
		return fmt.Sprintf("%s(%s,%d,%d,%d,%q,%q)", v.Kind, v.Unit, v.Code, v.Signal, v.Errno, v.Detail, v.Decision)
	case *core.RequestError:
		return v.Kind + "(" + v.Unit + ")"
	case *time.Duration:
		return v.String()
	case fmt.Stringer:
		return quoteIfNeeded(v.String())
	case string:
		return quoteIfNeeded(v)
	default:
		return fmt.Sprint(v)
	}
}

// encodeActions is the whole answer of one Step, one action a line.
func (s symbols) encodeActions(out []core.Action) string {
	var b strings.Builder
	for _, a := range out {
		b.WriteString(s.encode(a))
		b.WriteByte('\n')
	}
	return b.String()
}

// decode reads an event. Units and sets are left nil: whoever replays knows
// them by the names in the text (see Entry).
func (s symbols) decode(text string) (core.Event, error) {
	words, err := splitWords(text)
	if err != nil || len(words) == 0 {
		return nil, fmt.Errorf("event %q: %v", text, err)
	}
	t, ok := eventTypes[words[0]]
	if !ok {
		return nil, fmt.Errorf("unknown event %q", words[0])
	}
	rv := reflect.New(t).Elem()
	for _, w := range words[1:] {
		key, val, ok := strings.Cut(w, "=")
		f := rv.FieldByName(key)
		if !ok || !f.IsValid() {
			return nil, fmt.Errorf("event %s has no field %q", words[0], key)
		}
		if err := s.setField(f, val); err != nil {
			return nil, fmt.Errorf("event %s, field %s: %w", words[0], key, err)
		}
	}
	return rv.Interface().(core.Event), nil
}

func splitList(val string, f func(string) error) error {
	if val == "" {
		return nil
	}
	for _, p := range strings.Split(val, ",") {
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

func unquoteIfNeeded(v string) (string, error) {
	if strings.HasPrefix(v, `"`) {
		return strconv.Unquote(v)
	}
	return v, nil
}

func (s symbols) setField(f reflect.Value, val string) error {
	switch p := f.Addr().Interface().(type) {
	case *core.RunID:
		id, err := s.runID(val)
		*p = id
		return err
	case *core.JobID:
		id, err := s.jobID(val)
		*p = id
		return err
	case *[]core.RunID:
		return splitList(val, func(w string) error {
			id, err := s.runID(w)
			*p = append(*p, id)
			return err
		})
	case *[]core.Exited:
		return splitList(val, func(w string) error {
			parts := strings.Split(w, ":")
			if len(parts) != 3 {
				return fmt.Errorf("exit %q", w)
			}
			id, err := s.runID(parts[0])
			code, err2 := strconv.Atoi(parts[1])
			sig, err3 := strconv.Atoi(parts[2])
			*p = append(*p, core.Exited{Run: id, Code: int32(code), Signal: int32(sig)})
			return firstError(err, err2, err3)
		})
	case *[]string:
		return splitList(val, func(w string) error {
			v, err := unquoteIfNeeded(w)
			*p = append(*p, v)
			return err
		})
	case *[]core.Finding:
		return splitList(val, func(w string) error {
			name, ok, _ := strings.Cut(w, ":")
			*p = append(*p, core.Finding{Name: name, OK: ok == "true"})
			return nil
		})
	case *[]bool:
		return splitList(val, func(w string) error {
			*p = append(*p, w == "true")
			return nil
		})
	case *string:
		v, err := unquoteIfNeeded(val)
		*p = v
		return err
	case *time.Duration:
		d, err := time.ParseDuration(val)
		*p = d
		return err
	case **time.Duration:
		d, err := time.ParseDuration(val)
		*p = &d
		return err
	case *core.Verb:
		return setEnum(p, val)
	case *core.Source:
		return setEnum(p, val)
	case *core.ShutdownKind:
		return setEnum(p, val)
	case *graph.Mode:
		m, ok := graph.ParseMode(val)
		if !ok {
			return fmt.Errorf("mode %q", val)
		}
		*p = m
		return nil
	case **unit.Unit, *[]*unit.Unit, **unit.Set, *[]diag.Diag:
		return nil // see Entry
	}
	switch f.Kind() {
	case reflect.Bool:
		f.SetBool(val == "true")
	case reflect.Int32, reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(val, 10, 64)
		f.SetInt(n)
		return err
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(val, 10, 64)
		f.SetUint(n)
		return err
	default:
		return fmt.Errorf("cannot read a %s", f.Type())
	}
	return nil
}

func firstError(errs ...error) error {
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	return nil
}

// setEnum finds the constant with the given word. The core's Strings index an
// array, so the search ends with a panic that is caught here.
func setEnum[T interface {
	~uint8
	fmt.Stringer
}](p *T, val string) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("unknown word %q", val)
		}
	}()
	for i := range 64 {
		if T(i).String() == val {
			*p = T(i)
			return nil
		}
	}
	return fmt.Errorf("unknown word %q", val)
}

// splitWords splits at blanks, but not inside double quotes.
func splitWords(text string) ([]string, error) {
	var out []string
	var b strings.Builder
	in := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case in && c == '\\' && i+1 < len(text):
			b.WriteByte(c)
			i++
			b.WriteByte(text[i])
		case c == '"':
			in = !in
			b.WriteByte(c)
		case c == ' ' && !in:
			if b.Len() > 0 {
				out = append(out, b.String())
				b.Reset()
			}
		default:
			b.WriteByte(c)
		}
	}
	if in {
		return nil, fmt.Errorf("open quote")
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out, nil
}
