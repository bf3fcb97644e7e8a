package world

import (
	"testing"

	"dynamod/svmgr/internal/core"
)

// That a group is empty is told after what made it so, whoever asks in between: here
// somebody asks each time that something is told.
func TestEmptyComesLast(t *testing.T) {
	for _, test := range []struct{ name, line string }{
		{"an end", "ExecStart=/bin/true"},
		{"a start that fails before the fork", "ExecStart=/bin/true\nStandardInput=file:/nonexistent/input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			tell := r.post
			r.post = func(ev core.Event) {
				switch ev.(type) {
				case core.Exited, core.SpawnFailed:
					r.reg.mu.Lock()
					g := r.reg.current["a.service"]
					r.reg.mu.Unlock()
					r.checkEmpty(g)
				}
				tell(ev)
			}
			if failed, exit := r.lifeOf(r.spawn(service(t, "a.service", test.line))); failed == nil && exit == nil {
				t.Error("the group is empty before anything else is told")
			}
		})
	}
}
