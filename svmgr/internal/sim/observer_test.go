package sim

import (
	"slices"
	"strings"
	"testing"

	"dynamod/svmgr/internal/core"
)

// lied is a short history: a boot, a crash with a restart, a rejected reload,
// a stop, and the shutdown that every replay ends with.
const lied = `scenario rule=lie user=false late=0s shutdown-timeout=20s
generation rejected=false evict=false
unit default.target
	Unit DefaultDependencies=no
	Unit Wants=a.service b.service k.socket
unit a.service
	Unit DefaultDependencies=no
	Unit After=b.service
	Service ExecStart=/bin/main
	Service Restart=always
	Service RestartSec=1s
unit b.service
	Unit DefaultDependencies=no
	Service Type=oneshot
	Service RemainAfterExit=yes
	Service ExecStart=/bin/main
unit k.socket
	Unit DefaultDependencies=no
	Socket ListenStream=/run/k
unit k.service
	Service ExecStart=/bin/main
generation rejected=true evict=false
same default.target
at 10s Request ID=1 Unit=default.target Source=boot Wait=true
at 10.1s SpawnDone Run=b.service/start.1
at 10.2s Exited Run=b.service/start.1
at 10.3s SpawnDone Run=a.service/start.1
at 10.4s Listening Run=k.socket/listen.1
at 20s Exited Run=a.service/start.1 Code=1
at 20s CgroupEmpty Unit=a.service Incarnation=a.service/cgroup.1
at 22s SpawnDone Run=a.service/start.2
at 25s Reloaded Request=2 Gen=1
at 30s Request ID=3 Verb=stop Unit=a.service Wait=true
at 30.1s Exited Run=a.service/start.2 Signal=15
at 30.1s CgroupEmpty Unit=a.service Incarnation=a.service/cgroup.2
`

// each changes every action that is a T and passes the others on.
func each[T core.Action](f func(T) []core.Action) func([]core.Action) []core.Action {
	return func(out []core.Action) []core.Action {
		var got []core.Action
		for _, a := range out {
			if t, ok := a.(T); ok {
				got = append(got, f(t)...)
			} else {
				got = append(got, a)
			}
		}
		return got
	}
}

func twice[T core.Action](a T) []core.Action { return []core.Action{a, a} }
func not[T core.Action](T) []core.Action     { return nil }

func published(what core.Published, f func(core.Publish) []core.Action) func([]core.Action) []core.Action {
	return each(func(p core.Publish) []core.Action {
		if p.What == what {
			return f(p)
		}
		return []core.Action{p}
	})
}

// TestObserverSeesLies: with a core that tells the truth nothing is wrong, and
// each way to falsify its answers is noticed as what it is.
func TestObserverSeesLies(t *testing.T) {
	cases := []struct {
		name, rule string
		tamper     func([]core.Action) []core.Action
	}{
		{"truth", "", nil},
		{"second reply", "d-reply", each(twice[core.Reply])},
		{"no reply", "d-reply", each(not[core.Reply])},
		{"job ends twice", "d-job", published(core.JobRemoved, twice[core.Publish])},
		{"job never ends", "d-job", published(core.JobRemoved, func(p core.Publish) []core.Action {
			if p.Unit == "k.socket" {
				return nil
			}
			return []core.Action{p}
		})},
		{"job never began", "d-job", published(core.JobNew, not[core.Publish])},
		{"other result", "d-reply", each(func(r core.Reply) []core.Action {
			r.Result = core.JobAssert
			return []core.Action{r}
		})},
		{"state not told", "publish", published(core.UnitChanged, not[core.Publish])},
		{"run given out twice", "b-run", each(twice[core.Spawn])},
		{"two main runs", "b-two-mains", each(func(s core.Spawn) []core.Action {
			other := s
			other.Run, other.Fresh = s.Run+1000, false
			return []core.Action{s, other}
		})},
		{"old incarnation", "b-incarnation", each(func(s core.Spawn) []core.Action {
			s.Incarnation = 0
			return []core.Action{s}
		})},
		{"no unit", "b-nil", each(func(s core.Spawn) []core.Action {
			s.Unit = nil
			return []core.Action{s}
		})},
		{"rest before the end", "b-outlives", published(core.UnitChanged, func(p core.Publish) []core.Action {
			if p.Unit == "a.service" && p.To == core.Active {
				p.To = core.Failed
			}
			return []core.Action{p}
		})},
		{"no hand-over", "e-overdue", each(not[core.HandOver])},
		{"two hand-overs", "e-twice", each(twice[core.HandOver])},
		{"hand-over at once", "e-unasked", func(out []core.Action) []core.Action {
			return append(out, core.HandOver{})
		}},
		{"a start at the end", "e-started", published(core.JobNew, func(p core.Publish) []core.Action {
			if p.Source == core.SourceShutdown {
				p.JobType = "start"
			}
			return []core.Action{p}
		})},
		{"restart too early", "g-delay", published(core.UnitChanged, func(p core.Publish) []core.Action {
			if p.To == core.RestartPending {
				early := p
				early.From, early.To = core.RestartPending, core.Starting
				early.Cause = core.Cause{Kind: core.ByRestartPolicy}
				return []core.Action{p, early}
			}
			return []core.Action{p}
		})},
		{"restart after a stop", "h-restart", published(core.JobRemoved, func(p core.Publish) []core.Action {
			if p.JobType == "stop" && p.Source != core.SourceShutdown {
				return []core.Action{p, core.Publish{What: core.JobNew, Unit: p.Unit, Job: 999, JobType: "start",
					Source: core.SourceRestartPolicy}}
			}
			return []core.Action{p}
		})},
		{"a rejected reload acts", "i-rejected", each(func(r core.Reply) []core.Action {
			if r.ID == 2 {
				return []core.Action{r, core.Signal{Unit: "a.service"}}
			}
			return []core.Action{r}
		})},
		{"a watch is forgotten", "w-watch", each(not[core.Watch])},
		{"a start out of order", "c-order", func(out []core.Action) []core.Action {
			// b.service is said to be done only after a.service has begun.
			var late []core.Action
			return append(published(core.JobRemoved, func(p core.Publish) []core.Action {
				if p.Unit == "b.service" {
					late = append(late, p)
					return nil
				}
				return []core.Action{p}
			})(out), late...)
		}},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			tr, err := ReadTrace(strings.NewReader(lied))
			if err != nil {
				t.Fatal(err)
			}
			h, err := newHistory(tr.Scenario, dice{}, passive, nil)
			if err != nil {
				t.Fatal(err)
			}
			h.tamper = c.tamper
			if err := h.replay(slices.Clone(tr.Entries)); err != nil {
				t.Fatal(err)
			}
			rule := ""
			if v := h.failed(); v != nil {
				rule = v.Rule
				t.Log(v)
			}
			if rule != c.rule {
				t.Errorf("noticed %q, want %q", rule, c.rule)
			}
		})
	}
}
