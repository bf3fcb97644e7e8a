package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// QMP speaks QEMU's monitor protocol (qemu docs/interop/qmp-spec): one JSON object
// a line. It is so small that a library would be more.
type QMP struct {
	conn io.ReadWriteCloser
	// one command at a time; a reply belongs to the last command.
	mu      sync.Mutex
	replies chan reply
	gone    chan struct{} // closed when the reader ends

	events struct {
		sync.Mutex
		seen    []Event
		changed chan struct{}
	}
}

// Event is something that QEMU tells unasked, such as SHUTDOWN or DEVICE_DELETED.
type Event struct {
	Name string          `json:"event"`
	Data json.RawMessage `json:"data"`
}

type reply struct {
	Return json.RawMessage `json:"return"`
	Error  *struct{ Class, Desc string }
}

// maxEvents bounds what is kept for WaitEvent; the oldest go first.
const maxEvents = 1000

func newQMP(conn io.ReadWriteCloser) *QMP {
	q := &QMP{conn: conn, replies: make(chan reply, 1), gone: make(chan struct{})}
	q.events.changed = make(chan struct{})
	go q.read() // ends when QEMU does, or with Close
	return q
}

func (q *QMP) read() {
	defer close(q.gone)
	sc := bufio.NewScanner(q.conn)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var line struct {
			Event
			reply
			QMP json.RawMessage
		}
		if json.Unmarshal(sc.Bytes(), &line) != nil || line.QMP != nil {
			continue // the greeting
		}
		if line.Name == "" {
			select {
			case q.replies <- line.reply:
			default: // nobody asked
			}
			continue
		}
		q.events.Lock()
		q.events.seen = append(q.events.seen, line.Event)
		if len(q.events.seen) > maxEvents {
			q.events.seen = q.events.seen[1:]
		}
		close(q.events.changed)
		q.events.changed = make(chan struct{})
		q.events.Unlock()
	}
}

// monitorPatience bounds the wait for a reply: QEMU answers at once or is stuck.
const monitorPatience = 30 * time.Second

// Do runs a command and stores its result in out, which may be nil.
func (q *QMP) Do(command string, args any, out any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	msg := map[string]any{"execute": command}
	if args != nil {
		msg["arguments"] = args
	}
	b, err := json.Marshal(msg)
	if err != nil {
		return fmt.Errorf("qmp %s: %w", command, err)
	}
	if _, err := q.conn.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("qmp %s: %w", command, err)
	}
	select {
	case r := <-q.replies:
		switch {
		case r.Error != nil:
			return fmt.Errorf("qmp %s: %s: %s", command, r.Error.Class, r.Error.Desc)
		case out != nil:
			return json.Unmarshal(r.Return, out)
		}
		return nil
	case <-q.gone:
		return fmt.Errorf("qmp %s: %w", command, errEnded)
	case <-time.After(monitorPatience):
		return fmt.Errorf("qmp %s: no answer in %s", command, monitorPatience)
	}
}

// Human runs a command of the monitor that people use ("info usernet").
func (q *QMP) Human(line string) (string, error) {
	var out string
	err := q.Do("human-monitor-command", map[string]string{"command-line": line}, &out)
	return out, err
}

// WaitEvent waits for an event of that name, among those that came already too.
func (q *QMP) WaitEvent(name string, limit time.Duration) (Event, error) {
	end := time.After(limit)
	for {
		q.events.Lock()
		for _, e := range q.events.seen {
			if e.Name == name {
				q.events.Unlock()
				return e, nil
			}
		}
		changed := q.events.changed
		q.events.Unlock()
		select {
		case <-changed:
		case <-q.gone:
			return Event{}, fmt.Errorf("wait for qmp event %s: %w", name, errEnded)
		case <-end:
			return Event{}, fmt.Errorf("wait for qmp event %s: not in %s", name, limit)
		}
	}
}

var errEnded = errors.New("the machine has ended")
