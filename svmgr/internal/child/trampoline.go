package child

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A user namespace can be entered by a process with one thread only (setns(2)),
// and a Go program never has one thread. So this process becomes another program,
// made here in memory, which is a loop over a table: it makes one system call after
// the other, reports the first that fails as this process would, and ends with the
// exec of the unit's program. Its process ID, cgroup and descriptors stay; nobody
// outside notices.
//
// The loop is in trampoline_$GOARCH.s. An entry of its table is:
//
//	nr, six arguments, address of the errno in the report, address and length of
//	the report, exit status, descriptor of the report
//
// An exit status below zero goes on after a failure.
const (
	entryWords = 12
	entrySize  = entryWords * 8
	// codeAddress and tableAddress are what the assembly and this file agree on.
	codeAddress  = 0x100000000
	tableAddress = 0x200000000
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
	list = append(list, sys(unix.SYS_WRITE, num(uintptr(st.status)), arg{data: []byte{reportExec}}, num(1)))
	filters, err := st.seccompFilters()
	if err != nil {
		return err
	}
	list = append(list, filters...)
	exec := sys(unix.SYS_EXECVE, str(st.spec.Path), words(st.spec.Argv), words(st.spec.Env))
	exec.stage, exec.path = "exec", st.spec.Path
	list = append(list, exec)

	image := program(unsafe.Slice((*byte)(code), codeSize), table(list, st.status))
	fd, err := unix.MemfdCreate("dynamod-child", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before 6.3 every memfd can be executed
		fd, err = unix.MemfdCreate("dynamod-child", unix.MFD_CLOEXEC)
	}
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

// table lays the calls out with all that they point to, as it will lie at
// tableAddress.
func table(list []call, status int) []byte {
	out := make([]byte, len(list)*entrySize, len(list)*entrySize+1<<16)
	put := func(b []byte) uint64 {
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
		out = append(out, b...)
		return tableAddress + uint64(len(out)-len(b))
	}
	for i := range list {
		c := &list[i]
		entry := [entryWords]uint64{uint64(c.nr)}
		for j := range c.args {
			a := &c.args[j]
			switch {
			case a.list != nil:
				pointers := make([]byte, 0, 8*len(a.list)+8)
				for _, s := range a.list {
					pointers = binary.LittleEndian.AppendUint64(pointers, put(s))
				}
				entry[1+j] = put(binary.LittleEndian.AppendUint64(pointers, 0))
			case len(a.filter) > 0:
				prog := binary.LittleEndian.AppendUint64(nil, uint64(len(a.filter)/8))
				entry[1+j] = put(binary.LittleEndian.AppendUint64(prog, put(a.filter)))
			case len(a.data) > 0:
				entry[1+j] = put(a.data)
			default:
				entry[1+j] = uint64(a.n)
			}
		}
		e := stageErr(c.stage, c.path, unix.EIO).(*StageError)
		report := append([]byte{reportFailure}, e.encode()...)
		entry[8], entry[9] = put(report), uint64(len(report))
		entry[7] = entry[8] + uint64(1+4+len(e.Stage))
		entry[10] = uint64(exitCode(e))
		if c.try {
			entry[10] = ^uint64(0)
		}
		entry[11] = uint64(status)
		for j, w := range entry {
			binary.LittleEndian.PutUint64(out[i*entrySize+8*j:], w)
		}
	}
	return out
}

// program makes an ELF file of the code and the table (elf(5)).
func program(code, table []byte) []byte {
	le := binary.LittleEndian
	out := make([]byte, pageMax, pageMax+len(table))
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], 2) // ET_EXEC
	le.PutUint16(out[18:], elfMachine)
	le.PutUint32(out[20:], 1)
	le.PutUint64(out[24:], codeAddress+elfHead)
	le.PutUint64(out[32:], 64) // the program headers follow
	le.PutUint16(out[52:], 64)
	le.PutUint16(out[54:], 56)
	le.PutUint16(out[56:], 3)
	segment := func(n int, kind, flags uint32, offset, address, size uint64) {
		h := out[64+56*n:]
		le.PutUint32(h[0:], kind)
		le.PutUint32(h[4:], flags)
		le.PutUint64(h[8:], offset)
		le.PutUint64(h[16:], address)
		le.PutUint64(h[24:], address)
		le.PutUint64(h[32:], size)
		le.PutUint64(h[40:], size)
		le.PutUint64(h[48:], pageMax)
	}
	const load, stack, x, w, r = 1, 0x6474e551, 1, 2, 4
	segment(0, load, r|x, 0, codeAddress, uint64(elfHead+len(code)))
	segment(1, load, r|w, pageMax, tableAddress, uint64(len(table)))
	segment(2, stack, r|w, 0, 0, 0)
	copy(out[elfHead:], code)
	return append(out, table...)
}
