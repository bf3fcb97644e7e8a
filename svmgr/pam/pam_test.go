package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/svmgr/internal/child"
)

func TestMain(m *testing.M) {
	if os.Getenv("AS") == "dynamod-pam" || len(os.Args) == 5 && os.Args[1] == keepWord {
		main()
		return
	}
	testkit.Main(m)
}

// services becomes dynamod-pam where args[0] is /etc/pam.d.
var _ = testkit.Register("services", func(args []string) {
	if err := unix.Mount(args[0], "/etc/pam.d", "", unix.MS_BIND, ""); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, []string{"dynamod-pam"}, []string{"AS=dynamod-pam", "GOMAXPROCS=1"})
	}
	fmt.Println(err)
	os.Exit(1)
})

// run has dynamod-pam run a shell's line under a service of PAM, and returns what it says
// and why it did not run.
func run(t *testing.T, dir, service, line string) (out string, failure *child.StageError) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	spec := child.Spec{Path: "/bin/sh", Argv: []string{"sh", "-c", line}, Env: []string{"GREETING=none", "OWN=1"}, Umask: 0o22,
		Limits: []child.Limit{{Resource: unix.RLIMIT_NOFILE, Soft: 200, Hard: 300}, {Resource: unix.RLIMIT_CORE, Soft: 0, Hard: 0}},
		PAM:    child.PAM{Service: service, User: "root"}}
	file, err := os.Create(filepath.Join(t.TempDir(), "spec"))
	check(err)
	defer file.Close()
	_, err = file.Write(spec.Encode())
	check(err)
	r, w, err := os.Pipe()
	check(err)
	defer r.Close()
	argv := testkit.Command(t, "services", dir)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var said testkit.Buffer
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &said, &said, []*os.File{file, w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	check(cmd.Start())
	w.Close()
	report, err := io.ReadAll(r)
	check(err)
	err = cmd.Wait()
	executed, failure := child.ParseReport(report)
	if executed != (err == nil) || executed == (failure != nil) {
		t.Fatalf("executed %v, %v, %v: %s", executed, failure, err, said.String())
	}
	return said.String(), failure
}

// A session is opened before the program: limits and variables of modules are the
// program's. It is closed after it, by somebody who knows the variables and has none of
// them as its own, for it is root. Modules know the unit's variables, too.
func TestSession(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	told := filepath.Join(dir, "told")
	for name, text := range map[string]string{
		"whole": "account required pam_permit.so\nsession required pam_env.so envfile=" + dir + "/env\nsession required pam_limits.so conf=" + dir + "/limits\n" +
			"session required pam_exec.so type=close_session " + dir + "/close\n",
		"expired": "account required pam_deny.so\nsession required pam_permit.so\n",
		"closed":  "account required pam_permit.so\nsession required pam_deny.so\n",
		"env":     "GREETING=hello\n",
		"limits":  "root - nofile 123\n",
		"close":   "#!/bin/sh\necho $PAM_SERVICE $PAM_USER $PAM_TYPE $GREETING $OWN >" + told + ".new\nmv " + told + ".new " + told + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	out, failure := run(t, dir, "whole", "ulimit -Sn; ulimit -Hn; ulimit -Sc; echo $GREETING $OWN; "+
		// Its first child is the one that closes the session. No signal keeps it from that.
		"read keeper rest </proc/$$/task/$$/children; kill -TERM $keeper; kill -ABRT $keeper; kill -USR1 $keeper; tr '\\0' '\\n' </proc/$keeper/environ; exec ls /proc/self/fd")
	if got := strings.Fields(out); failure != nil || !slices.Equal(got, []string{"123", "123", "0", "hello", "1", "GOMAXPROCS=1", "0", "1", "2", "3"}) {
		t.Errorf("%q, %v", got, failure)
	}
	testkit.Eventually(t, "the session is closed", func() bool { _, err := os.Stat(told); return err == nil })
	if got, err := os.ReadFile(told); err != nil || string(got) != "whole root close_session hello 1\n" {
		t.Errorf("at the end: %q, %v", got, err)
	}
	for service, want := range map[string]string{"expired": "expired: pam_acct_mgmt: ", "closed": "closed: pam_open_session: ", "absent": "absent: pam_"} {
		if out, failure := run(t, dir, service, "echo ran"); failure == nil || failure.Stage != "pam" || failure.Errno != int32(unix.EACCES) || !strings.HasPrefix(failure.Path, want) || out != "" {
			t.Errorf("%s: %q, %+v", service, out, failure)
		}
	}
}
