package load

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"dynamod/internal/diag"
)

// big makes n services, a tenth of them native, in layers of 100.
func big(n int) fstest.MapFS {
	m := fstest.MapFS{}
	for i := range n {
		after := "base"
		if i >= 100 {
			after = fmt.Sprintf("s%d", i-100)
		}
		if i%10 == 9 {
			text := fmt.Sprintf("[service]\nname = \"s%d\"\nexec = [\"/bin/true\"]\n[dependencies]\nafter = [%q]\n", i, after)
			m[fmt.Sprintf("etc/dynamod/services/s%d.toml", i)] = &fstest.MapFile{Data: []byte(text)}
			continue
		}
		text := "[Unit]\nDescription=one of many\n[Service]\nExecStart=/bin/true --flag %n\n"
		if i >= 100 {
			text = fmt.Sprintf("[Unit]\nAfter=%s.service\nWants=%s.service\n[Service]\nExecStart=/bin/true\n", after, after)
		}
		m[fmt.Sprintf("usr/lib/systemd/system/s%d.service", i)] = &fstest.MapFile{Data: []byte(text)}
	}
	m["etc/systemd/system/service.d/50-all.conf"] = &fstest.MapFile{Data: []byte("[Service]\nEnvironment=A=1\n")}
	return m
}

func TestManyUnits(t *testing.T) {
	n := 5000
	if testing.Short() {
		n = 1000
	}
	fsys := big(n)
	start := time.Now()
	set, ds := Load(Config{FS: fsys})
	t.Logf("%d units in %v", len(set.Units), time.Since(start))
	if len(set.Units) < n {
		t.Errorf("loaded %d units; want %d", len(set.Units), n)
	}
	if w, ok := diag.Worst(ds); ok && w == diag.Error {
		t.Errorf("worst diagnostic is an error: %v", ds[0])
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			fsys := big(n)
			b.ReportAllocs()
			for b.Loop() {
				Load(Config{FS: fsys})
			}
		})
	}
}
