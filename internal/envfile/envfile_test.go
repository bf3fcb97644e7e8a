package envfile

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in   string
		want []string
	}{
		{"A=1\nB = 2 \n", []string{"A=1", "B=2"}},
		{"# no\n; no\n\nA=x # y", []string{"A=x # y"}},
		{"# a comment \\\nthat goes on\nA=1", []string{"A=1"}},
		{`A="x \"y\" \z"` + "\nB='it is $x \\'\n", []string{`A=x "y" \z`, `B=it is $x \`}},
		{"A=\"two\nlines\"\nB=1", []string{"A=two\nlines", "B=1"}},
		{"A=go\\\non\nB=a\\ b\\ \n", []string{"A=goon", "B=a b "}},
		{"A='x '  \nB=\" y\"z ", []string{"A=x ", "B= yz"}},
		{"1A=x\nA-B=y\nno assignment\nOK=", []string{"OK="}},
	} {
		if got := Parse(test.in); !slices.Equal(got, test.want) {
			t.Errorf("Parse(%q) = %q; want %q", test.in, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A=\"x\\\n\" 'y'\nB=1")
	f.Fuzz(func(t *testing.T, s string) {
		for _, v := range Parse(s) {
			n, x, ok := strings.Cut(v, "=")
			if !ok || !ValidName(n) || strings.IndexByte(x, 0) >= 0 || len(x) > len(s) {
				t.Errorf("Parse(%q) has %q", s, v)
			}
		}
	})
}

// What is rendered is read again as it was, by our reader; and no value makes a second
// variable.
func FuzzRender(f *testing.F) {
	f.Add("A", "it's \"x\" $y `z` \\")
	f.Add("LANG", "de_DE.UTF-8")
	f.Add("B", "two\nlines\nC=1")
	f.Fuzz(func(t *testing.T, name, value string) {
		if !ValidName(name) || strings.IndexByte(value, 0) >= 0 {
			return
		}
		list := []Var{{"FIRST", "1"}, {name, value}, {"LAST", "x y"}}
		if name == "FIRST" || name == "LAST" {
			return
		}
		if got := Vars(Render(list)); !slices.Equal(got, list) {
			t.Errorf("%q is written as %q and read as %q", list, Render(list), got)
		}
	})
}

func TestRender(t *testing.T) {
	for _, test := range []struct{ value, want string }{
		{"plain", "A=plain\n"}, {"de_DE.UTF-8", "A=de_DE.UTF-8\n"}, {"a b", "A=\"a b\"\n"}, {"us,de", "A=us,de\n"},
		{`it"s $a ` + "`b`" + ` \x '`, `A="it\"s \$a \` + "`b\\`" + ` \\x '"` + "\n"}, {"", "A=\n"}, {"a#b", "A=a#b\n"}, {"Müller", "A=Müller\n"},
		{"a;b", "A=\"a;b\"\n"}, {"a~b", "A=a~b\n"}, {"~b", "A=\"~b\"\n"}, {"a[b", "A=\"a[b\"\n"}, {"a]b", "A=a]b\n"}, {"a!b", "A=\"a!b\"\n"}, {"a=b", "A=a=b\n"},
	} {
		if got := Render([]Var{{"A", test.value}}); got != test.want {
			t.Errorf("%q is written as %q; want %q", test.value, got, test.want)
		}
	}
}

// What others wrote stays where it is.
func TestSet(t *testing.T) {
	l := Vars("B=1\n# gone\nA='x y'\nC=3\nA=z\n")
	l = Set(l, "A", "new")
	l = Set(l, "D", "4")
	l = Set(l, "C", "")
	l = Set(l, "NONE", "")
	if got, want := Render(l), "B=1\nA=new\nD=4\n"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
	if Get(l, "A") != "new" || Get(l, "C") != "" {
		t.Errorf("%q", l)
	}
}
