package child

import (
	"slices"

	"golang.org/x/sys/unix"
)

// pam opens the session of PAMName= (systemd.exec(5)). The unit's limits are there before,
// so that modules can change them; what modules give of variables counts more than what
// the unit gives, which they can read (pam_systemd(8), XDG_SESSION_TYPE and others), and
// groups that they add are kept.
func (st *state) pam() error {
	p := st.spec.PAM
	if p.Service == "" {
		return nil
	}
	if st.open == nil {
		return st.about(p.Service, unix.ENOSYS)
	}
	if err := st.setLimits(); err != nil {
		return err
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	before, err := unix.Getgroups()
	if err != nil {
		return err
	}
	env, err := st.open(p, st.spec.Env)
	if err != nil {
		return err
	}
	after, err := unix.Getgroups()
	if err != nil {
		return err
	}
	for _, g := range after {
		if !slices.Contains(before, g) && !slices.Contains(st.spec.Ids.Groups, uint32(g)) {
			st.spec.Ids.Groups = append(st.spec.Ids.Groups, uint32(g))
		}
	}
	st.spec.Env = merge(st.spec.Env, env)
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now == files {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &now) // package syscall must know of it: see setLimits
}

// merge replaces variables by those of the same name in more, and adds the others.
func merge(env, more []string) []string {
	for _, v := range more {
		i := index(v, '=')
		if i < 1 {
			continue // no variable
		}
		name := v[:i+1]
		env = slices.DeleteFunc(env, func(o string) bool { return len(o) >= len(name) && o[:len(name)] == name })
		env = append(env, v)
	}
	return env
}
