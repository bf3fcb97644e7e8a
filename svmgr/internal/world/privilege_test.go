package world

import (
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
)

// What cannot be given for want of privilege is told, once for each unit that asks for it.
func TestBeyondPrivilege(t *testing.T) {
	var log testkit.Buffer
	r := newRig(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	asks := service(t, "asks.service", "ExecStart=/bin/true", "OOMScoreAdjust=-900", "LimitNOFILE=1099511627776", "LimitNICE=0", "Nice=-20")
	r.privilege = privilege{resources: true, nice: true}
	r.warnIneffective(service(t, "may.service", "ExecStart=/bin/true", "OOMScoreAdjust=-900", "LimitNOFILE=infinity", "LimitRTPRIO=99", "Nice=-20"))
	if text := log.String(); text != "" {
		t.Errorf("told:\n%s", text)
	}
	if got := r.privilege.beyond(service(t, "all.service", "ExecStart=/bin/true", "LimitNOFILE=1099511627776")); !slices.Equal(got, []string{"LimitNOFILE"}) {
		t.Errorf("%q is more than fs.nr_open allows", got)
	}
	r.privilege = privilege{}
	for range 2 {
		r.warnIneffective(asks)
		r.warnIneffective(service(t, "modest.service", "ExecStart=/bin/true", "OOMScoreAdjust=0", "LimitNOFILE=1", "Nice=19"))
	}
	if text := log.String(); strings.Count(text, "CAP_SYS_RESOURCE") != 1 || !strings.Contains(text, "unit=asks.service settings=\"OOMScoreAdjust Nice LimitNOFILE\"") {
		t.Errorf("told:\n%s", text)
	}
}

// Of descriptors nobody may have more than the kernel says; infinity is as many.
func TestReachable(t *testing.T) {
	most, ok := number("/proc/sys/fs/nr_open")
	if !ok {
		t.Fatal("no fs.nr_open")
	}
	all := unit.Rlimit{Soft: math.MaxUint64, Hard: math.MaxUint64}
	if got := reachable(unix.RLIMIT_NOFILE, all); got != (unit.Rlimit{Soft: most, Hard: most}) {
		t.Errorf("descriptors: %v; want %d", got, most)
	}
	if few := (unit.Rlimit{Soft: 5, Hard: 7}); reachable(unix.RLIMIT_NOFILE, few) != few || reachable(unix.RLIMIT_CORE, all) != all {
		t.Error("what may be set is not set so")
	}
	// The check of [probe] goes by it too.
	r := newRig(t)
	u := service(t, "a.service", "ExecStart=/bin/true", "LimitNOFILE=infinity")
	r.privilege = privilege{resources: true, nice: true}
	if text, err := r.checkLimits(u); err != nil {
		t.Errorf("%s, %v", text, err)
	}
}
