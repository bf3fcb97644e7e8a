package unit

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dynamod/internal/unitname"
)

// fuzzNames has a unit of every type.
var fuzzNames = []string{"a.service", "a.socket", "a.target", "a.timer", "a.path", "a-b.mount", "a.automount",
	"dev-x.swap", "a.slice", "a.scope", "a.device", "t@i-\\x2d.service"}

// rewrite makes the fragments that say what the unit says, one per item.
func rewrite(u *Unit) []Fragment {
	var out []Fragment
	for _, a := range u.Assigned() {
		if a.Implied {
			continue
		}
		for i, t := range Texts(a.Setting, a.Value) {
			row := a.Setting
			if r := rowOf(row, a.Value, i); r != nil {
				row = r
				_, t, _ = strings.Cut(t, "=")
			}
			in := row.In & typeSections(u.Type)
			if in == 0 {
				in = row.In
			}
			out = append(out, Fragment{Section: in.Names()[0], Key: row.Name, Text: t})
		}
		if a.Setting.EmptyIsValue && reflect.ValueOf(a.Value).Len() == 0 {
			out = append(out, Fragment{Section: a.Setting.In.Names()[0], Key: a.Setting.Name, Op: Reset})
		}
	}
	return out
}

// checkUnit holds for whatever a file says: every position is one of the
// file's, lists have one origin per item, and writing the unit out and
// building it again gives the same unit.
func checkUnit(t *testing.T, src Source, u *Unit) {
	t.Helper()
	last := -1
	for _, a := range u.Assigned() {
		if int(a.Setting.ID) <= last {
			t.Fatalf("%s: values are not sorted", a.Setting.Native)
		}
		last = int(a.Setting.ID)
		if a.Setting.into != nil {
			t.Fatalf("%s has a value of its own", a.Setting.Native)
		}
		if n := len(Texts(a.Setting, a.Value)); a.Setting.Kind.IsList() && a.Setting.Kind != ExitSetKind && !a.Implied && n != len(a.Origin) && !a.Setting.EmptyIsValue {
			t.Fatalf("%s has %d items and %d origins", a.Setting.Native, n, len(a.Origin))
		}
	}
	checkRecorded(t, src)
	if src.Format == Native {
		return
	}
	again := Source{Name: src.Name, HasMain: true, Files: []File{{Fragments: rewrite(u)}}}
	v, _ := Build(again)
	v.Load = u.Load // a bad command is not written out, so it is not found again
	if x, y := Canonical(u), Canonical(v); x != y {
		t.Fatalf("written out and read again:\n%s---\n%s---\n%+v", x, y, again.Files[0].Fragments)
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(byte(0), smallService, false)
	f.Add(byte(1), "[Socket]\nListenStream=/run/x\nListenNetlink=route 1\nAccept=yes", false)
	f.Add(byte(3), "[Timer]\nOnCalendar=Mon *-*-* 09:00\nOnBootSec=5min\nOnBootSec=\nUnit=x.service", false)
	f.Add(byte(11), "[Unit]\nAfter=x@.service %p.service\nConditionPathExists=|!%I\n[Service]\nExecStart=@-/bin/%p a %i ; /bin/b\nEnvironment=A=%% B=%K", false)
	f.Add(byte(0), "[service]\nexec = x\nenvironment.A = 1\n[restart]\npolicy=permanent", true)
	f.Fuzz(func(t *testing.T, which byte, text string, native bool) {
		src := Source{Name: fuzzNames[int(which)%len(fuzzNames)], HasMain: true, Files: []File{unitFile("f", text)}}
		if native {
			src.Format = Native
			for i := range src.Files[0].Fragments {
				fr := &src.Files[0].Fragments[i]
				fr.Kind = ValueKind(len(fr.Text)) % (DateValue + 1)
				if fr.Kind == ArrayValue || fr.Kind == TableValue {
					fr.Items = strings.Split(fr.Text, ",")
				}
			}
		}
		u, ds := Build(src)
		if len(ds) > maxDiags+1 {
			t.Fatalf("%d diagnostics", len(ds))
		}
		for _, d := range ds {
			if d.Message == "" || d.Unit == "" && u.Load != LoadError {
				t.Fatalf("empty diagnostic %+v", d)
			}
			if strings.ContainsAny(d.String(), "\x00\x1b\n") {
				t.Fatalf("a diagnostic holds control characters: %q", d.String())
			}
		}
		checkUnit(t, src, u)
	})
}

// FuzzValue puts one value into one setting: it is refused with a message, or
// it is kept and can be written and read again.
func FuzzValue(f *testing.F) {
	for i, s := range table {
		if s.Name != "" {
			f.Add(uint16(i), s.Default)
		}
	}
	f.Add(uint16(0), "1\\x20%i \"a b\" 'c'")
	f.Fuzz(func(t *testing.T, i uint16, value string) {
		s := table[int(i)%len(table)]
		if s.Name == "" || s.In&(InSupervisor|InBoot) != 0 {
			return
		}
		name := "a.service"
		for _, n := range fuzzNames {
			if p, err := unitname.Parse(n); err == nil && typeSections(p.Type)&s.In != 0 {
				name = n
				break
			}
		}
		p, _ := unitname.Parse(name)
		src := Source{Name: name, HasMain: true, Files: []File{{Fragments: []Fragment{
			{Section: (s.In & typeSections(p.Type)).Names()[0], Key: s.Name, Text: value}}}}}
		u, ds := Build(src)
		checkUnit(t, src, u)
		row := s
		if s.into != nil {
			row = s.into[0]
		}
		told := false
		for _, d := range ds {
			told = told || d.Key == s.Name
		}
		// Blanks alone are an empty list; specifiers may be empty.
		if !row.IsSetIn(u) && !told && strings.Trim(value, blanks+`"'`) != "" && !strings.Contains(value, "%") && s.Effect != Obsolete {
			t.Fatalf("%s=%q is neither kept nor refused:\n%s", s.Name, value, messages(ds))
		}
	})
}

// IsSetIn is Key.IsSet for a row.
func (s *Setting) IsSetIn(u *Unit) bool { _, ok := u.lookup(s.ID); return ok }

// FuzzCommandLine: what is read can be written and read again.
func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{`/bin/echo one "two two"`, `-@/bin/a b 'c d' ; +x \;`, `!!|:/a "\x41\n\"" $X ${Y}`, "!-!x", `"/a b"c`, `@/a ""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parse := func(text string) ([]Exec, bool) {
			c := &ctx{s: ExecStart.s, text: text, f: &Fragment{Text: text}}
			v, ok := parseExecs(c, text)
			if !ok {
				if c.err == "" {
					t.Fatalf("%q is refused without a word", text)
				}
				return nil, false
			}
			return v.([]Exec), true
		}
		es, ok := parse(text)
		if !ok {
			return
		}
		for _, e := range es {
			line := strings.ReplaceAll(e.String(), "%%", "%") // no builder, no specifiers
			again, ok := parse(line)
			if !ok || len(again) != 1 || fmt.Sprintf("%#v", again[0]) != fmt.Sprintf("%#v", e) || !reflect.DeepEqual(again[0], e) {
				t.Fatalf("%q reads as %#v, written %q, read as %#v", text, e, line, again)
			}
		}
	})
}
