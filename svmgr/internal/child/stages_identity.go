package child

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// secbitKeepCaps is of capabilities(7); an exec clears it.
const secbitKeepCaps = 1 << 4

func (st *state) lastCap() uint {
	// PR_CAPBSET_READ fails with EINVAL past the kernel's last capability.
	for c := uint(63); ; c-- {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0); err == nil || c == 0 {
			return c
		}
	}
}

func (st *state) bounding() ([]call, error) {
	if !st.spec.HasBounding {
		return nil, nil
	}
	var out []call
	for c := range st.lastCap() + 1 {
		if st.spec.Bounding&(1<<c) != 0 {
			continue
		}
		if !st.spec.Space.Users.Set { // where they are all there again
			has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
			if err != nil {
				return nil, err
			}
			if has == 0 {
				continue
			}
		}
		out = append(out, prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0))
	}
	return out, nil
}

// mustFilter says that CAP_SYS_ADMIN is needed up to the end, to load filters
// without no_new_privs (seccomp(2)).
func (st *state) mustFilter() bool { return len(st.spec.Filters) > 0 && !st.spec.NoNewPrivs }

func (st *state) secureBits() ([]call, error) {
	// Without it, the change of the user would empty the permitted set that the
	// ambient one is taken from. The exec ends it.
	keep := st.spec.Ids.SetUID && (st.spec.Ambient != 0 || st.mustFilter())
	bits := st.spec.SecureBits
	switch {
	case st.spec.HasSecure && keep:
		bits |= secbitKeepCaps
		fallthrough
	case st.spec.HasSecure:
		return []call{prctl(unix.PR_SET_SECUREBITS, uintptr(bits), 0, 0, 0)}, nil
	case keep:
		return []call{prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)}, nil
	}
	return nil, nil
}

func (st *state) groups() error {
	ids := st.spec.Ids
	if !ids.SetGroups {
		return nil
	}
	var p uintptr
	if len(ids.Groups) > 0 {
		p = uintptr(unsafe.Pointer(&ids.Groups[0]))
	}
	return direct(unix.SYS_SETGROUPS, uintptr(len(ids.Groups)), p, 0)
}

// noID means "leave it as it is" to setresuid(2): the process would stay root.
const noID = 1<<32 - 1

func (st *state) group() ([]call, error) {
	return changeID(unix.SYS_SETRESGID, st.spec.Ids.SetGID, st.spec.Ids.GID)
}

func (st *state) user() ([]call, error) {
	return changeID(unix.SYS_SETRESUID, st.spec.Ids.SetUID, st.spec.Ids.UID)
}

func changeID(nr uintptr, set bool, id uint32) ([]call, error) {
	if !set {
		return nil, nil
	}
	if id == noID {
		return nil, unix.EINVAL
	}
	return []call{sys(nr, num(uintptr(id)), num(uintptr(id)), num(uintptr(id)))}, nil
}

// ambient makes the capabilities inheritable and ambient (capabilities(7)). After
// a change from root the permitted set is cut to them too; what is needed up to the
// exec ends there.
func (st *state) ambient() ([]call, error) {
	want := st.spec.Ambient
	held := st.spec.Space.DropHeld
	lost := held || st.spec.Ids.SetUID && st.spec.Ids.UID != 0
	if want == 0 && !held && !(lost && st.mustFilter()) {
		return nil, nil
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if st.spec.Space.Users.Set {
		all := uint64(1)<<(st.lastCap()+1) - 1
		data[0].Permitted, data[1].Permitted = uint32(all), uint32(all>>32)
	} else if err := unix.Capget(&hdr, &data[0]); err != nil {
		return nil, err
	}
	keep := want
	if st.mustFilter() {
		keep |= 1 << unix.CAP_SYS_ADMIN
	}
	for i := range data {
		w := uint32(want >> (32 * i))
		if data[i].Permitted&w != w {
			return nil, unix.EPERM
		}
		if held {
			data[i].Inheritable = 0
		}
		data[i].Inheritable |= w
		if lost {
			data[i].Permitted &= uint32(keep >> (32 * i))
		}
		data[i].Effective = data[i].Permitted
	}
	var out []call
	if held {
		out = append(out, prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
	}
	out = append(out, sys(unix.SYS_CAPSET, raw(structBytes(&hdr)), raw(structBytes(&data))))
	for c := range uint(64) {
		if want&(1<<c) != 0 {
			out = append(out, prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0))
		}
	}
	return out, nil
}

func (st *state) chdir() ([]call, error) {
	dir := st.spec.Cwd
	if dir == "" {
		dir = "/"
	}
	c := sys(unix.SYS_CHDIR, str(dir))
	c.path = dir
	if !st.spec.CwdOptional {
		return []call{c}, nil
	}
	c.try = true
	return []call{sys(unix.SYS_CHDIR, str("/")), c}, nil
}

// labels tell security modules what the program is to be. They are written to the
// thread that execs.
func (st *state) labels() error {
	for _, l := range st.spec.Labels {
		err := writeFile("/proc/thread-self/attr/"+l.Attr, l.Text)
		if err != nil && !l.Optional {
			return st.about(l.Attr, err)
		}
	}
	return nil
}
