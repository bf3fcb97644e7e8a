package native

import (
	"fmt"
	"strings"
	"testing"

	"dynamod/internal/diag"
	"dynamod/internal/unit"
)

var kindNames = map[unit.ValueKind]string{unit.TextValue: "text", unit.StringValue: "string", unit.IntValue: "int", unit.FloatValue: "float",
	unit.BoolValue: "bool", unit.ArrayValue: "array", unit.TableValue: "table", unit.DateValue: "date"}

// show prints fragments and diagnostics, one per line, without the file name.
func show(frags []unit.Fragment, ds []diag.Diag) string {
	var b strings.Builder
	for _, f := range frags {
		fmt.Fprintf(&b, "%d:%d [%s] %s %s", f.Pos.Line, f.Pos.Col, f.Section, f.Key, kindNames[f.Kind])
		if f.Items == nil {
			fmt.Fprintf(&b, "@%d=%q", f.ValueCol, f.Text)
		}
		for i, it := range f.Items {
			fmt.Fprintf(&b, " %q@%d:%d", it, f.ItemPos[i].Line, f.ItemPos[i].Col)
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
		{"table", "[restart]\ndelay = \"1s\"\n", "2:1 [restart] delay string@10=\"1s\"\n"},
		{"nested table", "[service.user]\n  user = 'u'\n", "2:3 [service.user] user string@11=\"u\"\n"},
		{"dotted key", "[a]\nb.c = 1\n", "2:1 [a.b] c int@7=\"1\"\n"},
		{"inline table", "[service]\nenvironment = { A = \"1\", B = \"x\" }\n",
			"2:17 [service.environment] A string@22=\"1\"\n2:26 [service.environment] B string@31=\"x\"\n"},
		{"top level", "x = true\n", "1:1 [] x bool@5=\"true\"\n"},
		{"scalars", "a = 0x1F\nb = 1_000\nc = -1.5\nd = 2020-01-01\ne = false\nf = +7\n",
			"1:1 [] a int@0=\"31\"\n2:1 [] b int@0=\"1000\"\n3:1 [] c float@5=\"-1.5\"\n4:1 [] d date@5=\"2020-01-01\"\n5:1 [] e bool@5=\"false\"\n6:1 [] f int@0=\"7\"\n"},
		{"escaped string", `a = "x\ty"` + "\n", "1:1 [] a string@0=\"x\\ty\"\n"},
		{"multi-line string", "a = \"\"\"\nx\ny\"\"\"\n", "1:1 [] a string@0=\"x\\ny\"\n"},
		{"array", "a = [\"x\",\n  'y', 3]\n", "1:1 [] a array \"x\"@1:6 \"y\"@2:3 \"3\"@2:8\n"},
		{"empty array", "a = []\n", "1:1 [] a array\n"},
		{"array of arrays", "a = [[\"x\", \"y\"], [\"z\"]]\n", "1:1 [] a array \"x\"@1:7 \"y\"@1:12\n1:1 [] a array \"z\"@1:19\n"},
		{"mixed array", "a = [[\"x\"], \"y\"]\nb = 1\n", "2:1 [] b int@5=\"1\"\n1:1 error bad-value\n"},
		{"deep array", "a = [[[\"x\"]]]\n", "1:1 [] a array\n1:1 error too-deep\n"},
		{"inline tables in an array", "a = [{ t = \"y\", s = \"x\", w = true }, {s=\"z\"}]\n", "1:1 [] a array \"s=x;t=y;w=true\"@1:6 \"s=z\"@1:38\n"},
		{"array of tables", "[[n.b]]\nt = \"y\"\ns = \"x\"\n[[n.b]]\ns = \"z\"\n[o]\np = 1\n",
			"1:3 [n] b array \"s=x;t=y\"@1:3 \"s=z\"@4:3\n7:1 [o] p int@5=\"1\"\n"},
		{"semicolon in a table", "[[n.b]]\ns = \"a;b\"\n", "1:3 [n] b array \"\"@1:3\n2:1 error bad-value\n"},
		{"table below an array of tables", "[[a]]\n[a.b]\nc = 1\n[d]\ne = 1\n", "1:3 [] a array \"\"@1:3\n5:1 [d] e int@5=\"1\"\n2:2 error too-deep\n"},
		{"duplicate key", "a = 1\na = 2\n", "1:1 [] a int@5=\"1\"\n2:1 error duplicate-key\n"},
		{"duplicate table", "[a]\nb = 1\n[a]\nc = 2\n", "2:1 [a] b int@5=\"1\"\n4:1 [a] c int@5=\"2\"\n3:2 error duplicate-table\n"},
		{"duplicate by inline table", "a.b = 1\na = { b = 2 }\n", "1:1 [a] b int@7=\"1\"\n2:7 error duplicate-key\n"},
		{"syntax error", "a = 1\nb = \nc = 3\n", "1:1 [] a int@5=\"1\"\n2:5 error bad-toml\n"},
		{"open string", "[a]\nb = \"x\n", "2:7 error bad-toml\n"},
		{"invalid UTF-8", "a = \"\xff\"\n", "1:6 error bad-toml\n"},
		{"number too large", "a = 99999999999999999999\n", "1:5 error bad-toml\n"},
		{"NUL in a string", "a = \"x\\u0000\"\nb = 1\n", "2:1 [] b int@5=\"1\"\n1:5 error nul-byte\n"},
		{"byte order mark", "\ufeffa = 1\nb = 2\n", "1:4 [] a int@8=\"1\"\n2:1 [] b int@5=\"2\"\n"},
		{"CRLF", "[a]\r\nb = 1\r\n", "2:1 [a] b int@5=\"1\"\n"},
		{"long key", "[" + strings.Repeat("a.", 300) + "a]\nb = 1\n[c]\nd = 1\n", "4:1 [c] d int@5=\"1\"\n1:2 error key-too-long\n"},
		{"deep inline tables", "a = " + strings.Repeat("{a=", 10) + "1" + strings.Repeat("}", 10) + "\n", "1:27 error too-deep\n"},
		{"empty", "", ""},
	} {
		if got := show(Parse("f", []byte(c.in))); got != c.want {
			t.Errorf("%s: Parse(%.60q) =\n%swant\n%s", c.name, c.in, got, c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	if frags, ds := Parse("f", make([]byte, MaxFile+1)); frags != nil || len(ds) != 1 || ds[0].Code != "file-too-big" {
		t.Errorf("big file: %s", show(frags, ds))
	}
	var b strings.Builder
	for i := range MaxFragments + 10 {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	if frags, ds := Parse("f", []byte(b.String())); len(frags) != MaxFragments || len(ds) != 1 || ds[0].Code != "too-many-lines" {
		t.Errorf("many keys: %d fragments, %v", len(frags), ds)
	}
	if _, ds := Parse("f", []byte("a = 1\n"+strings.Repeat("a = 1\n", 10_000))); len(ds) != maxDiags+1 {
		t.Errorf("%d diagnostics; want %d", len(ds), maxDiags+1)
	}
	if _, ds := Parse("f", []byte("a = "+strings.Repeat("[", 1<<20))); len(ds) != 1 || ds[0].Code != "bad-toml" {
		t.Errorf("deep nesting: %v", ds)
	}
}

// FuzzNative: positions lie inside the file, keys are unique and short, items
// have positions, and what is not TOML is reported.
func FuzzNative(f *testing.F) {
	for _, s := range []string{"[service]\nname = \"x\"\nexec = [\"/bin/x\"]\n", "[[a.b]]\nc = 1\n[[a.b]]\nd = {e = 1}\n", "a = [[1],[2]]\nb.c.d = 1.5\n",
		"a = \"\"\"\nx\\\n y\"\"\"\n", "[a]\n[a]\n[a.b]\nb = 1", "a = {b = [{c = 1}, {c = \"\\u0000\"}]}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		frags, _ := Parse("f", data)
		if len(frags) > len(data) {
			t.Fatalf("%d fragments from %d bytes", len(frags), len(data))
		}
		lines := strings.Split(string(data), "\n")
		inside := func(p diag.Pos) {
			if p.Line < 1 || int(p.Line) > len(lines) || p.Col < 1 || int(p.Col) > len(lines[p.Line-1])+1 {
				t.Fatalf("%v is outside of the file", p)
			}
		}
		for i := range frags {
			fr := &frags[i]
			inside(fr.Pos)
			if len(fr.Items) != len(fr.ItemPos) || (fr.Kind == unit.ArrayValue) != (fr.Items != nil) {
				t.Fatalf("items without positions or kind: %+v", fr)
			}
			for _, p := range fr.ItemPos {
				inside(p)
			}
			if len(fr.Section)+len(fr.Key) > maxPath+maxDepth || strings.IndexByte(fr.Text, 0) >= 0 {
				t.Fatalf("long key or NUL: %+v", fr)
			}
			if fr.ValueCol > 0 && len(fr.Text) > 0 {
				l := lines[fr.Pos.Line-1]
				if at := int(fr.ValueCol) - 1; !strings.HasPrefix(l[min(at, len(l)):], fr.Text) {
					t.Fatalf("%q is not at column %d of %q", fr.Text, fr.ValueCol, l)
				}
			}
		}
	})
}
