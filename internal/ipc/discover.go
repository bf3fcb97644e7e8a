package ipc

import (
	"reflect"
	"strings"
)

// Discovery is an OpenRPC document (open-rpc.org) that describes every verb.
type Discovery struct {
	OpenRPC string            `json:"openrpc"`
	Info    DiscoveryInfo     `json:"info"`
	Methods []DiscoveryMethod `json:"methods"`
}

// DiscoveryInfo is the head of the document.
type DiscoveryInfo struct {
	Title   string `json:"title"`
	Version string `json:"version"`
}

// DiscoveryMethod is one verb.
type DiscoveryMethod struct {
	Name           string          `json:"name"`
	Summary        string          `json:"summary"`
	ParamStructure string          `json:"paramStructure"`
	Params         []DiscoveryItem `json:"params"`
	Result         DiscoveryItem   `json:"result"`
	// Rights are those that access.toml must grant.
	Rights []Right `json:"x-rights"`
}

// DiscoveryItem is a parameter or a result.
type DiscoveryItem struct {
	Name     string         `json:"name"`
	Required bool           `json:"required,omitempty"`
	Schema   map[string]any `json:"schema"`
}

// Discover makes the document.
func Discover() *Discovery {
	d := &Discovery{OpenRPC: "1.2.6", Info: DiscoveryInfo{Title: "dynamod", Version: "1"}}
	for i := range verbs {
		v := &verbs[i]
		m := DiscoveryMethod{Name: string(v.name), Summary: v.summary, ParamStructure: "by-name", Params: []DiscoveryItem{},
			Result: DiscoveryItem{Name: "result", Schema: schema(reflect.TypeOf(v.result()).Elem(), 0)}, Rights: append([]Right{}, v.rights...)}
		for _, f := range fields(reflect.TypeOf(v.args()).Elem()) {
			m.Params = append(m.Params, DiscoveryItem{Name: f.name, Required: f.required, Schema: schema(f.typ, 0)})
		}
		d.Methods = append(d.Methods, m)
	}
	return d
}

type field struct {
	name     string
	required bool
	typ      reflect.Type
}

// fields are those of a struct as encoding/json sees them.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		switch {
		case f.Anonymous && tag == "":
			out = append(out, fields(f.Type)...)
		case tag == "-":
		default:
			name, opts, _ := strings.Cut(tag, ",")
			out = append(out, field{name, !strings.Contains(opts, "omitempty"), f.Type})
		}
	}
	return out
}

// schema is a JSON Schema; below maxSchema it says only "object", which keeps the
// document small and any recursive type finite.
const maxSchema = 2

func schema(t reflect.Type, depth int) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem(), depth)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schema(t.Elem(), depth)}
	case reflect.Struct:
		if depth == maxSchema {
			return map[string]any{"type": "object"}
		}
		props := map[string]any{}
		for _, f := range fields(t) {
			props[f.name] = schema(f.typ, depth+1)
		}
		return map[string]any{"type": "object", "properties": props}
	case reflect.Map, reflect.Interface:
		return map[string]any{"type": "object"}
	}
	return map[string]any{"type": "integer"}
}
