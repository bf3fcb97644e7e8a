package show

import (
	"encoding/json"
	"io"
)

type jsonDocument struct {
	Version      int              `json:"version"`
	Name         string           `json:"name"`
	Description  string           `json:"description,omitempty"`
	Load         string           `json:"load"`
	Format       string           `json:"format"`
	Path         string           `json:"path,omitempty"`
	Aliases      []string         `json:"aliases"`
	DropIns      []string         `json:"drop_ins"`
	Shadows      string           `json:"shadows,omitempty"`
	Settings     []jsonValue      `json:"settings"`
	Dependencies []jsonDependency `json:"dependencies"`
}

type jsonValue struct {
	Section string `json:"section"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	File    string `json:"file,omitempty"`
	Line    int32  `json:"line,omitempty"`
	Column  int32  `json:"column,omitempty"`
	Why     string `json:"why,omitempty"`
	Idle    bool   `json:"no_effect_yet,omitempty"`
}

type jsonDependency struct {
	Relation string `json:"relation"`
	Unit     string `json:"unit"`
	Missing  bool   `json:"missing,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int32  `json:"line,omitempty"`
	Column   int32  `json:"column,omitempty"`
	Why      string `json:"why,omitempty"`
}

// JSON writes the document as one object, with paths as the operator types
// them; a list setting has one entry for each item.
func (d *Document) JSON(w io.Writer) error {
	shown := d.tree.Shown
	out := jsonDocument{Version: 1, Name: d.Name, Description: d.Description, Load: d.Load, Format: d.Format, Path: shown(d.Path),
		Aliases: append([]string{}, d.Aliases...), DropIns: []string{}, Shadows: shown(d.Shadows),
		Settings: []jsonValue{}, Dependencies: []jsonDependency{}}
	for _, p := range d.DropIns {
		out.DropIns = append(out.DropIns, shown(p))
	}
	for _, v := range d.Values {
		out.Settings = append(out.Settings, jsonValue{v.Section, v.Key, v.Text, shown(v.Pos.File), v.Pos.Line, v.Pos.Col, v.Why, v.Idle})
	}
	for _, x := range d.Dependencies {
		out.Dependencies = append(out.Dependencies,
			jsonDependency{x.Relation, x.Unit, x.Missing, shown(x.Pos.File), x.Pos.Line, x.Pos.Col, x.Why})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}
