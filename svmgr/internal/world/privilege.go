package world

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/unit"
	"dynamod/svmgr/internal/child"
)

// privilege is what the manager may give to processes of what it has not itself.
type privilege struct {
	// resources is CAP_SYS_RESOURCE and nice CAP_SYS_NICE, of the machine and not only of
	// a user namespace.
	resources, nice bool
	// oomScore is how much the manager itself is spared from the killing when memory runs
	// out. It may have been spared more before and could go back to that, which nothing
	// tells; see proc_pid_oom_score_adj(5).
	oomScore int64
}

// ownPrivilege is that of this process. What cannot be found out is taken to be there.
func ownPrivilege() privilege {
	p := privilege{resources: true, nice: true}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return p
	}
	score, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return p
	}
	if p.oomScore, err = strconv.ParseInt(strings.TrimSpace(string(score)), 10, 64); err != nil {
		return p
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	machine := err != nil || strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295" // user_namespaces(7)
	p.resources = machine && sets[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
	p.nice = machine && sets[0].Effective&(1<<unix.CAP_SYS_NICE) != 0
	return p
}

// beyond names the settings of a unit that ask for more than can be given.
func (p privilege) beyond(u *unit.Unit) (names []string) {
	if s := unit.OOMScoreAdjust; !p.resources && s.IsSet(u) && s.Of(u) < p.oomScore {
		names = append(names, nameIn(u, s.Setting()))
	}
	if s := unit.Nice; !p.nice && s.IsSet(u) && child.BeyondNice(int(s.Of(u))) {
		names = append(names, nameIn(u, s.Setting()))
	}
	for _, l := range limitKeys {
		if !l.key.IsSet(u) {
			continue
		}
		var own unix.Rlimit
		asked := l.key.Of(u).Hard
		most := reachable(l.resource, l.key.Of(u)).Hard
		if asked != most && asked != unix.RLIM_INFINITY ||
			!p.resources && unix.Getrlimit(int(l.resource), &own) == nil && most > own.Max {
			names = append(names, nameIn(u, l.key.Setting()))
		}
	}
	return names
}

// reachable is as much of a limit as anybody may have: of descriptors fs.nr_open
// (proc_sys_fs(5)), which is what infinity means there.
func reachable(resource int32, v unit.Rlimit) unit.Rlimit {
	if resource == unix.RLIMIT_NOFILE {
		if most, ok := number("/proc/sys/fs/nr_open"); ok {
			return unit.Rlimit{Soft: min(v.Soft, most), Hard: min(v.Hard, most)}
		}
	}
	return v
}
