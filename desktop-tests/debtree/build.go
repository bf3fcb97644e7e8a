package debtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dynamod/desktop-tests/internal/progress"
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// sources are where a suite's packages come from: as on a freshly installed Debian.
func sources(suite string) []string {
	const signed = "deb [signed-by=" + keyring + "] "
	return []string{
		signed + "http://deb.debian.org/debian " + suite + " main",
		signed + "http://deb.debian.org/debian " + suite + "-updates main",
		signed + "http://deb.debian.org/debian-security " + suite + "-security main",
	}
}

// site is one build: where it works, and where its tools' output goes.
type site struct {
	recipe   Recipe
	dir      string // becomes debtree/<key>
	root     string // the tree, in dir
	log      *os.File
	progress *progress.Line
}

// build makes the recipe's tree in dir/root, and the files beside it.
func build(ctx context.Context, r Recipe, dir string, p *progress.Line) (err error) {
	defer p.Close()
	// MkdirTemp makes 0700; other users' tests must get in.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "build.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s := &site{recipe: r, dir: dir, root: filepath.Join(dir, "root"), log: log, progress: p}
	switch r.Method {
	case Bootstrap:
		err = s.bootstrap(ctx)
	case Unpack:
		err = s.unpack(ctx)
	}
	if err != nil {
		return err
	}
	p.At("done")
	return writeJSON(filepath.Join(dir, "recipe.json"), r)
}

// bootstrap runs mmdebstrap. As root the tree is exactly what dpkg makes of it,
// owners and modes included. For others mmdebstrap works in a user namespace and
// the tree then belongs to the caller: a tree full of subordinate uids could
// neither be read nor removed. The device nodes are left out in that case.
func (s *site) bootstrap(ctx context.Context) error {
	args := []string{
		"--variant=minbase", "--architectures=" + s.recipe.Arch, "--include=" + strings.Join(s.recipe.Packages, ","),
		// Translated package descriptions: large, and nobody reads them here.
		`--aptopt=Acquire::Languages "none"`,
	}
	tail := append([]string{s.recipe.Suite, s.root}, sources(s.recipe.Suite)...)
	if os.Geteuid() == 0 {
		args = append(append(args, "--mode=root", "--format=directory"), tail...)
		if err := s.run(ctx, nil, "mmdebstrap", args...); err != nil {
			return err
		}
	} else {
		tail[1] = "-"
		args = append(append(args, "--mode=unshare", "--format=tar"), tail...)
		if err := os.Mkdir(s.root, 0o755); err != nil {
			return err
		}
		tar := s.command(ctx, "tar", "-x", "-C", s.root, "--no-same-owner", "--exclude=./dev/*")
		tar.Stdout, tar.Stderr = s.log, s.log
		in, err := tar.StdinPipe()
		if err != nil {
			return err
		}
		if err := tar.Start(); err != nil {
			return s.failure(ctx, "tar", err)
		}
		err = s.run(ctx, in, "mmdebstrap", args...)
		in.Close()
		if tarErr := tar.Wait(); err == nil {
			err = s.failure(ctx, "tar", tarErr)
		}
		if err != nil {
			return err
		}
		if err := s.run(ctx, nil, "chmod", "-R", "u+rwX", s.root); err != nil {
			return err
		}
	}
	// The root of the tree is made with mmdebstrap's own idea of a mode; /usr and /etc must be open to all.
	if err := os.Chmod(s.root, 0o755); err != nil {
		return err
	}
	return s.listPackages(ctx, "--admindir="+filepath.Join(s.root, "var/lib/dpkg"), "-W")
}

// unpack downloads the packages through a private apt, so that neither the host's
// release nor its lists matter, and unpacks them over each other.
func (s *site) unpack(ctx context.Context) error {
	apt := filepath.Join(s.dir, "apt")
	defer os.RemoveAll(apt)
	debs := filepath.Join(apt, "debs")
	for _, d := range []string{"etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(apt, d), 0o755); err != nil {
			return err
		}
	}
	for file, text := range map[string]string{
		"etc/sources.list": strings.Join(sources(s.recipe.Suite), "\n") + "\n",
		"status":           "",
		"apt.conf":         aptConf(apt, s.recipe.Arch),
	} {
		if err := os.WriteFile(filepath.Join(apt, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	run := func(out io.Writer, tool string, args ...string) error {
		cmd := s.command(ctx, tool, append([]string{"-q"}, args...)...)
		cmd.Dir = debs
		cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(apt, "apt.conf"), "LC_ALL=C")
		return s.finish(ctx, tool, cmd, out)
	}
	s.progress.At("reading package lists")
	if err := run(nil, "apt-get", "update"); err != nil {
		return err
	}
	packages := s.recipe.Packages
	if s.recipe.Follow != "" {
		var depends bytes.Buffer
		if err := run(&depends, "apt-cache", append([]string{"depends"}, packages...)...); err != nil {
			return err
		}
		packages = slices.Concat(packages, followed(depends.String(), s.recipe.Follow))
	}
	s.progress.At(fmt.Sprintf("downloading %d packages", len(packages)))
	if err := run(nil, "apt-get", append([]string{"download"}, packages...)...); err != nil {
		return err
	}
	s.progress.At("unpacking")
	// A merged /usr (base-files has it so): files that a package still ships in /lib must land in /usr/lib.
	for _, d := range []string{"bin", "lib", "lib64", "sbin"} {
		if err := os.MkdirAll(filepath.Join(s.root, "usr", d), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+d, filepath.Join(s.root, d)); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) != len(packages) {
		return fmt.Errorf("asked apt for %d packages, got %d", len(packages), len(files))
	}
	var list bytes.Buffer
	for _, deb := range files {
		if err := s.run(ctx, nil, "dpkg-deb", "-x", deb, s.root); err != nil {
			return err
		}
		if err := s.run(ctx, &list, "dpkg-deb", "-W", "--showformat=${Package}\t${Version}\t${Architecture}\n", deb); err != nil {
			return err
		}
	}
	for _, l := range s.recipe.Links {
		at := filepath.Join(s.root, filepath.FromSlash(l.Path))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(l.Target, at); err != nil {
			return err
		}
	}
	// Nobody boots this tree, so its odd modes (0700 /root and the like) only stand in readers' way.
	if err := s.run(ctx, nil, "chmod", "-R", "a+rX", s.root); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "packages.tsv"), list.Bytes(), 0o644)
}

// followed picks from the output of apt-cache depends what begins with prefix.
func followed(depends, prefix string) []string {
	var names []string
	for line := range strings.Lines(depends) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && strings.HasPrefix(name, prefix) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// aptConf cuts apt off from the host's lists, sources, preferences and dpkg status.
func aptConf(dir, arch string) string {
	return fmt.Sprintf(`Dir %q;
Dir::Etc %q;
Dir::Etc::main "-";
Dir::Etc::parts %q;
Dir::Etc::sourcelist %q;
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts %q;
Dir::State %q;
Dir::State::status %q;
Dir::Cache %q;
APT::Architecture %q;
APT::Architectures { %q; };
APT::Sandbox::User "root"; // the cache need not be open to _apt
Acquire::Languages "none";
Acquire::Retries "3";
`, dir, dir+"/etc", dir+"/etc/apt.conf.d", dir+"/etc/sources.list", dir+"/etc/preferences.d",
		dir+"/state", dir+"/status", dir+"/cache", arch, arch)
}

func (s *site) listPackages(ctx context.Context, args ...string) error {
	var list bytes.Buffer
	args = append(args, "--showformat=${Package}\t${Version}\t${Architecture}\n")
	if err := s.run(ctx, &list, "dpkg-query", args...); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "packages.tsv"), list.Bytes(), 0o644)
}

// ownSpace runs a tool below a shell that is process 1 of its own pid namespace.
// When that one is killed the kernel kills all below it before it is reaped, and the
// mounts go with the mount namespace (pid_namespaces(7), mount_namespaces(7)).
const ownSpace = `mount -t proc proc /proc && "$@"; exit $?`

// command prepares a tool that dies with us and takes its children and its mounts
// along, even when we die of SIGKILL. Without root the only such tool is mmdebstrap,
// which then makes the namespaces itself and must be asked politely, so that it
// removes its temporary directory.
func (s *site) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if os.Geteuid() != 0 {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		return cmd
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", ownSpace, "sh", name}, args...)...)
	if _, err := exec.LookPath(name); err != nil {
		cmd.Err = err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID,
		// Unshared, not cloned: only then does package syscall make the mounts
		// private, and the tool's do not spread to the host.
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	return cmd
}

func (s *site) run(ctx context.Context, stdout io.Writer, name string, args ...string) error {
	return s.finish(ctx, name, s.command(ctx, name, args...), stdout)
}

func (s *site) finish(ctx context.Context, name string, cmd *exec.Cmd, stdout io.Writer) error {
	fmt.Fprintf(s.log, "+ %s\n", strings.Join(cmd.Args, " "))
	out := &steps{log: s.log, p: s.progress}
	cmd.Stdout, cmd.Stderr = stdout, out
	if stdout == nil {
		cmd.Stdout = out
	}
	return s.failure(ctx, name, cmd.Run())
}

// failure adds the end of the log to a tool's error: the directory with the log goes away.
func (s *site) failure(ctx context.Context, tool string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("stopped while running %s: %w", tool, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w: run tools/install-deps.sh tree", err)
	}
	log, readErr := os.ReadFile(s.log.Name())
	if readErr != nil {
		return fmt.Errorf("%s: %w", tool, err)
	}
	return fmt.Errorf("%s: %w; the end of its log:\n%s", tool, err, lastLines(string(log), 20))
}

// lastLines returns the last n lines, indented.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "\t" + strings.Join(lines[max(0, len(lines)-n):], "\n\t")
}
