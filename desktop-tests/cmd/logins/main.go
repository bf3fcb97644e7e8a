// logins makes sessions as pam_systemd does, one after the other, and lets each end by the
// death of its leader; it says how long an answer took and what logind has grown by. Run it
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
	var took []time.Duration
	var before state
	for i := range n {
		if i == n/4 { // by then it has reached its size
			before = look(pid)
		}
		d, err := login(c, removed, class, uid)
		if err != nil {
			return fmt.Errorf("login %d: %w", i+1, err)
		}
		took = append(took, d)
	}
	after := look(pid)
	slices.Sort(took)
	ms := func(share float64) string {
		return fmt.Sprintf("%.1f", float64(took[int(share*float64(n-1))].Microseconds())/1000)
	}
	fmt.Printf("median=%s\np95=%s\nbefore=%v\nafter=%v\n", ms(0.5), ms(0.95), before, after)
	return nil
}

type property struct {
	Name  string
	Value dbus.Variant
}

// login makes one session, waits until it is gone again, and says how long its answer took.
func login(c *dbus.Conn, removed <-chan *dbus.Signal, class string, uid uint32) (time.Duration, error) {
	fd := -1
	leader := exec.Command("sleep", "1000")
	leader.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if err := leader.Start(); err != nil {
		return 0, err
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
	err := c.Object(login1, path).Call(manager+".CreateSessionWithPIDFD", 0, uid, dbus.UnixFD(fd), "logins", "unspecified", class, "", "", uint32(0), "", "", false, "", "", uint64(0), []property{}).
		Store(&id, &at, &runtime, &fifo, &owner, &seat, &vt, &existing)
	d := time.Since(begin)
	if err != nil {
		end()
		return 0, err
	}
	unix.Close(int(fifo))
	end()
	if existing {
		return 0, fmt.Errorf("this program is in session %s already; run it as a service", id)
	}
	limit := time.After(time.Minute)
	for {
		select {
		case s := <-removed:
			if len(s.Body) > 0 && s.Body[0] == id {
				return d, nil
			}
		case <-limit:
			return 0, fmt.Errorf("session %s is not gone after a minute", id)
		}
	}
}

// state is what could grow.
type state struct{ rss, anonymous, fds, cgroups, files int }

func (s state) String() string {
	return fmt.Sprintf("rss:%d anonymous:%d fds:%d cgroups:%d files:%d", s.rss, s.anonymous, s.fds, s.cgroups, s.files)
}

func look(pid uint32) (s state) {
	proc := fmt.Sprintf("/proc/%d", pid)
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
	s.files = count("/run/systemd", func(d os.DirEntry) bool { return !d.IsDir() })
	return s
}
