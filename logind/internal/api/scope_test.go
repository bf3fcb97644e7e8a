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
