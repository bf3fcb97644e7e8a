package load

import (
	"strings"
	"testing"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

// What set-property wrote holds for native units as for others; drop-ins for the
// unit file of that name do not.
func TestControlDropinsOfNativeUnits(t *testing.T) {
	const dir = "etc/systemd/system.control/"
	lines := []string{"MemoryMax=5M", "CPUWeight=idle", "TasksMax=77", "MemoryZSwapWriteback=no", "AllowedCPUs=0-1 3", "CPUQuotaPeriodSec=50ms",
		"IOReadBandwidthMax=/dev/sda 1M", "IOReadBandwidthMax=/dev/sdb 2M", "CPUQuota=20%", "IOWeight="}
	text := "[Service]\n" + strings.Join(lines, "\n") + "\n"
	set, ds := Load(Config{FS: mapFS(
		svcs+"a.toml", service("a", "[cgroup]\nio-weight = 50\nmemory-max = \"1G\"\n"), dir+"a.service.d/50-x.conf", text,
		etc+"a.service.d/other.conf", "[Service]\nNice=5\n",
		etc+"b.service", "[Service]\nExecStart=/bin/true\nIOWeight=50\n", dir+"b.service.d/50-x.conf", text,
	)})
	a, b := must(t, set, "a.service"), must(t, set, "b.service")
	for _, s := range unit.Table() {
		if s.In != unit.InCgroup {
			continue
		}
		if got, want := unit.Text(s, a.Value(s)), unit.Text(s, b.Value(s)); got != want {
			t.Errorf("%s = %q; want %q as in the unit file", s.Native, got, want)
		}
	}
	if unit.Nice.IsSet(a) {
		t.Error("a drop-in for the shadowed unit file changes the native unit")
	}
	for _, d := range ds {
		if d.Severity >= diag.Warning {
			t.Errorf("%v", d)
		}
	}
}
