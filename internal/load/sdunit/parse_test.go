package sdunit

import (
	"fmt"
	"strings"
	"testing"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

// show prints fragments and diagnostics, one per line, without the file name.
func show(frags []unit.Fragment, ds []diag.Diag) string {
	var b strings.Builder
	for _, f := range frags {
		fmt.Fprintf(&b, "%d:%d [%s] %s", f.Pos.Line, f.Pos.Col, f.Section, f.Key)
		if f.Op == unit.Reset {
			b.WriteString(" reset")
		} else {
			fmt.Fprintf(&b, "@%d=%q", f.ValueCol, f.Text)
		}
		for _, j := range f.Joins {
			fmt.Fprintf(&b, " +%d@%d:%d", j.Off, j.Line, j.Col)
		}
		b.WriteByte('\n')
	}
	for _, d := range ds {
		fmt.Fprintf(&b, "%d:%d %s %s\n", d.Pos.Line, d.Pos.Col, d.Severity, d.Code)
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "[Unit]\nDescription=x\n", "2:1 [Unit] Description@13=\"x\"\n"},
		{"no newline at the end", "[Unit]\nA=x", "2:1 [Unit] A@3=\"x\"\n"},
		{"blanks around everything", "  [Unit]\t\n \tA  =\t x y \n", "2:3 [Unit] A@9=\"x y\"\n"},
		{"comments", "# a\n;b\n[U]\n  # c\n\t;d\nA=x # y\n", "6:1 [U] A@3=\"x # y\"\n"},
		{"empty resets", "[U]\nA=\nB=  \nC=\\\n\n", "2:1 [U] A reset\n3:1 [U] B reset\n4:1 [U] C reset\n"},
		{"equals in the value", "[U]\nA=b=c\n", "2:1 [U] A@3=\"b=c\"\n"},
		{"continuation", "[U]\nA=x\\\n  y \\\nz\n", "2:1 [U] A@3=\"x   y  z\" +2@3:1 +7@4:1\n"},
		{"manual's example", "[C]\nK=value 3\\\n# this line is ignored\n; this line is ignored too\n       value 3 continued\n",
			"2:1 [C] K@3=\"value 3        value 3 continued\" +8@5:1\n"},
		{"value on the next line", "[U]\nA=\\\n  b\n", "2:1 [U] A@0=\"b\" +0@3:3\n"},
		{"a blank line ends it", "[U]\nA=x \\\n\nB=y\n", "2:1 [U] A@3=\"x\"\n4:1 [U] B@3=\"y\"\n"},
		{"a comment does not", "[U]\nA=x \\\n#\n\nB=y\n", "2:1 [U] A@3=\"x\"\n5:1 [U] B@3=\"y\"\n"},
		{"comment with a backslash", "[U]\n# c \\\nA=x\n", "3:1 [U] A@3=\"x\"\n"},
		{"backslash and blank", "[U]\nA=x\\ \nB=y\n", "2:1 [U] A@3=\"x\\\\\"\n3:1 [U] B@3=\"y\"\n"},
		{"backslash at the end of the file", "[U]\nA=x\\", "2:1 [U] A@3=\"x\"\n"},
		{"backslash on its own line", "[U]\n \\\n B=y\n", "3:2 [U] B@4=\"y\"\n"},
		{"continued key", "[U]\nA\\\nB=y\n", "2:1 [U] A B@0=\"y\" +0@3:3\n"},
		{"line ends", "[U]\r\nA=a\rB=b\n\rC=c\r\n\r\nD=d\r\r\nE=e\n",
			"2:1 [U] A@3=\"a\"\n3:1 [U] B@3=\"b\"\n4:1 [U] C@3=\"c\"\n6:1 [U] D@3=\"d\"\n8:1 [U] E@3=\"e\"\n"},
		{"byte order mark", "\ufeff[U]\nA=x\n", "2:1 [U] A@3=\"x\"\n"},
		{"byte order mark shifts columns", "\ufeffA=x\n", "1:4 warning outside-section\n"},
		{"before any section", "A=x\n[U]\nB=y\n", "3:1 [U] B@3=\"y\"\n1:1 warning outside-section\n"},
		{"no equals", "[U]\n word\nA=x\n", "3:1 [U] A@3=\"x\"\n2:2 warning missing-equals\n"},
		{"no key", "[U]\n=x\n", "2:1 warning missing-key\n"},
		{"open header", "[U]\nA=x\n[V\nB=y\n[W]\nC=z\n", "2:1 [U] A@3=\"x\"\n6:1 [W] C@3=\"z\"\n3:1 error bad-section\n"},
		{"text after a header", "[U] # c\nA=x\n", "1:1 error bad-section\n"},
		{"nameless header", "[]\nA=x\n", "1:1 warning bad-section\n"},
		{"header with blanks", "[ U ]\nA=x\n", "2:1 [ U ] A@3=\"x\"\n"},
		{"private section", "[X-Foo]\nnonsense\nA=\xff\n[U]\nB=y\n", "5:1 [U] B@3=\"y\"\n"},
		{"private key", "[U]\nX-A=b\n", "2:1 [U] X-A@5=\"b\"\n"},
		{"invalid UTF-8", "[U]\nA=\xff\nB=ü\n# \xff\n", "3:1 [U] B@3=\"ü\"\n2:1 warning not-utf8\n"},
		{"NUL", "[U]\nA=a\x00b\nB=y\n", "3:1 [U] B@3=\"y\"\n2:1 error nul-byte\n"},
		{"long line", "[U]\nA=" + strings.Repeat("x", MaxLine) + "\nB=y\n", "3:1 [U] B@3=\"y\"\n2:1 error line-too-long\n"},
		{"long continuation", "[U]\nA=\\\n" + strings.Repeat(strings.Repeat("x", 1<<16)+"\\\n", 17) + "x\nB=y\n",
			"21:1 [U] B@3=\"y\"\n2:1 error line-too-long\n"},
		{"empty", "", ""},
	} {
		if got := show(Parse("f", []byte(c.in))); got != c.want {
			t.Errorf("%s: Parse(%.60q) =\n%swant\n%s", c.name, c.in, got, c.want)
		}
	}
}

func TestBigFileIsCut(t *testing.T) {
	data := []byte("[U]\nA=x\n" + strings.Repeat("#\n", MaxFile/2) + "B=y\n")
	frags, ds := Parse("f", data)
	if len(frags) != 1 || len(ds) != 1 || ds[0].Code != "file-too-big" {
		t.Errorf("Parse of %d bytes = %s", len(data), show(frags, ds))
	}
}

func TestManyAssignmentsAreCut(t *testing.T) {
	frags, ds := Parse("f", []byte("[U]\n"+strings.Repeat("A=\n", MaxFragments+10)))
	if len(frags) != MaxFragments || len(ds) != 1 || ds[0].Code != "too-many-lines" {
		t.Errorf("Parse = %d fragments, %v", len(frags), ds)
	}
}

func TestDiagnosticsAreBounded(t *testing.T) {
	_, ds := Parse("f", []byte("[U]\n"+strings.Repeat("x\n", 100_000)))
	if len(ds) != maxDiags+1 || ds[maxDiags].Code != "too-many" {
		t.Errorf("Parse gave %d diagnostics; want %d", len(ds), maxDiags+1)
	}
}

// FuzzSdunit: every position lies inside the file and points at the key, texts
// carry no line ends, and a good section at the end is still read.
func FuzzSdunit(f *testing.F) {
	for _, s := range []string{"[Unit]\nA=b\n", "[U]\nA=x\\\n#c\n y\n", "\ufeff[U]\r\nA=\\\n b\\\n c", "[X-a]\nb\n[c\nd=e\n[f]\ng=\xff\n", "=\n[]\n\\\n\\\n a=b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		tail := "\n\n[Tail]\nGood=yes\n"
		frags, _ := Parse("f", append(data, tail...))
		if len(frags) == 0 || frags[len(frags)-1].Key != "Good" || frags[len(frags)-1].Text != "yes" {
			t.Fatalf("the good line at the end is missing: %v", frags)
		}
		if len(frags) > len(data)/2+1 {
			t.Fatalf("%d fragments from %d bytes", len(frags), len(data))
		}
		lines := physical(string(data) + tail)
		for i := range frags {
			fr := &frags[i]
			if strings.ContainsAny(fr.Text+fr.Key+fr.Section, "\n\r\x00") || fr.Key == "" {
				t.Fatalf("bad fragment %+v", fr)
			}
			l := lines[fr.Pos.Line-1]
			if int(fr.Pos.Col) > len(l) || fr.Key[0] != l[fr.Pos.Col-1] {
				t.Fatalf("key %q is not at %v in %q", fr.Key, fr.Pos, l)
			}
			for off := range len(fr.Text) {
				p := fr.At(off)
				l := lines[p.Line-1]
				if c := fr.Text[off]; c != ' ' && (int(p.Col) > len(l) || l[p.Col-1] != c) {
					t.Fatalf("byte %d (%q) of %q is not at %v in %q; %+v", off, c, fr.Text, p, l, fr)
				}
			}
		}
	})
}

// physical is the obvious way to split lines.
func physical(s string) []string {
	var out []string
	cur := ""
	for i := 0; i < len(s); i++ {
		if s[i] != '\n' && s[i] != '\r' {
			cur += string(s[i : i+1])
			continue
		}
		if i+1 < len(s) && s[i+1] != s[i] && (s[i+1] == '\n' || s[i+1] == '\r') {
			i++
		}
		out = append(out, cur)
		cur = ""
	}
	return append(out, cur)
}
