package generators

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
	"sync"
	"syscall"
	"time"

	"dynamod/internal/sys/confine"
)

// Runner runs generators of one manager.
type Runner struct {
	// Helper is the program, with arguments, that calls confine.Main.
	Helper []string
	// User is a user manager: its generators have no namespaces of their own.
	User bool
	// Output is the directory of generator, generator.early and generator.late.
	Output string
	// Environment is what every generator gets.
	Environment []string
	// Timeout bounds all of them together.
	Timeout time.Duration
	// Root has the directories of programs; nil is the machine's.
	Dirs func(Kind) []string
	// Parse reads the output of an environment generator, as EnvironmentFile= is.
	Parse func(text string) []string
}

// Result is what became of one generator.
type Result struct {
	Path string
	// Err says why it failed, nil for success.
	Err error
	// Output is the end of what it said on standard error (and output).
	Output string
}

// maxSaid bounds the messages of one generator, maxVariables the output of one that
// makes variables.
const (
	maxSaid      = 8 << 10
	maxVariables = 256 << 10
)

func (r *Runner) dirs(k Kind) []string {
	if r.Dirs != nil {
		return r.Dirs(k)
	}
	return Directories(k, r.User)
}

// Variables runs the environment generators one after the other: each gets what those
// before it have set. It returns what they made in the order of the first assignment.
func (r *Runner) Variables() (vars []string, results []Result, notes []string) {
	programs, notes := Find(os.DirFS("/"), r.dirs(Environment))
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	at := map[string]int{}
	for _, p := range programs {
		var out bytes.Buffer
		res := r.one(ctx, []string{p}, append(slices.Clone(r.Environment), vars...), &limited{w: &out, left: maxVariables}, nil)
		results = append(results, res)
		if res.Err != nil {
			continue // half of what it wanted is not what it wanted
		}
		for _, v := range r.Parse(out.String()) {
			name, _, _ := strings.Cut(v, "=")
			if i, ok := at[name]; ok {
				vars[i] = v
				continue
			}
			at[name] = len(vars)
			vars = append(vars, v)
		}
	}
	return vars, results, notes
}

// Units empties the output directories and runs the generators of units side by side.
// programs are those that were run, in the order of results.
func (r *Runner) Units(vars []string) (programs []string, results []Result, notes []string, err error) {
	programs, notes = Find(os.DirFS("/"), r.dirs(Units))
	out, err := r.empty()
	if err != nil {
		return nil, nil, notes, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	results = make([]Result, len(programs))
	var wg sync.WaitGroup
	for i, p := range programs {
		wg.Go(func() {
			results[i] = r.one(ctx, append([]string{p}, out...), append(slices.Clone(r.Environment), vars...), nil, out)
		})
	}
	wg.Wait()
	return programs, results, notes, r.tidy(out)
}

// outputNames are the directories, in the order of the arguments.
var outputNames = [...]string{"generator", "generator.early", "generator.late"}

// empty makes the three directories new.
func (r *Runner) empty() ([]string, error) {
	var out []string
	for _, n := range outputNames {
		d := filepath.Join(r.Output, n)
		if err := os.RemoveAll(d); err != nil {
			return nil, fmt.Errorf("empty a directory of generators: %w", err)
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make a directory of generators: %w", err)
		}
		out = append(out, d)
	}
	return out, nil
}

// tidy removes the directories that nothing was written to.
func (r *Runner) tidy(out []string) error {
	for _, d := range out {
		if err := os.Remove(d); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("tidy up after generators: %w", err)
		}
	}
	return nil
}

// limited passes on so many bytes and swallows the rest.
type limited struct {
	mu   sync.Mutex
	w    io.Writer
	left int
	lost int
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(p), l.left)
	l.left -= n
	l.lost += len(p) - n
	if n > 0 {
		if _, err := l.w.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// killGrace is how long the helper may take to end what it runs.
const killGrace = 10 * time.Second

// one runs a program; stdout nil means that its output counts as messages.
func (r *Runner) one(ctx context.Context, program, env []string, stdout *limited, writable []string) (res Result) {
	res.Path = program[0]
	var said bytes.Buffer
	messages := &limited{w: &said, left: maxSaid}
	defer func() {
		res.Output = strings.TrimSpace(said.String())
		if messages.lost > 0 {
			res.Output += fmt.Sprintf(" (and %d bytes more)", messages.lost)
		}
		if stdout != nil && stdout.lost > 0 && res.Err == nil {
			res.Err = fmt.Errorf("it wrote more than %d bytes", maxVariables)
		}
	}()
	status, theirs, err := os.Pipe()
	if err != nil {
		res.Err = err
		return res
	}
	defer status.Close()
	start := func(namespaces bool) (*exec.Cmd, error) {
		cmd := confine.Command(r.Helper, namespaces, writable, program)
		cmd.Env, cmd.Dir = env, "/"
		cmd.Stderr, cmd.Stdout = messages, messages
		if stdout != nil {
			cmd.Stdout = stdout
		}
		cmd.ExtraFiles = []*os.File{theirs}
		// A descendant that keeps the pipes open must not keep us.
		cmd.WaitDelay = time.Second
		return cmd, cmd.Start()
	}
	cmd, err := start(!r.User)
	if !r.User && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)) {
		// A container that may not make namespaces.
		fmt.Fprintf(messages, "it ran without a file system of its own: %v\n", err)
		cmd, err = start(false)
	}
	theirs.Close()
	if err != nil {
		res.Err = err
		return res
	}
	over := make(chan struct{})
	go func() { // ends with the helper
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-over:
		case <-time.After(killGrace):
			_ = cmd.Process.Kill()
		}
	}()
	report, _ := io.ReadAll(io.LimitReader(status, 4096)) // ends with the helper, which alone has the other end
	_ = cmd.Wait()                                        // who else reaps this process's children may have been first
	close(over)
	st, setup, ok := confine.Status(report)
	switch {
	case ctx.Err() != nil && (!ok || setup != ""):
		res.Err = fmt.Errorf("it did not end within %s and was killed", r.Timeout)
	case !ok:
		res.Err = errors.New("it was killed")
	case setup != "":
		res.Err = errors.New(setup)
	case st.Signaled():
		res.Err = fmt.Errorf("signal %s killed it", st.Signal())
	case st.ExitStatus() != 0:
		res.Err = fmt.Errorf("it ended with code %d", st.ExitStatus())
	}
	return res
}
