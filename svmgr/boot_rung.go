package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"dynamod/internal/cmdline"
	"dynamod/internal/graph"
	"dynamod/internal/ipc/pid1"
	"dynamod/internal/sys/clock"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/generation"
	"dynamod/svmgr/internal/ladder"
	"dynamod/svmgr/internal/world"
)

// stateMounts are the mount points below which the state of this manager lies.
var stateMounts = []string{"var.mount", "var-lib.mount", "var-lib-dynamod.mount"}

// takeRung makes of the configuration on disk what this boot goes by. takesOver says that
// it is the one in force already.
func (m *manager) takeRung(disk *api.Generation, asked *bootOptions, takesOver bool) *api.Generation {
	h := m.health
	if h == nil {
		return disk
	}
	gen := disk
	if h.fresh {
		apart := m.stateApart(disk.Set)
		s := ladder.Situation{Attempts: disk.Set.Boot.Attempts(), SafeAsked: asked.safeMode, Off: asked.noLadder}
		digest, number := "", uint64(0)
		if !apart { // else what is there now is not this machine's state but what it will hide
			var good *generation.Image
			good, digest, number = m.goodImage(disk)
			s.Good, s.KnownBad = good != nil, digest != "" && digest == h.badDigest()
		}
		if h.begin(s, apart) == ladder.Rollback {
			h.mu.Lock()
			h.Bad = digest
			h.save()
			h.mu.Unlock()
			m.log.Error("the files on disk are not what is in force", "generation", number)
		}
	}
	switch h.rung() {
	case ladder.Rollback:
		if takesOver {
			break
		}
		good, _, number := m.goodImage(disk)
		if good == nil { // it was there when it was chosen
			h.instead(ladder.Safe, "the configuration that booted well last is gone: safe mode")
			break
		}
		gen = m.load(good, api.MadeUnits{})
		gen.Files, gen.Number = good, number
	case ladder.Emergency:
		if takesOver {
			break
		}
		m.emergencyFirst()
	}
	if m.safe() {
		gen.Set = graph.WithSafeTarget(gen.Set)
	}
	return gen
}

// safe says that this boot is one in safe mode.
func (m *manager) safe() bool { return m.health.rung() == ladder.Safe }

// goodImage is the configuration that booted well last, if it is kept and another one than
// that on disk, whose digest comes along.
func (m *manager) goodImage(disk *api.Generation) (good *generation.Image, digest string, number uint64) {
	im, ok := disk.Files.(*generation.Image)
	if !ok {
		return nil, "", 0
	}
	digest, err := im.Digest()
	if err != nil {
		m.log.Error("the configuration cannot be compared with those before", "err", err)
		return nil, "", 0
	}
	number = m.health.goodGeneration()
	if number == 0 {
		return nil, digest, 0
	}
	good, err = m.store.Image(number)
	if err != nil {
		m.log.Error("the configuration that booted well last is not kept any more: there is no rollback", "err", err)
		return nil, digest, 0
	}
	if d, err := good.Digest(); err != nil || d == digest {
		return nil, digest, 0
	}
	return good, digest, number
}

// stateApart says that a unit mounts the file system that the manager's state is on, and
// has not done so yet: what is read and written there now would be hidden then.
func (m *manager) stateApart(set *unit.Set) bool {
	mounted := world.KernelState(nil)
	for _, name := range stateMounts {
		if u, ok := set.Find(name); ok && u.Load == unit.Loaded && !slices.Contains(mounted, name) {
			return true
		}
	}
	return false
}

// emergencyPatience is how long PID 1 may take to kill this process for the shell.
const emergencyPatience = 10 * time.Second

// emergencyFirst asks PID 1 for the emergency shell before anything is started, once in a
// boot: who leaves it wants the boot to go on.
func (m *manager) emergencyFirst() {
	h := m.health
	if m.link.init == nil {
		h.instead(ladder.Safe, "there is no PID 1 to ask for the emergency shell: safe mode")
		return
	}
	if !h.showShell(clock.Monotonic()) {
		m.log.Warn("the boot goes on after the emergency shell")
		return
	}
	h.count(false) // there may be no other chance
	// Who mends the machine takes longer than a boot may: the time in the shell is none of it.
	if err := m.link.init.BootPolicy(0, pid1.BootNone); err != nil {
		m.log.Error("init cannot be told that the emergency shell may take its time", "err", err)
	}
	if err := syscall.Kill(os.Getppid(), syscall.SIGUSR2); err != nil { // docs/pid1.md
		h.instead(ladder.Safe, "PID 1 cannot be asked for the emergency shell ("+err.Error()+"): safe mode")
		return
	}
	time.Sleep(emergencyPatience) // it ends here
	h.instead(ladder.Safe, "PID 1 did not come to the emergency shell: safe mode")
}

// defaultBootDeadline is PID 1's own (docs/pid1.md).
const defaultBootDeadline = 5 * time.Minute

// bootPolicy is when a boot has failed that is not good by then, 0 for never, and what
// follows: the earliest of boot.toml and the units that count.
func bootPolicy(set *unit.Set) (time.Duration, string) {
	at, action := set.Boot.Deadline()
	if at == 0 {
		at = defaultBootDeadline
	}
	for _, u := range set.Units {
		if unit.BootSuccess.Of(u) && unit.BootDeadline.IsSet(u) && unit.BootDeadline.Of(u) < at {
			at, action = unit.BootDeadline.Of(u), unit.BootDeadlineAction.Of(u)
		}
	}
	if at == unit.Forever {
		at = 0
	}
	return at, action
}

// policy is what PID 1 is to go by: when the boot has failed, after its start, and what
// follows.
func (m *manager) policy(set *unit.Set) (time.Duration, string) {
	at, action := bootPolicy(set)
	switch {
	case m.mends || m.ends.Load(): // nobody boots any more
		at, action = 0, "none"
	case at != 0:
		at = min(at, pid1.MaxBootUsec*time.Microsecond) + m.health.inShell()
	}
	return at, action
}

// tellPolicy tells PID 1.
func (m *manager) tellPolicy(set *unit.Set) {
	if m.link.init == nil {
		return
	}
	at, action := m.policy(set)
	if err := m.link.init.BootPolicy(at, pid1.ParseBootAction(action)); err != nil {
		m.log.Error("init cannot be told how long a boot may take", "err", err)
	}
}

// counts says that a boot which PID 1 calls too late is one that failed. Where nobody has
// said what makes a boot good, nor how long it may take, a job that takes its time, as a
// oneshot that works for hours, is no failure: three of them would lead to safe mode.
func (m *manager) counts(action pid1.BootAction) bool {
	m.configuration.mu.Lock()
	set := m.set
	m.configuration.mu.Unlock()
	return action != pid1.BootNone || set == nil || judges(set)
}

// lateCounts is counts for the one boot that PID 1 has called too late just now. If that
// is no failure, the ladder does not count it either: a machine with a job that never ends
// would come down to safe mode by power cuts months apart.
func (m *manager) lateCounts(action pid1.BootAction) bool {
	if m.counts(action) {
		return true
	}
	if m.health != nil {
		m.health.takeBack()
	}
	return false
}

// judges says that the configuration says when a boot has failed.
func judges(set *unit.Set) bool {
	at, _ := set.Boot.Deadline()
	return at != 0 || len(set.Boot.Success()) > 0 || slices.ContainsFunc(set.Units, unit.BootSuccess.Of)
}

// Keep implements api.Config: what is in force from now on says how long a boot may take.
func (m *manager) Keep(g *api.Generation) (uint64, error) {
	set := g.Set
	n, err := m.configuration.Keep(g)
	m.tellPolicy(set)
	return n, err
}

// generationID is what the generation of the system is called: an option of the kernel
// command line, or the first line of a file.
func generationID(from string) (string, error) {
	if strings.HasPrefix(from, "/") {
		text, err := readSmall(from)
		line, _, _ := strings.Cut(text, "\n")
		return strings.TrimSpace(line), err
	}
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", err
	}
	if id, ok := cmdline.Parse(string(text)).Value(from); ok {
		return id, nil
	}
	return "", errors.New("the kernel command line has no " + from + "=")
}

// statusPath is where the status of the generation stands, "" for nowhere.
func (m *manager) statusPath(boot *unit.Boot) string {
	template, from := boot.Status()
	if template == "" {
		return ""
	}
	id := ""
	var err error
	if from != "" {
		id, err = generationID(from)
	}
	path := ""
	if err == nil {
		path, err = ladder.StatusPath(template, id)
	}
	if err != nil {
		m.log.Error("the status of the generation is not written (boot.generation)", "file", boot.Path, "err", err)
		return ""
	}
	return path
}
