package child

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaces prints which namespaces a process is in, and what its IDs are there.
const namespaces = `
for n in cgroup ipc mnt net pid time user uts; do echo "$n $(readlink /proc/self/ns/$n)"; done
echo "uid_map $(tr -s ' ' < /proc/self/uid_map | tr '\n' ',')"
grep -E '^(Uid|Gid|CapEff|CapBnd|NoNewPrivs):' /proc/self/status
echo "pid_is $$"
ls -A1 /sys/class/net | tr '\n' ' ' | sed 's/^/devices /'
`

func shell(script string) *Spec {
	return &Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", script}, Umask: 0o22,
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
}

func mustRun(t *testing.T, s *Spec, pass ...*os.File) result {
	t.Helper()
	r := run(t, s, pass...)
	if !r.executed || r.err != nil || r.status.ExitStatus() != 0 {
		t.Fatalf("executed %v, %v, status %d:\n%s", r.executed, r.err, r.status, r.out)
	}
	return r
}

func TestNamespacesAreMade(t *testing.T) {
	before := mustRun(t, shell(namespaces))
	s := shell(namespaces)
	s.Space = Space{Unshare: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET | unix.CLONE_NEWTIME, Loopback: true}
	s.View.Set = true
	after := mustRun(t, s)
	for _, n := range []string{"uts", "ipc", "cgroup", "net", "time", "mnt"} {
		if before.value(n) == after.value(n) {
			t.Errorf("the %s namespace is still that of the host", n)
		}
	}
	for _, n := range []string{"pid", "user"} {
		if before.value(n) != after.value(n) {
			t.Errorf("the %s namespace has changed", n)
		}
	}
}

// The user namespace is entered last: IDs are mapped, capabilities hold inside only,
// and the process is the same.
func TestUserNamespace(t *testing.T) {
	maps := []IDMap{{0, 0, 1}, {4321, 4321, 1}}
	s := shell(namespaces)
	s.PIDVars = []string{"MYPID"}
	s.Argv[2] += `[ "$MYPID" = $$ ]`
	s.Space.Users = Users{Set: true, UIDs: maps, GIDs: maps}
	r := mustRun(t, s)
	if got := r.value("uid_map"); strings.TrimSpace(got) != "0 0 1, 4321 4321 1," {
		t.Errorf("uid_map = %q", got)
	}
	if r.value("user") == mustRun(t, shell(namespaces)).value("user") {
		t.Error("the user namespace is that of the host")
	}
	if r.value("Uid:") != "0\t0\t0\t0" || r.value("CapEff:") == "0000000000000000" {
		t.Errorf("uid %s, capabilities %s; want root inside", r.value("Uid:"), r.value("CapEff:"))
	}
	// What an inner root cannot do outside, and what it can inside.
	s = shell("hostname other && exit 3; exit 0")
	s.Space.Users = Users{Set: true, UIDs: maps, GIDs: maps}
	mustRun(t, s)
	s = shell("hostname other && hostname | grep -q other")
	s.Space = Space{Users: Users{Set: true, UIDs: maps, GIDs: maps}}
	if r := run(t, s); r.status.ExitStatus() == 0 {
		t.Error("an inner root could rename the host")
	}
	s = shell(namespaces)
	s.Space.Users = Users{Set: true, UIDs: maps, GIDs: maps}
	s.Ids = Ids{SetGroups: true, Groups: []uint32{4321}, SetGID: true, GID: 4321, SetUID: true, UID: 4321}
	s.HasBounding, s.Bounding = true, 1<<10|1<<13
	s.Ambient = 1 << 10
	s.NoNewPrivs = true
	r = mustRun(t, s)
	for k, want := range map[string]string{"Uid:": "4321\t4321\t4321\t4321", "CapEff:": "0000000000000400", "CapBnd:": "0000000000002400", "NoNewPrivs:": "1"} {
		if got := r.value(k); got != want {
			t.Errorf("%s %q; want %q", k, got, want)
		}
	}
}

// The small program that enters a user namespace reports as this one does.
func TestUserNamespaceFailures(t *testing.T) {
	maps := []IDMap{{0, 0, 1}}
	for _, test := range []struct {
		stage, path string
		errno       unix.Errno
		status      int
		change      func(*Spec)
	}{
		{"exec", "/nonexistent", unix.ENOENT, ExitExec, func(s *Spec) { s.Path = "/nonexistent" }},
		{"user", "", unix.EINVAL, ExitSetup, func(s *Spec) { s.Ids = Ids{SetUID: true, UID: 4321} }},
		{"working-directory", "/nonexistent", unix.ENOENT, ExitSetup, func(s *Spec) { s.Cwd = "/nonexistent" }},
	} {
		s := shell("echo never")
		s.Space.Users = Users{Set: true, UIDs: maps, GIDs: maps}
		test.change(s)
		r := run(t, s)
		if r.executed || r.err == nil || *r.err != (StageError{test.stage, int32(test.errno), test.path}) || r.status.ExitStatus() != test.status || r.out != "" {
			t.Errorf("%s: executed %v, %v, status %d, %q", test.stage, r.executed, r.err, r.status.ExitStatus(), r.out)
		}
	}
	s := shell("pwd")
	s.Space.Users = Users{Set: true, UIDs: maps, GIDs: maps}
	s.Cwd, s.CwdOptional = "/nonexistent", true
	if r := mustRun(t, s); r.out != "/\n" {
		t.Errorf("a working directory that may be missing: %q", r.out)
	}
}
