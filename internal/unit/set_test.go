package unit

import (
	"runtime"
	"strings"
	"testing"
)

func TestNewSet(t *testing.T) {
	a := &Unit{Name: "b.service", Path: "1", Aliases: []string{"x.service", "a.service"}}
	b := &Unit{Name: "a.service", Path: "2", Aliases: []string{"x.service", "a.service"}}
	c := &Unit{Name: "b.service", Path: "3"}
	s, ds := NewSet([]*Unit{a, b, c}, nil)
	if len(s.Units) != 2 || s.Units[0] != b || s.Units[1] != a {
		t.Errorf("Units = %v", s.Units)
	}
	for name, want := range map[string]*Unit{"a.service": b, "b.service": a, "x.service": b} {
		if got, ok := s.Find(name); !ok || got != want {
			t.Errorf("Find(%s) = %v, %v", name, got, ok)
		}
	}
	if _, ok := s.Find("y.service"); ok {
		t.Error("Find(y.service) found something")
	}
	if got := messages(ds); !strings.Contains(got, "b.service is defined twice") || strings.Count(got, "already belongs to a.service") != 2 {
		t.Errorf("diagnostics:\n%s", got)
	}
	if len(s.Supervisors) != 1 || s.Supervisors[0].Name != RootSupervisor || s.Supervisors[0].MaxRestarts != 20 {
		t.Errorf("Supervisors = %+v", s.Supervisors)
	}
}

func TestStringers(t *testing.T) {
	for s, want := range map[string]string{OneForAll.String(): "one-for-all", BadSetting.String(): "bad-setting", Merged.String(): "merged",
		ByCore.String(): "core", Obsolete.String(): "obsolete", DurationKind.String(): "duration"} {
		if s != want {
			t.Errorf("got %q; want %q", s, want)
		}
	}
}

// A hundred thousand small units must fit beside everything else: this bounds
// what one of them keeps, its file's text not counted.
func TestUnitIsSmall(t *testing.T) {
	f := unitFile("/usr/lib/systemd/system/a.service", smallService)
	const n = 10_000
	keep := make([]*Unit, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keep {
		keep[i], _ = Build(Source{Name: "a.service", HasMain: true, Files: []File{f}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := int64(after.HeapAlloc-before.HeapAlloc) / n; per > 1600 {
		t.Errorf("a small unit keeps %d bytes; want at most 1600", per)
	} else {
		t.Logf("a small unit keeps %d bytes", per)
	}
	runtime.KeepAlive(keep)
}
