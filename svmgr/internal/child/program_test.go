package child

import (
	"os"
	"reflect"
	"slices"
	"testing"
)

// What a Program does not know how to do must keep it from being made: of each field
// of a Spec it either does what it says (run compares it with dynamod-child) or
// refuses.
func TestProgramKnowsEveryField(t *testing.T) {
	does := []string{"Path", "Argv", "Env", "PIDVars", "Stdio", "Hold", "Umask", "OOMScore", "Nice", "Sched", "IOPrio", "Affinity",
		"TimerSlack", "CoreFilter", "Limits", "Keyring", "Personality", "MemoryKSM", "NoNewPrivs", "IgnorePipe", "Ids", "Cwd", "CwdOptional",
		"SameGroup", "HasBounding", "Bounding", "Ambient", "SecureBits", "HasSecure", "NoWriteExec", "Filters"}
	if trampolineCode() == nil {
		return // this machine has none
	}
	n := 0
	for i := range reflect.TypeFor[Spec]().NumField() {
		f := reflect.TypeFor[Spec]().Field(i)
		s := Spec{Path: "/bin/true", Argv: []string{"true"}, Hold: true}
		v := reflect.ValueOf(&s).Elem().Field(i)
		if f.Name == "Stdio" {
			s.Stdio[2] = Stream{Kind: StreamCopy, Flags: 1}
		} else if f.Name == "Ambient" || f.Name == "Filters" {
			continue // what fillAll gives them is refused for itself; run covers them
		} else {
			fillAll(t, v, &n)
		}
		if made := new(Maker).Program(&s, Ignored()) != nil; made != slices.Contains(does, f.Name) {
			t.Errorf("with %s set, a program is made: %v", f.Name, made)
		}
	}
}

// A Spec whose structs grow must be looked at here.
func TestProgramRefusesNamespaces(t *testing.T) {
	for i := range reflect.TypeFor[Space]().NumField() {
		s := Spec{Path: "/bin/true", Argv: []string{"true"}, Hold: true}
		n := 0
		fillAll(t, reflect.ValueOf(&s.Space).Elem().Field(i), &n)
		if new(Maker).Program(&s, Ignored()) != nil {
			t.Errorf("with Space.%s set, a program is made", reflect.TypeFor[Space]().Field(i).Name)
		}
	}
}

// All that can be asked for together, of both ways.
func TestProgramDoesAll(t *testing.T) {
	s := helper(t, "show")
	open(t, s)
	s.Stdio[2] = Stream{Kind: StreamCopy, Flags: 1}
	s.OOMScore, s.CoreFilter, s.Nice, s.IOPrio = Int{true, 500}, Int{true, 0x33}, Int{true, 5}, Int{true, 2<<13 | 7}
	s.Sched = Sched{Set: true, Policy: 3}
	s.Affinity = []uint64{1}
	s.TimerSlack = 1234567
	s.Keyring = KeyringShared
	s.Personality = Int{true, 8} // PER_LINUX32
	s.Umask, s.Cwd, s.NoNewPrivs = 0o77, "/nonexistent", true
	s.CwdOptional = true
	s.Limits = []Limit{{0, 1000, 2000}, {7, 64, 100}} // CPU, NOFILE
	s.HasBounding, s.Bounding = true, 1<<10|1<<13
	if os.Getuid() == 0 {
		s.Ids = Ids{SetGroups: true, Groups: []uint32{12, 34}, SetGID: true, GID: 12, SetUID: true, UID: 4321}
		s.Ambient = 1 << 10
	} else {
		s.HasBounding = false
	}
	if trampolineCode() != nil && new(Maker).Program(s, Ignored()) == nil {
		t.Fatal("no program is made of it")
	}
	r := run(t, s)
	if !r.executed || r.status.ExitStatus() != 0 || r.value("umask") != "077" || r.value("NoNewPrivs") != "1" {
		t.Errorf("%+v, %v", r, r.err)
	}
	for _, file := range []string{"status", "limits", "oom_score_adj", "coredump_filter", "personality", "timerslack_ns", "stat"} {
		s.Path, s.Argv = "/bin/cat", []string{"cat", "/proc/self/" + file}
		if file == "status" {
			s.Path, s.Argv = "/bin/grep", []string{"grep", "-E", "^(Umask|Uid|Gid|Groups|Sig|Shd|Cap|NoNew|Cpus)", "/proc/self/status"}
		}
		if file == "stat" { // nice, priority and policy
			s.Path, s.Argv = "/usr/bin/awk", []string{"awk", "{print $18, $19, $41}", "/proc/self/stat"}
		}
		run(t, s)
	}
}
