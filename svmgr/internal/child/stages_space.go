package child

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// space joins and makes the namespaces other than those of mounts and users.
func (st *state) space() error {
	p := &st.spec.Space
	for _, j := range p.Join {
		if int(j.Aux) >= len(st.aux) {
			return st.about(spaceName(j.Kind), unix.EBADF)
		}
		if err := unix.Setns(st.aux[j.Aux], int(j.Kind)); err != nil {
			return st.about(spaceName(j.Kind), err)
		}
	}
	for bit := uint64(1); bit != 0 && bit <= p.Unshare; bit <<= 1 {
		if p.Unshare&bit == 0 {
			continue
		}
		if err := unix.Unshare(int(bit)); err != nil {
			return st.about(spaceName(bit), err)
		}
	}
	if p.Loopback {
		return st.about("lo", loopback())
	}
	return nil
}

func spaceName(kind uint64) string {
	switch kind {
	case unix.CLONE_NEWNET:
		return "net"
	case unix.CLONE_NEWIPC:
		return "ipc"
	case unix.CLONE_NEWUTS:
		return "uts"
	case unix.CLONE_NEWCGROUP:
		return "cgroup"
	case unix.CLONE_NEWTIME:
		return "time"
	case unix.CLONE_NEWPID:
		return "pid"
	case unix.CLONE_NEWUSER:
		return "user"
	}
	return "namespace"
}

// loopback brings up the one device of a new network namespace (netdevice(7)).
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// Loopback is loopback for the manager, which makes namespaces that processes
// share.
func Loopback() error { return loopback() }

// newUsers makes a user namespace with the given maps and returns a descriptor of
// it. A process must live in it while they are written; it does nothing but wait.
func newUsers(u *Users) (int, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	defer unix.Close(p[0])
	pid, err := forkWaiter(p[0], p[1])
	if err != nil {
		unix.Close(p[1])
		return -1, err
	}
	fd := -1
	dir := "/proc/" + itoa(pid)
	for _, m := range [...]struct {
		file string
		maps []IDMap
	}{{"/uid_map", u.UIDs}, {"/gid_map", u.GIDs}} {
		if err == nil {
			err = writeFile(dir+m.file, mapText(m.maps))
		}
	}
	if err == nil {
		fd, err = unix.Open(dir+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	unix.Close(p[1]) // lets the waiter end
	var status unix.WaitStatus
	for {
		if _, e := unix.Wait4(pid, &status, unix.WALL, nil); e != unix.EINTR {
			break
		}
	}
	return fd, err
}

func mapText(maps []IDMap) string {
	text := ""
	for _, m := range maps {
		text += itoa(int(m.Inside)) + " " + itoa(int(m.Outside)) + " " + itoa(int(m.Count)) + "\n"
	}
	return text
}

// forkWaiter makes a process in a new user namespace that lives until the other
// end of the pipe is closed. It is a bare fork: the new process has this thread
// only, so that it must not do more than a few system calls.
//
//go:norace
//go:noinline
func forkWaiter(r, w int) (int, error) {
	var b [8]byte
	pid, _, no := unix.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if no != 0 {
		return 0, no
	}
	if pid == 0 {
		unix.RawSyscall(unix.SYS_CLOSE, uintptr(w), 0, 0)
		unix.RawSyscall(unix.SYS_READ, uintptr(r), uintptr(unsafe.Pointer(&b[0])), 1)
		for {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return int(pid), nil
}
