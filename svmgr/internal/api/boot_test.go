package api

import (
	"testing"

	"dynamod/internal/ipc"
)

func TestBootHealth(t *testing.T) {
	const hidden = "[[rule]]\neffect=\"deny\"\nservices=[\"secret*\"]\nrights=[\"query\"]\n"
	f := newFake(t, hidden, `web.toml | boot.success=true; boot.grace="1h"`, `secret.toml | boot.success=true`)
	f.start("web")
	r := do[*ipc.BootHealthResult](f, ipc.VerbBootHealth, &ipc.NoArgs{})
	if r.Verdict != "pending" || r.Kind != "safe" || len(r.Members) != 2 || r.Due != -1 || !r.Members[1].Up || r.Members[1].Grace != 3600e6 || r.Members[0].State != "inactive" {
		t.Errorf("%+v", r)
	}
	got, err := f.call(alice, ipc.VerbBootHealth, &ipc.NoArgs{})
	if a, ok := got.(*ipc.BootHealthResult); err != nil || !ok || len(a.Members) != 1 || a.Hidden != 1 {
		t.Errorf("somebody who may not see a unit is told %+v, %v", got, err)
	}
	if _, err := f.call(alice, ipc.VerbBootMark, &ipc.BootMarkArgs{Verdict: "good"}); ipc.KindOf(err) != "AccessDenied" {
		t.Errorf("anybody can mark the boot: %v", err)
	}
	f.refused("InvalidArgs", ipc.VerbBootMark, &ipc.BootMarkArgs{Verdict: "fine"})
	for _, word := range []string{"bad", "good"} {
		do[*ipc.Done](f, ipc.VerbBootMark, &ipc.BootMarkArgs{Verdict: word})
		if r := do[*ipc.BootHealthResult](f, ipc.VerbBootHealth, &ipc.NoArgs{}); r.Verdict != word {
			t.Errorf("marked %s, it is %s", word, r.Verdict)
		}
	}
}
