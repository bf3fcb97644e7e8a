package ipc

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Code is JSON-RPC's error number. Those of the specification come first, ours
// are the small ones; they never change their meaning.
type Code int

const (
	CodeParse          Code = -32700
	CodeInvalidRequest Code = -32600
	CodeNoSuchVerb     Code = -32601
	CodeInvalidParams  Code = -32602
	CodeInternal       Code = -32603

	// CodeRefused is any refusal of the manager without a number of its own;
	// Kind says which.
	CodeRefused      Code = 1
	CodeNoSuchUnit   Code = 2
	CodeDenied       Code = 3
	CodeProtected    Code = 4
	CodeBusy         Code = 5
	CodeShuttingDown Code = 6
	CodeConflict     Code = 7
	CodeMasked       Code = 8
	CodeBadConfig    Code = 9
	CodeNoSuchJob    Code = 10
	CodeUnsupported  Code = 11
	CodeTooLarge     Code = 12
	CodeTooMany      Code = 13
	CodeIdle         Code = 14
	CodeTimeout      Code = 15
)

// kinds gives each kind of error its number. A kind is the last part of
// systemd's D-Bus error name where there is one, so that the bridge can pass it
// on. Retryable means that the same request may succeed a little later.
var kinds = []struct {
	Kind      string
	Code      Code
	Retryable bool
	Meaning   string
}{
	{"ParseError", CodeParse, false, "the line is not JSON, or the frame is not a DM frame"},
	{"InvalidRequest", CodeInvalidRequest, false, "it is JSON, but not a JSON-RPC 2.0 request"},
	{"NoSuchVerb", CodeNoSuchVerb, false, "the method does not exist; `rpc.discover` lists them"},
	{"InvalidArgs", CodeInvalidParams, false, "a parameter is unknown, missing or of the wrong type"},
	{"Internal", CodeInternal, false, "a bug in the manager; its log has more"},
	{"Refused", CodeRefused, false, "refused for the reason in the message"},
	{"NoSuchUnit", CodeNoSuchUnit, false, "no unit has this name"},
	{"AccessDenied", CodeDenied, false, "access.toml does not give the caller this right"},
	{"Protected", CodeProtected, false, "the unit is protected; `force` is needed"},
	{"Busy", CodeBusy, true, "the unit or the manager is busy with something that excludes this"},
	{"ShuttingDown", CodeShuttingDown, false, "the system is going down"},
	{"TransactionIsDestructive", CodeConflict, false, "another job is in the way and the mode forbids to replace it"},
	{"TransactionJobsConflicting", CodeConflict, false, "the request contradicts itself through dependencies"},
	{"TransactionOrderIsCyclic", CodeConflict, false, "required units wait for each other"},
	{"UnitMasked", CodeMasked, false, "the unit is masked"},
	{"BadUnitSetting", CodeBadConfig, false, "the unit's files cannot be used"},
	{"ReloadRejected", CodeBadConfig, false, "the new configuration is invalid; nothing was changed"},
	{"NoSuchJob", CodeNoSuchJob, false, "no job has this id, or it ended more than 60 s ago"},
	{"NoSuchProcess", CodeRefused, false, "there is no process to send the signal to"},
	{"NoUnitForPID", CodeNoSuchUnit, false, "the process belongs to no unit"},
	{"UnitInactive", CodeRefused, false, "the unit is not up"},
	{"JobTypeNotApplicable", CodeUnsupported, false, "this type of unit cannot do that"},
	{"NotSupported", CodeUnsupported, false, "this manager or this kernel cannot do that"},
	{"ProtocolMismatch", CodeUnsupported, false, "client and manager speak no common version of the protocol"},
	{"TooLarge", CodeTooLarge, false, "the request or its answer is larger than 64 KiB"},
	{"TooManyConnections", CodeTooMany, true, "this user or all users together have too many connections"},
	{"TooManyRequests", CodeTooMany, true, "too many requests of this connection wait already"},
	{"Idle", CodeIdle, true, "no complete request came for 30 s; the connection is closed"},
	{"Timeout", CodeTimeout, true, "it was not over in the time that the client gave"},
}

// Error is a refused or failed request. It is what Call returns and what a
// Handler should return; errors.As finds it.
type Error struct {
	Code Code
	Text string
	// Kind is a stable word: the last part of systemd's D-Bus error name, or
	// one of ours.
	Kind string
	// Unit is the unit that is to blame, which may be another than the target.
	Unit string
	// Hint says what would mend it.
	Hint string
	// Diags are the findings of a rejected configuration.
	Diags []Diagnostic
}

// wireError is JSON-RPC's error object; what is ours goes into its data.
type wireError struct {
	Code Code           `json:"code"`
	Text string         `json:"message"`
	Data *wireErrorData `json:"data,omitempty"`
}

type wireErrorData struct {
	Kind      string       `json:"kind"`
	Unit      string       `json:"unit,omitempty"`
	Hint      string       `json:"hint,omitempty"`
	Retryable bool         `json:"retryable,omitempty"`
	Diags     []Diagnostic `json:"diagnostics,omitempty"`
}

// MarshalJSON gives JSON-RPC's error object.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireError{e.Code, e.Text, &wireErrorData{e.Kind, e.Unit, e.Hint, e.Retryable(), e.Diags}})
}

// UnmarshalJSON reads it.
func (e *Error) UnmarshalJSON(p []byte) error {
	var w wireError
	if err := json.Unmarshal(p, &w); err != nil {
		return err
	}
	*e = Error{Code: w.Code, Text: w.Text}
	if w.Data != nil {
		e.Kind, e.Unit, e.Hint, e.Diags = w.Data.Kind, w.Data.Unit, w.Data.Hint, w.Data.Diags
	}
	return nil
}

// Errorf makes an Error of a kind; an unknown kind gets CodeRefused.
func Errorf(kind, format string, args ...any) *Error {
	code, _ := codeOf(kind)
	return &Error{Code: code, Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithUnit returns e with the unit to blame.
func (e *Error) WithUnit(name string) *Error {
	e.Unit = name
	return e
}

func (e *Error) Error() string { return e.Text }

// Retryable says whether the same request may succeed a little later.
func (e *Error) Retryable() bool {
	_, r := codeOf(e.Kind)
	return r
}

// KindOf is the kind of an error that came over the wire, "" for any other.
func KindOf(err error) string {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

func codeOf(kind string) (Code, bool) {
	for _, k := range kinds {
		if k.Kind == kind {
			return k.Code, k.Retryable
		}
	}
	return CodeRefused, false
}
