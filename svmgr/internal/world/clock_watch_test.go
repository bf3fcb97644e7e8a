package world

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dynamod/svmgr/internal/core"
)

// A zone is replaced as timedatectl does it, by a new link over the old one.
func TestTimeZoneChange(t *testing.T) {
	dir := t.TempDir()
	local := filepath.Join(dir, "localtime")
	link := func(zone string) {
		t.Helper()
		tmp := filepath.Join(dir, ".new")
		if err := os.Symlink("/usr/share/zoneinfo/"+zone, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, local); err != nil {
			t.Fatal(err)
		}
	}
	link("Europe/Berlin")
	r := newRig(t, func(c *Config) { c.Localtime = local })
	is := func(want string, hour int) {
		t.Helper()
		e := until[core.ClockJump](r)
		loc, err := time.LoadLocationFromTZData(e.Zone, e.ZoneData)
		if err != nil || e.Zone != want {
			t.Fatalf("%s, %v; want %s", e.Zone, err, want)
		}
		if h := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).In(loc).Hour(); h != hour {
			t.Errorf("%s: noon in UTC is %d h", want, h)
		}
	}
	link("Asia/Tokyo")
	is("Asia/Tokyo", 21)
	if err := os.Remove(local); err != nil {
		t.Fatal(err)
	}
	is("UTC", 12)
	if err := os.WriteFile(local, []byte("rubbish"), 0o644); err != nil {
		t.Fatal(err)
	}
	link("America/New_York") // what was rubbish in between is no zone
	is("America/New_York", 7)
}
