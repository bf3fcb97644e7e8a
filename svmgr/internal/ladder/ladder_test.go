package ladder

import (
	"os"
	"strings"
	"testing"
)

// chosen are all that Choose can be asked; the table of docs/boot-health.md says the same.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/boot-health.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "<!-- table: kept by TestPage -->\n")
	table, _, ok2 := strings.Cut(rest, "<!-- end of table -->")
	if !ok || !ok2 {
		t.Fatal("docs/boot-health.md has no table")
	}
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) == 4 && !strings.Contains(line, "---") {
			rows[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[1]) + " " + strings.TrimSpace(cells[2]) + " " + strings.TrimSpace(cells[3])
		}
	}
	delete(rows, "failed boots before")
	const n = 3
	want := map[string]string{}
	for failed, name := range map[int]string{0: "fewer than N", n: "N", n + 1: "N + 1", n + 2: "N + 2 and more"} {
		var got []string
		for _, s := range []Situation{{Good: true}, {}, {Good: true, KnownBad: true}} {
			s.Failed, s.Attempts = failed, n
			r, _ := Choose(s)
			got = append(got, r.String())
		}
		want[name] = strings.Join(got, " ")
	}
	for name, w := range want {
		if rows[name] != w {
			t.Errorf("docs/boot-health.md has %q for %s; the code says %q", rows[name], name, w)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("docs/boot-health.md has %d rows, the code %d", len(rows), len(want))
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		s    Situation
		want Rung
	}{
		{Situation{Failed: 2, Attempts: 3}, Full},
		{Situation{Failed: 1, Attempts: 1}, Safe},
		{Situation{Failed: 99, Attempts: 0}, Full},
		{Situation{Failed: 99, Attempts: 3, Off: true}, Full},
		{Situation{Failed: 99, Attempts: 3}, Emergency},
		{Situation{Failed: 0, Attempts: 3, SafeAsked: true}, Safe},
		{Situation{Failed: 99, Attempts: 3, SafeAsked: true}, Safe},
		{Situation{Failed: 0, Attempts: 0, KnownBad: true, Good: true}, Full},
		{Situation{Failed: 0, Attempts: 3, KnownBad: true}, Full},
		{Situation{Failed: 1, Attempts: 3, KnownBad: true, Good: true}, Rollback},
	} {
		got, why := Choose(c.s)
		if got != c.want || (why == "") != (got == Full) {
			t.Errorf("%+v gives %v (%q), want %v", c.s, got, why, c.want)
		}
		if back, err := Parse(got.String()); err != nil || back != got {
			t.Errorf("%v is read as %v, %v", got, back, err)
		}
	}
	if _, err := Parse("fast"); err == nil {
		t.Error("a kind of boot that there is not")
	}
}

func TestStatusPath(t *testing.T) {
	for _, c := range []struct{ template, id, want string }{
		{"/g/{id}/status", "42", "/g/42/status"},
		{"/g/status", "", "/g/status"},
		{"/g/{id}", "", ""},
		{"/g/{id}", "..", ""},
		{"/g/{id}", "a/b", ""},
		{"/g/{id}", "a\nb", ""},
		{"/g/{id}", strings.Repeat("x", 256), ""},
	} {
		if got, err := StatusPath(c.template, c.id); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q, %q gives %q, %v", c.template, c.id, got, err)
		}
	}
}

func FuzzCount(f *testing.F) {
	for _, s := range []string{"0\n", "3", "-1", "007", "1000001", "", " 1", "1\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ReadCount(text)
		if err != nil {
			if n != 0 {
				t.Errorf("%q is wrong and counts %d", text, n)
			}
			return
		}
		if got := Count(n); got != text && got != text+"\n" {
			t.Errorf("%q is read as %d, which is written %q", text, n, got)
		}
	})
}
