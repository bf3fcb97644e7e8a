package world

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dynamod/internal/envfile"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/core"
)

// DefaultPath is where programs are looked for, and $PATH.
var DefaultPath = searchPath("/")

// searchPath leaves out /sbin and /bin where they are links into /usr, as systemd does.
func searchPath(root string) string {
	dirs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
	for _, dir := range []string{"sbin", "bin"} {
		if to, err := os.Readlink(filepath.Join(root, dir)); err != nil || strings.TrimPrefix(to, "/") != "usr/"+dir {
			dirs += ":/" + dir
		}
	}
	return dirs
}

// environment is a list of variables in which a later value replaces an earlier
// one at its place.
type environment struct {
	list []string
	at   map[string]int
}

func (e *environment) set(name, value string) {
	if e.at == nil {
		e.at = map[string]int{}
	}
	v := name + "=" + value
	if i, ok := e.at[name]; ok {
		e.list[i] = v
		return
	}
	e.at[name] = len(e.list)
	e.list = append(e.list, v)
}

func (e *environment) add(vars []string) {
	for _, v := range vars {
		if n, x, ok := strings.Cut(v, "="); ok {
			e.set(n, x)
		}
	}
}

func (e *environment) get(name string) (string, bool) {
	i, ok := e.at[name]
	if !ok {
		return "", false
	}
	return e.list[i][len(name)+1:], true
}

// remove takes out a variable, or a variable with exactly this value.
func (e *environment) remove(what string) {
	name, value, exact := strings.Cut(what, "=")
	old, ok := e.get(name)
	if !ok || exact && old != value {
		return
	}
	e.list = slices.Delete(e.list, e.at[name], e.at[name]+1)
	delete(e.at, name)
	for i, v := range e.list {
		n, _, _ := strings.Cut(v, "=")
		e.at[n] = i
	}
}

// environ makes the environment of a run (systemd.exec(5), "Environment variables
// in spawned processes"): first what the manager gives, then what the unit says.
func (w *World) environ(g *group, a core.Spawn, id identity, extra []string) (*environment, error) {
	u := a.Unit
	e := &environment{}
	e.set("PATH", DefaultPath)
	e.add(w.environment())
	if dirs := unit.ExecSearchPath.Of(u); len(dirs) > 0 {
		e.set("PATH", strings.Join(dirs, ":"))
	}
	if w.cfg.User {
		e.set("MANAGERPID", strconv.Itoa(os.Getpid()))
	}
	login := unit.SetLoginEnvironment.Of(u)
	if id.named && login != "no" || login == "yes" {
		e.set("HOME", id.home)
		e.set("LOGNAME", id.name)
		e.set("USER", id.name)
		if id.shell != "" {
			e.set("SHELL", id.shell)
		}
	}
	e.set("INVOCATION_ID", g.invocation)
	if a.Role != core.RoleMain {
		if pid, ok := w.mainPID(g); ok {
			e.set("MAINPID", strconv.Itoa(pid))
		}
	}
	for _, v := range [...][2]string{{"SERVICE_RESULT", a.Result}, {"EXIT_CODE", a.ExitCode}, {"EXIT_STATUS", a.ExitStatus}, {"TRIGGER_UNIT", a.Trigger}} {
		if v[1] != "" {
			e.set(v[0], v[1])
		}
	}
	for _, k := range directoryKinds {
		if paths := w.directoriesOf(u, k); len(paths) > 0 {
			e.set(k.variable, strings.Join(paths, ":"))
		}
	}
	if hasCredentials(u) {
		e.set("CREDENTIALS_DIRECTORY", w.credentialsDir(u))
	}
	e.add(pressureEnvironment(g.dir, u))
	e.add(extra)
	for _, name := range unit.PassEnvironment.Of(u) {
		if v, ok := os.LookupEnv(name); ok {
			e.set(name, v)
		}
	}
	e.add(unit.Environment.Of(u))
	for _, f := range unit.EnvironmentFile.Of(u) {
		vars, err := readEnvironmentFiles(f)
		if err != nil {
			return nil, at("environment", err)
		}
		e.add(vars)
	}
	for _, what := range unit.UnsetEnvironment.Of(u) {
		e.remove(what)
	}
	return e, nil
}

func (w *World) mainPID(g *group) (int, bool) {
	w.reg.mu.Lock()
	defer w.reg.mu.Unlock()
	for _, p := range g.live {
		if p.role == core.RoleMain {
			return p.pid, true
		}
	}
	return 0, false
}

// readEnvironmentFiles reads the files that one EnvironmentFile= names: a path,
// perhaps a pattern, with "-" before it when it may be missing.
func readEnvironmentFiles(spec string) ([]string, error) {
	p, optional := strings.CutPrefix(spec, "-")
	files := []string{p}
	if strings.ContainsAny(p, "*?[") {
		found, err := filepath.Glob(p)
		if err != nil || len(found) == 0 && !optional {
			return nil, fmt.Errorf("%s: %w", p, unix.ENOENT)
		}
		files = found
	}
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			if optional {
				continue
			}
			return nil, err
		}
		out = append(out, envfile.Parse(string(b))...)
	}
	return out, nil
}
