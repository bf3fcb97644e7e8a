package child

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Maker makes programs. Its zero value is ready; one goroutine at a time uses it.
type Maker struct {
	calls []call
	image []byte
}

// Program is the set-up as a program that takes the place of dynamod-child, nil if the
// spec needs more than system calls that are known before. It expects the descriptors
// that Main expects, with itself as SpecFD, and that the process is in its cgroup and
// leads its session already. A spec that is wrong has none, so that dynamod-child
// reports what is wrong with it. It lasts until the next one is made.
//
// Under Hold it waits for GoAhead instead of one byte. ignored are the signals that the
// manager ignores (Ignored): with others the exec does what must be done.
func (m *Maker) Program(s *Spec, ignored uint64) []byte {
	code := trampolineCode()
	if code == nil || !s.plain() {
		return nil
	}
	st := &state{spec: s, status: StatusFD}
	var err error
	m.calls, err = st.plainCalls(m.calls[:0], ignored)
	defer clear(m.calls)
	if err != nil {
		return nil
	}
	m.image = program(m.image[:0], code, m.calls, StatusFD)
	return m.image
}

// plain says that nothing needs to be found out in the process itself.
func (s *Spec) plain() bool {
	for _, in := range s.Stdio {
		if in.Kind != StreamInherit && in.Kind != StreamCopy {
			return false
		}
	}
	return len(s.FDs) == 0 && s.Aux == 0 && s.TTY == (TTY{}) && s.Cgroup == "" && !s.NUMA.Set &&
		len(s.Dirs) == 0 && s.Credentials.Path == "" && len(s.Labels) == 0 && !s.View.Set && s.PAM.Service == "" &&
		s.Space.none() && (s.Hold || len(s.PIDVars) == 0)
}

// none says that nothing of it is asked for.
func (s *Space) none() bool {
	return s.Unshare == 0 && len(s.Join) == 0 && !s.Loopback && !s.DropHeld && !s.Users.Set
}

// plainCalls are the stages in their order; see there for why.
func (st *state) plainCalls(out []call, ignored uint64) ([]call, error) {
	s := st.spec
	at := func(stage string, calls ...call) {
		for _, c := range calls {
			c.stage = stage
			out = append(out, c)
		}
	}
	// The name is seen in ps(1) as long as the program is not there yet.
	at("spec", sys(unix.SYS_CLOSE, num(SpecFD)), sys(unix.SYS_PRCTL, num(unix.PR_SET_NAME), str("dynamod-child")))
	env := words(s.Env)
	if s.Hold {
		at("spec", ahead(s.PIDVars, env)...)
	}
	if s.OOMScore.Set {
		calls := writing(oomScoreFile, strconv.Itoa(int(s.OOMScore.N)))
		calls[1].pardon = unix.EACCES // see oomScore
		at("oom-score-adj", calls...)
	}
	if s.CoreFilter.Set {
		at("coredump-filter", writing("/proc/self/coredump_filter", coreFilter(s.CoreFilter))...)
	}
	at("umask", sys(unix.SYS_UMASK, num(uintptr(s.Umask&0o777))))
	if s.Nice.Set {
		set := func(to int) call {
			return sys(unix.SYS_SETPRIORITY, num(unix.PRIO_PROCESS), num(0), num(uintptr(to)))
		}
		c := set(int(s.Nice.N))
		if nearest, beyond := nearestNice(int(s.Nice.N)); beyond { // the process has the manager's
			at("nice", set(nearest))
			c.pardon = unix.EACCES
		}
		at("nice", c)
	}
	if s.Sched.Set {
		at("scheduling", sys(unix.SYS_SCHED_SETSCHEDULER, num(0), num(s.Sched.flags()), raw(structBytes(&s.Sched.Priority))))
	}
	if s.IOPrio.Set {
		at("ioprio", sys(unix.SYS_IOPRIO_SET, num(ioprioProcess), num(0), num(uintptr(s.IOPrio.N))))
	}
	if n := len(s.Affinity); n > 0 {
		at("affinity", sys(unix.SYS_SCHED_SETAFFINITY, num(0), num(uintptr(n*8)), raw(sliceBytes(s.Affinity))))
	}
	if s.TimerSlack != 0 {
		at("timer-slack", prctl(unix.PR_SET_TIMERSLACK, uintptr(s.TimerSlack)))
	}
	if s.Personality.Set {
		at("personality", sys(unix.SYS_PERSONALITY, num(uintptr(uint32(s.Personality.N)))))
	}
	if s.MemoryKSM.Set {
		at("memory-ksm", prctl(setMemoryMerge, uintptr(s.MemoryKSM.N)))
	}
	at("keyring", keyring(s.Keyring)...)
	for n, in := range s.Stdio {
		if in.Kind != StreamCopy {
			continue
		}
		if int(in.Flags) == n || in.Flags < 0 || in.Flags > 2 {
			return out, unix.EINVAL
		}
		at([]string{"stdin", "stdout", "stderr"}[n], sys(unix.SYS_DUP3, num(uintptr(in.Flags)), num(uintptr(n)), num(0)))
	}
	for _, l := range s.Limits {
		set := func(to unix.Rlimit) call {
			c := sys(unix.SYS_PRLIMIT64, num(0), num(uintptr(l.Resource)), raw(structBytes(&to)), num(0))
			c.path = limitName(l.Resource)
			return c
		}
		c := set(unix.Rlimit{Cur: l.Soft, Max: l.Hard})
		if nearest, above := nearestLimit(l); above { // the process has the hard limits of the manager
			at("limits", set(nearest))
			c.pardon = unix.EPERM
		}
		at("limits", c)
	}
	if s.Ids.SetGroups {
		list := num(0)
		if len(s.Ids.Groups) > 0 {
			list = raw(sliceBytes(s.Ids.Groups))
		}
		at("groups", sys(unix.SYS_SETGROUPS, num(uintptr(len(s.Ids.Groups))), list))
	}
	at("descriptors", sys(unix.SYS_CLOSE_RANGE, num(3), num(uintptr(^uint32(0))), num(unix.CLOSE_RANGE_CLOEXEC)))
	at("signals", st.signalCalls(ignored)...)
	for i := range last {
		more, err := st.calls(i)
		if err != nil {
			return out, err
		}
		out = append(out, more...)
	}
	end, err := st.ending(env)
	return append(out, end...), err
}

// pidField is the room for a process ID, as text that ends with NUL.
const pidField = 11

// GoAhead is what the manager writes to let a Program run on: the process ID as often
// as there are variables with it, and at least once.
func (s *Spec) GoAhead(pid int) []byte {
	var field [pidField]byte
	strconv.AppendInt(field[:0], int64(pid), 10)
	out := field[:]
	for range max(0, len(s.PIDVars)-1) {
		out = append(out, field[:]...)
	}
	return out
}

// ahead are the calls that wait for it, with what they read in the environment.
func ahead(vars []string, env *datum) []call {
	receive := func(to *datum, at int) call {
		c := sys(unix.SYS_RECVFROM, num(StatusFD), arg{to: to, n: uintptr(at)}, num(pidField), num(unix.MSG_WAITALL))
		c.least, c.exit = pidField, ExitUnheld
		return c
	}
	if len(vars) == 0 {
		return []call{receive(&datum{bytes: make([]byte, pidField)}, 0)}
	}
	var out []call
	for _, v := range vars {
		b := make([]byte, len(v)+1+pidField)
		copy(b, v+"=")
		d := &datum{bytes: b}
		env.list = append(env.list, d)
		out = append(out, receive(d, len(v)+1))
	}
	return out
}

// writing writes to a file of /proc: of the descriptors, 3 is free by now.
func writing(path, text string) []call {
	const fd = 3
	cwd := unix.AT_FDCWD
	out := []call{
		sys(unix.SYS_OPENAT, num(uintptr(cwd)), str(path), num(unix.O_WRONLY|unix.O_CLOEXEC)),
		sys(unix.SYS_WRITE, num(fd), raw([]byte(text)), num(uintptr(len(text)))),
		sys(unix.SYS_CLOSE, num(fd)),
	}
	out[0].least = fd
	return out
}

// keyring are the calls of its stage; a kernel without keys has nothing to keep apart.
func keyring(mode uint8) []call {
	if mode == KeyringKeep {
		return nil
	}
	out := []call{sys(unix.SYS_KEYCTL, num(unix.KEYCTL_JOIN_SESSION_KEYRING), num(0))}
	if mode == KeyringShared {
		user, session := unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING
		out = append(out, sys(unix.SYS_KEYCTL, num(unix.KEYCTL_LINK), num(uintptr(user)), num(uintptr(session))))
	}
	for i := range out {
		out[i].pardon = unix.ENOSYS
	}
	return out
}

// Ignored are the signals that this process ignores, the lowest bit for signal 1.
func Ignored() (set uint64) {
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		var act kernelSigaction
		if err := sigaction(sig, nil, &act); err == nil && act.handler == sigIgn {
			set |= 1 << (sig - 1)
		}
	}
	return set
}

func (st *state) signalCalls(ignored uint64) []call {
	var out []call
	set := func(sig unix.Signal, handler uintptr) {
		out = append(out, sys(unix.SYS_RT_SIGACTION, num(uintptr(sig)), raw(structBytes(&kernelSigaction{handler: handler})), num(0), num(8)))
	}
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		if ignored&(1<<(sig-1)) != 0 {
			set(sig, 0)
		}
	}
	if st.spec.IgnorePipe {
		set(unix.SIGPIPE, sigIgn)
	}
	return append(out, sys(unix.SYS_RT_SIGPROCMASK, num(setMask), raw(make([]byte, 8)), num(0), num(8)))
}

// sliceBytes views a slice as bytes.
func sliceBytes[T uint32 | uint64](l []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&l[0])), len(l)*int(unsafe.Sizeof(l[0])))
}
