package ipc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// eventMethod is the method of the notifications that carry an Event.
const eventMethod = "event"

// maxID bounds a request's id, which comes back in its answer.
const maxID = 256

// maxObjects bounds the objects within a request: an empty one takes three bytes
// of the message and many times that in memory.
const maxObjects = 1024

// call is a request that was understood.
type call struct {
	// id is nil for a notification, which gets no answer.
	id   json.RawMessage
	verb Verb
	args any
	// known says that it is known whether an id was given.
	known bool
}

// silent says that the client wants no answer.
func (c *call) silent() bool { return c.known && c.id == nil }

func trimSpace(p []byte) []byte { return bytes.Trim(p, " \t\r\n") }

// clip bounds what is echoed to a client.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "?") + "…"
	}
	return s
}

// parseCall reads one line. When it fails, the call's id is set if there was one.
func parseCall(line []byte) (call, *Error) {
	var c call
	line = trimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		if len(line) > 0 && line[0] == '[' {
			return c, Errorf("InvalidRequest", "batches are not supported").WithHint("send one request per line; they may be many")
		}
		return c, Errorf("ParseError", "a request is a JSON object on a line of its own")
	}
	var w struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  *string         `json:"method"`
		Params  json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(line, &w); err != nil {
		if !json.Valid(line) {
			return c, Errorf("ParseError", "not JSON: %v", err)
		}
		return c, Errorf("InvalidRequest", "not a JSON-RPC request: %v", err)
	}
	if len(w.ID) > 0 {
		if b := w.ID[0]; b == '{' || b == '[' || b == 't' || b == 'f' || len(w.ID) > maxID {
			return c, Errorf("InvalidRequest", "id must be a number or a string of at most %d bytes", maxID)
		}
		c.id = append(json.RawMessage(nil), w.ID...)
	}
	switch {
	case w.JSONRPC != "2.0":
		return c, Errorf("InvalidRequest", `"jsonrpc" must be "2.0"`)
	case w.Method == nil:
		return c, Errorf("InvalidRequest", `"method" is missing`)
	}
	c.known = true
	row := verbIndex[Verb(*w.Method)]
	if row == nil {
		return c, Errorf("NoSuchVerb", "there is no method %q", clip(*w.Method)).WithHint("`rpc.discover` lists all methods")
	}
	c.verb, c.args = row.name, row.args()
	switch p := trimSpace(w.Params); {
	case len(p) == 0, string(p) == "null":
	case p[0] != '{':
		return c, Errorf("InvalidArgs", "params must be an object: parameters go by name")
	case bytes.Count(p, []byte{'{'}) > maxObjects:
		return c, Errorf("TooLarge", "the parameters have more than %d objects", maxObjects)
	default:
		if err := decodeArgs(p, c.args); err != nil {
			return c, err
		}
	}
	if missing := missingArgs(row, w.Params); missing != "" {
		return c, Errorf("InvalidArgs", "%s needs %q", c.verb, missing)
	}
	return c, nil
}

func decodeArgs(p []byte, args any) *Error {
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	if err := d.Decode(args); err != nil {
		return Errorf("InvalidArgs", "%s", clip(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := d.Token(); err != io.EOF {
		return Errorf("InvalidArgs", "there is something behind the parameters")
	}
	return nil
}

// missingArgs names the first parameter that must be given and is not.
func missingArgs(row *verb, params json.RawMessage) string {
	if len(row.required) == 0 {
		return ""
	}
	var given map[string]json.RawMessage
	if len(params) > 0 {
		// It was decoded into the arguments before, so it is an object.
		json.Unmarshal(params, &given)
	}
	for _, name := range row.required {
		if v, ok := given[name]; !ok || string(v) == "null" {
			return name
		}
	}
	return ""
}

type wireReply struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// encodeResult gives an answer as a line of at most MaxMessage bytes; an answer
// that comes in pages is cut so that it fits.
func encodeResult(c call, result any) ([]byte, error) {
	if result == nil {
		result = &Done{}
	}
	for {
		line, err := json.Marshal(wireReply{JSONRPC: "2.0", ID: c.id, Result: result})
		if err != nil {
			return nil, fmt.Errorf("encode the answer to %s: %w", c.verb, err)
		}
		if len(line) < MaxMessage {
			return append(line, '\n'), nil
		}
		if !cut(result, c.args, len(line)) {
			return nil, Errorf("TooLarge", "the answer to %s has %d bytes, more than %d", c.verb, len(line), MaxMessage)
		}
	}
}

// encodeError gives an error as a line; id is nil when it is not known.
func encodeError(id json.RawMessage, e *Error) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	short := *e
	short.Text, short.Hint = shorten(e.Text, 4096), shorten(e.Hint, 1024)
	short.Unit, short.Kind = shorten(e.Unit, 512), shorten(e.Kind, 64)
	for {
		line, err := json.Marshal(wireReply{JSONRPC: "2.0", ID: id, Error: &short})
		switch {
		case err != nil:
			panic("ipc: an error that is not JSON: " + err.Error()) // it has only plain fields
		case len(line) < MaxMessage || len(short.Diags) == 0: // texts alone always fit
			return append(line, '\n')
		}
		short.Diags = short.Diags[:len(short.Diags)/2]
		short.Hint = fmt.Sprintf("%d of %d findings are shown; dynamodctl check shows all", len(short.Diags), len(e.Diags))
	}
}

// shorten bounds a text to max bytes and marks the cut.
func shorten(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "…"
}
