package world

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/sys/cgroup"
	"dynamod/internal/sys/epoll"
	"dynamod/internal/sys/pidfd"
	"dynamod/internal/sys/proc"
)

// members lists the processes of an incarnation.
func (w *World) members(g *group) []int {
	w.reg.mu.Lock()
	dir := g.dir
	w.reg.mu.Unlock()
	if dir != "" {
		var pids []int
		err := w.spare.do(func() (err error) { pids, err = cgroup.AllProcs(dir); return err })
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			w.log.Error("a cgroup cannot be read", "dir", dir, "err", err)
		}
		return pids
	}
	if w.cg.root != "" {
		return nil // the group was never made
	}
	return w.sessionMembers(g, proc.All)
}

func (w *World) isMember(g *group, pid int) bool {
	w.reg.mu.Lock()
	dir, rel := g.dir, g.rel
	w.reg.mu.Unlock()
	if dir == "" {
		return len(w.sessionMembers(g, func() []int { return []int{pid} })) > 0
	}
	var p string
	err := w.spare.do(func() (err error) { p, err = cgroup.Of(pid); return err })
	return err == nil && (p == rel || strings.HasPrefix(p, rel+"/"))
}

// Without cgroups the processes of a unit are known by the sessions that its runs
// began (setsid(2)); one that has begun a session of its own, by the
// $INVOCATION_ID that it inherited. A process that does both things that hide it,
// a new session and a new environment, is lost: that is what cgroups are for.

func (w *World) sessionMembers(g *group, among func() []int) (out []int) {
	w.reg.mu.Lock()
	sessions := make(map[int]struct{}, len(g.sessions))
	for s := range g.sessions {
		sessions[s] = struct{}{}
	}
	mark := g.invocation
	w.reg.mu.Unlock()
	self := os.Getpid()
	w.spare.lend()
	defer w.spare.takeBack()
	for _, pid := range among() {
		if pid == self {
			continue
		}
		st, err := proc.StatOf(pid)
		if err != nil || st.State == 'Z' || st.State == 'X' {
			continue
		}
		if _, ok := sessions[st.Session]; ok || carries(pid, mark) {
			out = append(out, pid)
		}
	}
	return out
}

func carries(pid int, mark string) bool {
	if mark == "" {
		return false
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	want := []byte("INVOCATION_ID=" + mark)
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, want) {
			return true
		}
	}
	return false
}

// ownerBySession finds the incarnation of a process that is no run itself.
func (w *World) ownerBySession(pid int) (owner, bool) {
	st, err := proc.StatOf(pid)
	if err != nil {
		return owner{}, false
	}
	w.reg.mu.Lock()
	var rest []*group
	for _, g := range w.reg.groups {
		if _, ok := g.sessions[st.Session]; ok {
			w.reg.mu.Unlock()
			return owner{Unit: g.unit, Incarnation: g.inc}, true
		}
		rest = append(rest, g)
	}
	w.reg.mu.Unlock()
	for _, g := range rest {
		if carries(pid, g.invocation) {
			return owner{Unit: g.unit, Incarnation: g.inc}, true
		}
	}
	return owner{}, false
}

// watchStrays looks for processes of an incarnation whose runs have all ended, and
// asks to be told when they end. It returns whether there are any.
func (w *World) watchStrays(g *group) bool {
	w.reg.mu.Lock()
	busy := g.strays > 0
	w.reg.mu.Unlock()
	if busy {
		return true // their ends will ask again
	}
	among := proc.All
	if w.cfg.Subreaper && !w.tookOver {
		// The topmost of what is left has become our child, unless it went to
		// somebody else when a former manager died.
		among = proc.Children
	}
	found := false
	for _, pid := range w.sessionMembers(g, among) {
		fd, err := pidfd.Open(pid)
		if outOfDescriptors(err) {
			w.askAgain(g)
			found = true
			continue
		}
		if err != nil {
			continue
		}
		if !w.isMember(g, pid) {
			unix.Close(fd)
			continue
		}
		w.reg.mu.Lock()
		g.strays++
		w.reg.mu.Unlock()
		tag := new(uint64)
		err = w.watchFD(fd, epoll.In, tag, func(uint32) {
			w.unwatchFD(fd, *tag)
			unix.Close(fd)
			w.reg.mu.Lock()
			g.strays--
			w.reg.mu.Unlock()
			w.checkEmpty(g)
		})
		if err != nil {
			unix.Close(fd)
			w.reg.mu.Lock()
			g.strays--
			w.reg.mu.Unlock()
			continue
		}
		found = true
	}
	return found
}
