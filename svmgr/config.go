package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"dynamod/internal/diag"
	"dynamod/internal/ipc"
	"dynamod/internal/load"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/generation"
)

// configuration is the units on disk and the generations that were in force.
type configuration struct {
	cfg load.Config
	// store keeps former generations, control are the directories of drop-ins
	// that set-property writes: for good, and until the next boot.
	store   *generation.Store
	control [2]string
	// inForce is the file of the present generation, for the manager that takes
	// over when this one was killed.
	inForce string

	// moments are those of the readings.
	moments moments

	mu     sync.Mutex
	number uint64
	// unkept are generations that the disk would not take: the present one and
	// the one before, as long as this manager lives.
	unkept map[uint64]*generation.Image
	// reading guards cfg, part of which follows the generators.
	reading sync.Mutex
	// generated runs generators before each reading; nil runs none.
	generated *generated
	// set are the units of the present generation.
	set *unit.Set
	// lookup is for units that are loaded one by one.
	lookup lookup
}

func newConfiguration(s settings, getenv func(string) string) *configuration {
	c := &configuration{cfg: load.Config{FS: os.DirFS("/"), Specifiers: specifiers(s, getenv)}, unkept: map[uint64]*generation.Image{},
		inForce: filepath.Join(s.runtimeDir, "generation.tar")}
	state := "/var/lib/dynamod"
	c.control = [2]string{"/etc/systemd/system.control", "/run/systemd/system.control"}
	switch s.mode {
	case standalone:
		c.control = [2]string{filepath.Join(s.configDir, "units.control"), filepath.Join(s.runtimeDir, "units.control")}
		c.cfg.UnitDirs = []string{c.control[0], c.control[1], filepath.Join(s.configDir, "units")}
		state = s.runtimeDir
		c.cfg.NativeDirs = []string{s.configDir}
	case user:
		c.cfg.Mode = load.User
		c.cfg.XDG = load.XDG{Home: getenv("HOME"), ConfigHome: getenv("XDG_CONFIG_HOME"),
			DataHome: getenv("XDG_DATA_HOME"), RuntimeDir: getenv("XDG_RUNTIME_DIR")}
		dirs := load.UnitDirs(load.User, c.cfg.XDG)
		c.control = [2]string{dirs[0], dirs[1]}
		if state = getenv("XDG_STATE_HOME"); state == "" {
			state = filepath.Join(getenv("HOME"), ".local/state") // XDG base directory specification
		}
		state = filepath.Join(state, "dynamod")
	case system:
		c.cfg.Fstab, c.cfg.Consoles = "/etc/fstab", load.KernelConsoles
	case container:
		c.cfg.Consoles = load.ContainerConsole
	}
	if s.mode != standalone && s.configDir != "" {
		c.cfg.NativeDirs = []string{s.configDir}
	}
	c.store = generation.Open(filepath.Join(state, "generations"))
	return c
}

// Read implements api.Config. A native file with an error rejects the whole
// generation; a unit file's errors cost that unit, as with systemd.
func (c *configuration) Read(made api.MadeUnits) (*api.Generation, error) {
	generators := micro()
	if c.generated != nil {
		c.generated.run(c)
	}
	load := micro()
	r := generation.Record(c.cfg.FS)
	g := c.load(r, made)
	g.Files = r.Image()
	if err := c.moments.add(generators, load, micro()); err != nil {
		g.Diags = append(g.Diags, diag.Diag{Severity: diag.Warning, Code: "moments-lost", Message: err.Error()})
	}
	return g, nil
}

// load reads a generation, and with it those of the units made names that have files
// in it.
func (c *configuration) load(files fs.FS, made api.MadeUnits) *api.Generation {
	cfg := c.config()
	cfg.FS = files
	l := load.New(cfg)
	set, ds := l.All()
	var more []*unit.Unit
	var onDemand []string
	for _, name := range made.Files {
		if _, ok := set.Find(name); ok {
			continue
		}
		if u, uds := l.One(name); u.Load != unit.NotFound {
			more, ds = append(more, u), append(ds, uds...)
			onDemand = append(onDemand, u.Name)
		}
	}
	for _, u := range made.Transient {
		if _, ok := set.Find(u.Name); ok {
			continue
		}
		if now := again(l, u); now != nil {
			more = append(more, now)
		}
	}
	if len(more) > 0 {
		// Names were looked at above: none is there twice but an alias of two.
		boot := set.Boot
		set, _ = unit.NewSet(append(more, set.Units...), set.Supervisors)
		set.Boot = boot
	}
	g := &api.Generation{Set: set, OnDemand: onDemand, Diags: ds, Files: files}
	for _, d := range ds {
		if d.Severity == diag.Error && strings.HasSuffix(d.Pos.File, ".toml") {
			g.Rejected = true
		}
	}
	return g
}

// again is a transient unit with the drop-ins that there are now; what set-property wrote
// goes behind them, as in a directory of its own. nil is for one that cannot be built any
// more: what runs goes on with what it has.
func again(l *load.Loader, u *unit.Unit) *unit.Unit {
	own, later := u.OwnFiles(setPropertyFile)
	if len(own) == 0 {
		return nil
	}
	now, _ := l.Transient(u.Name, own[0])
	now.Path = ""
	for _, f := range later {
		with, _, err := now.With(f)
		if err != nil {
			return nil
		}
		now = with
	}
	if now.Load != unit.Loaded {
		return nil
	}
	return now
}

// firstGeneration is what the manager begins with: the files, or what was in force
// when it takes over.
func (c *configuration) firstGeneration(takesOver bool) (*api.Generation, error) {
	if takesOver {
		g, err := c.readInForce()
		if err == nil {
			return g, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return c.Read(api.MadeUnits{})
}

// readInForce reads the generation that a killed manager had in force. Its services
// are judged by what they were started with, whatever the files say now.
func (c *configuration) readInForce() (*api.Generation, error) {
	im, err := generation.ReadFile(c.inForce)
	if err != nil {
		return nil, err
	}
	return c.load(im, api.MadeUnits{}), nil
}

// ReadFormer implements api.Config.
func (c *configuration) ReadFormer(n uint64, made api.MadeUnits) (*api.Generation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, err := c.store.Numbers()
	if err != nil && len(c.unkept) == 0 {
		return nil, err
	}
	for k := range c.unkept {
		kept = append(kept, k)
	}
	slices.Sort(kept)
	kept = slices.DeleteFunc(slices.Compact(kept), func(k uint64) bool { return k >= c.number })
	if n == 0 && len(kept) > 0 {
		n = kept[len(kept)-1]
	}
	if !slices.Contains(kept, n) {
		e := ipc.Errorf("Refused", "there is no former generation %d", n)
		switch {
		case n == c.number && n != 0:
			e = ipc.Errorf("Refused", "generation %d is the one in force", n)
		case n == 0:
			e = ipc.Errorf("Refused", "there is no generation before the present one, %d", c.number)
		}
		if len(kept) > 0 {
			e = e.WithHint("kept are: %s", strings.Trim(fmt.Sprint(kept), "[]"))
		}
		return nil, e
	}
	im := c.unkept[n]
	if im == nil {
		if im, err = c.store.Image(n); err != nil {
			return nil, err
		}
	}
	g := c.load(im, made)
	g.Number = n
	return g, nil
}

// Keep implements api.Config. A generation that the disk does not take is kept in
// memory, and the error says so.
func (c *configuration) Keep(g *api.Generation) (uint64, error) {
	im, ok := g.Files.(*generation.Image)
	if !ok {
		return 0, fmt.Errorf("keep generation: it was not read by this manager")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.store.Add(im)
	if err != nil || c.unkept[c.number] != nil {
		// The disk may have been left behind by what is in memory only.
		n = max(n, c.number+1)
		c.unkept[n] = im
		for k := range c.unkept {
			if k+1 < n {
				delete(c.unkept, k)
			}
		}
	}
	c.number, c.set = n, g.Set
	g.Files = nil // it is on disk: half a mebibyte less to carry
	return n, errors.Join(err, generation.WriteFile(c.inForce, im))
}

// keepUnkept writes what the disk would not take before, the older one first. left is
// false when nothing waits any more. A disk that became another one meanwhile, as a
// /var that is mounted late, may give the present generation a higher number.
func (c *configuration) keepUnkept() (left bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(c.unkept)) {
		n, err := c.store.Add(c.unkept[k])
		if err != nil {
			return true, err
		}
		delete(c.unkept, k)
		if k == c.number {
			c.number = n
		}
	}
	return false, nil
}

func (c *configuration) generation() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.number
}

// Load implements api.Config.
func (c *configuration) Load(name string) ([]*unit.Unit, []diag.Diag, error) {
	u, ds := c.loader().One(name)
	if u.Load == unit.NotFound {
		return nil, ds, nil
	}
	return []*unit.Unit{u}, ds, nil
}

// Needed implements api.Config.
func (c *configuration) Needed(u *unit.Unit, known func(string) bool) []*unit.Unit {
	return c.loader().Needed(u, known)
}

// connection loads the unit of one connection of an Accept=yes socket: foo.socket
// starts foo@INSTANCE.service (systemd.socket(5), Accept=).
func (c *configuration) connection(socket *unit.Unit, instance string) (*unit.Unit, error) {
	n, err := unitname.Parse(socket.Name)
	if err != nil {
		return nil, err
	}
	name := n.Prefix + "@" + instance + ".service"
	u, _ := c.loader().One(name)
	if u.Load != unit.Loaded {
		return nil, fmt.Errorf("%s, the service of a connection of %s, is %s", name, socket.Name, u.Load)
	}
	return u, nil
}

// FileState implements api.Config.
func (c *configuration) FileState(u *unit.Unit) (enabled string, changed bool) {
	enabled, changed, _ = c.fileState(u)
	return enabled, changed
}

// FileProof implements api.Config.
func (c *configuration) FileProof(u *unit.Unit) (enabled string, changed bool, read, met []string) {
	enabled, changed, l := c.fileState(u)
	read, met = c.lookup.seen(l)
	return enabled, changed, read, met
}

func (c *configuration) fileState(u *unit.Unit) (enabled string, changed bool, by *load.Loader) {
	l := c.loader()
	s, ok := c.lookup.stateOf(l, u)
	if !ok {
		now, _ := l.One(u.Name)
		s = fileState{fmt.Sprint(l.FileState(u.Name)), u.Path != "" && unit.Canonical(now) != unit.Canonical(u)}
		c.lookup.keep(l, u, s)
	}
	return s.enabled, s.changed, l
}

// Build implements api.Config. What is wrong in drop-ins that apply to the name costs
// those lines, as for a unit with a file, and not the unit.
func (c *configuration) Build(name string, lines []ipc.Setting) (*unit.Unit, []diag.Diag, error) {
	u, ds := c.loader().Transient(name, ownFile(name, lines))
	u.Path = ""
	for k := range ds {
		if ds[k].Pos.File != name && ds[k].Pos.File != "" {
			ds[k].Severity = min(ds[k].Severity, diag.Warning)
		}
	}
	return u, ds, nil
}

// buildAlone is the unit that lines make without any drop-ins.
func (c *configuration) buildAlone(name string, lines []ipc.Setting) []diag.Diag {
	_, ds := unit.Build(unit.Source{Name: name, Files: []unit.File{ownFile(name, lines)}, HasMain: true, Specifiers: c.cfg.Specifiers})
	return ds
}

// ownFile is what a client says of a unit, as if it were a file.
func ownFile(name string, lines []ipc.Setting) unit.File {
	f := unit.File{Path: ""}
	for k, l := range lines {
		op := unit.Assign
		if l.Value == "" {
			op = unit.Reset
		}
		f.Fragments = append(f.Fragments, unit.Fragment{Section: l.Section, Key: l.Key, Op: op, Text: l.Value,
			Pos: diag.Pos{File: name, Line: int32(k + 1)}})
	}
	return f
}
