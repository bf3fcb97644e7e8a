package live

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"dynamod/internal/board"
	"dynamod/internal/ipc"
)

// BoardPath is where the manager's board is (package board): beside its socket, but for
// the manager of the machine.
func (t Target) BoardPath() (string, error) {
	socket, err := t.Path()
	if err != nil {
		return "", err
	}
	if socket == ipc.SocketPath {
		return board.Path, nil
	}
	return filepath.Join(filepath.Dir(socket), board.Name), nil
}

// Board is a board and what has become of the manager that wrote it.
type Board struct {
	board.Snapshot
	// Manager is "running", "stopped" (by a signal, or by who traces it), "ended" or
	// "gone".
	Manager string
	// Age is how long ago something was written last. Of a manager that runs this says
	// only that nothing has changed since.
	Age time.Duration
}

// ReadBoard reads the board; units are names or shell patterns, all if there are none.
// It asks no manager.
func (t Target) ReadBoard(now time.Time, units []string) (*Board, error) {
	file, err := t.BoardPath()
	if err != nil {
		return nil, err
	}
	s, err := board.Read(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &ConnectError{Path: file, Text: "there is no board at " + file,
			Hint: "a manager makes one when it starts; name another manager's socket with --socket", Err: err}
	}
	if err != nil {
		return nil, err
	}
	b := &Board{Snapshot: *s, Age: max(0, now.Sub(time.UnixMicro(s.Updated))), Manager: "gone"}
	switch state := processState(s.PID); {
	case s.Ended:
		b.Manager = "ended"
	case state == 'T' || state == 't':
		b.Manager = "stopped"
	case state != 0:
		b.Manager = "running"
	}
	if len(units) > 0 {
		kept := b.Records[:0]
		for _, r := range b.Records {
			if matches(r.Name, units) {
				kept = append(kept, r)
			}
		}
		b.Records = kept
	}
	return b, nil
}

func matches(name string, patterns []string) bool {
	for _, p := range patterns {
		if ok, _ := path.Match(p, name); ok || p+".service" == name {
			return true
		}
	}
	return false
}

// processState is the letter of /proc/PID/stat if the process is a manager, else 0.
func processState(pid int32) byte {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/stat")
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if err != nil || open < 0 || end < open || len(data) < end+3 || !bytes.HasPrefix(data[open+1:end], []byte("dynamod-svmgr")) {
		return 0
	}
	return data[end+2]
}

// Verdict says how old the board is, for people.
func (b *Board) Verdict() string {
	age := b.Age.Round(time.Second)
	switch b.Manager {
	case "running":
		return fmt.Sprintf("the manager (process %d) runs; the last change was %v ago", b.PID, age)
	case "stopped":
		return fmt.Sprintf("the manager (process %d) is stopped: this is how it was %v ago", b.PID, age)
	case "ended":
		return fmt.Sprintf("the manager ended on purpose %v ago", age)
	}
	return fmt.Sprintf("the manager (process %d) is gone: this is how it was %v ago", b.PID, age)
}

func known(n uint64) int64 {
	if n > 1<<62 {
		return -1
	}
	return int64(n)
}

// Rows are the records as measurements.
func (b *Board) Rows() []ipc.StatsRow {
	var out []ipc.StatsRow
	for _, r := range b.Records {
		out = append(out, ipc.StatsRow{Unit: r.Name, State: r.State, PID: r.PID, Restarts: r.Restarts, Since: ipc.Stamp{Wall: r.Since},
			Usage: ipc.Usage{Memory: known(r.Memory), CPU: known(r.CPU), MemoryPeak: -1, MemoryMax: -1, Swap: -1, Tasks: -1, TasksMax: -1,
				IORead: -1, IOWrite: -1, OOMKills: -1}})
	}
	return out
}
