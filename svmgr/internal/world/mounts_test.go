package world

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
	"dynamod/internal/unit"
	"dynamod/internal/unitname"
	"dynamod/svmgr/internal/core"
)

// namespaceMark is set in a test that runs in a mount namespace of its own.
const namespaceMark = "DYNAMOD_TEST_NAMESPACE"

// ownMounts runs the test again in a mount namespace, where it may mount what it
// likes; it returns true in there.
func ownMounts(t testing.TB) bool {
	t.Helper()
	if os.Getenv(namespaceMark) != "" {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), namespaceMark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	}
	return false
}

// mountDir is a directory for mounts, which are gone after the test.
func mountDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mountUnit(t testing.TB, where string, lines ...string) *unit.Unit {
	t.Helper()
	name, err := unitname.FromPath(where, unitname.Mount)
	if err != nil {
		t.Fatal(err)
	}
	return service(t, name, append([]string{"[Mount]", "Where=" + where}, lines...)...)
}

func (r *rig) table(u *unit.Unit, s core.Stage) core.RunID {
	return r.spawn(u, func(a *core.Spawn) { a.Stage, a.Role = s, core.RoleControl })
}

// runOf takes events until the run has ended and the table's word about the unit came.
func (r *rig) changeTable(u *unit.Unit, s core.Stage) (code int32, now core.MountChanged) {
	r.t.Helper()
	run := r.table(u, s)
	for ended := false; ; {
		switch e := r.event().(type) {
		case core.SpawnFailed:
			r.t.Fatalf("%s: set-up failed: %+v", s, e)
		case core.Exited:
			if e.Run == run {
				ended, code = true, e.Code
			}
		case core.MountChanged:
			if e.Unit == u.Name && ended {
				return code, e
			}
		}
	}
}

// placeOf is a mount unit's word about a place that comes by itself.
func (r *rig) wordAbout(name string, mounted bool) core.MountChanged {
	r.t.Helper()
	for {
		if e, ok := r.event().(core.MountChanged); ok && e.Unit == name && e.Mounted == mounted {
			return e
		}
	}
}

// Mount units are carried out by mount(8) and, where that is missing, by system
// calls, with the same results.
func TestMountUnits(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	for _, native := range []bool{false, true} {
		t.Run(map[bool]string{false: "mount(8)", true: "system calls"}[native], func(t *testing.T) {
			if native {
				hide(t, "/usr/bin/mount", "/usr/bin/umount")
			}
			r := newRig(t, func(c *Config) { c.Foreign = true })
			dir := mountDir(t)
			where := filepath.Join(dir, "deep", "a b")
			u := mountUnit(t, where, "What=tmpfs", "Type=tmpfs", "Options=mode=0700,size=1M,x-systemd.x=1,nosuid", "DirectoryMode=0711")
			code, now := r.changeTable(u, core.StageMount)
			if code != 0 || !now.Mounted || now.FSType != "tmpfs" || now.Where != where || !strings.Contains(now.Options, "nosuid") {
				t.Fatalf("mount: code %d, %+v, %v", code, now, r.output())
			}
			if st, err := os.Stat(filepath.Dir(where)); err != nil || st.Mode().Perm() != 0o711 {
				t.Errorf("the directory above: %v, %v", st.Mode(), err)
			}
			if st, err := os.Stat(where); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("the mount: %v, %v", st.Mode(), err)
			}
			ro := mountUnit(t, where, "What=tmpfs", "Type=tmpfs", "Options=ro")
			if code, now = r.changeTable(ro, core.StageRemount); code != 0 || !strings.HasPrefix(now.Options, "ro") {
				t.Errorf("remount: code %d, %+v, %v", code, now, r.output())
			}
			// Busy: it stays. Lazily: it goes all the same.
			f, err := os.Open(where)
			if err != nil {
				t.Fatal(err)
			}
			if code, now = r.changeTable(u, core.StageUnmount); code != 32 || !now.Mounted {
				t.Errorf("busy unmount: code %d, %+v", code, now)
			}
			lazy := mountUnit(t, where, "What=tmpfs", "Type=tmpfs", "LazyUnmount=yes")
			if code, now = r.changeTable(lazy, core.StageUnmount); code != 0 || now.Mounted {
				t.Errorf("lazy unmount: code %d, %+v, %v", code, now, r.output())
			}
			f.Close()
			// Options that the file system does not know.
			bad := mountUnit(t, where, "What=tmpfs", "Type=tmpfs", "Options=nonsense=1")
			if code, now = r.changeTable(bad, core.StageMount); code == 0 || now.Mounted {
				t.Errorf("unknown options: code %d, %+v", code, now)
			}
			// A file over a file, made for it; and what was no directory stays one.
			src := filepath.Join(dir, "file")
			if err := os.WriteFile(src, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			bind := mountUnit(t, filepath.Join(dir, "onto", "file"), "What="+src, "Options=bind,ro")
			if code, now = r.changeTable(bind, core.StageMount); code != 0 || !now.Mounted || !strings.HasPrefix(now.Options, "ro") {
				t.Errorf("bind: code %d, %+v, %v", code, now, r.output())
			}
			if b, err := os.ReadFile(unit.Where.Of(bind)); string(b) != "x" || err != nil {
				t.Errorf("bind: %q, %v", b, err)
			}
			if code, now = r.changeTable(bind, core.StageUnmount); code != 0 || now.Mounted {
				t.Errorf("unmount of the bind: code %d, %+v", code, now)
			}
			// A source that is missing is made as a directory.
			made := mountUnit(t, filepath.Join(dir, "made"), "What="+filepath.Join(dir, "new", "source"), "Options=rbind")
			if code, now = r.changeTable(made, core.StageMount); code != 0 || !now.Mounted {
				t.Errorf("bind of nothing: code %d, %+v, %v", code, now, r.output())
			}
			over := mountUnit(t, filepath.Join(dir, "over"), "What=overlay", "Type=overlay",
				fmt.Sprintf("Options=lowerdir=%s,upperdir=%s/ov/up,workdir=%s/ov/work", dir, where, where))
			if err := os.MkdirAll(where, 0o755); err != nil {
				t.Fatal(err)
			}
			if code, now = r.changeTable(u, core.StageMount); code != 0 {
				t.Fatalf("mount: %d", code)
			}
			if code, now = r.changeTable(over, core.StageMount); code != 0 || now.FSType != "overlay" {
				t.Errorf("overlay: code %d, %+v, %v", code, now, r.output())
			}
		})
	}
}

// hide covers programs for the time of a test.
func hide(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := unix.Mount("/dev/null", p, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(p, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
}

// A mount point that is a symbolic link would be another place than the unit's.
func TestMountOverSymlink(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	r.table(mountUnit(t, link, "What=tmpfs", "Type=tmpfs"), core.StageMount)
	if e := until[core.SpawnFailed](r); e.Stage != "mount" || e.Errno != int32(unix.ELOOP) {
		t.Errorf("%+v", e)
	}
}

// What others mount is told with what it is, and that it is gone; with Foreign off
// only units that exist are.
func TestOthersMount(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	dir := mountDir(t)
	where := filepath.Join(dir, "usb")
	if err := os.Mkdir(where, 0o755); err != nil {
		t.Fatal(err)
	}
	known := mountUnit(t, where, "What=tmpfs")
	for _, foreign := range []bool{true, false} {
		r := newRig(t, func(c *Config) {
			c.Foreign = foreign
			c.UnitOf = func(name string) *unit.Unit {
				if !foreign && name == known.Name {
					return known
				}
				return nil
			}
		})
		if foreign {
			if e := r.wordAbout("-.mount", true); e.Where != "/" {
				t.Errorf("%+v", e)
			}
		}
		if err := unix.Mount("dev%x", where, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
			t.Fatal(err)
		}
		if e := r.wordAbout(known.Name, true); e.What != "dev%x" || e.Where != where || e.FSType != "tmpfs" || !strings.Contains(e.Options, "noexec") {
			t.Errorf("%+v", e)
		}
		// One more on top and away again is no news that matters: it stays.
		if err := unix.Mount("top", where, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		for r.wordAbout(known.Name, true).What != "top" {
		}
		if err := unix.Unmount(where, 0); err != nil {
			t.Fatal(err)
		}
		for r.wordAbout(known.Name, true).What != "dev%x" {
		}
		if err := unix.Unmount(where, 0); err != nil {
			t.Fatal(err)
		}
		r.wordAbout(known.Name, false)
		if !foreign {
			for _, p := range []string{"-.mount", "proc.mount"} {
				if ev, ok := r.mountWord(r.senses.tables.table.At("/")); ok {
					t.Errorf("%s is told although nobody wants it: %+v", p, ev)
				}
			}
		}
	}
}

// A thousand mounts by others are all told, and the table is read far less often.
func TestManyForeignMounts(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	const n = 1000
	dir := mountDir(t)
	r := newRig(t, func(c *Config) { c.Foreign = true })
	up := map[string]bool{}
	take := func(count int, mounted bool) {
		t.Helper()
		for len(up) != count {
			if e, ok := r.event().(core.MountChanged); ok && strings.Contains(e.Unit, "-many-") {
				if e.Mounted {
					up[e.Unit] = true
				} else {
					delete(up, e.Unit)
				}
			}
		}
	}
	done := make(chan error, 1)
	go func() { // ends with its mounts
		for i := range n {
			p := fmt.Sprintf("%s/many/%d", dir, i)
			if err := os.MkdirAll(p, 0o755); err != nil {
				done <- err
				return
			}
			if err := unix.Mount("none", p, "tmpfs", 0, ""); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	take(n, true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := range n {
			if err := unix.Unmount(fmt.Sprintf("%s/many/%d", dir, i), 0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	take(0, false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tb := &r.senses.tables
	tb.mu.Lock()
	reads, parsed := tb.reads, tb.table.Parsed
	tb.mu.Unlock()
	t.Logf("%d mounts and unmounts: the tables were read %d times, %d lines parsed", n, reads, parsed)
	if reads > n {
		t.Errorf("the tables were read %d times", reads)
	}
}

// BenchmarkMountChange is the price of one change with a thousand mounts there:
// reading the kernel's table, comparing it, telling it.
func BenchmarkMountChange(b *testing.B) {
	lines := make([]string, 0, 1000)
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("%d 1 0:%d / /srv/many/%d rw,relatime shared:%d - tmpfs none rw,inode64", i+10, i, i, i))
	}
	base := strings.Join(lines, "\n") + "\n"
	with, without := []byte(base+"5000 1 0:9 / /srv/new rw - tmpfs none rw\n"), []byte(base)
	w := &World{cfg: Config{Foreign: true}, post: func(core.Event) {}}
	t := &w.senses.tables
	t.table.Update(without)
	for i := 0; b.Loop(); i++ {
		for _, p := range t.table.Update([][]byte{with, without}[i%2]) {
			if ev, ok := w.mountWord(p); ok {
				w.post(ev)
			}
		}
	}
}

// Swaps are known to the kernel by another name than to their unit.
func TestSwapUnits(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "swap file"), filepath.Join(dir, "by-label")
	for _, c := range []struct{ lines, want []string }{
		{nil, []string{"--fixpgsz", link}},
		{[]string{"Priority=5"}, []string{"--fixpgsz", "-o", "pri=5", link}},
		{[]string{"Priority=5", "Options=discard,pri=7"}, []string{"--fixpgsz", "-o", "discard,pri=7", link}},
		{[]string{"Priority=-1", "Options=discard"}, []string{"--fixpgsz", "-o", "discard", link}},
	} {
		name, _ := unitname.FromPath(link, unitname.Swap)
		u := service(t, name, append([]string{"[Swap]", "What=" + link}, c.lines...)...)
		if got := swapOnArgs(u); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.lines, got, c.want)
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	name, _ := unitname.FromPath(link, unitname.Swap)
	u := service(t, name, "[Swap]", "What="+link)
	w := &World{cfg: Config{Swaps: func() []*unit.Unit { return []*unit.Unit{u} }, UnitOf: func(n string) *unit.Unit { return nil }}, log: newRig(t).log}
	w.senses.tables.inUse = map[string]swapInUse{}
	on := "Filename Type Size Used Priority\n" + strings.ReplaceAll(file, " ", `\040`) + " file 100 0 3\n"
	got := w.swapWords([]byte(on))
	if len(got) != 1 || got[0] != (core.MountChanged{Unit: name, Mounted: true, What: file, Options: "pri=3"}) {
		t.Errorf("swapped on: %+v", got)
	}
	if got := w.swapWords([]byte(on)); len(got) != 0 {
		t.Errorf("nothing changed: %+v", got)
	}
	if got := w.swapWords([]byte("Filename Type Size Used Priority\n")); len(got) != 1 || got[0] != (core.MountChanged{Unit: name}) {
		t.Errorf("swapped off: %+v", got)
	}
}

func automountUnit(t testing.TB, where string, lines ...string) *unit.Unit {
	t.Helper()
	name, err := unitname.FromPath(where, unitname.Automount)
	if err != nil {
		t.Fatal(err)
	}
	return service(t, name, append([]string{"[Automount]", "Where=" + where}, lines...)...)
}

// visit reaches into a directory from another process group, as anybody would.
func visit(t testing.TB, path string) <-chan error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/ls", path+"/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	ch := make(chan error, 1)
	go func() { // ends with the visitor
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		ch <- err
	}()
	return ch
}

func (r *rig) listenAutomount(u *unit.Unit) int32 {
	r.t.Helper()
	r.next++
	r.Perform(core.Listen{Run: r.next, Unit: u})
	return until[core.Listening](r).Errno
}

// Whoever reaches an automount point waits for the mount, or gets an error when
// nothing comes of it; what is idle is asked to be unmounted; a manager that comes
// later takes the place over.
func TestAutomount(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	where := filepath.Join(mountDir(t), "net")
	m := mountUnit(t, where, "What=tmpfs", "Type=tmpfs")
	a := automountUnit(t, where, "TimeoutIdleSec=1")
	foreign := func(c *Config) { c.Foreign = true }
	r := newRig(t, foreign)
	if errno := r.listenAutomount(a); errno != 0 {
		t.Fatalf("listen: %v", unix.Errno(errno))
	}
	watch := core.Watch{Unit: a, What: core.WatchAutomount}
	r.Perform(watch)
	first, second := visit(t, where), visit(t, where)
	if e := until[core.AutomountRequested](r); e.Unit != a.Name {
		t.Errorf("%+v", e)
	}
	if code, now := r.changeTable(m, core.StageMount); code != 0 || !now.Mounted {
		t.Fatalf("mount: %d, %+v, %v", code, now, r.output())
	}
	for _, ch := range []<-chan error{first, second} {
		if err := testkit.Receive(t, ch, "a visitor"); err != nil {
			t.Error(err)
		}
	}
	r.Perform(core.Unwatch{Unit: a.Name, What: core.WatchAutomount})
	// Idle: the core is asked to stop the mount, and does.
	if e := until[core.Request](r); e.Verb != core.VerbStop || e.Unit != m.Name || e.Source != core.SourceAutomount {
		t.Errorf("%+v", e)
	}
	if code, now := r.changeTable(m, core.StageUnmount); code != 0 || now.Mounted {
		t.Fatalf("unmount: %d, %+v, %v", code, now, r.output())
	}
	r.Perform(watch)
	// Nothing comes of it: the core watches again. ls(1) tries more than once.
	for late := visit(t, where); late != nil; {
		select {
		case err := <-late:
			if late = nil; err == nil {
				t.Error("a visitor of a mount that failed was let in")
			}
		case ev := <-r.events:
			if _, ok := ev.(core.AutomountRequested); ok {
				r.Perform(watch)
			}
		case <-t.Context().Done():
			t.Fatal("the visitor waits for ever")
		}
	}
	// The next manager takes over.
	r.World.Close()
	next := newRig(t, foreign)
	next.Perform(watch) // restored: it does not listen again
	testkit.Eventually(t, "the place is taken over", func() bool {
		m := &next.senses.automount
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.units[a.Name] != nil && m.units[a.Name].watching
	})
	again := visit(t, where)
	until[core.AutomountRequested](next)
	if code, _ := next.changeTable(m, core.StageMount); code != 0 {
		t.Fatalf("mount: %d", code)
	}
	if err := testkit.Receive(t, again, "a visitor"); err != nil {
		t.Error(err)
	}
	// Stopped while something is mounted on top: it goes with that.
	next.Perform(core.Unlisten{Unit: a.Name})
	if code, _ := next.changeTable(m, core.StageUnmount); code != 0 {
		t.Fatalf("unmount: %d", code)
	}
	testkit.Eventually(t, "the autofs is gone", func() bool {
		at, err := tableNow(where)
		return err == nil && !at.Triggers
	})
	// Once more, and stopped with nothing on top.
	if errno := next.listenAutomount(a); errno != 0 {
		t.Fatalf("listen: %v", unix.Errno(errno))
	}
	if errno := next.listenAutomount(a); errno != int32(unix.EBUSY) {
		t.Errorf("a second listen: %v", unix.Errno(errno))
	}
	next.Perform(core.Unlisten{Unit: a.Name})
	testkit.Eventually(t, "the autofs is gone", func() bool {
		at, err := tableNow(where)
		return err == nil && !at.Triggers
	})
}

// Without autofs an automount fails at once and says why.
func TestNoAutofs(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	hide(t, "/dev/autofs")
	r := newRig(t)
	if errno := r.listenAutomount(automountUnit(t, filepath.Join(t.TempDir(), "net"))); errno == 0 {
		t.Error("it was set up")
	}
}
