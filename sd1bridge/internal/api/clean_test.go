package api

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"

	"dynamod/internal/testkit"
)

// Cleaning removes the directories of the kinds that are asked for and no others, of
// units at rest only.
func TestClean(t *testing.T) {
	b := start(t, map[string]string{
		"default.target": "[Unit]\nDescription=All\n",
		"a.service":      "[Service]\nExecStart=/bin/sleep 1000\nStateDirectory=mine\nCacheDirectory=mine\n",
		"b.service":      "[Service]\nExecStart=/bin/sleep 1000\n",
	})
	run := filepath.Dir(b.control) // where a standalone manager has everything
	state, cache := filepath.Join(run, "lib/mine"), filepath.Join(run, "cache/mine")
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	manager := c.Object("", "/org/freedesktop/systemd1")
	clean := func(unit string, what ...string) string {
		err := manager.Call(prefix+"Manager.CleanUnit", 0, unit, what).Err
		if e := (dbus.Error{}); err != nil && asDBus(err, &e) {
			return e.Name
		}
		return ""
	}
	there := func(p string) bool { _, err := os.Stat(p); return err == nil }
	until := func(state string) {
		t.Helper()
		testkit.Eventually(t, "a.service is "+state, func() bool {
			v, err := c.Object("", "/org/freedesktop/systemd1/unit/a_2eservice").GetProperty(prefix + "Unit.ActiveState")
			return err == nil && v.Value() == state
		})
	}
	v, err := c.Object("", "/org/freedesktop/systemd1/unit/a_2eservice").GetProperty(prefix + "Unit.CanClean")
	if err != nil || !slices.Equal(v.Value().([]string), []string{"state", "cache"}) {
		t.Errorf("CanClean is %v (%v)", v, err)
	}
	if err := manager.Call(prefix+"Manager.StartUnit", 0, "a.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	until("active")
	testkit.Eventually(t, "the directories are there", func() bool { return there(state) && there(cache) })
	if got := clean("a.service", "all"); got == "" || !there(state) {
		t.Errorf("a unit that runs was cleaned: %q", got)
	}
	if err := manager.Call(prefix+"Manager.StopUnit", 0, "a.service", "replace").Err; err != nil {
		t.Fatal(err)
	}
	until("inactive")
	if err := os.WriteFile(state+"/kept", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := clean("a.service"); got != "" || there(cache) || !there(state) {
		t.Errorf("cache and runtime: %q, cache is there: %v, state is there: %v", got, there(cache), there(state))
	}
	if got := clean("a.service", "nonsense"); got != "org.freedesktop.DBus.Error.InvalidArgs" || !there(state) {
		t.Errorf("nonsense: %q", got)
	}
	// What systemctl asks for when it is told nothing.
	if got := clean("b.service", "cache", "runtime", "fdstore"); got != prefix+"NothingToClean" {
		t.Errorf("a unit without directories: %q", got)
	}
	if got := clean("a.service", "state"); got != "" || there(state) {
		t.Errorf("state: %q, it is there: %v", got, there(state))
	}
}
