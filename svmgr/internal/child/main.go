package child

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main sets this process up and becomes the program. It never returns. A Spec with a
// session of PAM is not for it.
func Main() { MainWith(nil) }

// OpenSession opens a session of PAM for this process and sees to its end. given are the
// unit's variables, which modules may read; it returns those and what modules set, as
// NAME=VALUE. What modules do to the process stays. Its error is an errno, with the call
// that failed in a *StageError.
type OpenSession func(p PAM, given []string) (env []string, err error)

// MainWith is Main with somebody who opens sessions of PAM. Modules change things of the
// calling thread, so it must be called on the process's first one (proc(5), loginuid).
func MainWith(open OpenSession) {
	// What the stages change is mostly a property of the calling thread, and
	// execve(2) takes that of the thread which calls it.
	runtime.LockOSThread()
	unix.CloseOnExec(StatusFD)
	s, err := readSpec()
	if err != nil {
		fail(StatusFD, err, ExitSetup)
	}
	if s.Hold && !permitted(StatusFD) {
		unix.Exit(ExitUnheld)
	}
	st := &state{spec: s, status: StatusFD, open: open}
	if err := st.run(); err != nil {
		fail(st.status, err, ExitSetup)
	}
	for _, v := range s.PIDVars {
		s.Env = append(s.Env, v+"="+itoa(unix.Getpid()))
	}
	if s.Space.Users.Set {
		fail(st.status, st.jump(), ExitSetup)
	}
	if err := st.finish(); err != nil {
		fail(st.status, err, exitCode(err))
	}
	filters, err := st.seccompFilters()
	if err != nil {
		fail(st.status, err, ExitSetup)
	}
	write(st.status, []byte{reportExec})
	if err := perform(filters); err != nil {
		fail(st.status, err, ExitSetup)
	}
	// syscall.Exec gives back the soft limit of descriptors that the Go runtime
	// raised, unless a stage set one.
	err = stageErr("exec", s.Path, syscall.Exec(s.Path, s.Argv, s.Env))
	fail(st.status, err, ExitExec)
}

// permitted waits for the go-ahead.
func permitted(fd int) bool {
	var b [1]byte
	for {
		n, err := unix.Read(fd, b[:])
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

func exitCode(err error) int {
	if e, ok := err.(*StageError); ok && e.Stage == "exec" {
		return ExitExec
	}
	return ExitSetup
}

func readSpec() (*Spec, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(SpecFD, &stat); err != nil {
		return nil, stageErr("spec", "", err)
	}
	if stat.Size <= 0 || stat.Size > MaxSpec {
		return nil, stageErr("spec", "", unix.E2BIG)
	}
	buf := make([]byte, stat.Size)
	for at := 0; at < len(buf); {
		n, err := unix.Pread(SpecFD, buf[at:], int64(at))
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return nil, stageErr("spec", "", unix.EIO)
		}
		at += n
	}
	unix.Close(SpecFD)
	s, err := Decode(buf)
	if err != nil {
		return nil, stageErr("spec", "", unix.EBADMSG)
	}
	return s, nil
}

// What is written to the status descriptor: reportExec right before the exec,
// reportFailure with a record when a stage failed. The end of the stream after
// reportExec alone means that the program runs.
const (
	reportExec    = 'E'
	reportFailure = 'F'
)

func fail(fd int, err error, code int) {
	e, ok := err.(*StageError)
	if !ok {
		e = &StageError{Stage: "spec", Errno: int32(unix.EIO)}
	}
	write(fd, append([]byte{reportFailure}, e.encode()...))
	unix.Exit(code)
}

func write(fd int, b []byte) {
	for len(b) > 0 {
		// Without SIGPIPE: the manager may have been killed meanwhile. It is a
		// socket if the manager can be taken over from.
		n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.ENOTSOCK {
			n, err = unix.Write(fd, b)
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		b = b[n:]
	}
}

func (e *StageError) encode() []byte {
	c := &codec{writing: true, buf: make([]byte, 0, 3*4+len(e.Stage)+len(e.Path))}
	c.stageError(e)
	return c.buf
}

func (c *codec) stageError(e *StageError) { c.str(&e.Stage); c.i32(&e.Errno); c.str(&e.Path) }

// MaxReport bounds what comes out of the status descriptor: path and names are
// cut to it.
const MaxReport = 1 + 3*4 + maxReportPath + 64

const maxReportPath = 512

// ParseReport reads all that came out of the status descriptor. executed says
// that the program was reached; err is a *StageError. Neither means that the
// process ended in between.
func ParseReport(b []byte) (executed bool, err *StageError) {
	for len(b) > 0 {
		switch b[0] {
		case reportExec:
			executed, b = true, b[1:]
		case reportFailure:
			c := &codec{buf: b[1:]}
			e := new(StageError)
			if c.stageError(e); c.bad {
				return false, &StageError{Stage: "spec", Errno: int32(unix.EBADMSG)}
			}
			return false, e
		default:
			return false, &StageError{Stage: "spec", Errno: int32(unix.EBADMSG)}
		}
	}
	return executed, nil
}

func stageErr(stage, path string, err error) error {
	if err == nil {
		return nil
	}
	no, ok := err.(syscall.Errno)
	if !ok {
		no = unix.EIO
	}
	if len(path) > maxReportPath {
		path = path[:maxReportPath]
	}
	return &StageError{Stage: stage, Errno: int32(no), Path: path}
}
