package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dynamod/internal/load"
	"dynamod/svmgr/internal/generators"
	"dynamod/svmgr/internal/world"
)

// generated is what the configuration knows of generators. A nil one has none: a
// standalone manager looks nowhere but into its own directory.
type generated struct {
	// mu lets one reading at a time run them.
	mu     sync.Mutex
	runner generators.Runner
	log    *slog.Logger
	// fstab and consoles are what the loader does where no generator does it.
	fstab    string
	consoles load.Consoles
	// vars are those of the environment generators, as of the last run; tell gets
	// them at each further one.
	vars []string
	ran  bool
	tell func([]string)
}

// generatorsLimit bounds the generators of each kind together, as the start of a
// service is bounded (systemd-system.conf(5), DefaultTimeoutStartSec=).
const generatorsLimit = 90 * time.Second

// useGenerators makes every reading of the configuration run the generators first.
func (c *configuration) useGenerators(s settings, helper string, getenv func(string) string, log *slog.Logger) {
	if s.mode == standalone {
		return
	}
	g := &generated{log: log, fstab: c.cfg.Fstab, consoles: c.cfg.Consoles}
	g.runner = generators.Runner{Helper: []string{helper}, User: s.mode == user, Output: "/run/systemd", Timeout: generatorsLimit,
		Environment: world.GeneratorEnvironment(s.mode == user, s.runtimeDir), Parse: world.ParseEnvironment}
	if s.mode == user {
		g.runner.Output = filepath.Join(getenv("XDG_RUNTIME_DIR"), "systemd")
		// Those of a user see the user's own environment.
		g.runner.Environment = append(os.Environ(), g.runner.Environment...)
	}
	c.generated = g
}

// run is called before each reading of the configuration.
func (g *generated) run(c *configuration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runVariables()
	programs, results, notes, err := g.runner.Units(g.vars)
	if err != nil {
		g.log.Error("the generators of units could not be run", "err", err)
	}
	g.report(results, notes)
	if g.tell != nil {
		g.tell(g.vars)
	}
	// What no generator does is done by the loader.
	has := func(name string) bool {
		return slices.ContainsFunc(programs, func(p string) bool { return filepath.Base(p) == name })
	}
	cmdline, _ := os.ReadFile("/proc/cmdline") // none: nothing is switched off
	fstab, prompts := g.fstab, g.consoles
	if has("systemd-fstab-generator") || switchedOff(string(cmdline), "fstab") {
		fstab = ""
	}
	if has("systemd-getty-generator") || switchedOff(string(cmdline), "systemd.getty_auto") {
		prompts = load.NoConsoles
	}
	c.reading.Lock()
	c.cfg.Fstab, c.cfg.Consoles = fstab, prompts
	c.reading.Unlock()
	c.forgetLoader()
}

// config is where to load from; what generators do changes with each reading.
func (c *configuration) config() load.Config {
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.cfg
}

// switchedOff says that the kernel command line has a switch with a false value.
func switchedOff(cmdline, name string) bool {
	off := false
	for w := range strings.FieldsSeq(cmdline) {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			off = slices.Contains([]string{"no", "0", "false", "off", "n", "f"}, v)
		}
	}
	return off
}

// variables are those of the environment generators. A manager that takes over has read
// no configuration, and asks them for the first time here.
func (c *configuration) variables() []string {
	if c.generated == nil {
		return nil
	}
	c.generated.mu.Lock()
	defer c.generated.mu.Unlock()
	if !c.generated.ran {
		c.generated.runVariables()
	}
	return c.generated.vars
}

// tellVariables has f called with them at each further run.
func (c *configuration) tellVariables(f func([]string)) {
	if c.generated != nil {
		c.generated.mu.Lock()
		defer c.generated.mu.Unlock()
		c.generated.tell = f
	}
}

func (g *generated) runVariables() {
	vars, results, notes := g.runner.Variables()
	g.vars, g.ran = vars, true
	g.report(results, notes)
}

func (g *generated) report(results []generators.Result, notes []string) {
	for _, n := range notes {
		g.log.Warn("a generator is not run: " + n)
	}
	for _, r := range results {
		switch {
		case r.Err != nil:
			g.log.Error("a generator failed: what it made so far counts", "path", r.Path, "err", r.Err, "said", r.Output)
		case r.Output != "":
			g.log.Info("a generator says", "path", r.Path, "said", r.Output)
		}
	}
}
