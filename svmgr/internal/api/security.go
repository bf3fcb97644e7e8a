package api

import (
	"os"
	"strings"

	"dynamod/internal/ipc"
	"dynamod/internal/sandbox"
)

// security rates a service by the settings that hold for it now.
func (c *call) security(*ipc.SecurityArgs) (any, error) {
	if !strings.HasSuffix(c.unit, ".service") {
		return nil, ipc.Errorf("InvalidArgs", "%s is no service; only services are rated", clip(c.unit))
	}
	u, err := c.asWritten()
	if err != nil {
		return nil, err
	}
	if u.Unit == nil {
		return nil, ipc.Errorf("NoSuchUnit", "there are no files of %s", clip(c.unit)).WithUnit(c.unit)
	}
	r := sandbox.Rate(u.Unit, c.m.Info().Mode == "user" || os.Geteuid() != 0)
	res := &ipc.SecurityResult{Unit: u.Name, Score: r.Score, Word: r.Word, Findings: make([]ipc.SecurityFinding, len(r.Findings))}
	for k, f := range r.Findings {
		res.Findings[k] = ipc.SecurityFinding(f)
	}
	return res, nil
}
