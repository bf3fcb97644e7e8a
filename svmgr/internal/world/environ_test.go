package world

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/sandbox"
	"dynamod/internal/sys/accounts"
	"dynamod/internal/sys/timerslack"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// The examples of systemd.service(5), "Command lines", and what follows from them.
func TestExpandArgs(t *testing.T) {
	vars := map[string]string{"ONE": "one", "TWO": "two two", "Q": `a "b c" d`, "EMPTY": ""}
	get := func(n string) (string, bool) { v, ok := vars[n]; return v, ok }
	for in, want := range map[string][]string{
		"$ONE|$TWO|${TWO}": {"one", "two", "two", "two two"},
		"$EMPTY|$NONE":     nil,
		"${EMPTY}|${NONE}": {"", ""},
		"x${ONE}y|x$ONE":   {"xoney", "x$ONE"},
		"$Q":               {"a", "b c", "d"},
		"$$ONE|$${ONE}|$":  {"$ONE", "${ONE}", "$"},
		"$1|${1}|${ONE":    {"$1", "${1}", "${ONE"},
	} {
		if got := expandArgs(strings.Split(in, "|"), get); !slices.Equal(got, want) {
			t.Errorf("expandArgs(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestEnvironmentOfARun(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/env"
	if err := os.WriteFile(file, []byte("FROMFILE='x y'\nOVER=file\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PASSED", "on")
	t.Setenv("HIDDEN", "secret")
	r := newRig(t, func(c *Config) {
		c.Environment = []string{"LANG=C.UTF-8", "GONE=1"}
		c.Directories.Runtime, c.Directories.State = dir+"/run", dir+"/state"
	})
	u := service(t, "env.service", "ExecStart=/usr/bin/env", "Environment=OVER=unit PLAIN=1", "EnvironmentFile="+file,
		"EnvironmentFile=-/nonexistent", "PassEnvironment=PASSED", "UnsetEnvironment=GONE PLAIN=2", "RuntimeDirectory=a b/c", "StateDirectory=s",
		"SetCredential=token:abc", "WatchdogSec=3", "StandardOutput=file:"+dir+"/out")
	inc := r.spawn(u, func(a *core.Spawn) { a.Trigger, a.Result = "x.timer", "success" })
	if failed, exit := r.lifeOf(inc); failed != nil || exit == nil || exit.Code != 0 {
		t.Fatalf("%+v, %+v", failed, exit)
	}
	b, err := os.ReadFile(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[k] = v
	}
	for k, want := range map[string]string{"PATH": DefaultPath, "LANG": "C.UTF-8", "OVER": "file", "PLAIN": "1", "FROMFILE": "x y", "PASSED": "on",
		"RUNTIME_DIRECTORY": dir + "/run/a:" + dir + "/run/b/c", "STATE_DIRECTORY": dir + "/state/s", "TRIGGER_UNIT": "x.timer",
		"SERVICE_RESULT": "success", "CREDENTIALS_DIRECTORY": dir + "/run/credentials/env.service", "WATCHDOG_USEC": "3000000"} {
		if got[k] != want {
			t.Errorf("%s = %q; want %q", k, got[k], want)
		}
	}
	for _, k := range []string{"HIDDEN", "GONE", "HOME"} {
		if v, ok := got[k]; ok {
			t.Errorf("%s = %q; want it unset", k, v)
		}
	}
	if got["WATCHDOG_PID"] != got["SYSTEMD_EXEC_PID"] || len(got["INVOCATION_ID"]) != 32 {
		t.Errorf("pids %q and %q, invocation %q", got["WATCHDOG_PID"], got["SYSTEMD_EXEC_PID"], got["INVOCATION_ID"])
	}
	if b, err := os.ReadFile(dir + "/run/credentials/env.service/token"); string(b) != "abc" {
		t.Errorf("the credential is %q, %v", b, err)
	}
	r.Perform(core.RemoveCgroup{Unit: u.Name, Incarnation: inc})
	r.pool.idle.Wait()
	left, _ := filepath.Glob(dir + "/run/*/*")
	if _, err := os.Stat(dir + "/state/s"); err != nil || len(left) != 0 {
		t.Errorf("after the end: state %v, below run %q; want the state only", err, left)
	}
}

// A unit whose user does not exist fails in the stage "user" and is never root.
func TestUnknownIdentity(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	r.accounts = accounts.Files{PasswdFile: dir + "/passwd", GroupFile: dir + "/group"}
	for p, text := range map[string]string{"/passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/ash\n",
		"/group": "users:x:100:\naudio:x:29:bob,ann\nvideo:x:44:annette\n"} {
		if err := os.WriteFile(dir+p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for line, stage := range map[string]string{"User=nobody-here": "user", "Group=nogroup-here": "group", "User=4711": "group", "SupplementaryGroups=nix": "groups"} {
		run := r.spawn(service(t, "id.service", "ExecStart=/bin/true", line))
		if failed, exit := r.lifeOf(run); failed == nil || failed.Stage != stage || failed.Errno != int32(unix.ESRCH) || exit != nil {
			t.Errorf("%s: %+v, %+v; want stage %s, ESRCH", line, failed, exit, stage)
		}
	}
	id, err := r.identify(service(t, "id.service", "ExecStart=/bin/true", "User=ann", "SupplementaryGroups=video"))
	if err != nil || id.uid != 1000 || id.gid != 100 || !slices.Equal(id.groups, []uint32{100, 29, 44}) || id.shell != "/bin/ash" {
		t.Errorf("identify(ann) = %+v, %v", id, err)
	}
}

func TestCapabilitySet(t *testing.T) {
	all := ^uint64(0)
	for _, test := range []struct {
		lines []string
		want  uint64
	}{
		{nil, all},
		{[]string{"CapabilityBoundingSet=CAP_CHOWN CAP_KILL"}, 1 | 1<<5},
		{[]string{"CapabilityBoundingSet=~CAP_CHOWN CAP_KILL"}, all &^ (1 | 1<<5)},
		{[]string{"CapabilityBoundingSet=CAP_CHOWN", "CapabilityBoundingSet=CAP_KILL"}, 1 | 1<<5},
		{[]string{"CapabilityBoundingSet=~CAP_CHOWN", "CapabilityBoundingSet=~CAP_KILL"}, all &^ (1 | 1<<5)},
		{[]string{"CapabilityBoundingSet=~CAP_CHOWN CAP_KILL", "CapabilityBoundingSet=CAP_KILL"}, all &^ 1},
		{[]string{"CapabilityBoundingSet="}, 0},
	} {
		u := service(t, "cap.service", append([]string{"ExecStart=/bin/true"}, test.lines...)...)
		if got, err := sandbox.Capabilities(u, unit.CapabilityBoundingSet, all); err != nil || got != test.want {
			t.Errorf("%q: %#x, %v; want %#x", test.lines, got, err, test.want)
		}
	}
}

func TestLimitsOf(t *testing.T) {
	u := service(t, "l.service", "ExecStart=/bin/true", "MemoryMax=1G", "MemoryHigh=infinity", "TasksMax=77", "CPUQuota=150%", "CPUWeight=idle",
		"AllowedCPUs=0-1 3", "IOWeight=50")
	got, err := limitsOf(u, false)
	want := []limit{{"memory", "memory.high", "max"}, {"memory", "memory.max", "1073741824"}, {"pids", "pids.max", "77"},
		{"cpu", "cpu.idle", "1"}, {"cpu", "cpu.max", "150000 100000"}, {"cpuset", "cpuset.cpus", "0-1,3"}, {"io", "io.weight", "default 50"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("limitsOf = %v, %v; want %v", got, err, want)
	}
}

// A process has the kernel's slack and not the manager's that PID 1 gave it, and falls back
// to it; a slack from elsewhere is passed on.
func TestTimerSlack(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	for own, want := range map[uintptr]string{timerslack.Lazy: "50000\n50000\n", 70_000: "70000\n70000\n"} {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, own, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		// 0 is the one to fall back to (proc_pid_timerslack_ns(5)).
		pid, err := forkEager("/bin/sh", []string{"sh", "-c", "s=/proc/$$/timerslack_ns; read a <$s; echo $a; echo 0 >$s; read a <$s; echo $a"}, &syscall.ProcAttr{Files: []uintptr{0, w.Fd(), 2}})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		syscall.Wait4(pid, nil, 0, nil)
		if err != nil || string(text) != want {
			t.Errorf("with a slack of %d ns a child has %q, %v; want %q", own, text, err, want)
		}
		if now := timerslack.Own(); now != int(own) {
			t.Errorf("the manager has %d ns after that; want %d", now, own)
		}
	}
}

// MemoryPressureWatch= (systemd.resource-control(5)): off is said to the program, auto goes
// by the accounting, and a kernel without PSI has nothing to watch.
func TestPressureEnvironment(t *testing.T) {
	dir := t.TempDir()
	bare := t.TempDir()
	if err := os.WriteFile(dir+"/memory.pressure", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const write = "c29tZSAyMDAwMDAgMjAwMDAwMAA=" // "some 200000 2000000\x00"
	on := []string{"MEMORY_PRESSURE_WATCH=" + dir + "/memory.pressure", "MEMORY_PRESSURE_WRITE=" + write}
	for _, c := range []struct {
		dir      string
		settings []string
		want     []string
	}{
		{dir, nil, on}, {bare, nil, nil}, {"", nil, nil},
		{dir, []string{"MemoryAccounting=no"}, nil}, {dir, []string{"MemoryAccounting=no", "MemoryPressureWatch=on"}, on},
		{dir, []string{"MemoryPressureWatch=off"}, []string{"MEMORY_PRESSURE_WATCH=/dev/null"}},
		{dir, []string{"MemoryPressureWatch=skip"}, nil},
		{dir, []string{"MemoryPressureThresholdSec=1ms"}, []string{on[0], "MEMORY_PRESSURE_WRITE=c29tZSAxMDAwIDIwMDAwMDAA"}},
	} {
		if got := pressureEnvironment(c.dir, service(t, "p.service", append([]string{"ExecStart=/bin/true"}, c.settings...)...)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q; want %q", c.settings, got, c.want)
		}
	}
}

// A directory that is a link into /usr is named once.
func TestSearchPath(t *testing.T) {
	root := t.TempDir()
	if got := searchPath(root); got != "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" {
		t.Error(got)
	}
	if err := os.Symlink("usr/sbin", filepath.Join(root, "sbin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	if got := searchPath(root); got != "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin" {
		t.Error(got)
	}
}

// Units on a terminal are told which (systemd.exec(5), $TERM), others nothing of the kind;
// what the unit says itself wins.
func TestTerminalType(t *testing.T) {
	w := newRig(t)
	for _, c := range []struct{ lines, want string }{
		{"StandardInput=tty\nTTYPath=/dev/tty1", "TERM=linux"},
		{"StandardInput=tty-force\nTTYPath=/dev/ttyS0", "TERM=vt220"},
		{"StandardOutput=tty\nTTYPath=/dev/pts/3", "TERM=vt220"},
		{"StandardError=tty\nTTYPath=/dev/tty", "TERM=vt220"},
		{"StandardInput=tty\nTTYPath=/dev/tty1\nEnvironment=TERM=dumb", "TERM=dumb"},
		{"StandardOutput=null\nTTYPath=/dev/tty1\nTTYReset=yes", ""},
	} {
		u := service(t, "a.service", "ExecStart=/bin/true", c.lines)
		o := &order{stdio: [3]int{w.null, w.null, w.null}}
		err := w.fill(o, &group{u: u}, core.Spawn{Unit: u, Exec: serviceExec(u), Role: core.RoleMain})
		if err != nil {
			t.Fatal(err)
		}
		o.release(true)
		got := ""
		for _, v := range o.spec.Env {
			if strings.HasPrefix(v, "TERM=") {
				got += v
			}
		}
		if got != c.want {
			t.Errorf("%q: %q; want %q", c.lines, got, c.want)
		}
	}
	active := filepath.Join(t.TempDir(), "active")
	for consoles, want := range map[string]string{"tty0 ttyS0\n": "vt220", "ttyS0 tty0\n": "linux", "": "vt220"} {
		if err := os.WriteFile(active, []byte(consoles), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := terminalType("/dev/console", active); got != want {
			t.Errorf("consoles %q: %q; want %q", consoles, got, want)
		}
	}
}
