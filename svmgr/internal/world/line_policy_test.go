package world

import (
	"strings"
	"testing"
)

func TestLinePolicy(t *testing.T) {
	for _, c := range []struct {
		settings []string
		line     string
		level    uint8
		facility uint8
		text     string // "" when the line is dropped
	}{
		{nil, "plain", 6, 3, "plain"},
		{nil, "<3>bad", 3, 3, "bad"},
		{nil, "<30>daemon.info", 6, 3, "daemon.info"},
		{nil, "<86>authpriv.info", 6, 10, "authpriv.info"},
		{nil, "<192>no level", 6, 3, "<192>no level"},
		{nil, "<>no level", 6, 3, "<>no level"},
		{nil, "<3", 6, 3, "<3"},
		{nil, "<0000>no level", 6, 3, "<0000>no level"},
		{[]string{"SyslogLevelPrefix=no"}, "<3>bad", 6, 3, "<3>bad"},
		{[]string{"SyslogLevel=warning", "SyslogFacility=cron"}, "x", 4, 9, "x"},
		{[]string{"LogLevelMax=notice"}, "x", 0, 0, ""},
		{[]string{"LogLevelMax=notice"}, "<5>x", 5, 3, "x"},
		{[]string{"LogLevelMax=info"}, "<7>x", 0, 0, ""},
		{[]string{"LogFilterPatterns=~noise"}, "some noise", 0, 0, ""},
		{[]string{"LogFilterPatterns=~noise"}, "a sound", 6, 3, "a sound"},
		{[]string{"LogFilterPatterns=^a", "LogFilterPatterns=^b"}, "bell", 6, 3, "bell"},
		{[]string{"LogFilterPatterns=^a", "LogFilterPatterns=^b"}, "cell", 0, 0, ""},
		{[]string{"LogFilterPatterns=^a", "LogFilterPatterns=~lu"}, "aluminium", 0, 0, ""},
	} {
		l, err := newLinePolicy(cgroupUnit(t, c.settings...))
		if err != nil {
			t.Errorf("%q: %v", c.settings, err)
			continue
		}
		x := Line{Text: []byte(c.line)}
		wanted := l.judge(&x)
		switch {
		case wanted != (c.text != ""):
			t.Errorf("%q: %q is wanted: %v", c.settings, c.line, wanted)
		case wanted && (string(x.Text) != c.text || x.Level != c.level || x.Facility != c.facility):
			t.Errorf("%q: %q is %q of level %d, facility %d", c.settings, c.line, x.Text, x.Level, x.Facility)
		}
	}
	if l, err := newLinePolicy(cgroupUnit(t, `LogFilterPatterns=(a)\1`, "LogFilterPatterns=~b")); err == nil || len(l.deny) != 1 {
		t.Errorf("a pattern with a reference back gives %v, %d patterns", err, len(l.deny))
	}
	// A line with all that goes with it must fit into a message.
	l, err := newLinePolicy(cgroupUnit(t, "SyslogIdentifier=x", "LogExtraFields=A=1 B="+strings.Repeat("b", maxLineFields)))
	if err == nil || len(l.fields) != 1 || l.identifier != "x" {
		t.Errorf("too large fields give %v, %d fields", err, len(l.fields))
	}
	if l, err := newLinePolicy(cgroupUnit(t, "SyslogIdentifier="+strings.Repeat("b", maxLineFields+1), "LogExtraFields=A=1")); err == nil || len(l.fields) != 1 || l.identifier != "" {
		t.Errorf("a too long identifier gives %v, %d fields", err, len(l.fields))
	}
}

func FuzzLevelPrefix(f *testing.F) {
	f.Add([]byte("<3>x"))
	f.Add([]byte("<191>"))
	f.Fuzz(func(t *testing.T, p []byte) {
		n, rest, ok := levelPrefix(p)
		if !ok && string(rest) != string(p) || ok && (n > 191 || len(rest) > len(p)-3) {
			t.Errorf("levelPrefix(%q) = %d, %q, %v", p, n, rest, ok)
		}
	})
}
