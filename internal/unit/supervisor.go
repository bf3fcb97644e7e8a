package unit

import (
	"strings"
	"time"

	"dynamod/internal/diag"
)

// BuildSupervisor makes a supervisor of its native file. The keys of [restart]
// mean the supervisor's own intensity here. nil means that it has no name.
func BuildSupervisor(src Source) (*Supervisor, []diag.Diag) {
	u := &Unit{Name: src.Name, Format: Native}
	b := &builder{u: u, src: &src, types: InSupervisor}
	for i := range src.Files {
		for j := range src.Files[i].Fragments {
			f := src.Files[i].Fragments[j]
			if f.Section == "restart" {
				f.Section = "supervisor"
				if byNative[nativeKey{"supervisor", f.Key}] == nil || f.Key == "name" {
					f.Section = "restart"
				}
			}
			b.apply(&f)
		}
	}
	b.finish()
	s := &Supervisor{Name: SupervisorName.Of(u), Parent: SupervisorParent.Of(u),
		MaxRestarts: uint32(SupervisorMaxRestarts.Of(u)), Window: SupervisorWindow.Of(u)}
	if len(src.Files) > 0 {
		s.Path = src.Files[0].Path
		s.Pos = diag.Pos{File: s.Path}
	}
	if o := u.Origin(SupervisorName.s); o != nil {
		s.Pos = o[0]
	}
	switch SupervisorStrategy.Of(u) {
	case "one-for-all":
		s.Strategy = OneForAll
	case "rest-for-one":
		s.Strategy = RestForOne
	}
	switch {
	case s.Name == "" || strings.ContainsAny(s.Name, "/ \t\n"):
		b.refuse(SupervisorName.s, `write name = "…" in [supervisor], without blanks or slashes`, "the supervisor has no usable name")
		return nil, b.diags
	case s.Name == RootSupervisor:
		s.Parent = ""
		if !SupervisorMaxRestarts.IsSet(u) {
			s.MaxRestarts = 20
		}
		if !SupervisorWindow.IsSet(u) {
			s.Window = 600 * time.Second
		}
	case s.Parent == s.Name:
		b.refuse(SupervisorParent.s, "name another supervisor, or leave it out for root", "supervisor %s is its own parent", s.Name)
		s.Parent = RootSupervisor
	}
	return s, b.diags
}
