package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"

	"golang.org/x/sys/unix"

	"dynamod/init/internal/pid1"
	"dynamod/init/internal/raw"
)

func main() {
	// Children are forked from this thread, so that its signal mask is theirs.
	runtime.LockOSThread()
	os.Exit(start(os.Args[1:]))
}

// exitUsage is for a call that cannot be meant.
const exitUsage = 2

func start(args []string) int {
	log := &logger{kmsg: -1, console: 2}
	if isEnd(args) && os.Getpid() == 1 {
		return runEnd(args, log)
	}
	o, err := parseArgs(args)
	if os.Getpid() != 1 {
		log.say(3, "this is process "+string(appendNumber(nil, int64(os.Getpid())))+", not 1; try: unshare -p -f dynamod-init --svmgr PATH")
		return exitUsage
	}
	if o.container = o.container || os.Getenv("container") != "" || !firstPIDNamespace(); !o.container {
		if err != nil {
			// Words of the kernel command line; a machine boots without them.
			log.say(3, err.Error())
			o, _ = parseArgs(nil)
		}
		return bootMachine(o, log)
	}
	if err != nil {
		log.say(3, err.Error())
		return exitUsage
	}
	if len(o.unknown) > 0 {
		log.say(3, "unknown argument "+o.unknown[0]+"; what is for the manager comes after --")
		return exitUsage
	}
	return serve(o, log)
}

// firstPIDNamespace: its number is fixed in the kernel's interface with user space
// (PROC_PID_INIT_INO, include/linux/proc_ns.h). Without /proc it is taken for the
// first, as only a kernel starts a PID 1 with nothing mounted.
func firstPIDNamespace() bool {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return true
	}
	return st.Ino == 0xEFFFFFFC
}

// serve is the running part. It returns the exit code of a container; a machine
// does not come back.
func serve(o options, log *logger) int {
	o.cfg.Container = o.container
	frugal()
	defaultDispositions()
	emptyMask()
	raiseLimit()
	// What PID 1 was started with is not for its children, save 0, 1 and 2.
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	sig, err := catchSignals()
	if err != nil {
		// Without memory for one descriptor at boot nothing can run.
		log.say(0, "create eventfd: "+err.Error())
		return 1
	}
	r, err := newRunner(o, sig, log)
	if err != nil {
		log.say(0, err.Error())
		return 1
	}
	r.run()
	return r.finish()
}

// frugal: nothing is allocated in steady state, so that there is nothing to collect.
// The limit is for what a hundred restarts of the manager leave behind.
func frugal() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(8 << 20)
	smallPages()
}

// arena is how large the pieces are in which Go's run-time reserves its heap, and what
// they are aligned to (runtime/malloc.go, heapArenaBytes on 64 bits).
const arena = 64 << 20

// smallPages keeps the kernel from making a page of 2 MB of the heap, of which a quarter
// is used (docs/pid1.md, Memory). The GODEBUG that does it for the manager would have to
// come from the kernel's command line. Where pages are not like that nothing happens.
func smallPages() {
	heap := uintptr(unsafe.Pointer(&make([]byte, 64<<10)[0]))
	unix.RawSyscall(unix.SYS_MADVISE, heap&^(arena-1), arena, unix.MADV_NOHUGEPAGE)
}

// raiseLimit makes room for what is kept. It goes past the syscall package, which
// would otherwise give the new limit to children.
func raiseLimit() {
	want := unix.Rlimit{Cur: pid1.MaxKept + 256, Max: pid1.MaxKept + 256}
	var have unix.Rlimit
	if prlimit(nil, &have) != 0 || have.Cur >= want.Cur {
		return
	}
	want.Max = max(want.Max, have.Max)
	if prlimit(&want, nil) != 0 {
		want = unix.Rlimit{Cur: have.Max, Max: have.Max}
		prlimit(&want, nil)
	}
}

func prlimit(to, from *unix.Rlimit) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(from)), 0, 0)
	return e
}

// finish is the end of everything.
func (r *runner) finish() int {
	end := r.m.End()
	if r.opts.container {
		raw.Kill(-1, int32(unix.SIGKILL))
		return int(end.Code)
	}
	return goDown(r, end)
}
