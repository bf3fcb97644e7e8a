package ipc

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"dynamod/internal/ipc/frame"
)

// This file is the original's protocol: which frames there are. What they mean is
// in dmserve.go.

// dmRequest is one of the original's requests. after and paged are ours: a request
// that has the field "after" gets its answer in pages.
type dmRequest struct {
	id    uint64
	kind  string // "StartService", …
	name  string
	pid   int32
	after string
	paged bool
}

// dmRequests are the variants and the field that each must have.
var dmRequests = map[string]string{"StartService": "name", "StopService": "name", "RestartService": "name",
	"ServiceStatus": "name", "ListServices": "", "TreeStatus": "", "Reload": "", "Shutdown": "kind", "GetServiceByPid": "pid"}

// maxUnitName bounds names of units (unit names end at 255 bytes).
const maxUnitName = 256

// errUnknownCommand has the original's words.
var errUnknownCommand = Errorf("NoSuchVerb", "unknown command")

// decodeDM reads a request. The id is set even if it fails, when there was one.
func decodeDM(payload []byte) (dmRequest, *Error) {
	var q dmRequest
	e, err := frame.Open(payload)
	q.id = e.ID
	if err != nil {
		return q, Errorf("ParseError", "broken frame: %v", err)
	}
	q.kind = string(e.Variant)
	must, ok := dmRequests[q.kind]
	if !ok {
		return q, errUnknownCommand
	}
	if e.Fields == nil {
		if must != "" {
			return q, Errorf("InvalidArgs", "%s needs %q", q.kind, must)
		}
		return q, nil
	}
	r := frame.NewReader(e.Fields)
	found := must == ""
	n, named := r.Entries()
	for i := range n {
		key := must
		if named {
			key = string(r.Key())
		} else if i > 0 {
			key = ""
		}
		switch {
		case key == "name" && must == "name", key == "kind" && must == "kind":
			q.name, found = string(r.Str(maxUnitName)), true
		case key == "pid" && must == "pid":
			q.pid, found = int32(r.Int(math.MinInt32, math.MaxInt32)), true
		case key == "after" && must == "":
			q.after, q.paged = string(r.Str(maxUnitName)), true
		default:
			r.Skip()
		}
	}
	if err := r.End(); err != nil {
		return q, Errorf("ParseError", "broken frame: %v", err)
	}
	if !found {
		return q, Errorf("InvalidArgs", "%s needs %q", q.kind, must)
	}
	return q, nil
}

// dmService is a row of ServiceList.
type dmService struct {
	name, status string
	pid          int32 // 0 is nil
}

func beginReply(id uint64) []byte {
	return frame.BeginMessage(make([]byte, 0, 256), &frame.Envelope{ID: id, Form: frame.Response, InReplyTo: id})
}

// seal ends a frame; one that has become too large is replaced by an error.
func seal(p []byte, id uint64) []byte {
	out, err := frame.End(p, 0)
	if err != nil {
		return dmError(id, fmt.Sprintf("the answer is larger than %d bytes", frame.MaxPayload))
	}
	return out
}

func variant(p []byte, name string, fields int) []byte {
	return frame.AppendMap(frame.AppendStr(frame.AppendMap(p, 1), name), fields)
}

func dmAck(id uint64) []byte { return seal(frame.AppendStr(beginReply(id), "Ack"), id) }

func dmError(id uint64, text string) []byte {
	p := variant(beginReply(id), "Error", 1)
	return seal(frame.AppendStr(frame.AppendStr(p, "message"), shorten(text, 4096)), id)
}

func appendPID(p []byte, pid int32) []byte {
	p = frame.AppendStr(p, "pid")
	if pid == 0 {
		return frame.AppendNil(p)
	}
	return frame.AppendInt(p, int64(pid))
}

func dmServiceInfo(id uint64, s dmService, supervisor string) []byte {
	p := appendService(variant(beginReply(id), "ServiceInfo", 4), s)
	return seal(frame.AppendStr(frame.AppendStr(p, "supervisor"), supervisor), id)
}

func appendService(p []byte, s dmService) []byte {
	p = frame.AppendStr(frame.AppendStr(p, "name"), s.name)
	p = frame.AppendStr(frame.AppendStr(p, "status"), s.status)
	return appendPID(p, s.pid)
}

// dmServiceList makes a list. One that does not fit is cut for a client that asked
// for pages, and an error for one that would take the first page for everything.
// more says that there are services behind the list.
func dmServiceList(id uint64, list []dmService, paged, more bool) []byte {
	// 64 bytes are for the envelope and the field "next" without its value.
	const head = 64 + maxUnitName
	kept, size := 0, head
	var row []byte
	for kept < len(list) {
		row = appendService(row[:0], list[kept])
		if size += len(row) + 1; size > frame.MaxPayload {
			break
		}
		kept++
	}
	fields := 1
	if kept < len(list) || more && kept > 0 {
		if !paged {
			return dmError(id, fmt.Sprintf("%d services do not fit into one answer of this protocol: use JSON-RPC, or ListServices with \"after\"", len(list)))
		}
		fields = 2
	}
	p := variant(beginReply(id), "ServiceList", fields)
	p = frame.AppendArray(frame.AppendStr(p, "services"), kept)
	for _, s := range list[:kept] {
		p = appendService(frame.AppendMap(p, 3), s)
	}
	if fields == 2 {
		p = frame.AppendStr(frame.AppendStr(p, "next"), list[kept-1].name)
	}
	return seal(p, id)
}

// dmTree sends a text for people: one that does not fit says so at its end.
func dmTree(id uint64, text string) []byte {
	if limit := frame.MaxPayload - 256; len(text) > limit {
		end := strings.LastIndexByte(text[:limit], '\n') + 1
		text = text[:end] + fmt.Sprintf("… and %d more lines: use dynamodctl tree\n", strings.Count(text[end:], "\n"))
	}
	p := variant(beginReply(id), "Tree", 1)
	return seal(frame.AppendStr(frame.AppendStr(p, "text"), text), id)
}

func dmServiceByPid(id uint64, name string, pid int32) []byte {
	p := frame.AppendStr(variant(beginReply(id), "ServiceByPid", 2), "name")
	if name == "" {
		p = frame.AppendNil(p)
	} else {
		p = frame.AppendStr(p, name)
	}
	return seal(frame.AppendInt(frame.AppendStr(p, "pid"), int64(pid)), id)
}

// serveDM answers one frame; the original's server closes the connection then,
// and its clients count on nothing else.
func (c *conn) serveDM() {
	payload, err := c.readFrame()
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			c.send(dmError(0, e.Text))
		}
		return
	}
	q, refusal := decodeDM(payload)
	if refusal != nil {
		c.send(dmError(q.id, refusal.Text))
		return
	}
	// What else the client sends is dropped, as the original does, and whether it
	// hangs up shows when the answer is written: that is DMGrace away at most.
	c.send(c.doDM(c.ctx, q))
}

// readFrame reads the first frame. Garbage before it is skipped, as long as it is
// no more than one frame could be.
func (c *conn) readFrame() ([]byte, error) {
	buf := make([]byte, 0, 512)
	garbage := 0
	for {
		payload, n, err := frame.Next(buf, frame.MaxPayload)
		switch {
		case payload != nil:
			return payload, nil
		case err == frame.Oversize:
			return nil, Errorf("TooLarge", "the frame is larger than %d bytes", frame.MaxPayload)
		case err != nil:
			if garbage += n; garbage > MaxMessage {
				return nil, Errorf("ParseError", "no frame in %d bytes", garbage)
			}
			buf = append(buf[:0], buf[n:]...)
			continue
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		k, err := c.in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+k]
		if err != nil && k == 0 {
			return nil, err
		}
	}
}
