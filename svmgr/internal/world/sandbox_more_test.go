package world

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// script runs a unit whose main process is a shell, to its end.
func (r *rig) script(name, text string, lines ...string) (*core.SpawnFailed, *core.Exited) {
	r.t.Helper()
	u := service(r.t, name, append([]string{"ExecStart=/bin/sh -c '" + quoteScript(text) + "'"}, lines...)...)
	return r.lifeOf(r.spawn(u))
}

func (r *rig) succeeds(name, text string, lines ...string) {
	r.t.Helper()
	if failed, exit := r.script(name, text, lines...); failed != nil || exit.Code != 0 || exit.Signal != 0 {
		r.t.Errorf("%s %q: %+v, %+v\n%s", name, lines, failed, exit, text)
	}
}

// refused is a start that must fail at the stage.
func (r *rig) refused(stage string, errno unix.Errno, lines ...string) {
	r.t.Helper()
	failed, exit := r.script("refused.service", "exit 0", lines...)
	if failed == nil || failed.Stage != stage || failed.Errno != int32(errno) {
		r.t.Errorf("%q: %+v, %+v; want a failure at %s, %v", lines, failed, exit, stage, errno)
	}
}

// own gives the rig directories of its own, where every user can come.
func own(t *testing.T) (string, func(*Config)) {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "dynamod-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, func(c *Config) {
		c.Directories = Directories{Runtime: dir + "/run", State: dir + "/state", Cache: dir + "/cache", Logs: dir + "/log", Configuration: dir + "/etc",
			Tmp: dir + "/tmp", VarTmp: dir + "/vartmp"}
		for _, d := range []string{"tmp", "vartmp"} {
			if err := os.Mkdir(dir+"/"+d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// remove ends the incarnation, as the core does when a unit has stopped.
func (r *rig) remove(unitName string, run core.RunID) {
	r.t.Helper()
	r.Perform(core.RemoveCgroup{Unit: unitName, Incarnation: run})
	testkit.Eventually(r.t, "the end of the incarnation", func() bool { return r.groupOf(unitName, run) == nil })
	done := make(chan struct{})
	r.pool.do(unitName, func() { close(done) })
	testkit.Receive(r.t, done, "the strand")
}

func TestPrivateTmpEndsWithTheUnit(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	u := service(t, "a.service", "PrivateTmp=yes", "ExecStart=/bin/sh -c 'echo x >/tmp/file; echo y >/var/tmp/file'")
	run := r.spawn(u)
	r.lifeOf(run)
	found, _ := filepath.Glob(dir + "/*tmp/dynamod-private-*-a.service/tmp/file")
	if len(found) != 2 {
		t.Fatalf("found %q; want a file in both", found)
	}
	for _, f := range found {
		st, err := os.Stat(filepath.Dir(filepath.Dir(f)))
		if err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v", f, st.Mode(), err)
		}
	}
	// A second process of the activation sees the same files.
	r.Perform(core.Spawn{Run: 77, Unit: u, Incarnation: run, Stage: core.StageStop, Role: core.RoleControl,
		Exec: unit.Exec{Path: "/bin/sh", Argv: []string{"sh", "-c", "test -e /tmp/file -a -e /var/tmp/file"}}})
	if e := until[core.Exited](r); e.Run != 77 || e.Code != 0 {
		t.Errorf("a later command does not see the files: %+v", e)
	}
	r.remove("a.service", run)
	if left, _ := filepath.Glob(dir + "/*tmp/*"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// What lies in /tmp under the name of a private directory is not taken over.
func TestPrivateTmpIsNotHijacked(t *testing.T) {
	base := t.TempDir()
	victim := t.TempDir()
	if err := os.Symlink(victim, base+"/dynamod-private-abc-a.service"); err != nil {
		t.Fatal(err)
	}
	if dir, err := makePrivate(base, "abc", "a.service"); err == nil {
		t.Errorf("a symbolic link was taken for %s", dir)
	}
	if err := os.Mkdir(base+"/dynamod-private-def-a.service", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(base+"/dynamod-private-def-a.service", 0o777); err != nil {
		t.Fatal(err)
	}
	if dir, err := makePrivate(base, "def", "a.service"); err == nil {
		t.Errorf("a directory that others can write to was taken for %s", dir)
	}
	if left, _ := os.ReadDir(victim); len(left) != 0 {
		t.Errorf("made behind the link: %v", left)
	}
}

func TestJoinsNamespaceOf(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	shared := []string{"PrivateTmp=yes", "PrivateNetwork=yes", "PrivateIPC=yes"}
	tell := "ExecStart=/bin/sh -c 'readlink /proc/self/ns/net /proc/self/ns/ipc; ls /tmp; touch /tmp/%p'"
	start := func(name string, section ...string) (core.RunID, string) {
		t.Helper()
		before := len(r.output())
		u := service(t, name, "[Unit]\n"+strings.Join(section, "\n")+"\n[Service]\n"+strings.Join(append(shared, tell), "\n"))
		run := r.spawn(u)
		r.lifeOf(run)
		testkit.Eventually(t, "its output", func() bool { return len(r.output()) >= before+2 })
		return run, strings.Join(r.output()[before:], " ")
	}
	one, first := start("one.service")
	_, joined := start("two.service", "JoinsNamespaceOf=one.service")
	_, apart := start("three.service")
	_, inverse := start("four.service", "JoinsNamespaceOf=three.service")
	if !strings.HasPrefix(joined, first) || !strings.Contains(joined, "1:one") {
		t.Errorf("two joined one, but sees %q; want %q and its file", joined, first)
	}
	if strings.HasPrefix(apart, first) || strings.Contains(apart, "1:one") {
		t.Errorf("three joined nobody, but sees %q", apart)
	}
	if !strings.HasPrefix(inverse, apart) {
		t.Errorf("four joined three, but sees %q; want %q", inverse, apart)
	}
	// The one that began leaves; the other goes on with it.
	r.remove("one.service", one)
	if left, _ := filepath.Glob(dir + "/tmp/*-one.service/tmp/two"); len(left) != 1 {
		t.Errorf("the shared directory is gone while two uses it: %q", left)
	}
}

// A namespace that is there already, by its file.
func TestNamespacePaths(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	fd, err := newSpace("net", unix.CLONE_NEWNET)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	path := "/proc/" + itoa(os.Getpid()) + "/fd/" + itoa(fd)
	want, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	r.succeeds("a.service", `test "$(readlink /proc/self/ns/net)" = "`+want+`" && test "$(ls /sys/class/net)" = lo`, "NetworkNamespacePath="+path)
	r.refused("namespace", unix.EINVAL, "IPCNamespacePath="+path)
	r.refused("namespace", unix.ENOENT, "NetworkNamespacePath=/nonexistent")
}

func TestDynamicUser(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	settings := []string{"DynamicUser=yes", "StateDirectory=thing", "RuntimeDirectory=thing", "CacheDirectory=thing"}
	inside := `set -e
test $(id -u) -ge 61184 -a $(id -u) -le 65519 -a $(id -u) = $(id -g)
test "$USER" = dyn -a "$HOME" = /
touch $STATE_DIRECTORY/kept $RUNTIME_DIRECTORY/file $CACHE_DIRECTORY/c /tmp/x /var/tmp/x
test "$(stat -c %U $STATE_DIRECTORY/kept)" = UNKNOWN
! touch /etc/x /usr/x ` + dir + `/x 2>/dev/null
grep -q "NoNewPrivs:.*1" /proc/self/status
! chmod u+s $STATE_DIRECTORY/kept 2>/dev/null
perl -e 'syscall(29, 4242, 4096, 01600) >= 0 or die "shmget"' `
	u := service(t, "dyn.service", append(settings, "ExecStart=/bin/sh -c '"+quoteScript(strings.ReplaceAll(inside, "\n", "; "))+"'")...)
	run := r.spawn(u)
	if failed, exit := r.lifeOf(run); failed != nil || exit.Code != 0 {
		t.Fatalf("%+v, %+v, %q", failed, exit, r.output())
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/state/private/thing/kept", &st); err != nil {
		t.Fatal(err)
	}
	uid := st.Uid
	if to, _ := os.Readlink(dir + "/state/thing"); to != dir+"/state/private/thing" {
		t.Errorf("state/thing points to %q", to)
	}
	if p, err := os.Stat(dir + "/state/private"); err != nil || p.Mode().Perm() != 0o700 {
		t.Errorf("the private directory: %v, %v", p.Mode(), err)
	}
	held, _ := filepath.Glob(r.dynamicDir() + "/*")
	if len(held) != 1 || filepath.Base(held[0]) != itoa(int(uid)) {
		t.Errorf("held numbers: %q; want %d", held, uid)
	}
	// Another one at the same time gets another number.
	r.succeeds("other.service", "test $(id -u) != "+itoa(int(uid)), "DynamicUser=yes")
	shm := func() bool {
		b, err := os.ReadFile("/proc/sysvipc/shm")
		return err == nil && strings.Contains(string(b), " 4242 ")
	}
	if !shm() {
		t.Error("there is no shared memory to be removed")
	}
	r.remove("dyn.service", run)
	if shm() {
		t.Error("RemoveIPC is implied, but shared memory is left")
	}
	if _, err := os.Stat(dir + "/run/thing"); err == nil {
		t.Error("the runtime directory is left")
	}
	if held, _ := filepath.Glob(r.dynamicDir() + "/" + itoa(int(uid))); len(held) != 0 {
		t.Errorf("held after the end: %q", held)
	}
	// It comes back to what it left, with the number that owns it.
	r.succeeds("dyn.service", "test -e $STATE_DIRECTORY/kept && test $(id -u) = "+itoa(int(uid)), settings...)
	// Turned off, the directory is where everybody looks for it, and root's.
	r.succeeds("dyn.service", "test ! -L $STATE_DIRECTORY -a -e $STATE_DIRECTORY/kept", "StateDirectory=thing")
	// And back on.
	r.succeeds("dyn.service", "test -w $STATE_DIRECTORY/kept", settings...)
	// A user that exists is taken as it is.
	r.succeeds("x.service", "test $(id -un) = nobody", "DynamicUser=yes", "User=nobody", "Group=nogroup")
	r.refused("user", unix.EINVAL, "DynamicUser=yes", "User=54321")
}

// What a user leaves of System V IPC goes with the unit, if it asks for that.
func TestRemoveIPC(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	const leave = `perl -e 'syscall(29, 4243, 4096, 01600) >= 0 or die "shmget"'`
	left := func(settings ...string) bool {
		t.Helper()
		u := service(t, "ipc.service", append(settings, "User=nobody", "Group=nogroup", "ExecStart=/bin/sh -c '"+quoteScript(leave)+"'")...)
		run := r.spawn(u)
		if failed, exit := r.lifeOf(run); failed != nil || exit.Code != 0 {
			t.Fatalf("%+v, %+v", failed, exit)
		}
		r.remove(u.Name, run)
		b, err := os.ReadFile("/proc/sysvipc/shm")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(b), " 4243 ")
	}
	if left("RemoveIPC=yes") {
		t.Error("RemoveIPC=yes left shared memory")
	}
	if !left() {
		t.Error("shared memory is gone that nobody wanted removed")
	}
	r.succeeds("clean.service", "ipcrm -M 4243")
}

func TestDynamicNames(t *testing.T) {
	for name, want := range map[string]string{"web.service": "web", "a-b_c9.service": "a-b_c9", "9a.service": "_du", "x@1.service": "_du", strings.Repeat("n", 40) + ".service": "_du"} {
		got := dynamicName(service(t, name, "ExecStart=/bin/true"))
		if got != want && !(want == "_du" && strings.HasPrefix(got, want) && validUser(got)) {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("line\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := newRig(t)
	r.succeeds("a.service", `test "$LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES" = "3 $$ file:other:sock" && read x <&3 && test "$x" = line && echo more >&4 && test -S /proc/self/fd/5 && test ! -e /proc/self/fd/6`,
		"OpenFile="+dir+"/file::read-only", "OpenFile="+dir+"/file:other:append", "OpenFile="+dir+"/missing:x:graceful", "OpenFile="+dir+"/sock")
	if b, _ := os.ReadFile(dir + "/file"); string(b) != "line\nmore\n" {
		t.Errorf("the file has %q", b)
	}
	r.succeeds("a.service", "true", "OpenFile="+dir+"/file:x:truncate")
	if b, _ := os.ReadFile(dir + "/file"); len(b) != 0 {
		t.Errorf("the file has %q", b)
	}
	r.refused("open-file", unix.ENOENT, "OpenFile="+dir+"/missing")
	for _, bad := range []string{"file", dir + "/file:a:read-only,read-only", dir + "/file:a:fast", dir + "/file:a:read-only,append"} {
		r.refused("open-file", unix.EINVAL, "OpenFile="+bad)
	}
}

func TestCredentialsInsideAndRefused(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	if err := os.MkdirAll(dir+"/tree/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	for f, text := range map[string]string{"tree/a": "A", "tree/sub/b": "B"} {
		if err := os.WriteFile(dir+"/"+f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan string, 1)
	go func() { // ends with the one connection
		c, err := l.Accept()
		if err != nil {
			return
		}
		asked <- c.RemoteAddr().String()
		_, _ = c.Write([]byte("from a socket"))
		c.Close()
	}()
	if err := os.MkdirAll(dir+"/run/credentials/other.service", 0o755); err != nil {
		t.Fatal(err)
	}
	r.succeeds("c.service", `cd $CREDENTIALS_DIRECTORY && test "$(cat x)" = 1 -a "$(cat t_a)$(cat t_sub_b)" = AB -a "$(cat s)" = "from a socket" && ! touch new 2>/dev/null && test "$(ls ..)" = c.service`,
		"ProtectSystem=strict", "User=nobody", "Group=nogroup", "SetCredential=x:1", "LoadCredential=t:"+dir+"/tree", "LoadCredential=s:"+dir+"/sock", "LoadCredential=absent-without-a-path")
	if from := testkit.Receive(t, asked, "the question for a credential"); !strings.HasSuffix(from, "/unit/c.service/s") {
		t.Errorf("the question came from %q", from)
	}
	r.refused("credentials", unix.ENOTSUP, "SetCredentialEncrypted=x:aGVsbG8=")
	r.refused("credentials", unix.ENOTSUP, "LoadCredentialEncrypted=x:"+dir+"/tree/a")
	r.succeeds("c.service", "true", "LoadCredentialEncrypted=not-there")
}

func TestRootDirectory(t *testing.T) {
	needRoot(t)
	dir, where := own(t)
	r := newRig(t, where)
	root := dir + "/root"
	for _, d := range []string{"usr", "etc", "tmp", "var/tmp", "proc", "sys", "dev", "run", "srv", "opt/bin"} {
		if err := os.MkdirAll(root+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.Symlink("usr/"+l, root+"/"+l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/etc/inner", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root+"/opt/bin/tool", []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	base := []string{"RootDirectory=" + root, "BindReadOnlyPaths=/usr"}
	r.succeeds("a.service", "test -e /etc/inner && test ! -e /etc/passwd && test ! -e /proc/self", base...)
	r.succeeds("a.service", "test -e /proc/self/status && test -c /dev/null && test -d /sys/class && test \"$(stat -f -c %T /run)\" = tmpfs && test -e /run/host/os-release && test -S $NOTIFY_SOCKET",
		append(base, "MountAPIVFS=yes", "NotifyAccess=main")...)
	r.succeeds("a.service", "test -w $STATE_DIRECTORY && touch $STATE_DIRECTORY/x && ! touch /etc/y 2>/dev/null && touch /srv/y && test -e /tmp",
		append(base, "StateDirectory=thing", "ReadOnlyPaths=+/etc", "ReadOnlyPaths="+root+"/opt", "PrivateTmp=yes")...)
	r.succeeds("a.service", "! touch /opt/y 2>/dev/null", append(base, "ReadOnlyPaths="+root+"/opt")...)
	if _, err := os.Stat(dir + "/state/thing/x"); err != nil {
		t.Errorf("the state directory is not that of the host: %v", err)
	}
	// The program is looked for inside.
	u := service(t, "a.service", append(base, "ExecStart=tool", "ExecSearchPath=/opt/bin")...)
	if failed, exit := r.lifeOf(r.spawn(u)); failed != nil || exit.Code != 0 {
		t.Errorf("a program of the root: %+v, %+v", failed, exit)
	}
	// Only the main command has the root.
	u = service(t, "a.service", append(base, "RootDirectoryStartOnly=yes", "ExecStart=/bin/sh -c 'test -e /etc/inner'", "ExecStartPre=/bin/sh -c 'test -e /etc/passwd'")...)
	run := r.spawn(u)
	r.lifeOf(run)
	r.Perform(core.Spawn{Run: 900, Unit: u, Incarnation: run, Stage: core.StageStop, Role: core.RoleControl, Exec: unit.ExecStartPre.Of(u)[0]})
	if failed, e := r.lifeIn(run, 900); failed != nil || e.Code != 0 {
		t.Errorf("another command is in the root too: %+v, %+v", failed, e)
	}
	// With "+" nothing of it holds.
	u = service(t, "a.service", append(base, "SystemCallFilter=~@mount", "User=nobody", "ExecStart=+/bin/sh -c 'test -e /etc/passwd && test $$(id -u) = 0'")...)
	if failed, exit := r.lifeOf(r.spawn(u)); failed != nil || exit.Code != 0 {
		t.Errorf("a command with +: %+v, %+v", failed, exit)
	}
	r.refused("mounts", unix.ENOENT, "RootDirectory=/nonexistent")
	r.refused("mounts", unix.ENOTSUP, "RootImage="+root, "RootHash=abcd")
}

// A service in a PID namespace is PID 1 there, and the manager knows it by its real
// number: notifications arrive and signals reach it. (Who sends one has to live until
// it is read: nobody knows afterwards whose child it was.)
func TestPrivatePIDsAndTheManager(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	u := service(t, "p.service", "PrivatePIDs=yes", "NotifyAccess=main", "SystemCallFilter=~@reboot", "ExecStart=/bin/sh -c '"+quoteScript(
		`trap "exit 7" TERM; test "$SYSTEMD_EXEC_PID" = 1 || exit 9; perl -MIO::Socket::UNIX -e 'my $p=$ENV{NOTIFY_SOCKET}; my $s=IO::Socket::UNIX->new(Type=>2,Peer=>$p); $s->send("READY=1\nMAINPID=1\n"); sleep 1000' & while :; do sleep 0.05; done`)+"'")
	run := r.spawn(u)
	n := until[core.Notified](r)
	if !n.Notification.Ready || n.Unit != "p.service" {
		t.Errorf("notified: %+v", n)
	}
	if n.Notification.MainPID != 0 {
		t.Errorf("MAINPID=%d of another PID namespace was handed on", n.Notification.MainPID)
	}
	r.Perform(core.Signal{Unit: "p.service", Incarnation: run, Run: run, Signal: int32(unix.SIGTERM)})
	if e := until[core.Exited](r); e.Code != 7 {
		t.Errorf("ended with %+v; want 7", e)
	}
	r.refused("namespace", unix.EINVAL, "PrivatePIDs=yes", "Type=forking")
}

func TestSandboxRefusals(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	r.refused("mounts", unix.ENOENT, "ReadOnlyPaths=/nonexistent")
	r.refused("mounts", unix.ENOENT, "BindPaths=/nonexistent:/mnt")
	r.refused("seccomp", unix.EINVAL, "SystemCallFilter=@no-such-group")
	r.refused("seccomp", unix.EINVAL, "RestrictAddressFamilies=AF_LUNCH")
	r.refused("exec", unix.ENOENT, "SystemCallFilter=@system-service", "ExecStart=", "ExecStart=/nonexistent")
	// What is left out is said.
	settings := []string{"SystemCallFilter=~no_such_call", "SELinuxContext=-a_u:b_r:c_t:s0", "SmackProcessLabel=x"}
	wants := []string{"no_such_call", "SELinuxContext= has no effect", "SmackProcessLabel= has no effect"}
	if on, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); strings.HasPrefix(string(on), "Y") {
		r.refused("label", unix.ENOENT, "AppArmorProfile=thing")
		r.succeeds("a.service", "true", "AppArmorProfile=-thing")
		r.succeeds("a.service", "grep -qx unconfined /proc/self/attr/current", "AppArmorProfile=unconfined")
	} else {
		settings, wants = append(settings, "AppArmorProfile=thing"), append(wants, "AppArmorProfile= has no effect")
	}
	r.succeeds("w.service", "true", settings...)
	said := strings.Join(r.Warnings("w.service"), "\n")
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("warnings %q do not name %s", said, want)
		}
	}
}

// namespace.enable of native files.
func TestNativeNamespaces(t *testing.T) {
	needRoot(t)
	r := newRig(t)
	kinds := []string{"pid", "mnt", "net", "uts", "ipc", "user", "cgroup", "time"}
	script := "for n in " + strings.Join(kinds, " ") + "; do echo $n $(readlink /proc/self/ns/$n); done; echo pid-is $$"
	run := func(enable []string) map[string]string {
		t.Helper()
		before := len(r.output())
		text := "[service]\nname = \"n\"\nexec = [\"/bin/sh\", \"-c\", '''" + script + "''']\n"
		if enable != nil {
			text += "[namespace]\nenable = [\"" + strings.Join(enable, "\", \"") + "\"]\n"
		}
		u := nativeService(t, "n.service", text)
		if failed, exit := r.lifeOf(r.spawn(u)); failed != nil || exit.Code != 0 {
			t.Fatalf("%q: %+v, %+v", enable, failed, exit)
		}
		testkit.Eventually(t, "its output", func() bool { return len(r.output()) >= before+len(kinds)+1 })
		out := map[string]string{}
		for _, line := range r.output()[before:] {
			k, v, _ := strings.Cut(strings.TrimPrefix(line, "1:"), " ")
			out[k] = v
		}
		return out
	}
	host := run(nil)
	all := run(kinds)
	for _, k := range kinds {
		if host[k] == all[k] {
			t.Errorf("the %s namespace is that of the host", k)
		}
		one := run([]string{k})
		for _, other := range kinds {
			changed := one[other] != host[other]
			// A new process table or IPC space is seen through mounts.
			needed := other == k || other == "mnt" && slices.Contains([]string{"pid", "net", "ipc"}, k)
			if changed != needed {
				t.Errorf("with %s alone, %s changed = %v", k, other, changed)
			}
		}
	}
	if all["pid-is"] != "1" {
		t.Errorf("the process is %s; want 1", all["pid-is"])
	}
}
