package unitname

import "strings"

// DropinNames lists the names whose ".d" directories hold drop-ins for the
// unit, most specific first: a file of an earlier directory replaces one of
// the same name in a later directory. The last one is the bare type
// ("service"). systemd.unit(5), "Description".
//
// The manual does not say how dashes and instances combine. Recorded from
// systemd-analyze verify 252: after the name and its template come the plain
// dash levels, then each dash level with the instance and as a template, so
// that "a-b@i.service" reads a-b@i.service, a-b@.service, a-.service,
// a-@i.service, a-@.service, service. An invalid name has no drop-ins.
func DropinNames(name string) []string {
	n, err := Parse(name)
	if err != nil {
		return nil
	}
	suffix := "." + n.Type.String()
	names := []string{name}
	if n.Instance != "" {
		names = append(names, n.TemplateName())
	}
	var levels []string
	for p := n.Prefix; ; {
		dash := strings.LastIndexByte(strings.TrimSuffix(p, "-"), '-')
		if dash <= 0 {
			break
		}
		p = p[:dash+1]
		levels = append(levels, p)
	}
	for _, p := range levels {
		names = append(names, p+suffix)
	}
	if n.Template || n.Instance != "" {
		for _, p := range levels {
			if n.Instance != "" {
				names = append(names, p+"@"+n.Instance+suffix)
			}
			names = append(names, p+"@"+suffix)
		}
	}
	return append(names, n.Type.String())
}
