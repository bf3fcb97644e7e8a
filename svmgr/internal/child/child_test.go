package child

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "dynamod-child" {
		Main()
	}
	testkit.Main(m)
}

// result is how a set-up went.
type result struct {
	pid      int
	executed bool
	err      *StageError
	status   syscall.WaitStatus
	out      string
}

// anyone is the result without the process ID, which is a number of its own: 2949 is
// also a part of 4294967295, the size of a map of IDs.
func (r result) anyone() result {
	r.out, r.pid = regexp.MustCompile(`\b`+strconv.Itoa(r.pid)+`\b`).ReplaceAllString(r.out, "PID"), 0
	return r
}

func TestAnyone(t *testing.T) {
	r := result{pid: 2949, out: "uid_map 0 0 4294967295\npid_is 2949\n"}
	if got := r.anyone().out; got != "uid_map 0 0 4294967295\npid_is PID\n" {
		t.Errorf("%q", got)
	}
}

// run sets a process up by the spec, with pipes as standard output and error and
// the given descriptors passed on.
//
// What can be done without dynamod-child is done once more so, and must not differ.
func run(t testing.TB, s *Spec, pass ...*os.File) result {
	t.Helper()
	r := runRaw(t, s.Encode(), pass...)
	if image := new(Maker).Program(s, Ignored()); image != nil {
		fd := programFD(t, image)
		defer unix.Close(fd)
		if p := runAs(t, "/proc/self/fd/3", uintptr(fd), pass...); !reflect.DeepEqual(p.anyone(), r.anyone()) {
			t.Errorf("as a program: %+v, %v; want %+v, %v", p, p.err, r, r.err)
		}
	}
	return r
}

func programFD(t testing.TB, image []byte) int {
	t.Helper()
	fd, err := ProgramFile()
	if err != nil {
		t.Fatal(err)
	}
	if err := writeAll(fd, image); err != nil {
		t.Fatal(err)
	}
	return fd
}

func runRaw(t testing.TB, spec []byte, pass ...*os.File) result {
	t.Helper()
	specFile, err := os.CreateTemp(t.TempDir(), "spec")
	if err != nil {
		t.Fatal(err)
	}
	defer specFile.Close()
	if _, err := specFile.Write(spec); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return runAs(t, self, specFile.Fd(), pass...)
}

func runAs(t testing.TB, path string, spec uintptr, pass ...*os.File) result {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	statusR, statusW, err := os.Pipe()
	check(err)
	defer statusR.Close()
	outR, outW, err := os.Pipe()
	check(err)
	defer outR.Close()
	null, err := os.Open(os.DevNull)
	check(err)
	defer null.Close()
	files := []uintptr{null.Fd(), outW.Fd(), outW.Fd(), spec, statusW.Fd()}
	for _, f := range pass {
		files = append(files, f.Fd())
	}
	pid, err := syscall.ForkExec(path, []string{path, "dynamod-child"}, &syscall.ProcAttr{Files: files, Sys: &syscall.SysProcAttr{Setsid: true}})
	check(err)
	statusW.Close()
	outW.Close()
	report, err := io.ReadAll(statusR)
	check(err)
	out, err := io.ReadAll(outR)
	check(err)
	r := result{pid: pid}
	for {
		if _, err = syscall.Wait4(pid, &r.status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	check(err)
	r.executed, r.err = ParseReport(report)
	r.out = string(out)
	return r
}

// helper is the spec that runs a registered function of this binary.
func helper(t testing.TB, name string, args ...string) *Spec {
	argv := testkit.Command(t, name, args...)
	return &Spec{Path: argv[0], Argv: argv, Umask: 0o22}
}

// show prints what a process finds: its descriptors and its signals.
var _ = testkit.Register("show", func([]string) {
	fds, _ := os.ReadDir("/proc/self/fd")
	var open []string
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		// What the Go runtime and the listing itself opened is not inherited.
		if err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/proc/") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
			open = append(open, fd.Name())
		}
	}
	fmt.Println("fds", strings.Join(open, " "))
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		for _, k := range []string{"NoNewPrivs", "Uid", "Gid", "Groups", "CapEff", "CapBnd", "CapAmb"} {
			if v, ok := strings.CutPrefix(line, k+":"); ok {
				fmt.Println(k, strings.Join(strings.Fields(v), " "))
			}
		}
	}
	wd, _ := os.Getwd()
	fmt.Println("cwd", wd)
	fmt.Println("env", strings.Join(os.Environ(), ","))
	sid, _ := unix.Getsid(0)
	fmt.Println("leader", sid == os.Getpid())
	fmt.Printf("umask %#o\n", unix.Umask(0))
})

func (r result) value(key string) string {
	for line := range strings.Lines(r.out) {
		if v, ok := strings.CutPrefix(line, key); ok && v != "" && (v[0] == ' ' || v[0] == '\t') {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

// Statement 28: a child has only descriptors 0, 1, 2 and the declared ones, an
// empty signal mask and default dispositions, and a clean environment.
func TestStatement28ChildIsClean(t *testing.T) {
	// The manager that starts it ignores, blocks and holds open all it likes.
	ignoreSignals(t, unix.SIGPIPE, unix.SIGUSR1, unix.SIGHUP)
	leak, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	t.Setenv("SECRET", "of the manager")
	a, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s := helper(t, "show")
	s.FDs = []int32{7, 3}
	s.Env = []string{"A=b"}
	s.PIDVars = []string{"LISTEN_PID"}
	r := run(t, s, a, a)
	if !r.executed || r.status.ExitStatus() != 0 {
		t.Fatalf("%+v, %v", r, r.err)
	}
	for k, want := range map[string]string{"fds": "0 1 2 3 7", "cwd": "/", "leader": "true", "umask": "022"} {
		if got := r.value(k); got != want {
			t.Errorf("%s = %q; want %q", k, got, want)
		}
	}
	if got := r.value("env"); !strings.HasPrefix(got, "A=b,LISTEN_PID=") || strings.Contains(got, "SECRET") {
		t.Errorf("environment = %q", got)
	}
	// A Go program has changed its signals before it could print them.
	s.Path, s.Argv = "/bin/grep", []string{"grep", "^Sig...:", "/proc/self/status"}
	for _, ignored := range []string{"0000000000000000", "0000000000001000"} {
		r := run(t, s, a, a)
		if blk, ign := r.value("SigBlk:"), r.value("SigIgn:"); blk != "0000000000000000" || ign != ignored {
			t.Errorf("SigBlk %s, SigIgn %s; want none and %s", blk, ign, ignored)
		}
		// The same without descriptors, which a Program can do.
		plain := *s
		plain.FDs, plain.PIDVars = nil, nil
		if r := run(t, &plain); new(Maker).Program(&plain, Ignored()) == nil || r.value("SigIgn:") != ignored {
			t.Errorf("without descriptors: SigIgn %s; want %s", r.value("SigIgn:"), ignored)
		}
		s.IgnorePipe = true
	}
}

func ignoreSignals(t *testing.T, sigs ...unix.Signal) {
	for _, sig := range sigs {
		var old kernelSigaction
		act := kernelSigaction{handler: 1}
		set := func(new, old *kernelSigaction) {
			if err := sigaction(sig, new, old); err != nil {
				t.Fatal(err)
			}
		}
		set(&act, &old)
		t.Cleanup(func() { set(&old, nil) })
	}
}

func TestUnprivilegedStages(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	s := helper(t, "show")
	s.Stdio[1] = Stream{Kind: StreamFile, Path: file, Flags: unix.O_CREAT | unix.O_WRONLY | unix.O_APPEND}
	s.Stdio[2] = Stream{Kind: StreamCopy, Flags: 1}
	s.Umask = 0o77
	s.Cwd = dir
	s.NoNewPrivs = true
	s.Nice = Int{true, 5}
	s.OOMScore = Int{true, 500}
	s.TimerSlack = 1234567
	s.IOPrio = Int{true, 2<<13 | 7}
	s.Limits = []Limit{{unix.RLIMIT_NOFILE, 64, 100}, {unix.RLIMIT_CORE, 0, 0}}
	s.Dirs = []Dir{{Stage: "runtime-directory", Path: dir + "/a/b", Mode: 0o710, Links: []string{dir + "/c/link"}}}
	s.Credentials = Credentials{Path: dir + "/cred", UID: uint32(os.Getuid()), GID: uint32(os.Getgid()),
		Items: []Credential{{ID: "one", Data: []byte("1")}, {ID: "two", Path: "/nonexistent", Optional: true}, {ID: "three", Path: "/proc/self/comm"}}}
	t.Cleanup(func() { os.Chmod(dir+"/cred", 0o700) })
	r := run(t, s)
	if !r.executed || r.status.ExitStatus() != 0 {
		t.Fatalf("%+v, %v", r, r.err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r.out = string(b)
	for k, want := range map[string]string{"cwd": dir, "NoNewPrivs": "1", "umask": "077", "fds": "0 1 2"} {
		if got := r.value(k); got != want {
			t.Errorf("%s = %q; want %q", k, got, want)
		}
	}
	for p, want := range map[string]os.FileMode{file: 0o600, dir + "/a": os.ModeDir | 0o755, dir + "/a/b": os.ModeDir | 0o710,
		dir + "/cred": os.ModeDir | 0o500, dir + "/cred/one": 0o400} {
		st, err := os.Stat(p)
		if err != nil || st.Mode() != want {
			t.Errorf("mode of %s = %v, %v; want %v", p, st.Mode(), err, want)
		}
	}
	if to, _ := os.Readlink(dir + "/c/link"); to != dir+"/a/b" {
		t.Errorf("the link points to %q", to)
	}
	if _, err := os.Stat(dir + "/cred/two"); err == nil {
		t.Error("an optional credential without a source was written")
	}
}

// withAndWithout has the check done with a capability, if it is there, and without it.
func withAndWithout(t *testing.T, capability int, check func(t *testing.T, has bool)) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&head, &sets[0]); err != nil {
		t.Fatal(err)
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	machine := strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295" // and no user namespace
	if machine && sets[0].Effective&(1<<capability) != 0 {
		t.Run("with", func(t *testing.T) { check(t, true) })
		// Root loses it at an exec when it is gone from the bounding set: that of this
		// thread, which ends with the test.
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil || os.Getuid() != 0 {
			t.Skip("the capability cannot be given up here")
		}
	}
	check(t, false)
}

// shown are the words that a program prints.
func shown(t *testing.T, change func(*Spec), argv ...string) string {
	t.Helper()
	s := helper(t, "show")
	s.Path, s.Argv, s.Stdio[2] = argv[0], argv, Stream{Kind: StreamCopy, Flags: 1}
	change(s)
	r := run(t, s)
	if !r.executed || r.status.ExitStatus() != 0 {
		t.Errorf("%+v, %v", r, r.err)
	}
	return strings.Join(strings.Fields(r.out), " ")
}

// Who may not give a program more than it has itself runs it with that: in a container
// Debian's dbus.service asks to be spared from the killing at the end of memory, and
// systemd-journald.service for many descriptors too.
func TestWithoutSysResource(t *testing.T) {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_RTPRIO, &own); err != nil {
		t.Fatal(err)
	}
	withAndWithout(t, unix.CAP_SYS_RESOURCE, func(t *testing.T, has bool) {
		most := own.Max
		if has {
			most = math.MaxUint64
		}
		for _, soft := range []uint64{0, 97} { // a priority below the highest, and no likely pid
			want := fmt.Sprintf("Max realtime priority %d %d", min(soft, most), min(97, most))
			if got := shown(t, func(s *Spec) { s.Limits = []Limit{{unix.RLIMIT_RTPRIO, soft, 97}} }, "/bin/grep", "realtime priority", "/proc/self/limits"); got != want {
				t.Errorf("%s; want %s", got, want)
			}
		}
		want := "-777"
		if !has {
			want = shown(t, func(*Spec) {}, "/bin/cat", "/proc/self/oom_score_adj")
		}
		if got := shown(t, func(s *Spec) { s.OOMScore = Int{true, -777} }, "/bin/cat", "/proc/self/oom_score_adj"); got != want || got == "" {
			t.Errorf("score %q; want %q", got, want)
		}
	})
}

// The same of nice values.
func TestWithoutSysNice(t *testing.T) {
	value := func(change func(*Spec)) int {
		t.Helper()
		n, err := strconv.Atoi(shown(t, change, "/usr/bin/nice")) // nice(1) without arguments tells its own
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	own := value(func(*Spec) {})
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NICE, &limit); err != nil {
		t.Fatal(err)
	}
	withAndWithout(t, unix.CAP_SYS_NICE, func(t *testing.T, has bool) {
		for _, want := range []int{-20, -5, 19} {
			got := value(func(s *Spec) { s.Nice = Int{true, int32(want)} })
			if !has {
				want = max(want, min(own, 20-int(min(limit.Cur, 40))))
			}
			if got != want {
				t.Errorf("%d; want %d", got, want)
			}
		}
	})
}

// Each stage that fails is told by its name and the kernel's errno, and nothing is
// executed.
func TestStageFailures(t *testing.T) {
	locked := t.TempDir() + "/file"
	if err := os.WriteFile(locked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		stage  string
		errno  syscall.Errno
		change func(*Spec)
	}{
		{"descriptors", unix.EBADF, func(s *Spec) { s.FDs = []int32{2} }},
		{"cgroup", unix.EXDEV, func(s *Spec) { s.Cgroup = "/somewhere/else" }},
		{"oom-score-adj", unix.EINVAL, func(s *Spec) { s.OOMScore = Int{true, 5000} }},
		{"coredump-filter", 0, nil},
		{"umask", 0, nil},
		{"nice", 0, nil},
		{"scheduling", unix.EINVAL, func(s *Spec) { s.Sched = Sched{Set: true, Policy: 77} }},
		{"ioprio", unix.EINVAL, func(s *Spec) { s.IOPrio = Int{true, 7 << 13} }},
		{"affinity", unix.EINVAL, func(s *Spec) { s.Affinity = []uint64{0} }},
		{"numa", unix.EINVAL, func(s *Spec) { s.NUMA = NUMA{Set: true, Mode: 99} }},
		{"timer-slack", 0, nil},
		{"personality", 0, nil},
		{"memory-ksm", 0, nil},
		{"keyring", 0, nil},
		{"state-directory", unix.ENOTDIR, func(s *Spec) { s.Dirs = []Dir{{Stage: "state-directory", Path: locked + "/x"}} }},
		{"credentials", unix.ENOENT, func(s *Spec) {
			s.Credentials = Credentials{Path: filepath.Dir(locked) + "/c", UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Items: []Credential{{ID: "a", Path: "/nonexistent"}}}
		}},
		{"pam", unix.ENOSYS, func(s *Spec) { s.PAM = PAM{Service: "login", User: "root"} }},
		{"tty", unix.ENOENT, func(s *Spec) { s.TTY = TTY{Path: "/dev/no-such-tty", Mode: TTYTake} }},
		{"stdin", unix.ENOENT, func(s *Spec) { s.Stdio[0] = Stream{Kind: StreamFile, Path: "/nonexistent"} }},
		{"stdout", unix.EISDIR, func(s *Spec) { s.Stdio[1] = Stream{Kind: StreamFile, Path: "/", Flags: unix.O_WRONLY} }},
		{"stderr", unix.EINVAL, func(s *Spec) { s.Stdio[2] = Stream{Kind: StreamCopy, Flags: 2} }},
		{"limits", unix.EINVAL, func(s *Spec) { s.Limits = []Limit{{unix.RLIMIT_CORE, 2, 1}} }},
		{"capability-bounding-set", 0, nil},
		{"secure-bits", unix.EPERM, func(s *Spec) { s.HasSecure, s.SecureBits = true, 1<<31 }},
		{"groups", unix.EINVAL, func(s *Spec) { s.Ids = Ids{SetGroups: true, Groups: []uint32{1<<32 - 1}} }},
		{"group", unix.EINVAL, func(s *Spec) { s.Ids = Ids{SetGID: true, GID: 1<<32 - 1} }},
		{"user", unix.EINVAL, func(s *Spec) { s.Ids = Ids{SetUID: true, UID: 1<<32 - 1} }},
		{"ambient-capabilities", unix.EPERM, func(s *Spec) { s.Ambient = 1 << 62 }},
		{"working-directory", unix.ENOENT, func(s *Spec) { s.Cwd = "/nonexistent" }},
		{"no-new-privileges", 0, nil},
		{"signals", 0, nil},
		{"session", 0, nil},
		{"exec", unix.ENOENT, func(s *Spec) { s.Path = "/nonexistent" }},
		{"exec", unix.EACCES, func(s *Spec) { s.Path = locked }},
		{"directories", 0, nil},
		{"label", unix.ENOENT, func(s *Spec) { s.Labels = []Label{{Attr: "no-such-module", Text: "x"}} }},
		{"namespace", unix.EBADF, func(s *Spec) { s.Space.Join = []Join{{Kind: unix.CLONE_NEWNET, Aux: 3}} }},
		{"mounts", unix.ENOENT, func(s *Spec) {
			s.View = View{Set: true, Mounts: []Mount{{Kind: MountAttr, Path: "/nonexistent", ReadOnly: AspectOn}}}
		}},
		{"no-write-exec", 0, nil},
		{"user-namespace", unix.EINVAL, func(s *Spec) { s.Space.Users = Users{Set: true, UIDs: []IDMap{{0, 0, 0}}} }},
		{"seccomp", unix.EINVAL, func(s *Spec) { s.Filters = []Filter{{Name: "bad", Prog: []byte("12345678")}} }},
	}
	tried := map[string]bool{}
	for _, test := range tests {
		tried[test.stage] = true
		if test.change == nil {
			continue // cannot be made to fail from outside
		}
		t.Run(test.stage, func(t *testing.T) {
			s := helper(t, "show")
			test.change(s)
			var pass []*os.File
			for range s.FDs {
				pass = append(pass, os.Stdin)
			}
			r := run(t, s, pass...)
			want := ExitSetup
			if test.stage == "exec" {
				want = ExitExec
			}
			unprivileged := os.Getuid() != 0 && r.err != nil && r.err.Errno == int32(unix.EPERM)
			if r.executed || r.err == nil || r.err.Stage != test.stage || r.err.Errno != int32(test.errno) && !unprivileged || r.status.ExitStatus() != want || r.out != "" {
				t.Errorf("got %+v, %v; want stage %s, %v, status %d", r, r.err, test.stage, test.errno, want)
			}
		})
	}
	for _, s := range Stages() {
		if !tried[s] {
			t.Errorf("stage %s has no row in this test", s)
		}
	}
}

func TestBrokenSpec(t *testing.T) {
	r := runRaw(t, []byte("no spec at all"))
	if r.err == nil || r.err.Stage != "spec" || r.err.Errno != int32(unix.EBADMSG) || r.status.ExitStatus() != ExitSetup {
		t.Errorf("got %+v, %v", r, r.err)
	}
}

// As root: the identity changes, and capabilities are what was asked.
func TestIdentity(t *testing.T) {
	if os.Getuid() != 0 {
		// Nothing of it can be asked for; what fails then is in
		// TestStageFailures.
		return
	}
	s := helper(t, "show")
	open(t, s)
	s.Ids = Ids{SetGroups: true, Groups: []uint32{12, 34}, SetGID: true, GID: 12, SetUID: true, UID: 4321}
	s.HasBounding, s.Bounding = true, 1<<10|1<<13
	s.Ambient = 1 << 10
	r := run(t, s)
	for k, want := range map[string]string{"Uid": "4321 4321 4321 4321", "Gid": "12 12 12 12", "Groups": "12 34",
		"CapEff": "0000000000000400", "CapBnd": "0000000000002400", "CapAmb": "0000000000000400"} {
		if got := r.value(k); got != want {
			t.Errorf("%s = %q; want %q (%v)", k, got, want, r.err)
		}
	}
	s.Ambient = 0
	if got := run(t, s).value("CapEff"); got != "0000000000000000" {
		t.Errorf("without ambient ones, capabilities = %s", got)
	}
}

// open copies the program to where everybody can reach it.
func open(t *testing.T, s *Spec) {
	t.Helper()
	b, err := os.ReadFile(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "child")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.Path = dir + "/prog"
	if err := os.WriteFile(s.Path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryChangesHands(t *testing.T) {
	if os.Getuid() != 0 {
		return // only root gives files away
	}
	base := t.TempDir()
	target := filepath.Join(base, "not-mine")
	for _, p := range []string{base + "/state/deep", target} {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(target, base+"/state/link"); err != nil {
		t.Fatal(err)
	}
	d := Dir{Path: base + "/state", Mode: 0o750, UID: 4321, GID: 12, Chown: true}
	if err := d.make(); err != nil {
		t.Fatal(err)
	}
	owner := func(p string) uint32 {
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			t.Fatal(err)
		}
		return st.Uid
	}
	for p, want := range map[string]uint32{"state": 4321, "state/deep": 4321, "state/link": 4321, "not-mine": 0} {
		if got := owner(filepath.Join(base, p)); got != want {
			t.Errorf("owner of %s = %d; want %d", p, got, want)
		}
	}
	// A symbolic link in the place of the directory is not followed.
	d.Path = base + "/state/link"
	if err := d.make(); err != unix.ENOTDIR && err != unix.ELOOP {
		t.Errorf("make over a link: %v; want ENOTDIR", err)
	}
}

// A service that owns a directory cannot, by links in it, have the manager make, give
// away or open anything elsewhere; links of root on the way are followed.
func TestDirectoriesOfServicesLeadNowhere(t *testing.T) {
	if os.Getuid() != 0 {
		return // only root gives files away
	}
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(base+"/etc/secret", 0o700))
	must(os.MkdirAll(base+"/run/web", 0o755))
	must(os.Chown(base+"/run/web", 4321, 4321))
	for name, target := range map[string]string{"absolute": base + "/etc", "relative": "../../etc", "twice": "absolute/."} {
		must(os.Symlink(target, base+"/run/web/"+name))
		must(os.Lchown(base+"/run/web/"+name, 4321, 4321))
		for _, dir := range []string{"secret", "fresh", "deep/fresh"} {
			d := Dir{Path: base + "/run/web/" + name + "/" + dir, Mode: 0o777, UID: 4321, GID: 4321, Chown: true}
			if err := d.make(); err != unix.ELOOP {
				t.Errorf("%s/%s: %v; want ELOOP", name, dir, err)
			}
		}
		d := Dir{Path: base + "/run/own", Mode: 0o755, Links: []string{base + "/run/web/" + name + "/link"}}
		if err := d.make(); err != unix.ELOOP {
			t.Errorf("a link below %s: %v; want ELOOP", name, err)
		}
	}
	var st unix.Stat_t
	must(unix.Stat(base+"/etc/secret", &st))
	if names, err := os.ReadDir(base + "/etc"); err != nil || len(names) != 1 || st.Uid != 0 || st.Mode&0o777 != 0o700 {
		t.Errorf("%v %v: owner %d, mode %o", names, err, st.Uid, st.Mode)
	}
	must(os.Symlink("run", base+"/var"))
	must(os.Symlink(base+"/var/loop", base+"/var/loop"))
	d := Dir{Path: base + "/var/web/a/b", Mode: 0o750, UID: 4321, GID: 4321, Chown: true}
	must(d.make())
	must(unix.Stat(base+"/run/web/a/b", &st))
	if st.Uid != 4321 {
		t.Errorf("below a link of root the owner is %d", st.Uid)
	}
	for _, p := range []string{base + "/var/loop/x", "relative/x", "/", "", "/a/.."} {
		if fd, _, err := OpenParent(p, true); err == nil {
			unix.Close(fd)
			t.Errorf("%q has a parent", p)
		}
	}
}

func TestStageNamesAreKnown(t *testing.T) {
	if s := Stages(); len(s) == 0 || slices.Contains(s, "") {
		t.Errorf("Stages() = %q", s)
	}
}

// A manager that is killed during the set-up takes nothing with it: the process was
// written down and is to run (it would die of SIGPIPE with its report).
func TestGoesOnWithoutTheManager(t *testing.T) {
	s := helper(t, "say ran")
	s.Hold = true
	s.PIDVars = []string{"ONE_PID", "OTHER_PID"}
	for _, c := range []struct {
		ahead bool
		code  int
		out   string
	}{{true, 0, "ran PID PID\n"}, {false, ExitUnheld, ""}} {
		for _, program := range []bool{false, true} {
			status, out := held(t, s, program, c.ahead)
			if !status.Exited() || status.ExitStatus() != c.code || out != c.out {
				t.Errorf("with go-ahead %v, as a program %v: %v, %q; want exit %d, %q", c.ahead, program, status, out, c.code, c.out)
			}
		}
	}
}

// held runs the spec, which waits for the go-ahead of a manager that dies after it or
// instead.
func held(t *testing.T, s *Spec, program, ahead bool) (status syscall.WaitStatus, out string) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	path, image := "/proc/self/fd/3", new(Maker).Program(s, Ignored())
	if !program {
		image = s.Encode()
		if path, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	fd := programFD(t, image)
	defer unix.Close(fd)
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer outR.Close()
	pid, err := syscall.ForkExec(path, []string{path, "dynamod-child"}, &syscall.ProcAttr{
		Env: []string{"GORACE=atexit_sleep_ms=0"}, Sys: &syscall.SysProcAttr{Setsid: true},
		Files: []uintptr{outW.Fd(), outW.Fd(), outW.Fd(), uintptr(fd), uintptr(pair[1])}})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[1])
	outW.Close()
	if ahead {
		word := []byte{1}
		if program {
			word = s.GoAhead(pid)
		}
		if _, err := unix.Write(pair[0], word); err != nil {
			t.Fatal(err)
		}
	}
	unix.Close(pair[0])
	text, _ := io.ReadAll(outR)
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	return status, strings.ReplaceAll(string(text), strconv.Itoa(pid), "PID")
}

var _ = testkit.Register("say ran", func([]string) { fmt.Println("ran", os.Getenv("ONE_PID"), os.Getenv("OTHER_PID")) })

// A process of the service that owns the directory of its credentials cannot hold up
// those of the next start, nor have them written elsewhere.
func TestCredentialsOverHostileFiles(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, hostile := range []func(string) error{
		func(p string) error { return unix.Mkfifo(p, 0o666) },
		func(p string) error { return os.Symlink(victim, p) },
		func(p string) error { return os.Link(victim, p) },
	} {
		path := filepath.Join(dir, fmt.Sprint("credentials", k))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"/a", "/a.new"} {
			if err := hostile(path + name); err != nil {
				t.Fatal(err)
			}
		}
		st := state{spec: &Spec{Credentials: Credentials{Path: path, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Items: []Credential{{ID: "a", Data: []byte("new")}}}}}
		if err := st.credentials(); err != nil {
			t.Errorf("%d: %v", k, err)
		}
		if data, err := os.ReadFile(path + "/a"); err != nil || string(data) != "new" {
			t.Errorf("%d: %q, %v", k, data, err)
		}
		if data, err := os.ReadFile(victim); err != nil || string(data) != "kept" {
			t.Errorf("%d: the other file has %q, %v", k, data, err)
		}
	}
}
