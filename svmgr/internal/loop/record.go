package loop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"dynamod/svmgr/internal/core"
)

// Record is what a killed manager leaves behind: a snapshot of the core, and every
// event since. Because the core is a function of its events, the two together are
// its state at the moment of death, without a snapshot after each of them.
//
// It lives on a tmpfs (/run): it must survive the manager, not the machine.
type Record struct {
	dir    string
	gen    uint64
	events *os.File
	size   int
	broken bool // the last write failed; said once
	buf    []byte
	lock   *os.File
}

const (
	snapshotFile = "state.json"
	eventsPrefix = "events-"
	// maxEvents bytes of events are replaced by a fresh snapshot.
	maxEvents = 1 << 20
	// maxLine bounds one event when reading a record back.
	maxLine = 1 << 20
)

type snapshotOnDisk struct {
	Generation uint64
	Core       json.RawMessage
}

type eventOnDisk struct {
	Type string
	Time core.Time
	Body json.RawMessage `json:",omitempty"`
}

// OpenRecord makes dir if needed and locks it until Remove or the end of this
// process (fcntl(2)). It does not read or write anything else yet.
func OpenRecord(dir string) (*Record, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	// Two managers on one state would each start what the other runs.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	// A lock of the process: one of flock(2) would be held on by a child that was
	// forked as the manager was killed, until its exec.
	whole := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(lock.Fd(), syscall.F_SETLK, &whole); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another manager runs on %s", dir)
	}
	return &Record{dir: dir, lock: lock}, nil
}

// PeekRecord is the record in dir for Recover alone, while the manager whose it is
// runs and writes on.
func PeekRecord(dir string) *Record { return &Record{dir: dir} }

// Left says that a manager which did not end on purpose has left its state here.
func (r *Record) Left() bool {
	_, err := os.Lstat(filepath.Join(r.dir, snapshotFile))
	return err == nil
}

// Recover hands the snapshot to restore and then every later event to replay. It
// returns false when there is nothing to recover from. A torn last event, the
// mark of a kill in the middle of a write, is left out; anything else that cannot
// be read is an error.
func (r *Record) Recover(restore func(snapshot []byte) error, replay func(core.Time, core.Event)) (bool, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, snapshotFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read snapshot: %w", err)
	}
	var s snapshotOnDisk
	if err := json.Unmarshal(data, &s); err != nil {
		return false, fmt.Errorf("read snapshot: %w", err)
	}
	if err := restore(s.Core); err != nil {
		return false, err
	}
	r.gen = s.Generation
	f, err := os.Open(r.eventsPath(s.Generation))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 0, 64<<10), maxLine)
	for in.Scan() {
		at, ev, err := decode(in.Bytes())
		if err != nil {
			if !in.Scan() {
				break // torn
			}
			return false, fmt.Errorf("read events: %w", err)
		}
		replay(at, ev)
	}
	if err := in.Err(); err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	return true, nil
}

func (r *Record) eventsPath(gen uint64) string {
	return filepath.Join(r.dir, fmt.Sprintf("%s%d.jsonl", eventsPrefix, gen))
}

// Save writes a snapshot and begins a new list of events.
func (r *Record) Save(c *core.Core) error {
	// A snapshotOnDisk, put together by hand: encoding/json would go through the
	// core's part, which is most of it, once more.
	data := fmt.Appendf(nil, `{"Generation":%d,"Core":%s}`, r.gen+1, c.Snapshot())
	f, err := os.OpenFile(r.eventsPath(r.gen+1), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("begin events: %w", err)
	}
	tmp := filepath.Join(r.dir, snapshotFile+".new")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		f.Close()
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(r.dir, snapshotFile)); err != nil {
		f.Close()
		return fmt.Errorf("replace snapshot: %w", err)
	}
	if r.events != nil {
		r.events.Close()
		os.Remove(r.eventsPath(r.gen)) // of no use any more; the next Save would not miss it
	}
	r.gen++
	r.events, r.size = f, 0
	return nil
}

// note writes one event down. Those that bring a generation are not events that could
// be read back: they are followed by a snapshot instead.
func (r *Record) note(now core.Time, ev core.Event, c *core.Core, log *slog.Logger) {
	err := r.append(now, ev, c)
	if err != nil && !r.broken {
		log.Error("the manager's state cannot be written down; if it is killed now, services will be lost", "err", err)
	}
	if err == nil && r.broken {
		log.Info("the manager's state is written down again")
	}
	r.broken = err != nil
}

func (r *Record) append(now core.Time, ev core.Event, c *core.Core) error {
	line, ok, err := encode(r.buf[:0], now, ev)
	if err != nil {
		return err
	}
	r.buf = line
	if !ok || r.events == nil || r.broken || r.size+len(line) > maxEvents {
		return r.Save(c)
	}
	n, err := r.events.Write(line)
	r.size += n
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

func (r *Record) close() {
	if r != nil && r.events != nil {
		r.events.Close()
		r.events = nil
	}
}

// Remove forgets everything, for an end on purpose.
func (r *Record) Remove() {
	r.close()
	os.Remove(filepath.Join(r.dir, snapshotFile))
	os.Remove(r.eventsPath(r.gen))
	r.lock.Close()
}
