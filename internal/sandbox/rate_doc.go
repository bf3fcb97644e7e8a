package sandbox

import (
	"fmt"
	"slices"
	"strings"

	"dynamod/internal/unit"
)

// Markdown is docs/security.md, made from the table alone.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# How exposed a service is

This page is generated from the table in internal/sandbox
(` + "`go test ./internal/sandbox -run Markdown -update`" + `); do not edit it.

` + "`dynamodctl security`" + ` rates every service, ` + "`dynamodctl security UNIT`" + ` says what leaves one open, the heaviest
first, and what to write. With ` + "`--root DIR`" + ` it reads files and needs no manager.

The score is from 0.0, everything is closed, to 10.0, nothing is. It judges what the unit's settings leave open to
a program of the service that has been taken over. It does not judge the program, and does not know whether the
kernel of the machine can do what is written; a start says that.

Each row below is open to a degree between 0 and 10. The score is the sum of weight × degree over the sum of all
weights. The weights are dynamod's own and are not those of systemd-analyze: about 100 for what decides whether
the machine is lost with the service, 40 for a way to data or rights of others, 20 for a part of the kernel that
few services need, 10 for what helps only with something else.

Capabilities count in full for services that run as root or begin with them, half for others, and not at all for
a service of another user with ` + "`NoNewPrivileges=yes`" + ` that begins with none: it cannot get any.

`)
	from := "0.0"
	for _, w := range words {
		fmt.Fprintf(&b, "- **%s**: %s to %.1f\n", w.word, from, w.upTo)
		from = fmt.Sprintf("%.1f", w.upTo+0.1)
	}
	b.WriteString("\n| weight | settings | open without them | what closes it |\n|---:|---|---|---|\n")
	for _, r := range rateTable {
		var names []string
		for _, s := range r.settings {
			names = append(names, "`"+s.Name+"=`")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", r.weight, strings.Join(names, ", "), r.leaves, r.mend)
	}
	b.WriteString("\n## Not rated\n\n| setting | why |\n|---|---|\n")
	var rest []string
	for key, why := range unrated {
		rest = append(rest, fmt.Sprintf("| `%s` | %s |\n", docName(key), why))
	}
	slices.Sort(rest)
	b.WriteString(strings.Join(rest, ""))
	return b.String()
}

func docName(key string) string {
	if s, ok := unit.LookupNative(key); ok && s.Name != "" {
		return s.Name + "="
	}
	return key
}
