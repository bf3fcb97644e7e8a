//go:build plantedbug

package sim

import (
	"bytes"
	"testing"
)

const plantedRule, plantedLimit = "h-restart", 20

func TestFindPlantedBug(t *testing.T) {
	for seed := uint64(1); seed <= 400; seed++ {
		o := Options{Least: 2, Most: 200}
		r, err := Run(seed, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation == nil || r.Violation.Rule != plantedRule {
			continue // what else may be wrong is for other tests to say
		}
		_, f, err := Examine(seed, o)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := f.Shrunk.Write(&text); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d events before shrinking\n%s", len(f.Result.Entries), text.String())
		if n := len(f.Shrunk.Entries); n > plantedLimit || f.Flaky {
			t.Errorf("seed %d shrinks to %d events; want at most %d", seed, n, plantedLimit)
		}
		return
	}
	t.Error("no seed found the planted bug")
}
