package world

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/proc"
	"dynamod/svmgr/internal/core"
)

// ledger is what the world writes down of its processes and groups, a line each,
// so that a manager that takes over finds them. A process gets its line before its
// helper gets the go-ahead: none of ours ever runs without one. A nil ledger writes
// nothing.
type ledger struct {
	path string

	mu     sync.Mutex
	f      *os.File
	size   int
	broken bool // the last write failed; said once
	open   unhandled
}

// maxLedger bytes of lines are replaced by those of what is there still.
const maxLedger = 1 << 20

// entry is a line: a group that was made, a process that was started, or what the
// kernel tells only once (ledger_events.go).
type entry struct {
	Group   *groupEntry   `json:",omitempty"`
	Process *processEntry `json:",omitempty"`
	End     *endEntry     `json:",omitempty"`
	Note    *noteEntry    `json:",omitempty"`
	Ready   core.RunID    `json:",omitempty"`
	Handled uint64        `json:",omitempty"`
	Last    *lastEntry    `json:",omitempty"`
}

type groupEntry struct {
	Unit        string
	Incarnation core.RunID
	Invocation  string `json:",omitempty"`
	Dir         string `json:",omitempty"`
}

type processEntry struct {
	Run         core.RunID
	Unit        string
	Incarnation core.RunID
	Role        core.Role
	Stage       core.Stage
	PID         int
	// Start is field 22 of /proc/PID/stat: number and start name a process for
	// ever.
	Start uint64
	// Invocation finds processes without cgroups.
	Invocation string `json:",omitempty"`
	// Out and Err are the inodes of the pipes for standard output and error.
	Out uint64 `json:",omitempty"`
	Err uint64 `json:",omitempty"`
}

// made writes down a group.
func (l *ledger) made(w *World, g *group) {
	if l == nil {
		return
	}
	w.reg.mu.Lock()
	e := groupLine(g)
	w.reg.mu.Unlock()
	l.append(w, e)
}

func groupLine(g *group) entry {
	return entry{Group: &groupEntry{Unit: g.unit, Incarnation: g.inc, Invocation: g.invocation, Dir: g.dir}}
}

// ran writes down a process that was just forked.
func (l *ledger) ran(w *World, p *process, outputs []outputPipe) {
	st, err := proc.StatOf(p.pid)
	if err != nil {
		// It is our child and was not reaped, so this cannot be.
		w.log.Error("a new process cannot be looked at", "pid", p.pid, "err", err)
		return
	}
	var inodes [2]uint64
	for _, o := range outputs {
		var st unix.Stat_t
		if unix.Fstat(o.fd, &st) != nil {
			continue
		}
		if o.stderr {
			inodes[1] = st.Ino
		} else {
			inodes[0] = st.Ino
		}
	}
	w.reg.mu.Lock()
	p.start, p.outPipe, p.errPipe = st.Start, inodes[0], inodes[1]
	e := processLine(p)
	w.reg.mu.Unlock()
	l.append(w, e)
}

func processLine(p *process) entry {
	return entry{Process: &processEntry{Run: p.run, Unit: p.group.unit, Incarnation: p.group.inc, Role: p.role, Stage: p.stage,
		PID: p.pid, Start: p.start, Invocation: p.group.invocation, Out: p.outPipe, Err: p.errPipe}}
}

func (l *ledger) append(w *World, e entry) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("an entry holds only plain data, but: %v", err))
	}
	line = append(line, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil || l.broken || l.size+len(line) > maxLedger {
		err = l.rewrite(w)
	} else {
		_, err = l.f.Write(line)
		l.size += len(line)
	}
	if err != nil && !l.broken {
		w.log.Error("processes cannot be written down; if the manager is killed now, services will be lost", "err", err)
	}
	if err == nil && l.broken {
		w.log.Info("processes are written down again")
	}
	l.broken = err != nil
}

// rewrite replaces the file by lines of what there is now. The entry that asked for
// it is in the registry already.
func (l *ledger) rewrite(w *World) error {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	w.reg.mu.Lock()
	for _, g := range w.reg.groups {
		_ = out.Encode(groupLine(g)) // into memory
	}
	for _, p := range w.reg.byRun {
		if p.start != 0 { // else its own line is on its way
			_ = out.Encode(processLine(p))
		}
	}
	for name, e := range w.ends.by {
		_ = out.Encode(entry{Last: &lastEntry{name, e}})
	}
	w.reg.mu.Unlock()
	l.openLines(out)
	tmp := l.path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err == nil {
		err = os.Rename(tmp, l.path)
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return err
	}
	if l.f != nil {
		l.f.Close()
	}
	l.f, l.size = f, b.Len()
	return nil
}

func (l *ledger) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// remove forgets everything, for an end on purpose.
func (l *ledger) remove() {
	if l == nil {
		return
	}
	l.close()
	os.Remove(l.path)
}

// Forget removes what was written down, for an end on purpose.
func (w *World) Forget() { w.ledger.remove() }

// maxEntry bounds one line when a ledger is read back.
const maxEntry = 64 << 10

// written is what a ledger says when it is read back.
type written struct {
	groups    []groupEntry
	processes []processEntry
	last      []lastEntry
	open      unhandled
}

// readLedger reads what a killed manager has written. Its last line may be torn.
func readLedger(path string) (*written, error) {
	var r written
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &r, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(make([]byte, 0, 4096), maxEntry)
	for n := 1; in.Scan(); n++ {
		var e entry
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			if !in.Scan() {
				break // torn
			}
			return nil, fmt.Errorf("read %s: line %d: %w", path, n, err)
		}
		switch {
		case e.Group != nil:
			r.groups = append(r.groups, *e.Group)
		case e.Process != nil:
			r.processes = append(r.processes, *e.Process)
		case e.Last != nil:
			r.last = append(r.last, *e.Last)
		default:
			r.open.read(&e)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &r, nil
}
