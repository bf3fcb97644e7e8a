package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dynamod/internal/graph"
)

// A plan that is only looked at changes nothing and is the same twice.
func TestViewPlanChangesNothing(t *testing.T) {
	h := load(t, "a.service | Requires=b.service; After=b.service |", "b.service ||") // and system.slice
	v := h.c.View()
	i, _ := v.Graph().Lookup("a.service")
	before := string(h.c.Snapshot())
	for range 2 {
		p, err := v.Plan(graph.Request{Unit: i, Type: graph.Start, Manual: true})
		if err != nil || len(p.Jobs) != 3 {
			t.Fatalf("plan %+v, %v", p, err)
		}
	}
	want(h, "snapshot", string(h.c.Snapshot()) == before, true)
	h.is("a.service", "inactive", "b.service", "inactive")
}

func TestViewSupervisors(t *testing.T) {
	h := load(t, "web.sup | supervisor.strategy=\"one-for-all\"; supervisor.max-restarts=3",
		"one.toml | service.supervisor=\"web\"", "two.toml | service.supervisor=\"web\"; dependencies.after=[\"one\"]", "lone.toml |", "file.service ||")
	h.start("one.service")
	h.exit("one.service", 1)
	var out []string
	for _, s := range h.c.View().Supervisors(h.now) {
		out = append(out, fmt.Sprintf("%s<%s %s %d/%d %v", s.Name, s.Parent, s.Strategy, s.Restarts, s.Max, s.Members))
	}
	want(h, "tree", strings.Join(out, "; "),
		"root< one-for-one 0/20 [{web true} {lone.service false}]; web<root one-for-all 1/3 [{one.service false} {two.service false}]")
	want(h, "supervisor", h.view("one.service").Supervisor, "web")
	want(h, "not supervised", h.view("file.service").Supervisor, "")
	h.advance(time.Hour)
	want(h, "window", h.c.View().Supervisors(h.now)[1].Restarts, uint32(0))
}

// Indices of forgotten units are not shown.
func TestViewHidesForgottenUnits(t *testing.T) {
	h := load(t, "a.service ||")
	h.tell(made(h, "run-1.service ||"))
	want(h, "ephemeral", h.view("run-1.service").Ephemeral, true)
	i, _ := h.c.View().Graph().Lookup("run-1.service")
	h.start("run-1.service")
	h.exit("run-1.service", 0)
	h.advance(10 * time.Second)
	want(h, "known", h.c.View().Known(i), false)
	h.c.View().Units(func(u UnitView) bool {
		if u.Name == "run-1.service" {
			t.Error("a forgotten unit is shown")
		}
		return true
	})
}
