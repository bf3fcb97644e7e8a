package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"dynamod/internal/access"
	"dynamod/internal/board"
	"dynamod/internal/diag"
	"dynamod/internal/graph"
	"dynamod/internal/ipc"
	"dynamod/internal/sys/booted"
	"dynamod/internal/sys/clock"
	"dynamod/internal/sys/subreaper"
	"dynamod/internal/unit"
	"dynamod/svmgr/internal/api"
	"dynamod/svmgr/internal/core"
	"dynamod/svmgr/internal/loop"
	"dynamod/svmgr/internal/world"
)

// version is set by the build (-ldflags -X main.version=…).
var version = "development"

func main() {
	s, err := parse(os.Args[1:], os.Getenv, os.Getpid(), os.Stderr)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	if s.version {
		fmt.Println("dynamod-svmgr", version)
		return
	}
	if s.canTakeOver {
		if err := canTakeOver(s); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(takesOver)
		return
	}
	code, err := run(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "dynamod-svmgr:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run is the life of a manager; it returns the code to end with.
func run(s settings) (int, error) {
	began := micro()
	handlers, kernel := newKernelLog(os.Stderr)
	log := slog.New(handlers)
	stop := stopSignal()
	// Its name now: an upgrade moves another program to it.
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	former, err := inherit()
	if err != nil {
		return 0, err
	}
	child, pamChild, err := childProgram()
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(s.runtimeDir, 0o755); err != nil {
		return 0, fmt.Errorf("make runtime directory: %w", err)
	}
	if s.mode == container { // dynamod-init has made them on a machine
		for _, err := range booted.Make("/") {
			log.Warn("programs may not see that there is a service manager", "err", err)
		}
	}
	link, err := linkUp(s.mode, former, log)
	if err != nil {
		return 0, err
	}
	defer link.close()
	kernel.to.Store(link.init)
	kernel.units.Store(newUnitJournal(s.mode, kernel))
	options := readBootOptions(s)
	for _, word := range options.bad {
		log.Warn("a word of the kernel command line means nothing", "word", word)
	}
	var status *statusLines
	if s.mode == system {
		status = newStatusLines(options.own.ShowStatus, toConsole)
	}
	own, err := openOwn(filepath.Join(s.runtimeDir, "manager.json"), kernel, status, options.own)
	if err != nil {
		log.Warn("what clients had set of the manager is lost", "err", err)
	}
	m := &manager{configuration: newConfiguration(s, os.Getenv), output: &ring{}, log: log, link: link, program: program, own: own, exit: int(own.ExitCode)}
	m.useGenerators(s, child, os.Getenv, log)
	if m.environ, err = openEnviron(filepath.Join(s.runtimeDir, "environment")); err != nil {
		log.Warn("the variables that clients had set are lost", "err", err)
	}
	if m.steps, err = board.CreateSteps(filepath.Join(s.runtimeDir, board.StepsName)); err != nil {
		log.Warn("clients must ask the manager for everything, for they cannot see whether anything has happened", "err", err)
		m.steps = board.NewSteps()
	}
	defer m.steps.End()
	stateDir := filepath.Join(s.runtimeDir, "state")
	record, err := loop.OpenRecord(stateDir)
	if err != nil {
		return 0, err
	}
	m.record = record
	takesOver := record.Left()
	if err := m.moments.begin(s.runtimeDir, began, takesOver); err != nil {
		log.Warn("some properties of the manager are not known", "err", err)
	}
	var parts []world.Part
	if former != nil {
		m.output.restore(former.Output)
		parts, m.cgroupRoot = former.Parts, former.CgroupRoot
	} else {
		m.cgroupRoot = cgroupRoot(log)
	}
	gen, err := m.firstGeneration(takesOver)
	if err != nil {
		return 0, err
	}
	report(log, gen.Diags)
	m.mends = options.mends()
	if s.mode == system && !m.mends {
		m.health = openBootHealth(s.runtimeDir, takesOver, log)
		gen = m.takeRung(gen, &options, takesOver)
		m.health.status(m.statusPath(gen.Set.Boot), statusPending)
		m.health.count(false)
	}
	_, err = m.Keep(gen)
	later := errors.Is(err, syscall.EROFS) // watchBoot tries again
	if err != nil && !later {
		log.Warn("the configuration could not be kept for rollback", "err", err)
	}
	g, ds := graph.Build(gen.Set, graph.Config{Mode: graphMode(s), Safe: m.safe()})
	report(log, ds)
	started := loop.Now()
	target := bootTarget(gen.Set, cmp.Or(s.target, options.target), log)
	if m.safe() {
		target = graph.SafeTarget
	}
	m.info = api.Info{Version: version, PID: int32(os.Getpid()), Mode: s.mode.String(), Started: started, BootTarget: target}
	dirs, stamps := placesOf(s)
	present := world.KernelState(m.swapUnits())
	cfg := core.Config{User: s.mode == user, Safe: m.safe(), Startup: started.Mono, Stamps: world.Stamps(stamps),
		Location: time.Local, Seed: machineSeed(s), Mounted: present}
	c := core.New(gen.Set, g, cfg)
	if takesOver {
		if c, err = recoverCore(record, gen.Set, g, cfg); err != nil {
			return 0, fmt.Errorf("take over from the manager that died: %w; end what it left running, then remove %s", err, stateDir)
		}
	}

	var gone []core.Event
	var devices []string
	if takesOver {
		gone, devices = goneMeanwhile(c.View(), present)
	}

	passed := slices.Concat(passedOn(s, os.Environ()), options.setenv)
	// Before the first child: an orphan that comes earlier would be lost.
	if err := subreaper.Become(); err != nil {
		return 0, err
	}
	// Events of the world may come before the loop is there to take them.
	ready, gaveUp := make(chan struct{}), make(chan struct{})
	m.world, err = world.New(world.Config{User: s.mode == user, RuntimeDir: s.runtimeDir, CgroupRoot: m.cgroupRoot, Subtree: subtree(s), Child: []string{child}, PAMChild: argv(pamChild),
		Keeper: link.keeper(), Kept: link.kept, Replaces: former != nil, Parts: parts, Ends: link.ends, EndsTold: link.init != nil,
		Subreaper: true, Record: filepath.Join(stateDir, "processes.jsonl"), Log: log, Output: m.output, Directories: dirs, StampDir: stamps, Instance: m.connection,
		Localtime: localtime(os.LookupEnv), Environment: m.environ.are(slices.Concat(passed, m.variables())), Plugged: devices, Booted: c.View().Booted(), UnitOf: m.findMade, Happened: m.Happened, Foreign: s.mode != standalone, Swaps: m.swapUnits, Leaves: func(unit, dir string) { m.spent.note(unit, usageOf(dir)) }, Gone: m.spent.forget, Load: m.loadOne},
		func(ev core.Event) {
			select {
			case <-ready:
				m.Loop.Post(ev)
			case <-gaveUp: // the start failed: nobody will ever take it
			}
		})
	if err != nil {
		return 0, err
	}
	defer m.world.Close()
	defer close(gaveUp)
	m.tellVariables(func(vars []string) { m.environ.given(slices.Concat(passed, vars), m.world) })
	var restored core.ManagerRestored
	var told []core.Event
	if takesOver {
		restored, told, err = m.world.TakeOver(c.View(), c.ProcessRuns())
		if err != nil {
			return 0, fmt.Errorf("take over from the manager that died: %w; end what it left running, then remove %s", err, stateDir)
		}
		if former != nil {
			log.Info("a new program goes on for the former one", "processes", len(restored.Alive))
		} else {
			log.Warn("taking over from a manager that died", "processes", len(restored.Alive))
		}
	}
	if err := record.Save(c); err != nil {
		return 0, err
	}
	running, leave := context.WithCancel(context.Background())
	defer leave()
	m.leave = leave
	handler := api.New(m, api.Access{File: accessFile(s, os.Getenv), Accounts: accounts(), Owner: uint32(os.Getuid())}, log)
	handler.ReloadAccess()
	alarm, err := clock.NewAlarm()
	if err != nil {
		return 0, err
	}
	defer alarm.Close()
	published, missed := make(chan core.Action, publishedQueue), make(chan struct{}, 1)
	units := newUnitChanges(kernel.units.Load(), log)
	notices := newNotices(m, boardPath(s), g.Len())
	if status != nil {
		status.booted.Store(takesOver) // a boot that it did not begin is told by its units
	}
	m.Loop = loop.New(loop.Options{Happens: m.Happened, Alarm: alarm, Core: c, Actor: m.world, Record: record, Log: log, HandedOver: m.handedOver,
		Listener: speaker{log, handler, published, missed, newRest(log, notices.anew), notices, status, units}})
	asked := c.View().BootAsked() // the loop owns the core from here
	for _, p := range perhapsUntold(c.View()) {
		published <- p
	}
	if takesOver {
		m.Loop.Begin(append(append([]core.Event{restored}, told...), gone...)...)
	}
	if link.late != 0 && m.lateCounts(link.late) {
		m.Loop.Begin(core.BootMarked{Late: true})
	}
	close(ready)
	listener, err := former.listener(filepath.Join(s.runtimeDir, "control.sock"))
	if err != nil {
		return 0, err
	}
	server := ipc.NewServer(handler, log)
	handler.PublishTo(server.Publish)
	go func() { // ends with Close
		if err := server.Serve(listener); err != nil {
			log.Error("the control socket is lost", "err", err)
		}
	}()
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reload := func() { reload(m, handler, log) }
	go obey(ctx, m, stop, reload)                 // ends with ctx
	go m.watchBoot(ctx, published, missed, later) // ends with ctx
	if status != nil {
		go status.run(ctx.Done(), m.statusOf)
	}
	written := make(chan struct{})
	go func() { // ends with running
		defer close(written)
		notices.run(running)
	}()
	flushed := make(chan struct{})
	go func() { // ends with running
		defer close(flushed)
		units.run(running, func(name string) core.UnitView { u, _ := m.statusOf(name); return u })
	}()
	notices.anew(func() {})
	go link.beat(ctx, m) // ends with ctx
	link.listen(m, func(signal string) {
		go m.signalled(signal, reload) // ends when the loop has taken it
	})
	go func() { // ends when the boot's request is taken
		if takesOver {
			m.world.Watch()
		}
		if asked {
			return
		}
		if options.watchdogsOff {
			m.Post(core.WatchdogsSet{Off: true})
		}
		m.Ask(func(id core.RequestID) core.Event {
			return core.Request{ID: id, Verb: core.VerbStart, Unit: target, Source: core.SourceBoot}
		})
	}()
	link.up()
	m.Run(running)
	m.steps.End()
	leave()
	<-written
	<-flushed
	m.remember(c.View().Boot().State) // watchBoot may not have come to it
	if m.replaced.Load() {
		return 1, m.replace(server)
	}
	m.world.Sweep()
	record.Remove()
	m.world.Forget()
	if m.ending != nil {
		cancel() // signals are ours from here
		link.handOver(*m.ending, stop)
	}
	return m.exitCode(), nil
}

// perhapsUntold is what the former manager may not have told init, because it died. The
// verdict on the boot does not wait for its jobs.
func perhapsUntold(v core.View) (out []core.Publish) {
	if v.Booted() {
		out = append(out, core.Publish{What: core.StartupFinished})
	}
	if v.Booted() || v.Boot().State != core.BootPending {
		out = append(out, core.Publish{What: core.BootJudged})
	}
	return out
}

func graphMode(s settings) graph.ManagerMode {
	if s.mode == user {
		return graph.User
	}
	return graph.System
}

// recoverCore makes the core that the killed manager had: its snapshot, and every
// event since. What came of those is not done again here; ManagerRestored asks for
// what must be.
func recoverCore(record *loop.Record, set *unit.Set, g *graph.Graph, cfg core.Config) (c *core.Core, err error) {
	_, err = record.Recover(func(snapshot []byte) error {
		c, err = core.Restore(set, g, cfg, snapshot)
		return err
	}, func(at core.Time, ev core.Event) { c.Step(at, ev, nil) })
	return c, err
}

// accessFile is where the rules for the control socket are.
func accessFile(s settings, getenv func(string) string) string {
	switch s.mode {
	case standalone:
		return filepath.Join(s.configDir, "access.toml")
	case user:
		dir := getenv("XDG_CONFIG_HOME")
		if dir == "" {
			dir = filepath.Join(getenv("HOME"), ".config")
		}
		return filepath.Join(dir, "dynamod", "access.toml")
	}
	return access.Path
}

// placesOf says where RuntimeDirectory= and its kind are made and where timers keep
// their stamps: below the runtime directory for a standalone manager, which may
// write nowhere else; "" and the zero value are the usual places.
func placesOf(s settings) (world.Directories, string) {
	switch s.mode {
	case standalone:
		in := func(name string) string { return filepath.Join(s.runtimeDir, name) }
		return world.Directories{Runtime: in("run"), State: in("lib"), Cache: in("cache"), Logs: in("log"), Configuration: in("etc")}, in("timers")
	case user:
		return world.Directories{}, filepath.Join(s.runtimeDir, "timers")
	}
	return world.Directories{}, "/var/lib/dynamod/timers"
}

// bootTarget is what the boot starts: what was asked for, default.target if there
// is one, else multi-user.target, which native services make up if need be. A machine
// does not stay without anything because of a wrong word at the boot loader.
func bootTarget(set *unit.Set, asked string, log *slog.Logger) string {
	there := func(name string) bool {
		u, ok := set.Find(name)
		return ok && u.Load == unit.Loaded
	}
	deflt := "multi-user.target"
	for _, name := range []string{"default.target", "multi-user.target", "rescue.target"} {
		if there(name) {
			deflt = name
			break
		}
	}
	if asked == "" || there(asked) {
		return cmp.Or(asked, deflt)
	}
	log.Error("the boot is asked to start a unit that cannot be loaded", "unit", asked, "instead", deflt)
	return deflt
}

func report(log *slog.Logger, ds []diag.Diag) {
	for _, d := range ds {
		switch d.Severity {
		case diag.Error:
			log.Error(d.String())
		case diag.Warning:
			log.Warn(d.String())
		}
	}
}

// speaker puts the core's log lines into the manager's log, and hands on the rest.
type speaker struct {
	log  *slog.Logger
	next loop.Listener
	// published gets what watchBoot looks at.
	published chan<- core.Action
	// missed says that what must not be missed did not fit there.
	missed  chan<- struct{}
	rest    *rest
	notices *notices
	status  *statusLines // nil without a console
	units   *unitChanges
}

// publishedQueue bounds what waits for watchBoot, which writes to the disk. It looks at
// everything with each, so that a change of a unit which does not fit is made up for by
// the next. The verdict on the boot has no next one.
const publishedQueue = 256

// Published implements loop.Listener.
func (s speaker) Published(now core.Time, a core.Action) {
	s.next.Published(now, a)
	s.publish(a)
	if p, ok := a.(core.Publish); ok {
		s.notices.changed(p)
		if s.status != nil {
			s.status.published(p)
		}
		s.units.published(p)
		if p.What == core.UnitChanged {
			s.rest.changed()
		}
	}
	l, ok := a.(core.Log)
	if !ok || l.Level > core.LevelNotice {
		return
	}
	text := l.Note
	if text == "" {
		text = fmt.Sprintf("%s → %s: %s", l.From, l.To, l.Cause.Sentence(l.Unit))
	}
	level := slog.LevelInfo
	switch l.Level {
	case core.LevelErr:
		level = slog.LevelError
	case core.LevelWarning:
		level = slog.LevelWarn
	}
	s.log.Log(context.Background(), level, text, "unit", l.Unit)
}

func (s speaker) publish(a core.Action) {
	e, urgent := a.(core.Emergency)
	if p, ok := a.(core.Publish); !urgent && (!ok || p.What != core.UnitChanged && p.What != core.StartupFinished && p.What != core.BootJudged) {
		return
	}
	select {
	case s.published <- a:
	default:
		if urgent {
			s.log.Error("too much happens at once: what a unit asks for is lost", "unit", e.Unit, "action", e.Action)
		} else if a.(core.Publish).What != core.UnitChanged {
			select {
			case s.missed <- struct{}{}:
			default: // it knows
			}
		}
	}
}

// sigRTMIN is the first real-time signal that programs may use (glibc takes two).
const sigRTMIN = syscall.Signal(34)

// stopSignal begins to listen to the signals that end a manager, so that none of them
// kills it before it knows what to do about it.
func stopSignal() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, sigRTMIN+3, syscall.SIGHUP)
	return signals
}

// obey turns signals into requests: TERM, INT and RTMIN+3 end, HUP reloads. Under
// init the ordered stop begins with PID 1: a signal to the manager itself ends only
// the manager, whose successor takes over.
func obey(ctx context.Context, m *manager, signals <-chan os.Signal, reload func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				reload()
			case m.link.init != nil:
				m.log.Warn("the manager ends and leaves its services to the next one; to end everything, signal PID 1", "signal", s.String())
				os.Exit(0)
			default:
				m.stop(core.Exit, s.String())
			}
		}
	}
}

// reload reads rules and units anew.
func reload(m *manager, handler *api.API, log *slog.Logger) {
	handler.ReloadAccess()
	var made api.MadeUnits
	if !m.Query(func(c *core.Core) { made = api.Made(c.View()) }) {
		return // everything has ended
	}
	g, err := m.Read(made)
	if err != nil {
		log.Error("reload failed", "err", err)
		return
	}
	report(log, g.Diags)
	ev := core.Reloaded{Set: g.Set, OnDemand: g.OnDemand}
	if g.Rejected {
		ev.Rejected = errorsOf(g.Diags)
	} else if _, err := m.Keep(g); err != nil {
		log.Error("the new generation could not be kept", "err", err)
	}
	m.Take(ev)
}

func errorsOf(ds []diag.Diag) []diag.Diag {
	var out []diag.Diag
	for _, d := range ds {
		if d.Severity == diag.Error {
			out = append(out, d)
		}
	}
	return out
}
