package timedate

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestValidZone(t *testing.T) {
	for name, want := range map[string]bool{"UTC": true, "Europe/Berlin": true, "America/Argentina/Buenos_Aires": true, "Etc/GMT+5": true, "Etc/GMT-14": true, "posix/UTC": true,
		"": false, "../x": false, "/Europe/Berlin": false, "Europe/": false, "Europe//Berlin": false, "Europe/../../etc/passwd": false, "a b": false, "é": false, "a\n": false, ".": false,
		"-x": false, strings.Repeat("a", 256): false} {
		if got := ValidZone(name); got != want {
			t.Errorf("ValidZone(%q) = %v", name, got)
		}
	}
}

// A zone that is valid leads to a file below the directory of zones, and is read back.
func FuzzZone(f *testing.F) {
	for _, s := range []string{"Europe/Berlin", "../x", "a/./b", "UTC"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !ValidZone(name) {
			return
		}
		if strings.Contains("/"+name+"/", "/../") || strings.ContainsAny(name, "\x00\n ") || name[0] == '/' {
			t.Errorf("%q is valid", name)
		}
		if got := ZoneOf(LinkTarget(name)); got != name {
			t.Errorf("the link to %q leads to %q", name, got)
		}
	})
}

func TestZoneOf(t *testing.T) {
	for target, want := range map[string]string{"/usr/share/zoneinfo/Etc/UTC": "Etc/UTC", "../usr/share/zoneinfo/Europe/Berlin": "Europe/Berlin", "/etc/x": "",
		"/usr/share/zoneinfo/": "", "../usr/share/zoneinfo/../../x": ""} {
		if got := ZoneOf(target); got != want {
			t.Errorf("ZoneOf(%q) = %q; want %q", target, got, want)
		}
	}
}

func TestListZones(t *testing.T) {
	there := func(n string) bool { return n != "Gone/There" }
	tzdata := "# version 2026f\nR d 1916 o - Jun 14 23s 1 S\nZ Africa/Algiers 0:12:12 - LMT 1891 Mar 16\n0:9:21 - PMT 1911 Mar 11\nZ Etc/UTC 0 - UTC\nL Etc/UTC UTC\nL Etc/UTC Zulu\nL a Gone/There\nZ ../x\n"
	if got, want := ListZones(tzdata, there), []string{"Africa/Algiers", "Etc/UTC", "UTC", "Zulu"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
	tab := "#code\tx\tTZ\nDE\t+5230+01322\tEurope/Berlin\tmost\nXX\t+1\tGone/There\n\n"
	if got, want := ListTab(tab, there), []string{"Europe/Berlin", "UTC"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

func TestAdjtime(t *testing.T) {
	const measured = "-1.25 1700000000 0.5\n1700000000\n"
	for _, test := range []struct{ text, local, utc string }{
		{"", unmeasured + "LOCAL\n", ""}, {unmeasured + "UTC\n", unmeasured + "LOCAL\n", ""}, {measured + "UTC\n", measured + "LOCAL\n", measured + "UTC\n"},
		{measured + "LOCAL", measured + "LOCAL\n", measured + "UTC\n"}, {"1.0 0 0", "1.0 0 0\n0\nLOCAL\n", "1.0 0 0\n0\nUTC\n"}, {"\n\n\n", unmeasured + "LOCAL\n", ""},
	} {
		local, utc := SetLocalRTC(test.text, true), SetLocalRTC(test.text, false)
		if local != test.local || utc != test.utc {
			t.Errorf("%q becomes %q and %q; want %q and %q", test.text, local, utc, test.local, test.utc)
		}
	}
}

// What was set is what is read, and setting again changes nothing.
func FuzzAdjtime(f *testing.F) {
	f.Add("0.0 0 0\n0\nLOCAL")
	f.Add("x\n\n\ny\nz")
	f.Fuzz(func(t *testing.T, s string) {
		for _, local := range []bool{true, false} {
			got := SetLocalRTC(s, local)
			if LocalRTC(got) != local {
				t.Errorf("%q set to %v is %q", s, local, got)
			}
			if again := SetLocalRTC(got, local); again != got {
				t.Errorf("%q becomes %q", got, again)
			}
		}
	})
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	// Rules of its own, so that no test depends on the machine's data (tzfile(5): a footer
	// alone tells them).
	z, err := Zone("Europe/Berlin", tzif("CET-1CEST,M3.5.0,M10.5.0/3"))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// tzif is a file of tzfile(5), version 2, with a footer alone.
func tzif(footer string) string {
	header := "TZif2" + strings.Repeat("\x00", 15) + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04"
	one := "\x00\x00\x00\x00\x00\x00UTC\x00"
	return header + one + header + one + "\n" + footer + "\n"
}

func TestRTC(t *testing.T) {
	z := berlin(t)
	summer, winter := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		at    time.Time
		hour  int
		west  int
		local bool
	}{{summer, 14, -120, true}, {winter, 13, -60, true}, {summer, 12, -120, false}} {
		shown := ShownByRTC(test.at, test.local, z)
		if shown.Hour() != test.hour || shown.Location() != time.UTC {
			t.Errorf("%v: the clock shows %v", test.at, shown)
		}
		if back := FromRTC(shown, test.local, z); !back.Equal(test.at) {
			t.Errorf("%v is shown as %v and means %v", test.at, shown, back)
		}
		if got := MinutesWest(test.at, z); got != test.west {
			t.Errorf("%v: %d minutes west", test.at, got)
		}
	}
}

func TestZoneRefuses(t *testing.T) {
	for _, data := range []string{"", "root:x:0:0", "TZif"} {
		if _, err := Zone("x", data); err == nil {
			t.Errorf("%q is a zone", data)
		}
	}
}

func TestSetTo(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000)
	for _, test := range []struct {
		usec     int64
		relative bool
		want     int64
		err      string
	}{
		{1_600_000_000_000_000, false, 1_600_000_002_000_000, ""}, {5, true, 1_700_000_000_000_005, ""}, {-1_000_000, true, 1_699_999_999_000_000, ""},
		{0, false, 0, "Invalid absolute time"}, {-5, false, 0, "Invalid absolute time"}, {1 << 62, false, 0, "Invalid absolute time"},
		{1<<63 - 1, true, 0, "Time value overflow"}, {-1 << 63, true, 0, "Time value overflow"}, {-1_700_000_000_000_000, true, 0, "Time value overflow"},
	} {
		got, refusal := SetTo(test.usec, test.relative, now, 2*time.Second)
		if refusal != test.err || refusal == "" && got.UnixMicro() != test.want {
			t.Errorf("%+v: %v, %q", test, got.UnixMicro(), refusal)
		}
	}
}

// Whatever is asked for, the clock is set to a time between 1970 and 2200.
func FuzzSetTo(f *testing.F) {
	f.Add(int64(1), true, int64(1_700_000_000_000_000))
	f.Add(int64(-1<<63), true, int64(0))
	f.Fuzz(func(t *testing.T, usec int64, relative bool, now int64) {
		if now < 0 || now > Latest {
			return
		}
		got, refusal := SetTo(usec, relative, time.UnixMicro(now), 0)
		if refusal == "" && (got.UnixMicro() <= 0 || got.UnixMicro() > Latest) {
			t.Errorf("SetTo(%d, %v, %d) = %v", usec, relative, now, got)
		}
	})
}

func TestNTP(t *testing.T) {
	if got, want := UnitsOf("# c\nchrony.service\n\n systemd-timesyncd.service \nx.target\n../y.service\n.service\n"), []string{"chrony.service", "systemd-timesyncd.service"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
	var files []string
	for _, f := range Files([][]string{{"80-b.list", "README"}, {"50-a.list", "80-b.list"}}) {
		files = append(files, f.Name+string(rune('0'+f.Dir)))
	}
	if want := []string{"50-a.list1", "80-b.list0"}; !slices.Equal(files, want) {
		t.Errorf("%q; want %q", files, want)
	}
	units := []Unit{{Name: "a"}, {"b", true, false}, {"c", true, true}}
	if !CanNTP(units) || !NTP(units) || NTP(units[:2]) || CanNTP(units[:1]) || CanNTP(nil) {
		t.Error("what can be and what is is told wrongly")
	}
	for keep, want := range map[bool][2][]string{true: {{"b", "c"}, nil}, false: {nil, {"b", "c"}}} {
		first, off := Plan(units, keep)
		if !reflect.DeepEqual([2][]string{first, off}, want) {
			t.Errorf("%v: %q, %q", keep, first, off)
		}
	}
}
