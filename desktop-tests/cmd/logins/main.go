// logins makes sessions as pam_systemd does, one after the other, and lets each end by the
// death of its leader, who holds its FIFO too (ReleaseSession is for who is in the session). It says how long the answers took, how long the
// end took until the session and its cgroup were gone, what processor time the machine spent on both,
// and what logind, the managers and the machine have grown by. Run it
// as a service (systemd-run --wait --pipe logins …): who is in a session gets that one.
//
//	logins [-n 1000] [-class background-light] [-uid 1000]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	login1  = "org.freedesktop.login1"
	manager = login1 + ".Manager"
	path    = "/org/freedesktop/login1"
)

func main() {
	n := flag.Int("n", 1000, "how many")
	class := flag.String("class", "background-light", "the class of the sessions")
	uid := flag.Uint("uid", 1000, "whose")
	flag.Parse()
	if err := run(*n, *class, uint32(*uid)); err != nil {
		fmt.Fprintln(os.Stderr, "logins:", err)
		os.Exit(1)
	}
}

func run(n int, class string, uid uint32) error {
	if n < 8 {
		return errors.New("-n must be 8 or more")
	}
	c, err := dbus.ConnectSystemBus()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AddMatchSignal(dbus.WithMatchInterface(manager), dbus.WithMatchMember("SessionRemoved")); err != nil {
		return err
	}
	removed := make(chan *dbus.Signal, 16)
	c.Signal(removed)
	var pid uint32
	if err := c.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, login1).Store(&pid); err != nil {
		return err
	}
	who := processes(pid)
	var in, out []time.Duration
	var before state
	busy := work()
	for i := range n {
		if i == n/4 { // by then it has reached its size
			before = look(who)
		}
		up, down, err := login(c, removed, class, uid)
		if err != nil {
			return fmt.Errorf("login %d: %w", i+1, err)
		}
		in, out = append(in, up), append(out, down)
	}
	busy = work() - busy
	after := look(who)
	fmt.Printf("login=%s\nlogout=%s\nbusy=%.1f\nbefore=%v\nafter=%v\n", times(in), times(out), float64(busy.Microseconds())/1000/float64(n), before, after)
	return nil
}

// times are median, 95th percentile and mean of what logins or logouts took, in ms.
func times(took []time.Duration) string {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	last := float64(len(took) - 1)
	return fmt.Sprintf("median:%.1f p95:%.1f mean:%.1f", ms(took[int(0.5*last)]), ms(took[int(0.95*last)]), ms(sum/time.Duration(len(took))))
}

type property struct {
	Name  string
	Value dbus.Variant
}

// login makes one session, ends it, and says how long its answer took, and how long it was
// until nothing was left of it.
func login(c *dbus.Conn, removed <-chan *dbus.Signal, class string, uid uint32) (in, out time.Duration, err error) {
	fd := -1
	leader := exec.Command("sleep", "1000")
	leader.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if err := leader.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		if fd >= 0 {
			unix.Close(fd)
		}
	}()
	end := func() {
		_ = leader.Process.Kill()
		_ = leader.Wait() // it was killed
	}
	var (
		id, runtime, seat string
		at                dbus.ObjectPath
		fifo              dbus.UnixFD
		owner, vt         uint32
		existing          bool
	)
	begin := time.Now()
	err = c.Object(login1, path).Call(manager+".CreateSessionWithPIDFD", 0, uid, dbus.UnixFD(fd), "logins", "unspecified", class, "", "", uint32(0), "", "", false, "", "", uint64(0), []property{}).
		Store(&id, &at, &runtime, &fifo, &owner, &seat, &vt, &existing)
	in = time.Since(begin)
	if err != nil {
		end()
		return 0, 0, err
	}
	if existing {
		unix.Close(int(fifo))
		end()
		return 0, 0, fmt.Errorf("this program is in session %s already; run it as a service", id)
	}
	begin = time.Now()
	unix.Close(int(fifo))
	end()
	limit := time.After(time.Minute)
	for {
		select {
		case s := <-removed:
			if len(s.Body) == 0 || s.Body[0] != id {
				continue
			}
			group := fmt.Sprintf("/sys/fs/cgroup/user.slice/user-%d.slice/session-%s.scope", uid, id)
			for {
				if _, err := os.Stat(group); errors.Is(err, os.ErrNotExist) {
					return in, time.Since(begin), nil
				}
				if time.Since(begin) > time.Minute {
					return 0, 0, fmt.Errorf("%s is not gone after a minute", group)
				}
				time.Sleep(time.Millisecond)
			}
		case <-limit:
			return 0, 0, fmt.Errorf("session %s is not gone after a minute", id)
		}
	}
}

// work is the processor time that the machine has spent, in kernel and programs.
func work() time.Duration {
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	var ticks int64
	for k, f := range strings.Fields(line) {
		if k == 1 || k == 2 || k == 3 || k == 6 || k == 7 { // user, nice, system, irq, softirq: proc_stat(5)
			n, _ := strconv.ParseInt(f, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * (time.Second / 100) // USER_HZ
}

// processes are those whose size is looked at: logind, and what logins may make grow of the
// rest: the first process, the managers and the bus.
func processes(logind uint32) []process {
	list := []process{{"logind", int(logind)}, {"pid1", 1}}
	for _, kind := range []struct{ name, comm string }{{"manager", "dynamod-svmgr"}, {"bridge", "dynamod-sd1brid"}, {"bus", "dbus-daemon"}} {
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		first := 0 // of several it is the system's
		for _, dir := range dirs {
			comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
			if pid, _ := strconv.Atoi(filepath.Base(dir)); strings.TrimSpace(string(comm)) == kind.comm && (first == 0 || pid < first) {
				first = pid
			}
		}
		if first > 0 {
			list = append(list, process{kind.name, first})
		}
	}
	return list
}

type process struct {
	name string
	pid  int
}

// state is what could grow: memory in kB, and numbers of things.
type state struct {
	processes []size
	cgroups   int
	// run and user are the files below /run/systemd and /run/user, units those that the manager knows.
	run, user, units int
}

type size struct {
	name                string
	rss, anonymous, fds int
}

func (s state) String() string {
	var b strings.Builder
	for _, p := range s.processes {
		fmt.Fprintf(&b, "%[1]s.rss:%[2]d %[1]s.anonymous:%[3]d %[1]s.fds:%[4]d ", p.name, p.rss, p.anonymous, p.fds)
	}
	fmt.Fprintf(&b, "cgroups:%d run:%d user:%d units:%d", s.cgroups, s.run, s.user, s.units)
	return b.String()
}

func sizeOf(p process) size {
	s := size{name: p.name}
	proc := fmt.Sprintf("/proc/%d", p.pid)
	status, _ := os.ReadFile(filepath.Join(proc, "status"))
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			s.rss = n
		case "RssAnon:":
			s.anonymous = n
		}
	}
	fds, _ := os.ReadDir(filepath.Join(proc, "fd"))
	s.fds = len(fds)
	return s
}

func look(who []process) (s state) {
	for _, p := range who {
		s.processes = append(s.processes, sizeOf(p))
	}
	if out, err := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager").Output(); err == nil {
		s.units = strings.Count(string(out), "\n")
	}
	count := func(top string, counts func(os.DirEntry) bool) (n int) {
		_ = filepath.WalkDir(top, func(_ string, d os.DirEntry, err error) error { // what goes meanwhile does not count
			if err == nil && counts(d) {
				n++
			}
			return nil
		})
		return n
	}
	s.cgroups = count("/sys/fs/cgroup", os.DirEntry.IsDir)
	file := func(d os.DirEntry) bool { return !d.IsDir() }
	s.run, s.user = count("/run/systemd", file), count("/run/user", file)
	return s
}
