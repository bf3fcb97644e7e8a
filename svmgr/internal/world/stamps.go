package world

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dynamod/svmgr/internal/core"
)

// stampPrefix begins the names of the files whose modification time is the last
// elapse of a Persistent= timer.
const stampPrefix = "stamp-"

// stamp writes one, in a strand of its own: disks are slow.
func (w *World) stamp(a core.Stamp) {
	if w.cfg.StampDir == "" {
		return
	}
	w.pool.do("stamps", func() {
		if err := writeStamp(w.cfg.StampDir, a); err != nil {
			w.log.Error("cannot keep when a timer elapsed: it may elapse again after a restart", "unit", a.Unit, "err", err)
		}
	})
}

func writeStamp(dir string, a core.Stamp) error {
	if a.Unit == "" || strings.ContainsAny(a.Unit, "/\x00") {
		return fmt.Errorf("%q is no unit", a.Unit)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(dir, stampPrefix+a.Unit)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	at := time.Unix(0, a.Wall)
	return os.Chtimes(name, at, at)
}

// Stamps reads what was kept, for core.Config.
func Stamps(dir string) map[string]int64 {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	out := map[string]int64{}
	for _, e := range list {
		name, ok := strings.CutPrefix(e.Name(), stampPrefix)
		if st, err := e.Info(); ok && err == nil && st.Mode().IsRegular() {
			out[name] = st.ModTime().UnixNano()
		}
	}
	return out
}
