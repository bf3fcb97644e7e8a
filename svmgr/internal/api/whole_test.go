package api

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dynamod/internal/ipc"
	"dynamod/internal/load"
	"dynamod/internal/unit"
)

// rebuild makes a unit of what the verb "unit" tells, as the bridge does.
func rebuild(t *testing.T, name string, settings []ipc.Setting) *unit.Unit {
	t.Helper()
	src := unit.Source{Name: name, HasMain: true, Files: []unit.File{{Path: "/x"}}}
	for _, s := range settings {
		src.Files[0].Fragments = append(src.Files[0].Fragments, unit.Fragment{Section: s.Section, Key: s.Key, Text: s.Value})
	}
	u, ds := unit.Build(src)
	for _, d := range ds {
		t.Logf("%s: %s", name, d.String())
	}
	return u
}

// What the bridge builds of a unit has the values of the unit: for those of the
// stock services, which are native, and for a unit file with what is hard to write.
func TestDirectivesBuildTheSameUnit(t *testing.T) {
	stock, err := filepath.Abs("../../../config/stock")
	if err != nil {
		t.Fatal(err)
	}
	set, _ := load.Load(load.Config{FS: os.DirFS("/"), NativeDirs: []string{stock}})
	units := set.Units
	u, ds := unit.Build(unit.Source{Name: "hard@i.service", HasMain: true, Files: []unit.File{{Path: "/x", Fragments: []unit.Fragment{
		{Section: "Service", Key: "ExecStart", Text: `-/bin/sh -c "echo 'a  b' %i 100%%; echo \x41\""`},
		{Section: "Service", Key: "ExecStart", Text: "@/bin/true arg0 x ; /bin/false"},
		{Section: "Service", Key: "Type", Text: "oneshot"},
		{Section: "Service", Key: "Environment", Text: `"A=b c" D=%%e`},
		{Section: "Service", Key: "CapabilityBoundingSet", Text: ""},
		{Section: "Service", Key: "SystemCallFilter", Text: "~@reboot mount:EPERM"},
		{Section: "Service", Key: "TimeoutStartSec", Text: "infinity"},
		{Section: "Service", Key: "SuccessExitStatus", Text: "3 SIGHUP"},
		{Section: "Unit", Key: "ConditionPathExists", Text: "|!/nowhere"},
		{Section: "Unit", Key: "AssertUser", Text: "root"},
		{Section: "Service", Key: "LimitNOFILE", Text: "10:infinity"}}}}})
	for _, d := range ds {
		t.Error(d.String())
	}
	units = append(slices.Clone(units), u)
	if len(units) < 30 {
		t.Fatalf("only %d units", len(units))
	}
	for _, u := range units {
		got := rebuild(t, u.Name, directives(u))
		for _, s := range unit.Table() {
			section, _ := directiveOf(u, s)
			if s.DBus == "" || s.Into() != nil || section != "Unit" && !strings.EqualFold(section, u.Type.String()) {
				continue
			}
			if a, b := unit.Text(s, u.Value(s)), unit.Text(s, got.Value(s)); a != b {
				t.Errorf("%s: %s is %q, rebuilt %q", u.Name, s.Name, a, b)
			}
		}
	}
}

func TestWhole(t *testing.T) {
	f := newFake(t, "", append(web, "t.timer |[Timer];OnBootSec=1h;Unit=web.service")...)
	f.files["web.service"] = "enabled"
	f.start("web", "t.timer")
	r := do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "web.service"})
	want(t, "facts", line(r.Unit, r.Facts.Active, r.Facts.Enabled, r.Facts.Group, r.Facts.Files), "web.service active enabled /dynamod/web.service [/t/web.service]")
	if !slices.Contains(r.Relations, ipc.Relation{Relation: "TriggeredBy", Unit: "t.timer"}) {
		t.Errorf("relations %v", r.Relations)
	}
	r = do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "nowhere.service"})
	want(t, "not found", line(r.Unit, r.Facts.Load, r.Facts.Active, len(r.Settings)), "nowhere.service not-found inactive 0")
}

// Relations are to units that systemd would have loaded: those that are needed, and
// those that the unit in question asks for, or these.
func TestRelationsOfWhatIsNeeded(t *testing.T) {
	f := newFake(t, "", "a.service | After=b.service", "b.service | Wants=c.service", "c.service | Before=a.service", "idle.service | Wants=a.service",
		"up.service | After=a.service")
	related := func() string {
		var out []string
		for _, r := range do[*ipc.UnitResult](f, ipc.VerbUnit, &ipc.ShowArgs{Unit: "a.service"}).Relations {
			if r.Unit[0] != '-' && strings.HasSuffix(r.Unit, ".service") {
				out = append(out, r.Relation+" "+r.Unit)
			}
		}
		return strings.Join(out, ", ")
	}
	want(t, "at rest", related(), "After b.service, After c.service")
	f.start("up")
	want(t, "up", related(), "After b.service, After c.service, Before up.service")
	f.start("idle")
	want(t, "both up", related(), "After b.service, After c.service, Before up.service, WantedBy idle.service")
}

// A unit of which a value, or a list of paths, is longer than a message is told whole.
func TestWholeIsLongerThanAMessage(t *testing.T) {
	long := strings.Repeat("é\x01", 30_000)
	var paths []string
	for k := range 4_000 {
		paths = append(paths, fmt.Sprintf("/a/path/that/is/rather/long/%d", k))
	}
	f := newFake(t, "", "big.service | RequiresMountsFor="+strings.Join(paths, " ")+"; WantsMountsFor=/w;[Service];ExecStart=/bin/echo "+long)
	u, _ := f.core.View().Unit("big.service")
	client := dial(t, serve(t, f))
	for _, verb := range []ipc.Verb{ipc.VerbUnit, ipc.VerbShow} {
		var settings []ipc.SettingRow
		var relations []ipc.Relation
		pages := 0
		for args := (ipc.ShowArgs{Unit: "big.service"}); ; pages++ {
			var r ipc.UnitResult // ShowResult is a part of it
			if err := client.Call(t.Context(), verb, &args, &r); err != nil {
				t.Fatalf("%s, page %d: %v", verb, pages, err)
			}
			settings, relations = append(settings, r.Settings...), append(relations, r.Relations...)
			if r.Next == "" {
				break
			}
			if r.Next == args.After {
				t.Fatalf("%s: page %s comes twice", verb, r.Next)
			}
			args.After = r.Next
		}
		is := rebuild(t, "big.service", ipc.JoinSettings(settings))
		for _, s := range []*unit.Setting{unit.ExecStart.Setting(), unit.RequiresMountsFor.Setting()} {
			if a, b := unit.Text(s, u.Unit.Value(s)), unit.Text(s, is.Value(s)); a != b || len(a) < 60_000 {
				t.Errorf("%s: %s has %d bytes, told %d", verb, s.Name, len(a), len(b))
			}
		}
		if verb == ipc.VerbShow {
			continue
		}
		var got []string
		for _, r := range relations {
			if r.Relation == "RequiresMountsFor" {
				got = append(got, r.Unit)
			}
		}
		if !slices.Equal(got, paths) || !slices.Contains(relations, ipc.Relation{Relation: "WantsMountsFor", Unit: "/w"}) {
			t.Errorf("%d paths of %d, in %d pages", len(got), len(paths), pages)
		}
	}
}
