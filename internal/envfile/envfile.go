// Package envfile reads and writes files of shell-like assignments: os-release(5),
// machine-info(5), locale.conf(5), EnvironmentFile= of systemd.exec(5). It opens no files
// and knows no variable.
package envfile

import "strings"

// Var is one assignment.
type Var struct{ Name, Value string }

// Vars reads a file into its assignments, in order. Of several for one name the last
// counts, at the place of the first.
func Vars(text string) []Var {
	var out []Var
	at := map[string]int{}
	for _, v := range Parse(text) {
		name, value, _ := strings.Cut(v, "=")
		if i, ok := at[name]; ok {
			out[i].Value = value
			continue
		}
		at[name] = len(out)
		out = append(out, Var{name, value})
	}
	return out
}

// Get is the value of a name, "" if it has none.
func Get(list []Var, name string) string {
	for _, v := range list {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// Set gives a name a value: at its place, or at the end. An empty value takes it away.
// The list is a new one.
func Set(list []Var, name, value string) []Var {
	out := make([]Var, 0, len(list)+1)
	done := value == ""
	for _, v := range list {
		switch {
		case v.Name != name:
			out = append(out, v)
		case !done:
			out, done = append(out, Var{name, value}), true
		}
	}
	if !done {
		out = append(out, Var{name, value})
	}
	return out
}

// Render writes assignments as a shell and Parse read them. Quotes are there only when
// they are needed, as systemd 257 was seen to write /etc/machine-info.
func Render(list []Var) string {
	var b strings.Builder
	for _, v := range list {
		b.WriteString(v.Name)
		b.WriteByte('=')
		b.WriteString(quote(v.Value))
		b.WriteByte('\n')
	}
	return b.String()
}

// needQuotes are what a shell does something with, and blanks.
const needQuotes = "\"\\$`'()<>|&;!*?[ \t\r\n"

func quote(s string) string {
	plain := !strings.HasPrefix(s, "~") // a home directory
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f || strings.IndexByte(needQuotes, s[i]) >= 0 {
			plain = false
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if strings.IndexByte("\"\\$`", s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}
