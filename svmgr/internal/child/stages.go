package child

import (
	"errors"
	"math/bits"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// state is the set-up under way.
type state struct {
	spec *Spec
	// status is where StatusFD has been moved to, passed where FirstFD … are.
	status int
	passed []int
	// aux are the further descriptors of Spec.Aux.
	aux []int
	tty int
	// open opens sessions of PAM; nil if this program cannot.
	open OpenSession
	// at is the name of the current stage, unless the stage says otherwise.
	at string
}

// A stage is one step of the set-up. Its name is what an operator reads when it
// fails: "stage user: EPERM".
type stage struct {
	name string
	do   func(*state) error
}

// stages are applied in this order. What needs privileges comes before they are
// given up; what later stages must not undo comes late.
var stages = []stage{
	{"session", (*state).session},
	{"descriptors", (*state).lift},
	// A process outside its cgroup would escape limits and the final kill.
	{"cgroup", (*state).cgroup},
	{"oom-score-adj", (*state).oomScore},
	{"coredump-filter", (*state).coreFilter},
	{"umask", (*state).umask},
	{"nice", (*state).nice},
	{"scheduling", (*state).scheduling},
	{"ioprio", (*state).ioprio},
	{"affinity", (*state).affinity},
	{"numa", (*state).numa},
	{"timer-slack", (*state).timerSlack},
	{"personality", (*state).personality},
	{"memory-ksm", (*state).memoryKSM},
	{"keyring", (*state).keyring},
	{"directories", (*state).directories},
	{"credentials", (*state).credentials},
	// Modules see the machine as it is, not the unit's view of it.
	{"pam", (*state).pam},
	// Terminals and files are opened before the identity changes: the manager
	// grants them, whatever the user may open.
	{"tty", (*state).openTTY},
	{"stdin", func(st *state) error { return st.stream(0) }},
	{"stdout", func(st *state) error { return st.stream(1) }},
	{"stderr", func(st *state) error { return st.stream(2) }},
	{"label", (*state).labels},
	{"namespace", (*state).space},
	{"mounts", (*state).view},
	// Limits come after what opens files: LimitNOFILE=0 is legal.
	{"limits", (*state).limits},
	{"groups", (*state).groups},
	{"descriptors", (*state).place},
	{"signals", (*state).signals},
}

// Stages names the stages in order, without "spec" before them.
func Stages() []string {
	var out []string
	for _, s := range stages {
		out = append(out, s.name)
	}
	for _, s := range last {
		out = append(out, s.name)
	}
	return append(out, "user-namespace", "seccomp")
}

func (st *state) run() error {
	st.tty = -1
	for _, s := range stages {
		st.at = s.name
		if err := s.do(st); err != nil {
			return asStage(s.name, err)
		}
	}
	return nil
}

// about adds to an error of the current stage what it was about.
func (st *state) about(path string, err error) error { return stageErr(st.at, path, err) }

func (st *state) session() error {
	if st.spec.SameGroup {
		return nil
	}
	if sid, err := unix.Getsid(0); err == nil && sid == unix.Getpid() {
		return nil
	}
	_, err := unix.Setsid()
	return err
}

func (st *state) cgroup() error {
	want := st.spec.Cgroup
	if want == "" {
		return nil
	}
	text, err := readFile("/proc/self/cgroup")
	if err != nil {
		return st.about(want, err)
	}
	for len(text) > 0 {
		line := text
		if i := index(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		if len(line) > 3 && line[:3] == "0::" {
			if line[3:] == want {
				return nil
			}
			return st.about(line[3:], unix.EXDEV)
		}
	}
	return st.about(want, unix.ENOENT)
}

// oomScore: to be spared more than who has begun us takes CAP_SYS_RESOURCE
// (proc_pid_oom_score_adj(5)), which a container's manager or a user's may not have. The
// program then runs without it, as under systemd 257 in such a container.
func (st *state) oomScore() error {
	if !st.spec.OOMScore.Set {
		return nil
	}
	fd, err := openFile(oomScoreFile, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err = unix.Write(fd, []byte(strconv.Itoa(int(st.spec.OOMScore.N)))); errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}

const oomScoreFile = "/proc/self/oom_score_adj"

func (st *state) coreFilter() error {
	if !st.spec.CoreFilter.Set {
		return nil
	}
	return writeFile("/proc/self/coredump_filter", coreFilter(st.spec.CoreFilter))
}

// coreFilter is the mask as core(5) shows it.
func coreFilter(n Int) string { return "0x" + strconv.FormatUint(uint64(uint32(n.N)), 16) }

func (st *state) umask() error {
	unix.Umask(int(st.spec.Umask & 0o777))
	return nil
}

func (st *state) nice() error {
	if !st.spec.Nice.Set {
		return nil
	}
	err := unix.Setpriority(unix.PRIO_PROCESS, 0, int(st.spec.Nice.N))
	if errors.Is(err, unix.EACCES) {
		if nearest, beyond := nearestNice(int(st.spec.Nice.N)); beyond {
			err = unix.Setpriority(unix.PRIO_PROCESS, 0, nearest)
		}
	}
	return err
}

// BeyondNice says that the nice value may be set by the privileged only.
func BeyondNice(want int) bool {
	_, beyond := nearestNice(want)
	return beyond
}

// nearestNice is what may be set in place of a nice value that is below ours, if it is, and
// below what RLIMIT_NICE allows: to go there takes CAP_SYS_NICE (setpriority(2)). systemd
// 257 in a container that lacks it runs the program with the nearest, too.
func nearestNice(want int) (nearest int, beyond bool) {
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	var limit unix.Rlimit
	if err != nil || unix.Getrlimit(unix.RLIMIT_NICE, &limit) != nil {
		return 0, false
	}
	// The system calls have 20 more than the value has less: from 1 for 19 to 40 for -20.
	most := max(now, int(min(limit.Cur, 40)))
	return 20 - most, 20-want > most
}

const schedResetOnFork = 0x40000000

// flags are the policy as sched_setscheduler(2) takes it.
func (s *Sched) flags() uintptr {
	policy := uintptr(s.Policy)
	if s.ResetOnFork {
		policy |= schedResetOnFork
	}
	return policy
}

func (st *state) scheduling() error {
	s := &st.spec.Sched
	if !s.Set {
		return nil
	}
	return direct(unix.SYS_SCHED_SETSCHEDULER, 0, s.flags(), uintptr(unsafe.Pointer(&s.Priority)))
}

// ioprioProcess is IOPRIO_WHO_PROCESS of ioprio_set(2).
const ioprioProcess = 1

func (st *state) ioprio() error {
	if !st.spec.IOPrio.Set {
		return nil
	}
	return direct(unix.SYS_IOPRIO_SET, ioprioProcess, 0, uintptr(st.spec.IOPrio.N))
}

func (st *state) affinity() error {
	m := st.spec.Affinity
	if len(m) == 0 {
		return nil
	}
	return direct(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(len(m)*8), uintptr(unsafe.Pointer(&m[0])))
}

func (st *state) numa() error {
	n := st.spec.NUMA
	if !n.Set {
		return nil
	}
	if len(n.Nodes) == 0 {
		return direct(unix.SYS_SET_MEMPOLICY, uintptr(n.Mode), 0, 0)
	}
	last := n.Nodes[len(n.Nodes)-1]
	max := uintptr((len(n.Nodes)-1)*64+bits.Len64(last)) + 1 // the kernel looks at max-1 bits
	return direct(unix.SYS_SET_MEMPOLICY, uintptr(n.Mode), uintptr(unsafe.Pointer(&n.Nodes[0])), max)
}

func (st *state) timerSlack() error {
	if st.spec.TimerSlack == 0 {
		return nil
	}
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(st.spec.TimerSlack), 0, 0, 0)
}

func (st *state) personality() error {
	if !st.spec.Personality.Set {
		return nil
	}
	// personality(2) answers with the old one; -1 is an error.
	return direct(unix.SYS_PERSONALITY, uintptr(uint32(st.spec.Personality.N)), 0, 0)
}

func (st *state) keyring() error {
	if st.spec.Keyring == KeyringKeep {
		return nil
	}
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err == unix.ENOSYS {
		return nil // a kernel without keys has nothing to keep apart
	}
	if err != nil || st.spec.Keyring != KeyringShared {
		return err
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_SESSION_KEYRING, 0, 0)
	return err
}

func (st *state) limits() error {
	if st.spec.PAM.Service != "" {
		return nil // they were set before the session, whose modules may change them
	}
	return st.setLimits()
}

func (st *state) setLimits() error {
	for _, l := range st.spec.Limits {
		// unix.Setrlimit tells package syscall that the limit of descriptors
		// is ours now, so that the exec leaves it alone.
		err := unix.Setrlimit(int(l.Resource), &unix.Rlimit{Cur: l.Soft, Max: l.Hard})
		if errors.Is(err, unix.EPERM) {
			if nearest, above := nearestLimit(l); above {
				err = unix.Setrlimit(int(l.Resource), &nearest)
			}
		}
		if err != nil {
			return st.about(limitName(l.Resource), err)
		}
	}
	return nil
}

// nearestLimit is what may be set in place of a limit that is above our own hard one, if
// it is: to go there takes CAP_SYS_RESOURCE (setrlimit(2)). In a container that lacks it
// Debian's systemd-journald.service, which asks for many descriptors, runs with fewer, as
// under systemd 257.
func nearestLimit(l Limit) (nearest unix.Rlimit, above bool) {
	var own unix.Rlimit
	if err := unix.Getrlimit(int(l.Resource), &own); err != nil || own.Max >= l.Hard {
		return unix.Rlimit{}, false
	}
	return unix.Rlimit{Cur: min(l.Soft, own.Max), Max: own.Max}, true
}

var limitNames = [...]string{"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as",
	"locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"}

func limitName(r int32) string {
	if r >= 0 && int(r) < len(limitNames) {
		return limitNames[r]
	}
	return strconv.Itoa(int(r))
}

// kernelSigaction is struct sigaction as rt_sigaction(2) takes it.
type kernelSigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const (
	lastSignal = 64
	sigIgn     = 1 // SIG_IGN
	setMask    = 2 // SIG_SETMASK
)

// signals gives every signal its default disposition and empties the mask. The
// handlers of the Go runtime would be reset by the exec anyway; what matters is
// what an ancestor ignored or blocked.
func (st *state) signals() error {
	// Blocked first: no signal shall meet a runtime without its handlers.
	full := ^uint64(0)
	if err := sigmask(&full); err != nil {
		return err
	}
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		var act kernelSigaction
		if sig == uintptr(unix.SIGPIPE) && st.spec.IgnorePipe {
			act.handler = sigIgn
		}
		if err := sigaction(unix.Signal(sig), &act, nil); err != nil {
			return err
		}
	}
	none := uint64(0)
	return sigmask(&none)
}

func sigaction(sig unix.Signal, act, old *kernelSigaction) error {
	_, _, no := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if no != 0 {
		return no
	}
	return nil
}

func sigmask(m *uint64) error {
	_, _, no := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(m)), 0, 8, 0, 0)
	if no != 0 {
		return no
	}
	return nil
}

// direct is a system call that concerns this thread only.
func direct(nr, a, b, c uintptr) error {
	_, _, no := unix.RawSyscall(nr, a, b, c)
	if no != 0 {
		return no
	}
	return nil
}

func index(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// setMemoryMerge is PR_SET_MEMORY_MERGE, not in x/sys; kept over exec since Linux 6.7.
const setMemoryMerge = 67

func (st *state) memoryKSM() error {
	if !st.spec.MemoryKSM.Set {
		return nil
	}
	if _, _, no := unix.RawSyscall6(unix.SYS_PRCTL, setMemoryMerge, uintptr(st.spec.MemoryKSM.N), 0, 0, 0, 0); no != 0 {
		return no
	}
	return nil
}
