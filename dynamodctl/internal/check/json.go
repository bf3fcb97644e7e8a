package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"dynamod/internal/diag"
)

// jsonVersion is raised when a field changes its meaning or goes away; new
// fields do not raise it.
const jsonVersion = 1

type jsonReport struct {
	Version     int           `json:"version"`
	Summary     jsonSummary   `json:"summary"`
	Diagnostics []jsonFinding `json:"diagnostics"`
}

type jsonSummary struct {
	OK       bool `json:"ok"`
	Errors   int  `json:"errors"`
	Warnings int  `json:"warnings"`
	Notes    int  `json:"notes"`
	// WithoutEffect counts settings, not their uses.
	WithoutEffect int     `json:"without_effect"`
	Units         int     `json:"units"`
	Files         int     `json:"files"`
	DropIns       int     `json:"drop_ins"`
	Milliseconds  float64 `json:"milliseconds"`
	PeakMemory    uint64  `json:"peak_memory_bytes"`
}

type jsonFinding struct {
	Severity string     `json:"severity"`
	Code     string     `json:"code"`
	File     string     `json:"file,omitempty"`
	Line     int32      `json:"line,omitempty"`
	Column   int32      `json:"column,omitempty"`
	Unit     string     `json:"unit,omitempty"`
	Key      string     `json:"key,omitempty"`
	Value    string     `json:"value,omitempty"`
	Message  string     `json:"message"`
	Hint     string     `json:"hint,omitempty"`
	Cycle    []jsonStep `json:"cycle,omitempty"`
}

type jsonStep struct {
	Unit   string `json:"unit"`
	After  string `json:"after"`
	File   string `json:"file,omitempty"`
	Line   int32  `json:"line,omitempty"`
	Column int32  `json:"column,omitempty"`
	Origin string `json:"origin,omitempty"`
}

// JSON writes the whole report as one object. Settings without effect yet are
// notes with the code "no-effect-yet", one for each use; they are not counted
// among the notes of the summary.
func (r *Report) JSON(w io.Writer, strict bool) error {
	out := jsonReport{Version: jsonVersion, Diagnostics: []jsonFinding{}, Summary: jsonSummary{
		OK: !r.Failed(strict), Errors: r.Errors, Warnings: r.Warnings, Notes: r.Notes, WithoutEffect: len(r.Idle),
		Units: r.Units, Files: r.Files, DropIns: r.DropIns,
		Milliseconds: float64(r.Took.Microseconds()) / 1000, PeakMemory: r.PeakMemory}}
	for _, f := range r.Findings {
		j := jsonFinding{Severity: f.Severity.String(), Code: f.Code, File: f.Pos.File, Line: f.Pos.Line, Column: f.Pos.Col,
			Unit: f.Unit, Key: f.Key, Value: f.Value, Message: f.Message, Hint: f.Hint}
		for _, s := range f.Cycle {
			j.Cycle = append(j.Cycle, jsonStep{s.Unit, s.After, s.Pos.File, s.Pos.Line, s.Pos.Col, s.Origin})
		}
		out.Diagnostics = append(out.Diagnostics, j)
	}
	for _, i := range r.Idle {
		for _, u := range i.Uses {
			out.Diagnostics = append(out.Diagnostics, jsonFinding{Severity: diag.Note.String(), Code: "no-effect-yet",
				File: u.Pos.File, Line: u.Pos.Line, Column: u.Pos.Col, Unit: u.Unit, Key: strings.TrimSuffix(i.Name, "="),
				Message: fmt.Sprintf("%s has no effect yet: %s", i.Name, i.Setting.Why)})
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}
