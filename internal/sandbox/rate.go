package sandbox

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"dynamod/internal/sandbox/seccomp"
	"dynamod/internal/unit"
)

// Finding is the judgement of one row of the table on a unit.
type Finding struct {
	// Setting is what the row is about, as the unit's files would write it.
	Setting string
	// Weight is how much the row counts among all, Open how much of it the unit
	// leaves open: 0 nothing to 10 all. Points is what that adds to the score.
	Weight, Open int
	Points       float64
	// Leaves says what is open, or what was looked at when nothing is.
	Leaves string
	// Mend is what would close it, "" when nothing is open.
	Mend string
}

// Rating says how much the settings of a unit leave open to a program of it that has
// been taken over. It judges what is written, not the program, and not whether this
// kernel can do it.
type Rating struct {
	// Score is from 0.0, all is closed, to 10.0, nothing is.
	Score float64
	// Word is tight, guarded, loose or open.
	Word string
	// Findings are in order of their points, the most first, then of the table.
	Findings []Finding
}

// words are the bounds of the words: a score up to the bound has the word.
var words = []struct {
	upTo float64
	word string
}{{2.5, "tight"}, {5, "guarded"}, {7.5, "loose"}, {10, "open"}}

// rateRow is one thing that is judged.
type rateRow struct {
	// settings close it; the first one is named in the report.
	settings []*unit.Setting
	weight   int
	// leaves is what is open without it, in words for people.
	leaves string
	// mend is what to write. It holds for unit files; native files have the same
	// words under other keys.
	mend string
	// open judges: 0 is closed, 10 open.
	open func(*subject) int
}

// subject is a unit with what several rows ask.
type subject struct {
	u *unit.Unit
	p Policy
	// root says that the processes are root, or may be.
	root bool
	// bounding are the capabilities that they can ever have, ambient those that
	// they begin with.
	bounding, ambient uint64
	// shut says that no capability can be got: the processes are not root, have
	// none, and execute no program that gives them any.
	shut bool
	// calls are listed in SystemCallFilter=; deny says that all others are allowed.
	calls map[string]seccomp.Action
	deny  bool
	// families are RestrictAddressFamilies=, in the same way.
	families     []int
	denyFamilies bool
}

// Rate judges a unit. own says that it belongs to the manager of a user, which has
// no privileges to give. A list that cannot be read closes nothing: such a unit is
// not started at all.
func Rate(u *unit.Unit, own bool) Rating {
	s := &subject{u: u, p: Of(u)}
	name := unit.User.Of(u)
	s.root = !own && !s.p.DynamicUser && (name == "" || name == "root" || name == "0")
	s.bounding, s.ambient = ^uint64(0), 0
	if set, err := Capabilities(u, unit.CapabilityBoundingSet, ^uint64(0)); err == nil {
		s.bounding = set
	}
	if set, err := Capabilities(u, unit.AmbientCapabilities, 0); err == nil {
		s.ambient = set
	}
	for _, c := range s.p.DropCapabilities {
		bit := uint64(1) << CapabilityNumber(c)
		s.bounding, s.ambient = s.bounding&^bit, s.ambient&^bit
	}
	s.ambient &= s.bounding
	s.shut = !s.root && s.p.NoNewPrivileges && s.ambient == 0
	s.deny, s.denyFamilies = true, true
	calls := s.p.Calls()
	calls.ErrnoOf = func(string) (int, bool) { return 1, true } // which error is answered makes no difference
	if len(calls.Filter) > 0 {
		if list, deny, _, err := calls.Calls(); err == nil {
			s.calls, s.deny = list, deny
		}
	}
	if len(s.p.RestrictAddressFamilies) > 0 {
		if list, deny, err := seccomp.Families(s.p.RestrictAddressFamilies); err == nil {
			s.families, s.denyFamilies = list, deny
		}
	}
	return s.rate()
}

func (s *subject) rate() Rating {
	var r Rating
	all := 0
	for _, row := range rateTable {
		all += row.weight
	}
	sum := 0.0
	for _, row := range rateTable {
		f := Finding{Setting: nameIn(s.u, row.settings[0]), Weight: row.weight, Open: min(max(row.open(s), 0), 10), Leaves: row.leaves}
		if f.Open > 0 {
			f.Points = float64(row.weight*f.Open) / float64(all)
			f.Mend = row.mend
			sum += f.Points
		}
		r.Findings = append(r.Findings, f)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Points, a.Points) })
	r.Score = math.Round(sum*10) / 10
	for _, w := range words {
		if r.Score <= w.upTo {
			r.Word = w.word
			break
		}
	}
	return r
}

// nameIn is how the unit's files write the setting.
func nameIn(u *unit.Unit, s *unit.Setting) string {
	if u.Format == unit.Native || s.Name == "" {
		return s.Native
	}
	return s.Name + "="
}

// capability judges capabilities of which the worst counts: they are open to root,
// and half open to others, who need a program that gives them.
func capability(names ...string) func(*subject) int {
	mask := uint64(0)
	for _, n := range names {
		mask |= 1 << CapabilityNumber(n)
	}
	return func(s *subject) int {
		switch {
		case s.bounding&mask == 0 || s.shut:
			return 0
		case s.root || s.ambient&mask != 0:
			return 10
		}
		return 5
	}
}

// allowed says whether the filter lets a system call through.
func (s *subject) allowed(call string) bool {
	answer, listed := s.calls[call]
	if s.deny {
		return !listed
	}
	return listed && answer == 0
}

// group judges a group of system calls by how many of them are allowed.
func group(name string, alsoBy func(*Policy) bool) func(*subject) int {
	calls := seccomp.Members(name)
	return func(s *subject) int {
		if alsoBy != nil && alsoBy(&s.p) {
			return 0
		}
		n := 0
		for _, c := range calls {
			if s.allowed(c) && !slices.Contains(seccomp.Members("@default"), c) {
				n++
			}
		}
		if n == 0 {
			return 0
		}
		return max(1, 10*n/len(calls))
	}
}

// family judges address families: the part of them that can be used.
func family(names ...string) func(*subject) int {
	return func(s *subject) int {
		n := 0
		for _, f := range names {
			if slices.Contains(s.families, slices.Index(seccomp.FamilyNames(), f)) != s.denyFamilies {
				n++
			}
		}
		if n == 0 {
			return 0
		}
		return max(1, 10*n/len(names))
	}
}

// otherFamilies are those that few services have a reason for.
func otherFamilies() []string {
	return slices.DeleteFunc(slices.Clone(seccomp.FamilyNames()), func(f string) bool {
		switch f {
		case "AF_UNSPEC", "AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET":
			return true
		}
		return false
	})
}

// unless judges what is either there or not.
func unless(closed func(*subject) bool) func(*subject) int {
	return func(s *subject) int {
		if closed(s) {
			return 0
		}
		return 10
	}
}

// byWord judges the words of a setting.
func byWord(word func(*subject) string, open map[string]int) func(*subject) int {
	return func(s *subject) int {
		if n, ok := open[word(s)]; ok {
			return n
		}
		return 10
	}
}

// outside says whether a command runs without the sandbox: those with "+".
func (s *subject) outside() bool {
	for _, k := range []unit.Key[[]unit.Exec]{unit.ExecCondition, unit.ExecStartPre, unit.ExecStart, unit.ExecStartPost,
		unit.ExecReload, unit.ExecStop, unit.ExecStopPost} {
		if slices.ContainsFunc(k.Of(s.u), func(x unit.Exec) bool { return x.Privileged }) {
			return true
		}
	}
	return false
}

// devices judges which devices can be opened.
func (s *subject) devices() int {
	policy := unit.DevicePolicy.Of(s.u)
	switch {
	case policy == "strict", policy == "closed", s.p.PrivateDevices:
		if slices.ContainsFunc(unit.DeviceAllow.Of(s.u), func(d string) bool { return strings.ContainsAny(d, "*") }) {
			return 4
		}
		return 0
	case len(unit.DeviceAllow.Of(s.u)) > 0:
		return 2
	}
	return 10
}

// peers judges with whom the processes can talk by IP.
func (s *subject) peers() int {
	if s.p.PrivateNetwork {
		return 0
	}
	if slices.ContainsFunc(unit.IPAddressDeny.Of(s.u), func(w string) bool { return w == "any" || w == "0.0.0.0/0" }) {
		if slices.Contains(unit.IPAddressAllow.Of(s.u), "any") {
			return 10
		}
		return 0
	}
	if len(unit.IPAddressDeny.Of(s.u)) > 0 {
		return 6
	}
	return 10
}

// spaces judges how many kinds of namespaces can be made.
func (s *subject) spaces() int {
	if len(s.p.RestrictNamespaces) == 0 {
		return 10
	}
	forbidden, err := seccomp.ForbiddenSpaces(s.p.RestrictNamespaces)
	if err != nil {
		return 10
	}
	kinds := []string{"cgroup", "ipc", "net", "mnt", "pid", "user", "uts"}
	n := 0
	for _, k := range kinds {
		if !slices.Contains(forbidden, k) {
			n++
		}
	}
	return (10*n + len(kinds) - 1) / len(kinds)
}

// architectures judges the calls of other architectures, which filters see less of.
func (s *subject) architectures() int {
	for _, a := range s.p.SystemCallArchitectures {
		if a != "native" {
			return 5
		}
	}
	if len(s.p.SystemCallArchitectures) == 0 {
		return 10
	}
	return 0
}

// umask judges what others may do with new files.
func (s *subject) umask() int {
	m := unit.UMask.Of(s.u)
	switch {
	case m&0o002 == 0:
		return 10
	case m&0o004 == 0:
		return 5
	case m&0o070 != 0o070:
		return 2
	}
	return 0
}
