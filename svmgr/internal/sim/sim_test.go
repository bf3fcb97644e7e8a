package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"dynamod/internal/graph"
	"dynamod/svmgr/internal/core"
)

func TestGeneratedUnitsBuild(t *testing.T) {
	for seed := range uint64(300) {
		sc := Generate(seed, 2, 200)
		cache := buildCache{}
		for i := range sc.Gens {
			set, err := cache.set(&sc.Gens[i], nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			graph.Build(set, graph.Config{Mode: sc.graphMode()})
		}
		for _, s := range sc.Extra {
			if _, err := cache.unit(s); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

func TestHistoriesKeepTheInvariants(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 20
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		_, f, err := Examine(seed, Options{Least: 2, Most: 60})
		if err != nil {
			t.Fatal(err)
		}
		if f != nil {
			var text bytes.Buffer
			f.Shrunk.Write(&text)
			t.Fatalf("seed %d:\n%s", seed, text.String())
		}
	}
}

func TestSameSeedSameActions(t *testing.T) {
	for seed := uint64(1); seed <= 25; seed++ {
		o := Options{Least: 2, Most: 80, Hash: true}
		a, err := Run(seed, o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Run(seed, o)
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash != b.Hash || a.Steps != b.Steps || a.Hash == 0 {
			t.Errorf("seed %d: hash %x after %d steps, then %x after %d", seed, a.Hash, a.Steps, b.Hash, b.Steps)
		}
	}
}

// A recorded trace must lead to the very same actions without the dice, as
// long as nothing was taken out.
func TestReplayRepeatsTheHistory(t *testing.T) {
	for seed := uint64(1); seed <= 25; seed++ {
		rec, err := Run(seed, Options{Least: 2, Most: 40, Record: true, Hash: true})
		if err != nil {
			t.Fatal(err)
		}
		tr := &Trace{Scenario: rec.Scenario, Entries: rec.Entries}
		var text bytes.Buffer
		if err := tr.Write(&text); err != nil {
			t.Fatal(err)
		}
		back, err := ReadTrace(&text)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !slices.Equal(back.Entries, tr.Entries) {
			t.Fatalf("seed %d: the events do not survive writing and reading", seed)
		}
		rep, err := Replay(back, Options{Record: true, Hash: true})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		n := len(rec.Entries)
		if len(rep.Entries) < n-1 || !slices.Equal(rep.Entries[:n-1], rec.Entries[:n-1]) {
			k := 0
			for k < min(n, len(rep.Entries)) && rep.Entries[k] == rec.Entries[k] {
				k++
			}
			t.Errorf("seed %d: the replay took another course (%d and %d entries; %v, %v) at entry %d:\nrecorded %v\nreplayed %v",
				seed, n, len(rep.Entries), rec.Violation, rep.Violation, k, rec.Entries[k:min(k+3, n)], rep.Entries[k:min(k+3, len(rep.Entries))])
		}
	}
}

func TestEventsSurviveText(t *testing.T) {
	s := symbols{newLedger(), nil}
	for _, ev := range allEvents {
		rv := reflect.New(reflect.TypeOf(ev)).Elem()
		fill(rv)
		text := s.encode(rv.Interface())
		got, err := s.decode(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if again := s.encode(got); again != text {
			t.Errorf("%s\nbecame\n%s", text, again)
		}
	}
}

// fill puts something into every field that the text carries.
func fill(rv reflect.Value) {
	for i := range rv.NumField() {
		f := rv.Field(i)
		switch f.Kind() {
		case reflect.Struct:
			fill(f)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int32, reflect.Int, reflect.Int64:
			f.SetInt(int64(i + 1))
		case reflect.Uint8:
			f.SetUint(1)
		case reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(i + 7))
		case reflect.String:
			f.SetString("a word=\"x, y\"")
		case reflect.Slice:
			switch f.Interface().(type) {
			case []core.RunID:
				f.Set(reflect.ValueOf([]core.RunID{3, 4}))
			case []bool:
				f.Set(reflect.ValueOf([]bool{true, false}))
			case []string:
				f.Set(reflect.ValueOf([]string{"a", "b"}))
			case []core.Exited:
				f.Set(reflect.ValueOf([]core.Exited{{Run: 5, Code: 1}, {Run: 6, Signal: 9}}))
			}
		}
	}
}

// Every trace that once failed is replayed for ever.
func TestRegressions(t *testing.T) {
	files, err := filepath.Glob("testdata/regress/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			tr, err := ReadTrace(f)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Replay(tr, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Violation != nil {
				t.Error(r.Violation)
			}
		})
	}
}
