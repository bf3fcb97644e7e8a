package world

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
	"dynamod/svmgr/internal/core"
)

// fill works the spec of a run out of the unit's settings.
func (w *World) fill(o *order, g *group, a core.Spawn) error {
	u := a.Unit
	w.warnIneffective(u)
	id, err := w.identify(u)
	if err != nil {
		return err
	}
	if g.invocation == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		w.reg.mu.Lock()
		g.invocation = hex.EncodeToString(b[:])
		w.reg.mu.Unlock()
	}
	p, err := w.passTo(o, a)
	if err != nil {
		return err
	}
	if err := w.streams(o, a, &p); err != nil {
		return err
	}
	terminal(o, u)
	if o.spec.TTY.Mode != child.TTYNone { // systemd.exec(5), $TERM: getty@.service hands it to agetty
		p.env = append(p.env, "TERM="+terminalType(unit.TTYPath.Of(u), activeConsoles))
	}
	if err := w.directories(o, u, id); err != nil {
		return err
	}
	if err := w.credentials(o, u, id); err != nil {
		return err
	}
	if err := w.attributes(&o.spec, u, a.Exec); err != nil {
		return err
	}
	if w.nofile.Hard != 0 && !unit.LimitNOFILE.IsSet(u) {
		o.spec.Limits = append(o.spec.Limits, w.nofile)
	}
	e, err := w.environ(g, a, id, p.env)
	if err != nil {
		return err
	}
	o.applyIdentity(id, a.Exec)
	w.applyPAM(o, u, id, a.Exec)
	o.spec.Env = e.list
	if o.spec.Path, o.spec.Argv, err = command(a.Exec, e, id, w.rootOf(a)); err != nil {
		return err
	}
	o.spec.PIDVars = append(o.spec.PIDVars, "SYSTEMD_EXEC_PID")
	if d := unit.WatchdogSec.Of(u); d > 0 && d != unit.Forever && a.Role == core.RoleMain {
		o.spec.Env = append(o.spec.Env, "WATCHDOG_USEC="+strconv.FormatInt(d.Microseconds(), 10))
		o.spec.PIDVars = append(o.spec.PIDVars, "WATCHDOG_PID")
	}
	o.spec.Cwd, o.spec.CwdOptional = workingDirectory(u, id)
	return w.confine(o, g, a, id)
}

func workingDirectory(u *unit.Unit, id identity) (dir string, optional bool) {
	dir, optional = strings.CutPrefix(unit.WorkingDirectory.Of(u), "-")
	if dir == "~" {
		dir = id.home
	}
	return dir, optional
}

// passTo asks the other parts of the world for descriptors and variables, and
// gives each descriptor its number.
func (w *World) passTo(o *order, a core.Spawn) (all passed, err error) {
	for _, f := range []func(core.Spawn) (passed, error){w.hook.pass, w.hook.env} {
		if f == nil {
			continue
		}
		p, err := f(a)
		for _, fd := range p.fds {
			if !fd.keep {
				o.close = append(o.close, fd.fd)
			}
		}
		if err != nil {
			return all, at("descriptors", err)
		}
		all.fds = append(all.fds, p.fds...)
		all.env = append(all.env, p.env...)
		if p.connection != nil {
			all.connection = p.connection
		}
		if p.given != "" {
			o.given = p.given
		}
	}
	var names []string
	next := 3
	// Those of $LISTEN_FDS come first and in order, from 3 (sd_listen_fds(3)).
	for _, f := range all.fds {
		if f.listen {
			o.give(f.fd, next)
			next++
			names = append(names, f.name)
		}
	}
	if len(names) > 0 {
		all.env = append(all.env, "LISTEN_FDS="+strconv.Itoa(len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
		o.spec.PIDVars = append(o.spec.PIDVars, "LISTEN_PID")
	}
	for _, f := range all.fds {
		if f.listen {
			continue
		}
		n := f.at
		if n < 0 {
			for slices.Contains(o.spec.FDs, int32(next)) {
				next++
			}
			n = next
		}
		if slices.Contains(o.spec.FDs, int32(n)) {
			return all, at("descriptors", syscall.EBUSY)
		}
		o.give(f.fd, n)
		if f.variable != "" {
			all.env = append(all.env, f.variable+"="+strconv.Itoa(n))
		}
	}
	return all, nil
}

func (o *order) give(fd, number int) {
	o.pass = append(o.pass, fd)
	o.spec.FDs = append(o.spec.FDs, int32(number))
}

// warnIneffective says once for each unit which of its settings nothing acts on so far, or
// not as far as they ask for.
func (w *World) warnIneffective(u *unit.Unit) {
	w.reg.mu.Lock()
	said := w.ineffective[u.Name]
	w.ineffective[u.Name] = true
	w.reg.mu.Unlock()
	if said {
		return
	}
	var names []string
	for _, s := range u.Assigned() {
		if s.Setting.Effect != unit.NotYet || s.Setting.In&(unit.InExec|unit.InCgroup) == 0 {
			continue
		}
		names = append(names, nameIn(u, s.Setting))
	}
	if len(names) > 0 {
		w.log.Warn("settings of the unit have no effect yet", "unit", u.Name, "settings", strings.Join(names, " "))
	}
	if names := w.privilege.beyond(u); len(names) > 0 {
		w.log.Warn("settings of the unit ask for more than the kernel gives anybody, or gives the manager without CAP_SYS_RESOURCE or CAP_SYS_NICE: it gets the nearest",
			"unit", u.Name, "settings", strings.Join(names, " "))
	}
}

// nameIn is what the setting is called where the unit comes from.
func nameIn(u *unit.Unit, s *unit.Setting) string {
	if s.Name == "" || u.Format == unit.Native {
		return s.Native
	}
	return s.Name
}

// descriptorLimit raises the manager's own hard limit of descriptors as far as it
// can, and returns what units without LimitNOFILE= get: the soft limit that
// programs with select(2) need, and a hard one that is worth having
// (systemd-system.conf(5), DefaultLimitNOFILE=).
func descriptorLimit() child.Limit {
	const soft, hard = 1024, 524288
	var l unix.Rlimit
	if unix.Geteuid() != 0 || unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return child.Limit{}
	}
	if l.Max < hard {
		// It fails without CAP_SYS_RESOURCE; then what there is must do.
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: hard, Max: hard}) == nil {
			l.Max = hard
		}
	}
	return child.Limit{Resource: unix.RLIMIT_NOFILE, Soft: min(soft, l.Max), Hard: min(hard, l.Max)}
}
