package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"dynamod/internal/ipc"
	"dynamod/internal/ipc/pid1"
	"dynamod/svmgr/internal/api"
)

// own is what the manager itself goes by and clients can change (docs/ipc.md,
// set-manager). The changes are kept in a file of the runtime directory, so that they
// outlive the manager's program but not the boot.
type own struct {
	path string
	log  *kernelText
	// first is what holds where nothing was changed.
	first ownKept
	// status is nil for a manager that has no console.
	status *statusLines

	mu sync.Mutex
	ownKept
}

// ownKept is what the file has; empty words are the first ones.
type ownKept struct {
	LogLevel  string `json:",omitempty"`
	LogTarget string `json:",omitempty"`
	ExitCode  uint8  `json:",omitempty"`
	// ShowStatus is "" for the first one as well.
	ShowStatus string `json:",omitempty"`
}

// maxOwn bounds the file, which is this manager's.
const maxOwn = 4096

// openOwn reads the changes of a former program and puts them into force. What cannot be
// read is lost, and the rest is good all the same.
func openOwn(path string, log *kernelText, status *statusLines, first ownKept) (*own, error) {
	o := &own{path: path, log: log, status: status, first: first}
	o.apply()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return o, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxOwn))
	if err != nil {
		return o, err
	}
	var kept ownKept
	if err := json.Unmarshal(data, &kept); err != nil {
		return o, err
	}
	if err := kept.valid(); err != nil {
		return o, err
	}
	o.ownKept = kept
	o.apply()
	return o, nil
}

func (k *ownKept) valid() error {
	if k.LogLevel != "" && !slices.Contains(logLevels, k.LogLevel) {
		return ipc.Errorf("InvalidArgs", "Invalid log level '%s'", clipped(k.LogLevel))
	}
	if k.LogTarget != "" && !slices.Contains(logTargets, k.LogTarget) {
		return ipc.Errorf("InvalidArgs", "Invalid log target '%s'", clipped(k.LogTarget))
	}
	if k.ShowStatus != "" && !slices.Contains(showModes, k.ShowStatus) {
		return ipc.Errorf("InvalidArgs", "Invalid show status '%s'", clipped(k.ShowStatus))
	}
	return nil
}

// apply puts what is kept into force.
func (o *own) apply() {
	level := slices.Index(logLevels, cmp.Or(o.LogLevel, o.first.LogLevel))
	if level < 0 {
		level = defaultLogLevel
	}
	o.log.level.Store(int32(level))
	target := cmp.Or(o.LogTarget, o.first.LogTarget)
	o.log.target.Store(&target)
	if o.status != nil {
		o.status.set(o.ShowStatus)
	}
}

// Own implements api.Manager.
func (m *manager) Own() (ipc.ManagerResult, error) {
	m.own.mu.Lock()
	r := ipc.ManagerResult{LogLevel: logLevels[m.own.log.level.Load()], LogTarget: m.own.log.targetNow(), ExitCode: m.own.ExitCode}
	m.own.mu.Unlock()
	if m.own.status != nil {
		r.ShowStatus = *m.own.status.mode.Load()
	}
	if m.link == nil || m.link.init == nil {
		return r, nil
	}
	dog, err := m.link.init.Watchdog(pid1.AskWatchdog, 0, "")
	if err != nil {
		m.link.log.Error("init cannot be asked for the hardware watchdog", "err", err)
		return r, nil // an older one does not know the question
	}
	r.Watchdog = &ipc.Watchdog{Device: dog.Device, Runtime: dog.Runtime, Pre: dog.Pre, Governor: dog.Governor, Reboot: dog.Reboot, Kexec: dog.Kexec}
	if dog.Pinged > 0 {
		now := m.Now()
		r.Watchdog.Pinged.Mono = int64(dog.Pinged)
		r.Watchdog.Pinged.Wall = now.Wall/1000 - (int64(now.Mono/time.Microsecond) - int64(dog.Pinged))
	}
	return r, nil
}

// setWatchdog hands what concerns the hardware watchdog over to PID 1, which remembers it.
// It comes alone: what PID 1 refuses could not be undone with the rest.
func (m *manager) setWatchdog(a *ipc.ManagerArgs) (mine bool, err error) {
	named := 0
	for _, f := range reflect.ValueOf(a).Elem().Fields() {
		if !f.IsNil() {
			named++
		}
	}
	one := func(what pid1.Setting, usec uint64, governor string) (bool, error) {
		if named > 1 {
			return true, ipc.Errorf("InvalidArgs", "a setting of the hardware watchdog comes alone, not with %d others", named-1)
		}
		return true, m.tellWatchdog(what, usec, governor)
	}
	for _, s := range []struct {
		what pid1.Setting
		usec *uint64
	}{{pid1.RuntimeWatchdog, a.RuntimeWatchdog}, {pid1.PreTimeout, a.WatchdogPre}, {pid1.RebootWatchdog, a.RebootWatchdog}, {pid1.KexecWatchdog, a.KexecWatchdog}} {
		if s.usec != nil {
			return one(s.what, *s.usec, "")
		}
	}
	if a.WatchdogGovernor != nil {
		return one(pid1.Governor, 0, *a.WatchdogGovernor)
	}
	return false, nil
}

func (m *manager) tellWatchdog(what pid1.Setting, usec uint64, governor string) error {
	if m.link == nil || m.link.init == nil {
		return api.Unsupported("the hardware watchdog: dynamod-init has it, and is not above this manager")
	}
	if _, err := m.link.init.Watchdog(what, usec, governor); err != nil {
		return ipc.Errorf("Failed", "the hardware watchdog: %v", err)
	}
	return nil
}

// SetOwn implements api.Manager.
func (m *manager) SetOwn(a ipc.ManagerArgs) error {
	if done, err := m.setWatchdog(&a); done {
		return err
	}
	o := m.own
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.ownKept
	if a.LogLevel != nil {
		next.LogLevel = *a.LogLevel
		if n, err := strconv.Atoi(next.LogLevel); err == nil && n >= 0 && n < len(logLevels) {
			next.LogLevel = logLevels[n]
		}
	}
	if a.LogTarget != nil {
		next.LogTarget = *a.LogTarget
	}
	if a.ExitCode != nil {
		next.ExitCode = *a.ExitCode
	}
	if a.ShowStatus != nil {
		if o.status == nil {
			return api.Unsupported("status lines: this manager has no console")
		}
		next.ShowStatus = *a.ShowStatus
		if mode, ok := showMode(next.ShowStatus); ok {
			next.ShowStatus = mode
		}
	}
	if err := next.valid(); err != nil {
		return err
	}
	data, err := json.Marshal(next)
	if err == nil {
		err = replaceFile(o.path, data)
	}
	if err != nil {
		return ipc.Errorf("Failed", "what the manager goes by cannot be kept: %v", err)
	}
	o.ownKept = next
	o.apply()
	if a.ExitCode != nil {
		m.mu.Lock()
		m.exit = int(next.ExitCode)
		m.mu.Unlock()
	}
	return nil
}
