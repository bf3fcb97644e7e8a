package debtree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// NoChrootError says why a tree's own programs cannot be run here. It is a reason
// to skip a comparison, not a result of one:
//
//	if no := (*debtree.NoChrootError)(nil); errors.As(err, &no) {
//		t.Skip(no)
//	}
type NoChrootError struct {
	Tree   string
	Reason string
}

func (e *NoChrootError) Error() string {
	return fmt.Sprintf("cannot run systemd-analyze of %s: %s", e.Tree, e.Reason)
}

// SystemdAnalyzeVerify runs "systemd-analyze verify" of the tree in the tree and
// returns the lines it prints to stderr. Units are names (ssh.service) or paths as
// seen inside the tree. Its exit status is not an error: complaints are the result.
func SystemdAnalyzeVerify(tree string, units ...string) ([]string, error) {
	return verify(tree, "--system", units)
}

// SystemdAnalyzeVerifyUser is SystemdAnalyzeVerify for units of the user manager.
func SystemdAnalyzeVerifyUser(tree string, units ...string) ([]string, error) {
	return verify(tree, "--user", units)
}

// inTree mounts what systemd-analyze looks at, and then is it. The first line tells
// us that the chroot worked, so that every later failure is systemd-analyze's own.
const inTree = `set -e
mount -t proc proc /proc
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -m 0700 /run/user
echo ` + reached + `
exec systemd-analyze --man=no --generators=no verify "$@"
`

const reached = "debtree: in the tree"

func verify(tree, scope string, units []string) ([]string, error) {
	if len(units) == 0 {
		return nil, errors.New("systemd-analyze verify: no units named")
	}
	for _, program := range []string{"usr/bin/systemd-analyze", "usr/bin/mount", "usr/bin/sh"} {
		if _, err := os.Stat(filepath.Join(tree, program)); err != nil {
			return nil, &NoChrootError{tree, "it has no /" + program + "; a bootstrapped tree is needed"}
		}
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", inTree, "sh", scope}, units...)...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_LOG_TARGET=console",
		"SYSTEMD_COLORS=0", "XDG_RUNTIME_DIR=/run/user",
	}
	// A mount and a pid namespace of its own: its mounts and processes end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     tree,
		Cloneflags: syscall.CLONE_NEWPID,
		// Unshared, not cloned: only then does package syscall make the mounts private, and
		// ours do not spread to the host.
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if !strings.Contains(stdout.String(), reached) {
		return nil, &NoChrootError{tree, fmt.Sprintf("%v: %s", err, lastLines(stderr.String(), 3))}
	}
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.Exited()) {
		return nil, fmt.Errorf("systemd-analyze verify in %s: %w", tree, err)
	}
	var lines []string
	for line := range strings.Lines(stderr.String()) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}
