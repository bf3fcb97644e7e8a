package child

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A trampoline is a program made here in memory, which is a loop over a table: it makes
// one system call after the other, reports the first that fails as this process would,
// and ends with the exec of the unit's program. There are two uses of it:
//
//   - A user namespace can be entered by a process with one thread only (setns(2)),
//     and a Go program never has one thread. So dynamod-child becomes one at its end
//     (jump); process ID, cgroup and descriptors stay, and nobody outside notices.
//   - Most units need nothing that must be worked out in the process itself. Theirs
//     is made by the manager and takes the place of dynamod-child (Maker.Program): the
//     start of a Go program would be most of what the start of such a unit costs.
//
// The loop is in trampoline_$GOARCH.s. An entry of its table is:
//
//	nr, six arguments, address of the errno in the report, address and length of
//	the report, exit status, descriptor of the report, the least result that is none
//	of a failure, an errno that is none either
const (
	entryWords = 14
	entrySize  = entryWords * 8
	// codeAddress and tableAddress are what the assembly and this file agree on: the
	// file is mapped at both, and the table follows the code.
	codeAddress  = 0x100000000
	tableAddress = 0x200000000 + elfHead + codeSize
	// pageMax is the largest page of any machine.
	pageMax  = 0x10000
	codeSize = 512
	elfHead  = 64 + 3*56
)

// jump becomes the program of the table. It returns only when it fails.
func (st *state) jump() error {
	const stage = "user-namespace"
	code := trampolineCode()
	if code == nil {
		return stageErr(stage, "no code for this machine", unix.ENOSYS)
	}
	users, err := newUsers(&st.spec.Space.Users)
	if err != nil {
		return stageErr(stage, "", err)
	}
	closing := func(fd int) call {
		return sys(unix.SYS_FCNTL, num(uintptr(fd)), num(unix.F_SETFD), num(unix.FD_CLOEXEC))
	}
	list := []call{closing(st.status), closing(users), sys(unix.SYS_SETNS, num(uintptr(users)), num(unix.CLONE_NEWUSER))}
	for i := range list {
		list[i].stage = stage
	}
	for i := range last {
		more, err := st.calls(i)
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	end, err := st.ending(words(st.spec.Env))
	if err != nil {
		return err
	}
	list = append(list, end...)

	image := program(nil, code, list, st.status)
	fd, err := ProgramFile()
	if err != nil {
		return stageErr(stage, "", err)
	}
	if err := writeAll(fd, image); err != nil {
		return stageErr(stage, "", err)
	}
	for _, keep := range []int{st.status, users} {
		if _, err := unix.FcntlInt(uintptr(keep), unix.F_SETFD, 0); err != nil {
			return stageErr(stage, "", err)
		}
	}
	argv := [2]*byte{&[]byte("dynamod-child\x00")[0]}
	var env [1]*byte
	_, _, no := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&[]byte{0}[0])),
		uintptr(unsafe.Pointer(&argv)), uintptr(unsafe.Pointer(&env)), unix.AT_EMPTY_PATH, 0)
	return stageErr(stage, "execveat", no)
}

// ending are the calls from the word that the program follows, to its exec.
func (st *state) ending(env *datum) ([]call, error) {
	filters, err := st.seccompFilters()
	if err != nil {
		return nil, err
	}
	report := sys(unix.SYS_WRITE, num(uintptr(st.status)), raw([]byte{reportExec}), num(1))
	if st.spec.Hold { // a socket: no SIGPIPE when the manager was killed
		report = sys(unix.SYS_SENDTO, num(uintptr(st.status)), raw([]byte{reportExec}), num(1), num(unix.MSG_NOSIGNAL))
	}
	report.try = true
	exec := sys(unix.SYS_EXECVE, str(st.spec.Path), arg{to: words(st.spec.Argv)}, arg{to: env})
	exec.stage, exec.path = "exec", st.spec.Path
	return append(append([]call{report}, filters...), exec), nil
}

// ProgramFile is an empty file in memory for a program.
func ProgramFile() (int, error) {
	fd, err := unix.MemfdCreate("dynamod-child", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before 6.3 every memfd can be executed
		fd, err = unix.MemfdCreate("dynamod-child", unix.MFD_CLOEXEC)
	}
	return fd, err
}

// program appends to buf, which is empty, the calls with all that they point to, as they
// will lie at tableAddress, behind the code, as an ELF file (elf(5)).
func program(buf []byte, code unsafe.Pointer, list []call, status int) []byte {
	const start = elfHead + codeSize
	out := slices.Grow(buf, start+len(list)*entrySize+1<<11)[:start+len(list)*entrySize]
	clear(out)
	put := func(b []byte) uint64 {
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
		out = append(out, b...)
		return tableAddress + uint64(len(out)-len(b)-start)
	}
	// What is pointed to more than once lies there once: it may be written to.
	type lying struct {
		d  *datum
		at uint64
	}
	placed := make([]lying, 0, 48)
	var place func(d *datum) uint64
	place = func(d *datum) (at uint64) {
		for i := range placed {
			if placed[i].d == d {
				return placed[i].at
			}
		}
		switch {
		case d.list != nil:
			pointers := make([]byte, 0, 8*len(d.list)+8)
			for _, e := range d.list {
				pointers = binary.LittleEndian.AppendUint64(pointers, place(e))
			}
			at = put(binary.LittleEndian.AppendUint64(pointers, 0))
		case d.filter:
			prog := binary.LittleEndian.AppendUint64(nil, uint64(len(d.bytes)/8))
			at = put(binary.LittleEndian.AppendUint64(prog, put(d.bytes)))
		default:
			at = put(d.bytes)
		}
		placed = append(placed, lying{d, at})
		return at
	}
	var report uint64
	var length int
	for i := range list {
		c := &list[i]
		entry := [entryWords]uint64{0: uint64(c.nr), 11: uint64(status), 12: uint64(c.least), 13: ^uint64(0)}
		for j, a := range c.args {
			entry[1+j] = uint64(a.n)
			if a.to != nil {
				entry[1+j] += place(a.to)
			}
		}
		if c.exit != 0 {
			entry[10] = uint64(c.exit) // nothing is reported
		} else {
			e := StageError{Stage: c.stage, Errno: int32(unix.EIO), Path: c.path[:min(len(c.path), maxReportPath)]}
			if i == 0 || c.stage != list[i-1].stage || c.path != list[i-1].path || report == 0 {
				b := append([]byte{reportFailure}, e.encode()...)
				report, length = put(b), len(b)
			}
			entry[7] = report + uint64(1+4+len(c.stage)) // its errno
			entry[8], entry[9], entry[10] = report, uint64(length), uint64(exitCode(&e))
		}
		if c.try {
			entry[12] = 1 << 63
		}
		if c.pardon != 0 {
			entry[13] = uint64(c.pardon)
		}
		for j, w := range entry {
			binary.LittleEndian.PutUint64(out[start+i*entrySize+8*j:], w)
		}
	}
	elfHeader(out)
	copy(out[elfHead:], unsafe.Slice((*byte)(code), codeSize))
	return out
}

// elfHeader writes the header of the file. Both segments are all of it.
func elfHeader(out []byte) {
	le := binary.LittleEndian
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], 2) // ET_EXEC
	le.PutUint16(out[18:], elfMachine)
	le.PutUint32(out[20:], 1)
	le.PutUint64(out[24:], codeAddress+elfHead)
	le.PutUint64(out[32:], 64) // the program headers follow
	le.PutUint16(out[52:], 64)
	le.PutUint16(out[54:], 56)
	le.PutUint16(out[56:], 3)
	segment := func(n int, kind, flags uint32, address, size uint64) {
		h := out[64+56*n:]
		le.PutUint32(h[0:], kind)
		le.PutUint32(h[4:], flags)
		le.PutUint64(h[16:], address)
		le.PutUint64(h[24:], address)
		le.PutUint64(h[32:], size)
		le.PutUint64(h[40:], size)
		le.PutUint64(h[48:], pageMax)
	}
	const load, stack, x, w, r = 1, 0x6474e551, 1, 2, 4
	segment(0, load, r|x, codeAddress, uint64(len(out)))
	segment(1, load, r|w, tableAddress-(elfHead+codeSize), uint64(len(out)))
	segment(2, stack, r|w, 0, 0)
}
