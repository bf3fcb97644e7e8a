package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/loop"
)

// moments are those of this boot that clients of systemd ask for (systemd-analyze(1),
// plot). A manager that takes over reads what the former one kept: it runs no generators
// and reads no files itself.
type moments struct {
	path string

	mu  sync.Mutex
	now ipc.Moments
}

// micro is now, in microseconds since boot.
func micro() int64 { return loop.Now().Mono.Microseconds() }

// begin keeps them in dir from now on. began is when the program began.
func (m *moments) begin(dir string, began int64, takesOver bool) error {
	m.path = filepath.Join(dir, "moments.json")
	m.now.Began = began
	if !takesOver {
		return nil
	}
	data, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m.now)
	}
	if err != nil {
		return fmt.Errorf("read the moments of the boot: %w", err)
	}
	return nil
}

// add takes those of one reading of the configuration. The first is the boot's; of those
// that follow the newest one counts.
func (m *moments) add(generators, load, finish int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := &m.now; n.LoadStart == 0 {
		n.GeneratorsStart, n.GeneratorsFinish, n.LoadStart, n.LoadFinish = generators, load, load, finish
	} else {
		n.Reload = load
	}
	data, err := json.Marshal(m.now)
	if err == nil {
		err = replaceFile(m.path, data)
	}
	if err != nil {
		return fmt.Errorf("keep the moments of the boot: %w", err)
	}
	return nil
}

func (m *moments) are() ipc.Moments {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}
