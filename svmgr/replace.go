package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/keeper"
	"dynamod/svmgr/internal/ladder"
	"dynamod/svmgr/internal/loop"
	"dynamod/svmgr/internal/world"
)

// Replacing the manager by its new program is taking over (docs/survival.md) without
// a death: the process stays the same, so that services stay its children, and what a
// killed manager would lose is passed on.

// heritage is what a program passes to the one that replaces it.
type heritage struct {
	// Control are listeners of the control socket, with who waits in their queues.
	Control []int
	// Init is the channel to dynamod-init, 0 if there is none. Init keeps
	// descriptors; without it they are in Kept.
	Init int
	// CgroupRoot is where the first program began: by now the process is in a group
	// of its own below it.
	CgroupRoot string
	Kept       []keeper.Kept
	Parts      []world.Part
	Output     ringState
}

func (h *heritage) descriptors() []int {
	fds := append([]int(nil), h.Control...)
	for _, k := range h.Kept {
		fds = append(fds, k.FDs...)
	}
	return fds
}

// inherit takes what a former program of this process has passed on, nil if there was
// none.
func inherit() (*heritage, error) {
	h := &heritage{}
	ok, err := keeper.Passed(h)
	if err != nil || !ok {
		return nil, err
	}
	for _, fd := range h.descriptors() {
		syscall.CloseOnExec(fd)
	}
	if h.Init > 0 {
		err = os.Setenv(initVariable, strconv.Itoa(h.Init))
	}
	return h, err
}

// listener is the control socket: the former program's, or a new one.
func (h *heritage) listener(path string) (*net.UnixListener, error) {
	if h == nil || len(h.Control) == 0 {
		// Everybody may connect; what they may do there is decided for each request.
		return ipc.Listen(path, 0o666)
	}
	for _, fd := range h.Control[1:] {
		syscall.Close(fd)
	}
	return ipc.TakeOver(os.NewFile(uintptr(h.Control[0]), path))
}

// tryOutLimit bounds how long a new program may take to read the state.
const tryOutLimit = 30 * time.Second

// tryOut lets the new program read the state of this one, before it is too late to
// find out that it cannot.
func tryOut(program string, args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), tryOutLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(append([]string(nil), args...), "-can-take-over")...)
	var answer, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, &said
	if err := cmd.Start(); err != nil {
		return err // names the program
	}
	err := cmd.Wait()
	// Its answer counts and not how it ended: that may have been taken by the world,
	// which reaps what it does not know.
	switch text := strings.TrimSpace(said.String()); {
	case answer.String() == takesOver:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not read its state within %v", program, tryOutLimit)
	case text != "":
		return fmt.Errorf("%s: %.500s", program, text)
	default:
		return fmt.Errorf("%s does not say that it can go on (%v)", program, err)
	}
}

// takesOver is what a program that canTakeOver answers.
const takesOver = "can take over\n"

// canTakeOver is the other side of tryOut: it reads all that a taking over reads, and
// changes nothing.
func canTakeOver(s settings) error {
	if _, _, err := childProgram(); err != nil {
		return err
	}
	gen, err := newConfiguration(s, os.Getenv).firstGeneration(true)
	if err != nil {
		return err
	}
	safe := false
	if s.mode == system {
		h := openBootHealth(s.runtimeDir, true, slog.New(slog.DiscardHandler))
		if safe = h.rung() == ladder.Safe; safe {
			gen.Set = graph.WithSafeTarget(gen.Set)
		}
	}
	g, _ := graph.Build(gen.Set, graph.Config{Mode: graphMode(s), Safe: safe})
	record := loop.PeekRecord(filepath.Join(s.runtimeDir, "state"))
	c, err := recoverCore(record, gen.Set, g, core.Config{User: s.mode == user, Safe: safe, Location: time.Local})
	if err == nil && c == nil {
		return errors.New("no manager has left its state there")
	}
	return err
}

// Reexec implements api.Manager.
func (m *manager) Reexec() error {
	if err := tryOut(m.program, os.Args[1:]); err != nil {
		return ipc.Errorf("Failed", "the manager goes on as it is, because the new program would not: %v", err)
	}
	var err error
	if !m.Query(func(c *core.Core) {
		if c.View().ShuttingDown() {
			err = ipc.Errorf("ShuttingDown", "everything is being stopped")
			return
		}
		if serr := m.record.Save(c); serr != nil {
			err = ipc.Errorf("Failed", "the manager goes on as it is, because its state cannot be written down: %v", serr)
		}
	}) {
		err = ipc.Errorf("ShuttingDown", "the manager has ended, or is being replaced")
	}
	if err != nil {
		return err
	}
	m.replaced.Store(true)
	m.leave()
	return nil
}

// replace executes the new program in place of this one, after the loop has ended. It
// returns only if even the present program cannot be executed.
func (m *manager) replace(server *ipc.Server) error {
	m.log.Info("the manager is replaced by its new program", "program", m.program)
	h := heritage{CgroupRoot: m.cgroupRoot}
	files, err := server.HandOver()
	if err != nil {
		m.log.Error("clients that connect now are refused", "err", err)
	}
	for _, f := range files {
		h.Control = append(h.Control, int(f.Fd()))
	}
	h.Parts = m.world.Leave()
	h.Output = m.output.state()
	if m.link.init != nil {
		if h.Init, err = m.link.init.Leave(); err != nil {
			m.log.Error("the manager ends instead, and init starts the new program", "err", err)
			os.Exit(0)
		}
	} else {
		h.Kept = m.link.own.Leave()
	}
	if err := keeper.Pass(&h, h.descriptors()); err != nil {
		m.log.Error("what a killed manager would lose is lost", "err", err)
	}
	err = syscall.Exec(m.program, os.Args, os.Environ())
	m.log.Error("the new program cannot be executed; the present one starts again", "err", err)
	err = syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	runtime.KeepAlive(files) // the collector would close them
	return fmt.Errorf("execute %s: %w", m.program, err)
}
