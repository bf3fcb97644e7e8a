package api

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dynamod/internal/testkit"
)

// tzif is a zone of tzfile(5) whose rules are all in the footer.
func tzif(footer string) string {
	header := "TZif2" + strings.Repeat("\x00", 15) + strings.Repeat("\x00", 19) + "\x01\x00\x00\x00\x04"
	one := "\x00\x00\x00\x00\x00\x00UTC\x00"
	return header + one + header + one + "\n" + footer + "\n"
}

func clocked() map[string]string {
	return map[string]string{"usr/share/zoneinfo/Europe/Berlin": tzif("CET-1CEST,M3.5.0,M10.5.0/3"), "usr/share/zoneinfo/Etc/UTC": tzif("UTC0"), "usr/share/zoneinfo/UTC": tzif("UTC0"),
		"usr/share/zoneinfo/tzdata.zi":         "Z Europe/Berlin 1 E CE%sT\nZ Etc/UTC 0 - UTC\nL Etc/UTC UTC\nL Etc/UTC Gone\n",
		"usr/share/zoneinfo/leap-seconds.list": "#\n", "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
		"usr/lib/systemd/ntp-units.d/80-systemd-timesync.list": "systemd-timesyncd.service\n", "usr/lib/systemd/ntp-units.d/50-chrony.list": "# chrony\nchrony.service\n"}
}

func (r *rig) link(p string) string {
	to, err := os.Readlink(filepath.Join(r.root, p))
	if err != nil {
		return "-"
	}
	return to
}

func TestSetTimezone(t *testing.T) {
	r := begin(t, clocked())
	if got := r.get(timeName, "Timezone"); got != "UTC" {
		t.Errorf("without a link: %v", got)
	}
	next := r.changes(timeName)
	r.write("etc/timezone", "Etc/UTC\n")
	r.write("etc/localtime", "a file")
	if got := r.get(timeName, "Timezone"); got != "" {
		t.Errorf("with a file: %v", got)
	}
	if e := r.call(timeName, "SetTimezone", "Europe/Berlin", false); e != "" {
		t.Fatal(e)
	}
	if got := []string{r.link("etc/localtime"), r.get(timeName, "Timezone").(string), r.file("etc/timezone"), next()["Timezone"].Value().(string), r.kernel.done()}; !slices.Equal(got,
		[]string{"../usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin", "Europe/Berlin\n", "Europe/Berlin", "zone -120"}) {
		t.Errorf("%q", got)
	}
	// Defect W80, and what else is no zone.
	for _, z := range []string{"", "Foo", "../x", "/Europe/Berlin", "Europe", "../../../etc/passwd", "leap-seconds.list", "Europe/Berlin\n", "Gone"} {
		want := "org.freedesktop.DBus.Error.InvalidArgs: Invalid or not installed time zone '" + z + "'"
		if e := r.call(timeName, "SetTimezone", z, false); e != want {
			t.Errorf("%q: %s", z, e)
		}
	}
	if r.link("etc/localtime") != "../usr/share/zoneinfo/Europe/Berlin" || r.kernel.done() != "" {
		t.Error("a zone that is none was set")
	}
	// A hardware clock in local time goes on with the zone.
	r.write("etc/adjtime", "0.0 0 0\n0\nLOCAL\n")
	if e := r.call(timeName, "SetTimezone", "Etc/UTC", false); e != "" || r.kernel.done() != "zone 0; rtc 2026-07-01 12:00:00" {
		t.Errorf("%s", e)
	}
	if e := r.call(timeName, "SetTimezone", "UTC", false); e != "" || r.link("etc/localtime") != "../usr/share/zoneinfo/UTC" {
		t.Errorf("%s; %s", e, r.link("etc/localtime"))
	}
	// Without zones, UTC is no link.
	if err := os.RemoveAll(filepath.Join(r.root, "usr/share/zoneinfo")); err != nil {
		t.Fatal(err)
	}
	if e := r.call(timeName, "SetTimezone", "UTC", false); e != "" || r.link("etc/localtime") != "-" || r.get(timeName, "Timezone") != "UTC" {
		t.Errorf("%s; %s", e, r.link("etc/localtime"))
	}
}

func TestListTimezones(t *testing.T) {
	r := begin(t, clocked())
	list := func() string {
		var zones []string
		if err := r.conn.Object(timeName, timePath).Call(timeName+".ListTimezones", 0).Store(&zones); err != nil {
			t.Fatal(err)
		}
		return strings.Join(zones, " ")
	}
	if got := list(); got != "Etc/UTC Europe/Berlin UTC" {
		t.Error(got)
	}
	if err := os.Remove(filepath.Join(r.root, "usr/share/zoneinfo/tzdata.zi")); err != nil {
		t.Fatal(err)
	}
	r.write("usr/share/zoneinfo/zone.tab", "DE\t+5230+01322\tEurope/Berlin\nXX\t+1\tGone\n")
	if got := list(); got != "Europe/Berlin UTC" {
		t.Error(got)
	}
}

func TestSetLocalRTC(t *testing.T) {
	r := begin(t, clocked())
	r.kernel.set(func() { r.kernel.rtc = time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC) })
	if e := r.call(timeName, "SetTimezone", "Europe/Berlin", false); e != "" {
		t.Fatal(e)
	}
	r.kernel.done()
	next := r.changes(timeName)
	for _, s := range []struct {
		local, fix bool
		file, did  string
		told       bool
	}{
		{true, false, "0.0 0 0\n0\nLOCAL\n", "zone -120; rtc 2026-07-01 14:00:00", true},
		{true, false, "0.0 0 0\n0\nLOCAL\n", "", false},
		{true, true, "0.0 0 0\n0\nLOCAL\n", "zone -120; clock 2026-07-01 08:00:00", true},
		{false, true, "-", "zone -120; clock 2026-07-01 10:00:00", true},
		{false, false, "-", "", false},
	} {
		if e := r.call(timeName, "SetLocalRTC", s.local, s.fix, false); e != "" {
			t.Fatalf("%+v: %s", s, e)
		}
		if file, did := r.file("etc/adjtime"), r.kernel.done(); file != s.file || did != s.did || r.get(timeName, "LocalRTC") != s.local {
			t.Errorf("%+v: %q, %q, %v", s, file, did, r.get(timeName, "LocalRTC"))
		}
		if s.told && next()["LocalRTC"].Value() != s.local {
			t.Errorf("%+v: told otherwise", s)
		}
	}
	if got := r.get(timeName, "RTCTimeUSec"); got != uint64(r.kernel.rtc.UnixMicro()) {
		t.Errorf("the hardware clock shows %v", got)
	}
}

func TestSetTime(t *testing.T) {
	r := begin(t, clocked())
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []struct {
		usec     int64
		relative bool
		err, did string
	}{
		// An absolute time goes on while the question is asked, by less than a second here;
		// the seconds may differ by it.
		{at.UnixMicro(), false, "", "clock 2027-01-02 03:04:0"}, {3600_000_000, true, "", "clock 2026-07-01 13:00:00; rtc 2026-07-01 12:00:00"},
		{-3600_000_000, true, "", "clock 2026-07-01 11:00:00; rtc 2026-07-01 12:00:00"}, {0, true, "", ""},
		{0, false, "org.freedesktop.DBus.Error.InvalidArgs: Invalid absolute time", ""}, {-5, false, "org.freedesktop.DBus.Error.InvalidArgs: Invalid absolute time", ""},
		{1<<63 - 1, true, "org.freedesktop.DBus.Error.InvalidArgs: Time value overflow", ""},
	} {
		e, did := r.call(timeName, "SetTime", s.usec, s.relative, false), r.kernel.done()
		if e != s.err || did != s.did && (s.relative || s.did == "" || !strings.HasPrefix(did, "clock 2027-01-02 03:0")) {
			t.Errorf("%d %v: %q, %q", s.usec, s.relative, e, did)
		}
	}
	r.kernel.set(func() { r.kernel.refuse = os.NewSyscallError("clock_settime", unix.EPERM) })
	if e := r.call(timeName, "SetTime", int64(1), true, false); !strings.HasPrefix(e, "org.freedesktop.DBus.Error.AccessDenied: Failed to set local time") {
		t.Error(e)
	}
	r.kernel.set(func() { r.kernel.refuse = nil })
	r.units.exists("chrony.service", true)
	if e := r.call(timeName, "SetTime", int64(1), true, false); e != "org.freedesktop.timedate1.AutomaticTimeSyncEnabled: Automatic time synchronization is enabled" || r.kernel.done() != "" {
		t.Error(e)
	}
	if got := r.get(timeName, "TimeUSec"); got != uint64(r.kernel.now.UnixMicro()) {
		t.Errorf("the time is %v", got)
	}
	if got := r.get(timeName, "RTCTimeUSec"); got != uint64(0) {
		t.Errorf("no hardware clock shows %v", got)
	}
	for e, want := range map[int64]bool{100: true, 15_999_999: true, 16_000_000: false} {
		r.kernel.set(func() { r.kernel.maxError = e })
		if got := r.get(timeName, "NTPSynchronized"); got != want {
			t.Errorf("with an error of %d µs: %v", e, got)
		}
	}
}

func TestSetNTP(t *testing.T) {
	r := begin(t, clocked())
	if e := r.call(timeName, "SetNTP", true, false); e != "org.freedesktop.timedate1.NoNTPSupport: NTP not supported" {
		t.Error(e)
	}
	next := r.changes(timeName)
	const chrony, timesyncd = "chrony.service", "systemd-timesyncd.service"
	for _, s := range []struct {
		exist    []string
		broken   string
		keep     bool
		did, err string
		ntp      bool
	}{
		{[]string{timesyncd}, "", true, "enable systemd-timesyncd.service; start systemd-timesyncd.service", "", true},
		{[]string{timesyncd}, "", false, "disable systemd-timesyncd.service; stop systemd-timesyncd.service", "", false},
		{[]string{timesyncd, chrony}, "", true, "enable chrony.service; start chrony.service; disable systemd-timesyncd.service; stop systemd-timesyncd.service", "", true},
		{[]string{timesyncd, chrony}, chrony, true, "enable chrony.service; start chrony.service; enable systemd-timesyncd.service; start systemd-timesyncd.service; disable chrony.service; stop chrony.service", "", true},
		{[]string{chrony}, chrony, true, "enable chrony.service; start chrony.service", "org.freedesktop.DBus.Error.Failed: Failed to enable NTP: chrony.service is broken", false},
		{[]string{timesyncd, chrony}, "", false, "disable chrony.service; stop chrony.service; disable systemd-timesyncd.service; stop systemd-timesyncd.service", "", false},
	} {
		r.units.forget(s.broken)
		for _, u := range s.exist {
			r.units.exists(u, false)
		}
		if e := r.call(timeName, "SetNTP", s.keep, false); e != s.err {
			t.Errorf("%+v: %s", s, e)
		}
		if did := r.units.done(); did != s.did {
			t.Errorf("%+v: %s", s, did)
		}
		if told := next()["NTP"].Value(); told != s.ntp || r.get(timeName, "NTP") != s.ntp || r.get(timeName, "CanNTP") != true {
			t.Errorf("%+v: told %v; %v, %v", s, told, r.get(timeName, "NTP"), r.get(timeName, "CanNTP"))
		}
	}
}

// While a service starts, other things can be set.
func TestNTPHoldsNobodyUp(t *testing.T) {
	r := begin(t, clocked())
	r.units.exists("chrony.service", false)
	r.units.hold = make(chan bool)
	done := make(chan string, 1)
	go func() { done <- r.call(timeName, "SetNTP", true, false) }()
	testkit.Receive(t, r.units.hold, "the service is being started")
	if e := r.call(timeName, "SetTimezone", "Europe/Berlin", false); e != "" {
		t.Error(e)
	}
	r.units.hold <- true
	if e := testkit.Receive(t, done, "the service has started"); e != "" {
		t.Error(e)
	}
}

// Others than root are asked about, each method by its action.
func TestOthersPolkit(t *testing.T) {
	r := begin(t, clocked())
	p := r.bus.Polkit
	p.Forget()
	// Without a service there is nothing to ask for (seen with systemd 257).
	if got := r.bus.CallAsUser(timeName, timePath, timeName+".SetNTP", "b:true", "b:true"); !strings.HasPrefix(got, timeName+".NoNTPSupport") || len(p.Asked()) != 0 {
		t.Errorf("SetNTP without a service: %s", got)
	}
	r.units.exists("chrony.service", false)
	r.write("usr/share/keymaps/de.map", "")
	var calls [][]string
	var questions []string
	for _, s := range []struct {
		iface, method, action string
		args                  []string
	}{
		{timeName, "SetTimezone", "set-timezone", []string{"s:Europe/Berlin"}}, {timeName, "SetLocalRTC", "set-local-rtc", []string{"b:true", "b:false"}},
		{timeName, "SetTime", "set-time", []string{"x:5", "b:true"}}, {timeName, "SetNTP", "set-ntp", []string{"b:true"}},
		{localeName, "SetLocale", "set-locale", []string{"as:LANG=C"}}, {localeName, "SetVConsoleKeyboard", "set-keyboard", []string{"s:de", "s:", "b:true"}},
		{localeName, "SetX11Keyboard", "set-keyboard", []string{"s:de", "s:", "s:", "s:", "b:true"}},
	} {
		for i := range 2 {
			calls = append(calls, append(append([]string{s.iface, string(object(s.iface)), s.iface + "." + s.method}, s.args...), fmt.Sprintf("b:%v", i == 1)))
			questions = append(questions, fmt.Sprintf("%s.%s %d", s.iface, s.action, i))
		}
	}
	for i, got := range r.bus.CallsAsUser(calls...) {
		want := []string{"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.DBus.Error.AccessDenied"}[i%2]
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s; want %s", calls[i], got, want)
		}
	}
	if asked := p.Asked(); !slices.Equal(asked, questions) {
		t.Errorf("polkit was asked %q; want %q", asked, questions)
	}
	for _, f := range []string{"etc/localtime", "etc/adjtime", "etc/locale.conf", "etc/vconsole.conf"} {
		if _, err := os.Lstat(filepath.Join(r.root, f)); err == nil {
			t.Errorf("%s was written", f)
		}
	}
	if did := r.kernel.done() + r.units.done(); did != "" {
		t.Errorf("done without leave: %s", did)
	}
	p.Allow(timeName + ".set-timezone")
	if got := r.bus.CallAsUser(timeName, timePath, timeName+".SetTimezone", "s:Europe/Berlin", "b:false"); got != "ok []" || r.get(timeName, "Timezone") != "Europe/Berlin" {
		t.Errorf("with leave: %s", got)
	}
}

// Who may not change the zone hears the same whether or not there is such a one: its file
// is read only with polkit's leave.
func TestTimezonePolkit(t *testing.T) {
	r := begin(t, clocked())
	r.bus.Polkit.Forget()
	zones := []string{"Europe/Berlin", "Gone", "leap-seconds.list"}
	for _, z := range zones {
		if got := r.bus.CallAsUser(timeName, timePath, timeName+".SetTimezone", "s:"+z, "b:true"); !strings.HasPrefix(got, "org.freedesktop.DBus.Error.AccessDenied") {
			t.Errorf("%s: %s", z, got)
		}
	}
	if got := r.bus.Polkit.Asked(); len(got) != len(zones) {
		t.Errorf("polkit was asked %q", got)
	}
	if got := r.bus.CallAsUser(timeName, timePath, timeName+".SetTimezone", "s:../x", "b:true"); !strings.HasPrefix(got, "org.freedesktop.DBus.Error.InvalidArgs") {
		t.Errorf("what cannot be a zone: %s", got)
	}
	// Without an agent there is nobody to ask, as with systemd 257 and polkit 126.
	r.bus.Polkit.Alone()
	for _, interactive := range []string{"b:false", "b:true"} {
		if got := r.bus.CallAsUser(timeName, timePath, timeName+".SetTimezone", "s:UTC", interactive); !strings.HasPrefix(got, "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") {
			t.Errorf("%s: %s", interactive, got)
		}
	}
}
