package unitname

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

type escapeRow struct{ op, in, want string } // want "" is an error

func recorded(t testing.TB) []escapeRow {
	t.Helper()
	f, err := os.Open("testdata/escape.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unquote := func(s string) string {
		s, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var rows []escapeRow
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "#") {
			continue
		}
		c := strings.Split(sc.Text(), "\t")
		row := escapeRow{op: c[0], in: unquote(c[1])}
		if c[2] != "error" {
			row.want = "=" + unquote(c[2][1:])
		}
		rows = append(rows, row)
	}
	return rows
}

func TestRecordedEscape(t *testing.T) {
	rows := recorded(t)
	if len(rows) < 150 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		var got string
		var err error
		switch r.op {
		case "escape":
			got = Escape(r.in)
		case "path":
			got, err = EscapePath(r.in)
		case "unescape":
			got, err = Unescape(r.in)
		case "unescape-path":
			got, err = UnescapePath(r.in)
		case "mangle":
			got, err = Mangle(r.in, Service)
		case "instance":
			var n Name
			if n, err = Parse(r.in); err == nil {
				if got, err = Unescape(n.Instance); n.Instance == "" {
					continue // systemd-escape wants an instance; Parse does not
				}
			}
		default:
			t.Fatalf("operation %q", r.op)
		}
		if got = "=" + got; err != nil {
			got = ""
		}
		if got != r.want {
			t.Errorf("%s %q: got %q, %v; want %q", r.op, r.in, got, err, r.want)
		}
	}
}
