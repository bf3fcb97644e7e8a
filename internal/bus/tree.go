package bus

import (
	"encoding/xml"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Node is a place in the tree of objects: one path, or all paths below a prefix
// that have one element more.
type Node struct {
	// Path is the object's path; with "/*" at its end it stands for all
	// objects right below.
	Path string
	// Find returns the object of a path and its interfaces, whose Get and Do
	// get it; name is the last element for a pattern, else "". No object is an
	// error: UnknownObject or what the service has for that. It may load things
	// on demand.
	Find func(c *Call, name string) (object any, interfaces []*Interface, err error)
	// Names lists the last elements of the objects that a pattern has now, for
	// introspection; nil shows none.
	Names func() []string
}

// Tree is the table of objects. It does not change once it serves.
type Tree struct {
	exact    map[string]*Node
	patterns map[string]*Node // by prefix, without "/*"
	// paths are all exact paths and prefixes, for introspection.
	paths []string
}

// NewTree makes a tree of nodes. A table that contradicts itself panics.
func NewTree(nodes ...*Node) *Tree {
	t := &Tree{exact: map[string]*Node{}, patterns: map[string]*Node{}}
	for _, n := range nodes {
		p, pattern := strings.CutSuffix(n.Path, "/*")
		if !dbus.ObjectPath(p).IsValid() || n.Find == nil {
			panic("the node " + n.Path + " is not one")
		}
		m := t.exact
		if pattern {
			m = t.patterns
		}
		if m[p] != nil {
			panic("the node " + n.Path + " stands twice")
		}
		m[p] = n
		t.paths = append(t.paths, p)
	}
	slices.Sort(t.paths)
	return t
}

// One is the Find of a single object.
func One(object any, interfaces ...*Interface) func(*Call, string) (any, []*Interface, error) {
	for _, i := range interfaces {
		i.check()
	}
	return func(*Call, string) (any, []*Interface, error) { return object, interfaces, nil }
}

// find looks an object up.
func (t *Tree) find(c *Call, p string) (any, []*Interface, error) {
	if n := t.exact[p]; n != nil {
		return n.Find(c, "")
	}
	if cut := strings.LastIndexByte(p, '/'); cut > 0 {
		if n := t.patterns[p[:cut]]; n != nil {
			return n.Find(c, p[cut+1:])
		}
	}
	return nil, nil, Errorf(ErrUnknownObject, "Unknown object '%s'.", p)
}

// children are the next elements of the paths below p, sorted; there is true if
// anything is at p or below it.
func (t *Tree) children(p string) (names []string, there bool) {
	prefix := p + "/"
	if p == "/" {
		prefix = "/"
	}
	for _, q := range t.paths {
		if q == p {
			there = true
			if n := t.patterns[q]; n != nil && n.Names != nil {
				names = append(names, n.Names()...)
			}
			continue
		}
		if rest, ok := strings.CutPrefix(q, prefix); ok {
			there = true
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), there
}

// What follows is the document type of introspection (D-Bus specification,
// "Introspection Data Format").
type xmlNode struct {
	XMLName    xml.Name       `xml:"node"`
	Name       string         `xml:"name,attr,omitempty"`
	Interfaces []xmlInterface `xml:"interface"`
	Nodes      []xmlNode      `xml:"node"`
}

type xmlInterface struct {
	Name       string        `xml:"name,attr"`
	Methods    []xmlMember   `xml:"method"`
	Properties []xmlProperty `xml:"property"`
	Signals    []xmlMember   `xml:"signal"`
}

type xmlMember struct {
	Name        string          `xml:"name,attr"`
	Args        []xmlArg        `xml:"arg"`
	Annotations []xmlAnnotation `xml:"annotation"`
}

type xmlArg struct {
	Type      string `xml:"type,attr"`
	Name      string `xml:"name,attr,omitempty"`
	Direction string `xml:"direction,attr,omitempty"`
}

type xmlProperty struct {
	Name        string          `xml:"name,attr"`
	Type        string          `xml:"type,attr"`
	Access      string          `xml:"access,attr"`
	Annotations []xmlAnnotation `xml:"annotation"`
}

type xmlAnnotation struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

const docType = `<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
`

// introspect describes an object and what lies below it.
func introspect(interfaces []*Interface, children []string) (string, error) {
	doc := xmlNode{}
	for _, i := range interfaces {
		doc.Interfaces = append(doc.Interfaces, i.xml())
	}
	for _, n := range children {
		doc.Nodes = append(doc.Nodes, xmlNode{Name: n})
	}
	text, err := xml.MarshalIndent(&doc, "", " ")
	if err != nil {
		return "", err
	}
	return docType + string(text) + "\n", nil
}

func (i *Interface) xml() xmlInterface {
	out := xmlInterface{Name: i.Name}
	for _, m := range i.Methods {
		x := xmlMember{Name: m.Name, Annotations: m.Flags.annotations()}
		for _, a := range m.In {
			x.Args = append(x.Args, xmlArg{a.Type, a.Name, "in"})
		}
		for _, a := range m.Out {
			x.Args = append(x.Args, xmlArg{a.Type, a.Name, "out"})
		}
		out.Methods = append(out.Methods, x)
	}
	for _, p := range i.Properties {
		if p.Hidden {
			continue
		}
		x := xmlProperty{Name: p.Name, Type: p.Type, Access: "read", Annotations: p.Flags.annotations()}
		if p.Set != nil {
			x.Access = "readwrite"
		}
		if p.Emits != EmitsTrue {
			x.Annotations = append(x.Annotations, xmlAnnotation{"org.freedesktop.DBus.Property.EmitsChangedSignal", p.Emits.String()})
		}
		out.Properties = append(out.Properties, x)
	}
	for _, s := range i.Signals {
		x := xmlMember{Name: s.Name, Annotations: s.Flags.annotations()}
		for _, a := range s.Args {
			x.Args = append(x.Args, xmlArg{a.Type, a.Name, ""})
		}
		out.Signals = append(out.Signals, x)
	}
	return out
}

func (f Flags) annotations() []xmlAnnotation {
	var out []xmlAnnotation
	if f&Deprecated != 0 {
		out = append(out, xmlAnnotation{"org.freedesktop.DBus.Deprecated", "true"})
	}
	if f&NoReply != 0 {
		out = append(out, xmlAnnotation{"org.freedesktop.DBus.Method.NoReply", "true"})
	}
	if f&Privileged != 0 {
		out = append(out, xmlAnnotation{"org.freedesktop.systemd1.Privileged", "true"})
	}
	return out
}
