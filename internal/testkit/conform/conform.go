// Package conform compares what a service shows by introspection with what systemd 257
// was recorded to show, member by member: kind, types, access, and what a change of a
// property does. It is for tests and for desktop-tests/conform.
package conform

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

//go:embed systemd257.tsv
var recorded string

//go:embed login1.tsv
var recordedLogin string

//go:embed hostname1.tsv
var recordedHostname string

//go:embed timedate1.tsv
var recordedTimedate string

//go:embed locale1.tsv
var recordedLocale string

// recordings are by the last word of the service's name.
func recordings(service string) string {
	text, ok := map[string]string{"systemd1": recorded, "login1": recordedLogin, "hostname1": recordedHostname, "timedate1": recordedTimedate,
		"locale1": recordedLocale}[service]
	if !ok {
		panic("there is no recording of " + service)
	}
	return text
}

// short is what an interface is called here: "Manager" of login1; a service with only one
// interface has it under its own name.
func short(service, iface string) (string, bool) {
	if iface == "org.freedesktop."+service {
		return service, true
	}
	return strings.CutPrefix(iface, "org.freedesktop."+service+".")
}

// Member is one line of the recording: "Manager.GetUnit", and its kind and types.
type Member struct{ Name, What string }

// Recorded are the members of systemd1 in systemd 257, sorted. The names of arguments
// are not compared: clients do not see them.
func Recorded() []Member { return RecordedOf("systemd1") }

// RecordedOf are those of another service: "login1", "hostname1", "timedate1", "locale1".
func RecordedOf(service string) []Member {
	var out []Member
	for line := range strings.Lines(recordings(service)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		what := f[1] + " " + f[3]
		if f[1] == "property" {
			what += " " + f[4]
		}
		name, _ := short(service, f[0])
		out = append(out, Member{name + "." + f[2], strings.TrimSpace(what)})
	}
	slices.SortFunc(out, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return out
}

type node struct {
	Interfaces []struct {
		Name    string `xml:"name,attr"`
		Methods []struct {
			Name string `xml:"name,attr"`
			Args []arg  `xml:"arg"`
		} `xml:"method"`
		Signals []struct {
			Name string `xml:"name,attr"`
			Args []arg  `xml:"arg"`
		} `xml:"signal"`
		Properties []struct {
			Name        string `xml:"name,attr"`
			Type        string `xml:"type,attr"`
			Access      string `xml:"access,attr"`
			Annotations []struct {
				Name  string `xml:"name,attr"`
				Value string `xml:"value,attr"`
			} `xml:"annotation"`
		} `xml:"property"`
	} `xml:"interface"`
}

type arg struct {
	Type      string `xml:"type,attr"`
	Direction string `xml:"direction,attr"`
}

// Shown are the members of systemd1 in an introspection text.
func Shown(text string) ([]Member, error) { return ShownOf("systemd1", text) }

// ShownOf are those of another service.
func ShownOf(service, text string) ([]Member, error) {
	var n node
	if err := xml.Unmarshal([]byte(text), &n); err != nil {
		return nil, fmt.Errorf("read introspection: %w", err)
	}
	var out []Member
	for _, i := range n.Interfaces {
		short, ok := short(service, i.Name)
		if !ok {
			continue
		}
		for _, m := range i.Methods {
			in, res := "", ""
			for _, a := range m.Args {
				if a.Direction == "out" {
					res += a.Type
				} else {
					in += a.Type
				}
			}
			out = append(out, Member{short + "." + m.Name, strings.TrimSpace("method " + in + " -> " + res)})
		}
		for _, s := range i.Signals {
			types := ""
			for _, a := range s.Args {
				types += a.Type
			}
			out = append(out, Member{short + "." + s.Name, strings.TrimSpace("signal " + types)})
		}
		for _, p := range i.Properties {
			emits := "true"
			for _, a := range p.Annotations {
				if a.Name == "org.freedesktop.DBus.Property.EmitsChangedSignal" {
					emits = a.Value
				}
			}
			out = append(out, Member{short + "." + p.Name, "property " + p.Type + " " + p.Access + "," + emits})
		}
	}
	return out, nil
}

// Compare says what is missing, what is more than was recorded, and what differs,
// sorted: "missing Unit.Markers: property as read,false".
func Compare(shown []Member) []string { return CompareOf("systemd1", shown) }

// CompareOf does so for another service.
func CompareOf(service string, shown []Member) []string {
	// A method and a signal may have the same name.
	kind := func(m Member) string { return strings.Fields(m.What)[0] + " " + m.Name }
	have := map[string]Member{}
	for _, m := range shown {
		have[kind(m)] = m
	}
	var out []string
	for _, m := range RecordedOf(service) {
		got, ok := have[kind(m)]
		delete(have, kind(m))
		switch {
		case !ok:
			out = append(out, "missing "+m.Name+": "+m.What)
		case got.What != m.What:
			out = append(out, "differs "+m.Name+": "+got.What+"; recorded: "+m.What)
		}
	}
	for _, m := range have {
		out = append(out, "more "+m.Name+": "+m.What)
	}
	slices.Sort(out)
	return out
}

// Excused reads the members that a page explains as missing: lines of a table whose
// first cell lists them in backquotes.
func Excused(page string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cell, _, _ := strings.Cut(line[1:], "|")
		for k, name := range strings.Split(cell, "`") {
			if k%2 == 1 {
				out[name] = true
			}
		}
	}
	return out
}
