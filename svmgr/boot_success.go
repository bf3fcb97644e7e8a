package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/ladder"
)

// judged does what a verdict on the boot asks for. It does not wait: what is to run runs
// as units do.
func (m *manager) judged(ctx context.Context, b core.BootView, degraded bool) {
	if m.link.init != nil && b.State == core.BootGood {
		_ = m.link.init.BootDone(degraded) // an error means that init has gone, which is said
	}
	switch b.State {
	case core.BootGood:
		m.log.Info("the boot is good", "boot", m.health.rung().String())
	case core.BootBad:
		m.log.Error("the boot has failed", "boot", m.health.rung().String())
	}
	if m.health == nil {
		return
	}
	m.remember(b.State)
	if b.State == core.BootGood && !m.safe() {
		go m.afterSuccess(ctx) // ends when the last action has
	}
}

// remember writes down what the verdict says for the boots to come.
func (m *manager) remember(s core.BootState) {
	h := m.health
	if h == nil || s == core.BootPending {
		return
	}
	h.remembering.Lock() // to the end: whoever ends the process waits for what is being written
	defer h.remembering.Unlock()
	if h.judged() == s {
		return
	}
	switch {
	case s == core.BootBad:
		h.status("", statusFailed)
		h.failed(m.generation())
	case m.safe():
		h.status("", statusFailed) // it was not the whole system that came up
		h.succeeded(m.generation())
	default:
		h.status("", statusOK)
		h.succeeded(m.generation())
	}
	h.count(true)
}

// The words of the status file.
const (
	statusPending = "pending\n"
	statusOK      = "ok\n"
	statusFailed  = "failed\n"
)

// action is what is done after a good boot.
type action struct {
	what string
	// unit is started if it is there, argv run as one that is made for it.
	unit string
	argv string
}

// bootComplete is what systemd-bless-boot and its kind hang on (systemd.special(7)).
const bootComplete = "boot-complete.target"

// grubEnvironments and grubTools are where GRUB keeps its variables and what sets them.
var (
	grubEnvironments = []string{"/boot/grub/grubenv", "/boot/grub2/grubenv"}
	grubTools        = []string{"/usr/bin/grub-editenv", "/usr/bin/grub2-editenv", "/usr/sbin/grub-editenv", "/bin/grub-editenv"}
)

// actions are all of them, in order.
func (m *manager) actions() []action {
	out := []action{{what: "boot-complete.target", unit: bootComplete}}
	if env, tool := firstFile(grubEnvironments), firstFile(grubTools); env != "" && tool != "" {
		out = append(out, action{what: "GRUB: boot_success", argv: tool + " " + env + " set boot_success=1"},
			action{what: "GRUB: boot_counter", argv: tool + " " + env + " unset boot_counter"})
	}
	for _, e := range m.bootSettings().OnSuccess() {
		out = append(out, action{what: "on-success", argv: e.String()})
	}
	return out
}

func firstFile(paths []string) string {
	for _, p := range paths {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p
		}
	}
	return ""
}

// bootSettings is boot.toml of the generation in force.
func (c *configuration) bootSettings() *unit.Boot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return nil
	}
	return c.set.Boot
}

// afterSuccess carries out the actions, one after another and each once in a boot. One
// that fails is told and keeps no other from its turn.
func (m *manager) afterSuccess(ctx context.Context) {
	h := m.health
	for n, a := range m.actions() {
		h.mu.Lock()
		mine := n >= h.Done
		if mine {
			h.Done = n + 1
			h.save()
		}
		h.mu.Unlock()
		if !mine {
			continue
		}
		name := a.unit
		if a.argv != "" {
			name = "boot-success-" + strconv.Itoa(n) + ".service"
			if err := m.make(name, a); err != nil {
				m.log.Error("an action after the good boot cannot be carried out", "action", a.what, "err", err)
				continue
			}
		} else if !m.known(name) {
			continue
		}
		reply := m.Ask(func(id core.RequestID) core.Event {
			return core.Request{ID: id, Verb: core.VerbStart, Unit: name, Source: core.SourceOperator, Wait: true, Mode: graph.Replace}
		})
		select {
		case <-ctx.Done():
			return
		case r := <-reply:
			switch {
			case r.Err != nil:
				m.log.Error("an action after the good boot was refused", "action", a.what, "unit", name, "err", r.Err)
			case r.Result != core.JobDone:
				m.log.Error("an action after the good boot failed", "action", a.what, "unit", name, "result", r.Result.String())
			default:
				m.log.Info("done after the good boot", "action", a.what, "unit", name)
			}
		}
	}
}

// commandUnit is the text of the unit of an action that is a command.
func commandUnit(a action) []ipc.Setting {
	return []ipc.Setting{
		{Section: "Unit", Key: "Description", Value: "After the good boot: " + a.what},
		{Section: "Service", Key: "Type", Value: "oneshot"},
		{Section: "Service", Key: "ExecStart", Value: a.argv},
		{Section: "Service", Key: "TimeoutStartSec", Value: "90s"},
	}
}

// make makes the unit of an action that is a command. It has a deadline as other units do.
func (m *manager) make(name string, a action) error {
	u, ds, err := m.Build(name, commandUnit(a))
	if err != nil {
		return err
	}
	if u.Load != unit.Loaded && len(ds) > 0 {
		return errors.New(ds[0].String())
	}
	m.Take(core.Loaded{Units: []*unit.Unit{u}})
	return nil
}

// known says that there is such a unit.
func (m *manager) known(name string) bool {
	known := false
	m.Query(func(c *core.Core) {
		u, ok := c.View().Unit(name)
		known = ok && u.Unit != nil && u.Unit.Load == unit.Loaded
	})
	return known
}

// boot is how the boot stands; ok is false once the loop has ended.
func (m *manager) boot() (b core.BootView, ok bool) {
	ok = m.Query(func(c *core.Core) { b = c.View().Boot() })
	return b, ok
}

// endedInOrder is called when somebody asks for the end: a boot that is still pending did
// not fail.
func (m *manager) endedInOrder() {
	if m.health == nil {
		return
	}
	if b, ok := m.boot(); ok && b.State == core.BootPending {
		m.health.takeBack()
		// What stops may take longer than is left for the boot: PID 1 would make a reboot
		// of a power-off, or open the emergency shell.
		m.ends.Store(true)
		m.configuration.mu.Lock()
		set := m.set
		m.configuration.mu.Unlock()
		if set != nil {
			m.tellPolicy(set)
		}
	}
}

// BootHealth implements api.Manager.
func (m *manager) BootHealth() ipc.BootHealthResult {
	r := ipc.BootHealthResult{Kind: ladder.Full.String(), Generation: m.generation()}
	if m.link.init != nil {
		if text, err := readSmall(filepath.Join(filepath.Dir(m.own.path), "boot")); err == nil { // PID 1 writes it
			r.Init = strings.TrimSpace(text)
		}
	}
	h := m.health
	if h == nil {
		return r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Kind, r.Why, r.Failed, r.Attempts, r.Counter, r.Counted = h.Rung, h.Why, h.Failed, h.Attempts, h.Counter, h.Counted
	r.StatusFile, r.Status = h.Status, strings.TrimSpace(h.Written)
	r.Good = h.goodGeneration()
	return r
}
