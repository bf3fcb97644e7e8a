package api

import "testing"

// A user makes groups of any name below his own slice: none of them is the session of
// somebody else, or another one of his own.
func TestScopeIn(t *testing.T) {
	for cgroup, want := range map[string]struct {
		id  string
		uid uint32
	}{
		"/user.slice/user-1000.slice/session-5.scope":                                              {"5", 1000},
		"/user.slice/user-1000.slice/session-5.scope/below":                                        {"5", 1000},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/session-5.scope":                  {"", 0},
		"/user.slice/user-1000.slice/session-4.scope/session-5.scope":                              {"4", 1000},
		"/user.slice/user-1000.slice/user@1000.service/user.slice/user-1001.slice/session-5.scope": {"", 0},
		"/user.slice/user-1000.slice/session-4.scope/user.slice/user-1001.slice/session-5.scope/x": {"4", 1000},
		"/system.slice/session-5.scope":                                                            {"", 0},
		"/user.slice/user-x.slice/session-5.scope":                                                 {"", 0},
		"/": {"", 0},
		"":  {"", 0},
	} {
		if id, uid := scopeIn(cgroup); id != want.id || uid != want.uid {
			t.Errorf("%s is in session %q of %d; want %q of %d", cgroup, id, uid, want.id, want.uid)
		}
	}
}

// In a container without a cgroup namespace the kernel's paths begin outside of it.
func TestBelowFirst(t *testing.T) {
	const box = "/user.slice/user-1000.slice/user@1000.service/app.slice/box.scope"
	for _, c := range []struct{ first, of, want string }{
		{"/", "/system.slice/ssh.service", "/system.slice/ssh.service"},
		{"/init.scope", "/user.slice/user-1000.slice/session-5.scope", "/user.slice/user-1000.slice/session-5.scope"},
		{"", "/system.slice/ssh.service", "/system.slice/ssh.service"}, // unknown
		{box, box, ""},
		{box, box + "/system.slice/ssh.service", "/system.slice/ssh.service"},
		{box + "/init.scope", box + "/user.slice/user-7.slice/session-5.scope", "/user.slice/user-7.slice/session-5.scope"},
		{box, box + "2/user.slice/user-7.slice/session-5.scope", ""},
		{box, "/user.slice/user-1000.slice/session-5.scope", ""},
		{box, "", ""},
	} {
		of := belowFirst(func(pid int32) string { return map[int32]string{1: c.first, 2: c.of}[pid] })
		if got := of(2); got != c.want {
			t.Errorf("with PID 1 in %q, %q is %q below it; want %q", c.first, c.of, got, c.want)
		}
	}
}

// A login in such a container, below the slice of a user of the machine, is one as any other.
func TestLoginInAContainerOfAUser(t *testing.T) {
	const box = "/user.slice/user-1000.slice/user@1000.service/app.slice/box.scope"
	r := begin(t)
	l := r.leader()
	r.cgroups.Store(int32(1), box+"/init.scope")
	r.cgroups.Store(int32(l.Process.Pid), box+"/system.slice/ssh.service")
	r.server.opts.Cgroup = belowFirst(r.cgroup)
	c, err := r.create(l.Process.Pid, 1000, "user", "", 0)
	if err != nil || c.Existing {
		t.Fatalf("%+v, %v", c, err)
	}
	r.cgroups.Store(int32(l.Process.Pid), box+"/user.slice/user-1000.slice/session-"+c.ID+".scope")
	if id := r.server.sessionOfPID(int32(l.Process.Pid)); id != c.ID {
		t.Errorf("the leader is in session %q; want %q", id, c.ID)
	}
}
