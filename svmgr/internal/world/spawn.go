package world

import (
	"errors"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/pidfd"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// performSpawn notes the run and hands the work to the unit's strand.
func (w *World) performSpawn(a core.Spawn) {
	key := groupKey{a.Unit.Name, a.Incarnation}
	w.reg.mu.Lock()
	g := w.reg.groups[key]
	if g == nil {
		g = &group{groupKey: key, u: a.Unit, live: map[core.RunID]*process{}, sessions: map[int]struct{}{}}
		w.reg.groups[key] = g
	}
	w.reg.current[key.unit] = g
	g.pending++
	g.told = false
	if a.Fresh {
		delete(w.liveMounts, key.unit)
	}
	w.reg.mu.Unlock()
	w.pool.do(key.unit, func() { w.spawn(g, a) })
}

// spawn runs in the unit's strand: everything before the fork that may take time
// or fail, then the fork.
func (w *World) spawn(g *group, a core.Spawn) {
	if err := w.launch(g, a); err != nil {
		stage, errno := stageOf(err)
		w.log.Info("spawn failed", "unit", g.unit, "run", a.Run, "stage", stage, "err", err)
		w.post(core.SpawnFailed{Run: a.Run, Stage: stage, Errno: errno})
		w.ended(a.Run)
	}
	w.toldOne(g)
	// The process may have ended while the spawn still counted as pending.
	w.checkEmpty(g)
}

func (w *World) ended(run core.RunID) {
	if w.hook.ended != nil {
		w.hook.ended(run)
	}
}

// stageError is a failure before the fork; it is the child.StageError of what the
// manager itself does.
type stageError struct {
	stage string
	err   error
}

func (e *stageError) Error() string { return e.stage + ": " + e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// at names the stage of an error that has none.
func at(stage string, err error) error {
	var se *stageError
	if err == nil || errors.As(err, &se) {
		return err
	}
	return &stageError{stage, err}
}

func stageOf(err error) (string, int32) {
	stage, errno := "fork", syscall.EIO
	var se *stageError
	if errors.As(err, &se) {
		stage = se.stage
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		errno = no
	}
	return stage, int32(errno)
}

// order is everything that one fork needs. Its descriptors are closed when the
// fork is over, whatever became of it.
type order struct {
	spec  child.Spec
	stdio [3]int
	pass  []int
	close []int
	// aux are descriptors for the set-up, of child.Spec.Aux.
	aux []int
	// privates are the directories of dynamic users that the spec makes.
	privates []string
	// attr is how the helper is forked.
	attr syscall.SysProcAttr
	// outputs are the read ends of the pipes for standard output and error.
	outputs []outputPipe
	// given is the name with the keeper of a connection that the process gets.
	given string
}

type outputPipe struct {
	fd     int
	stderr bool
}

func (o *order) sys() *syscall.SysProcAttr { return &o.attr }

func (o *order) release(failed bool) {
	for _, fd := range o.close {
		unix.Close(fd)
	}
	if failed {
		for _, p := range o.outputs {
			unix.Close(p.fd)
		}
	}
}

// launch prepares and forks. An error means that no process exists.
func (w *World) launch(g *group, a core.Spawn) (err error) {
	o := &order{stdio: [3]int{w.null, w.null, w.null}}
	defer func() {
		o.release(err != nil)
		if o.given != "" {
			w.dropKept(g.unit, o.given)
		}
	}()
	dir, rel, err := w.enterable(g, a)
	if err != nil {
		return err
	}
	o.spec.Cgroup = rel
	if dir >= 0 {
		o.close = append(o.close, dir)
	}
	if isTableStage(a.Stage) {
		if a.Exec, err = w.tableCommand(a); err != nil {
			return at(a.Stage.String(), err)
		}
		o.spec.SameGroup = true
	}
	if err := w.fill(o, g, a); err != nil {
		return err
	}
	o.spec.Hold = true // it waits until it is known
	o.spec.Aux = uint32(len(o.aux))
	statusR, statusW, err := w.sys.pair()
	if err != nil {
		return at("pipe", err)
	}
	o.close = append(o.close, statusW)
	if err := neverWait(statusR); err != nil {
		unix.Close(statusR)
		return at("pipe", err)
	}
	p := &process{run: a.Run, role: a.Role, stage: a.Stage, group: g, pidfd: -1, status: statusR}
	files := make([]uintptr, 0, child.FirstFD+len(o.pass))
	for _, fd := range o.stdio {
		files = append(files, uintptr(fd))
	}
	files = append(files, 0, uintptr(statusW)) // child.SpecFD is up to fork
	for _, fd := range append(o.pass, o.aux...) {
		files = append(files, uintptr(fd))
	}
	attr := &syscall.ProcAttr{Files: files, Sys: o.sys()}
	attr.Sys.Setsid, attr.Sys.PidFD = !o.spec.SameGroup, &p.pidfd
	if dir >= 0 {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, dir
	}
	w.reg.forking.RLock()
	var ahead []byte
	p.pid, ahead, err = w.fork(a.Unit, &o.spec, attr)
	if err == nil {
		w.register(p)
		w.commandBegins(p, &a)
		if unwatched := w.supervise(p); unwatched != nil {
			w.abort(p)
			err = at("watch", unwatched)
		} else {
			if w.ledger != nil {
				w.keepOutputs(g, a.Run, o.outputs)
				w.ledger.ran(w, p, o.outputs)
			}
			// Into the buffer of a new socket: it cannot block, and fails
			// only if the helper is dead, which its end will tell.
			_, _ = unix.Write(statusR, ahead)
		}
	}
	w.reg.forking.RUnlock()
	if err != nil {
		unix.Close(statusR)
		return err
	}
	for _, out := range o.outputs {
		w.out.add(out.fd, g.unit, a.Run, out.stderr, g.u)
	}
	return nil
}

// childEnv is what the helper itself runs with: it needs one processor and never
// collects garbage. The program gets the environment of the spec.
var childEnv = []string{"GOMAXPROCS=1", "GOGC=off"}

// A program that takes the place of the helper is run from where it is handed over.
var (
	programPath = "/proc/self/fd/" + strconv.Itoa(child.SpecFD)
	programArgv = []string{"dynamod-child"}
)

// makers make programs.
var makers = sync.Pool{New: func() any { return new(child.Maker) }}

// fork starts the process: as a program of its own where that will do, else as the
// helper, which reads the spec. ahead is what it waits for under Hold.
func (w *World) fork(u *unit.Unit, s *child.Spec, attr *syscall.ProcAttr) (pid int, ahead []byte, err error) {
	// In a namespace of its own it would have another number; where file systems are
	// restricted, that of memory may be one of them.
	if attr.Sys.Cloneflags == 0 && !unit.RestrictFileSystems.IsSet(u) && !w.noPrograms.Load() {
		plain := *s
		if attr.Sys.UseCgroupFD {
			plain.Cgroup = "" // clone3(2) sees to it
		}
		m := makers.Get().(*child.Maker)
		defer makers.Put(m)
		if image := m.Program(&plain, w.ignored); image != nil {
			pid, err = w.forkWith(image, w.sys.program, programPath, programArgv, attr)
			// vm.memfd_noexec (proc_sys_vm(5)), a security module, no /proc.
			refused := errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOENT)
			if !refused {
				return pid, s.GoAhead(pid), err
			}
			defer func(why error) {
				if err == nil && !w.noPrograms.Swap(true) {
					w.log.Info("programs in memory cannot be run here; every process begins as dynamod-child, which takes longer", "err", why)
				}
			}(err)
		}
	}
	b := s.Encode()
	if len(b) > child.MaxSpec {
		return 0, nil, at("spec", syscall.E2BIG)
	}
	attr.Env = childEnv
	helper := w.cfg.Child
	if s.PAM.Service != "" {
		helper = w.cfg.PAMChild
	}
	pid, err = w.forkWith(b, func() (int, error) { return w.sys.memfd("spec") }, helper[0], helper, attr)
	return pid, []byte{1}, err
}

// forkWith hands data over in a file.
func (w *World) forkWith(data []byte, file func() (int, error), path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	fd, err := file()
	if err != nil {
		return 0, at("spec", err)
	}
	defer unix.Close(fd)
	if err := writeAll(fd, data); err != nil {
		return 0, at("spec", err)
	}
	attr.Files[child.SpecFD] = uintptr(fd)
	pid, err = w.sys.fork(path, argv, attr)
	return pid, at("fork", err)
}

// register makes the process known by its number and by its run.
func (w *World) register(p *process) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	w.reg.byRun[p.run] = p
	w.reg.byPID[p.pid] = p
	p.group.live[p.run] = p
	p.group.sessions[p.pid] = struct{}{}
}

// supervise begins to watch a registered process. An error means that its end would
// never be heard of.
func (w *World) supervise(p *process) error {
	p.arming.Lock() // its end may be heard of before its report is watched
	defer p.arming.Unlock()
	if p.pidfd < 0 { // a kernel before 5.3; ours asks for 5.14
		fd, err := pidfd.Open(p.pid)
		if err != nil {
			return err
		}
		p.pidfd = fd
	}
	if err := w.watchFD(p.pidfd, epoll.In, &p.pidTag, func(uint32) { w.reap(p) }); err != nil {
		return err
	}
	if p.status < 0 {
		return nil // one that was adopted: it reports no set-up
	}
	if err := w.watchFD(p.status, epoll.In, &p.statusTag, func(uint32) { w.readReport(p) }); err != nil {
		w.log.Error("cannot watch a set-up report: its process is killed", "unit", p.group.unit, "err", err)
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
	return nil
}

// abort ends a process that cannot be watched: what runs is monitored, always.
// reg.forking keeps the watcher from reaping it meanwhile.
func (w *World) abort(p *process) {
	_ = unix.Kill(p.pid, unix.SIGKILL) // it is our child and not reaped: the number is its own
	for {
		if _, err := unix.Wait4(p.pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	w.forget(p)
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
}

func (w *World) forget(p *process) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	delete(w.reg.byRun, p.run)
	delete(w.reg.byPID, p.pid)
	delete(p.group.live, p.run)
}
