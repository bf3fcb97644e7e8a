package child

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call is one system call of the last stages. They are worked out first and made
// afterwards, because there are two who make them: this process, or, when a user
// namespace is entered, which takes a process with a single thread (setns(2)), a
// program of a few instructions that this one becomes.
type call struct {
	stage, path string
	nr          uintptr
	args        [6]arg
	// try goes on when it fails.
	try bool
	// The rest is for trampolines. least is the smallest result that is no failure;
	// pardon is an errno that is none; exit is the status after a failure that is not
	// reported.
	least  int
	pardon syscall.Errno
	exit   int
}

// arg is a number, or the address of something plus that number.
type arg struct {
	n  uintptr
	to *datum
}

// datum is what an argument points to: bytes, or one of the others.
type datum struct {
	bytes []byte
	// list is an array of pointers to these, with NULL at its end.
	list []*datum
	// filter is a struct sock_fprog of the instructions in bytes.
	filter bool
}

func num(n uintptr) arg    { return arg{n: n} }
func raw(b []byte) arg     { return arg{to: &datum{bytes: b}} }
func text(s string) *datum { return &datum{bytes: append(append(make([]byte, 0, len(s)+1), s...), 0)} }
func str(s string) arg     { return arg{to: text(s)} }
func words(l []string) *datum {
	d := &datum{list: make([]*datum, len(l), len(l)+2)}
	for i, s := range l {
		d.list[i] = text(s)
	}
	return d
}

func sys(nr uintptr, args ...arg) call {
	c := call{nr: nr}
	copy(c.args[:], args)
	return c
}

// last are the stages that give up what the ones before them needed.
var last = []struct {
	name string
	make func(*state) ([]call, error)
}{
	{"capability-bounding-set", (*state).bounding},
	{"secure-bits", (*state).secureBits},
	{"group", (*state).group},
	{"user", (*state).user},
	{"ambient-capabilities", (*state).ambient},
	// As the user: a home on a network file system may be closed to root.
	{"working-directory", (*state).chdir},
	{"no-new-privileges", (*state).noNewPrivs},
	{"no-write-exec", (*state).noWriteExec},
	{"exec", (*state).canExec},
}

// calls works out one of the last stages.
func (st *state) calls(i int) ([]call, error) {
	st.at = last[i].name
	list, err := last[i].make(st)
	if err != nil {
		return nil, asStage(last[i].name, err)
	}
	for j := range list {
		list[j].stage = last[i].name
	}
	return list, nil
}

func asStage(name string, err error) error {
	if _, ok := err.(*StageError); ok {
		return err
	}
	return stageErr(name, "", err)
}

// finish makes the last calls in this process.
func (st *state) finish() error {
	for i := range last {
		list, err := st.calls(i)
		if err != nil {
			return err
		}
		if err := perform(list); err != nil {
			return err
		}
	}
	return nil
}

func perform(list []call) error {
	for i := range list {
		c := &list[i]
		if err := c.do(); err != nil && !c.try {
			return stageErr(c.stage, c.path, err)
		}
	}
	return nil
}

// do makes the call in this thread only, which is the one that execs; package
// syscall would change all threads of the runtime, at some cost.
func (c *call) do() error {
	var n [6]uintptr
	for i := range c.args {
		a := &c.args[i]
		switch {
		case a.to == nil:
			n[i] = a.n
		case a.to.filter:
			b := a.to.bytes
			f := unix.SockFprog{Len: uint16(len(b) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&b[0]))}
			n[i] = uintptr(unsafe.Pointer(&f))
		default:
			n[i] = uintptr(unsafe.Pointer(&a.to.bytes[0]))
		}
	}
	_, _, no := unix.RawSyscall6(c.nr, n[0], n[1], n[2], n[3], n[4], n[5])
	if no != 0 {
		return no
	}
	return nil
}

// structBytes views what p points to as bytes.
func structBytes[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

func prctl(args ...uintptr) call {
	c := call{nr: unix.SYS_PRCTL}
	for i, a := range args {
		c.args[i] = num(a)
	}
	return c
}

// seccompFilters are the calls that load the filters. They come after everything
// else: a filter may forbid whatever the stages do.
func (st *state) seccompFilters() ([]call, error) {
	const setModeFilter = 1
	var out []call
	for _, f := range st.spec.Filters {
		n := len(f.Prog) / 8
		if n == 0 || len(f.Prog)%8 != 0 || n > maxFilter {
			return nil, stageErr("seccomp", f.Name, unix.EINVAL)
		}
		c := sys(unix.SYS_SECCOMP, num(setModeFilter), num(0), arg{to: &datum{bytes: f.Prog, filter: true}})
		c.stage, c.path = "seccomp", f.Name
		out = append(out, c)
	}
	return out, nil
}

func (st *state) noNewPrivs() ([]call, error) {
	if !st.spec.NoNewPrivs {
		return nil, nil
	}
	return []call{prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)}, nil
}

func (st *state) noWriteExec() ([]call, error) {
	if !st.spec.NoWriteExec {
		return nil, nil
	}
	return []call{prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)}, nil
}

// canExec looks whether the program can be executed, while there is no filter that
// would keep a failure from being reported.
func (st *state) canExec() ([]call, error) {
	if len(st.spec.Filters) == 0 {
		return nil, nil
	}
	at := unix.AT_FDCWD
	c := sys(unix.SYS_FACCESSAT2, num(uintptr(at)), str(st.spec.Path), num(unix.X_OK), num(unix.AT_EACCESS))
	c.path = st.spec.Path
	return []call{c}, nil
}

// maxFilter is BPF_MAXINSNS of the kernel.
const maxFilter = 4096
