package keeper

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dynamod/internal/testkit"
	"dynamod/sdnotify"
)

// above is a service manager that listens for notifications.
func above(t *testing.T, room int) *sdnotify.Socket {
	path := filepath.Join(t.TempDir(), "notify")
	s, err := sdnotify.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("FDSTORE", strconv.Itoa(room))
	return s
}

func TestAboveKeeps(t *testing.T) {
	s := above(t, 2)
	k, kept, err := FromAbove(nil)
	if err != nil || len(kept) != 0 || k == nil {
		t.Fatal(k, kept, err)
	}
	k.Run(nil)
	defer k.Close()
	r, _ := pipe(t)
	hear := func() *sdnotify.Received {
		d, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		return d
	}
	if err := k.Keep("a@1:2.service", "out/1", int(r.Fd())); err != nil {
		t.Fatal(err)
	}
	d := hear()
	m, err := sdnotify.Parse(d.Data)
	if err != nil || !m.FDStore || !m.NoPoll || !sdnotify.ValidFDName(m.FDName) || len(d.FDs) != 1 || inode(t, d.FDs[0]) != inode(t, int(r.Fd())) {
		t.Errorf("heard %q with %d descriptors, %v", d.Data, len(d.FDs), err)
	}
	if u, n, ok := parseName(m.FDName); !ok || u != "a@1:2.service" || n != "out/1" {
		t.Errorf("the name %q is read as %q, %q", m.FDName, u, n)
	}
	if err := k.Keep("b.service", "two", int(r.Fd()), int(r.Fd())); err == nil || !strings.Contains(err.Error(), "FileDescriptorStoreMax=") {
		t.Errorf("more than fits = %v", err)
	}
	k.Drop("a@1:2.service", "")
	if d := hear(); !strings.Contains(string(d.Data), "FDSTOREREMOVE=1") {
		t.Errorf("heard %q; want the removal", d.Data)
	}
	if err := k.Keep("b.service", "two", int(r.Fd()), int(r.Fd())); err != nil {
		t.Errorf("after the removal there is room: %v", err)
	}
	if d := hear(); len(d.FDs) != 2 {
		t.Errorf("%d descriptors came", len(d.FDs))
	}
	if err := k.Keep("a.service", strings.Repeat("n", 250), int(r.Fd())); err == nil {
		t.Error("a name that is too long was taken")
	}
}

func TestNothingAbove(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("FDSTORE", "7")
	if k, _, err := FromAbove(nil); k != nil || err != nil {
		t.Errorf("FromAbove = %v, %v; want nothing", k, err)
	}
	above(t, 0)
	if k, _, err := FromAbove(nil); k != nil || err != nil {
		t.Errorf("FromAbove without room = %v, %v; want nothing", k, err)
	}
}

// A manager that was started again gets back what is its own and closes the rest.
func TestAboveGivesBack(t *testing.T) {
	r, _ := pipe(t)
	got := testkit.Command(t, "given back")
	run := passing(t, got, []string{fdName("a.service", "out/1"), "else", fdName("", "notify")}, r, r, r)
	if run != "a.service out/1 1\n notify 1\nopen 2\n" {
		t.Errorf("the successor has %q", run)
	}
}

var _ = testkit.Register("given back", func([]string) {
	os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	_, kept, err := FromAbove(nil)
	if err != nil {
		os.Stdout.WriteString(err.Error())
		return
	}
	for _, k := range kept {
		os.Stdout.WriteString(k.Unit + " " + k.Name + " " + strconv.Itoa(len(k.FDs)) + "\n")
	}
	open := 0
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, f := range fds {
		if n, _ := strconv.Atoi(f.Name()); n > 2 {
			// All three are the same pipe.
			link, err := os.Readlink("/proc/self/fd/" + f.Name())
			if mine, merr := os.Readlink("/proc/self/fd/" + strconv.Itoa(kept[0].FDs[0])); err == nil && merr == nil && link == mine {
				open++
			}
		}
	}
	os.Stdout.WriteString("open " + strconv.Itoa(open) + "\n")
})

func FuzzNames(f *testing.F) {
	f.Add("a.service", "out/1")
	f.Add("a:b%2f/..", "\n%")
	f.Fuzz(func(t *testing.T, unit, name string) {
		s := fdName(unit, name)
		u, n, ok := parseName(s)
		if !ok || u != unit || n != name {
			t.Errorf("%q, %q became %q, which is read as %q, %q", unit, name, s, u, n)
		}
		if strings.ContainsAny(s, ":\n") || len(s) <= maxFDName && !sdnotify.ValidFDName(s) {
			t.Errorf("%q is no name for FDNAME=", s)
		}
		_, _, _ = parseName(unit) // whatever it is
	})
}
