package api

import (
	"context"

	"dynamod/internal/ipc"
	"dynamod/svmgr/internal/core"
)

// bootHealth says how the boot stands. Of the units that count the caller learns those
// that it may see.
func (c *call) bootHealth(*ipc.NoArgs) (any, error) {
	res := c.m.BootHealth()
	res.Due = -1
	err := c.query(func(v core.View) {
		b := v.Boot()
		res.Verdict = b.State.String()
		if b.Due != 0 {
			res.Due = max((b.Due - c.m.Now().Mono).Microseconds(), 0)
		}
		for _, m := range b.Members {
			if !c.sees(m.Name) {
				res.Hidden++
				continue
			}
			row := ipc.BootMember{Unit: m.Name, State: "not-found", Up: m.Up, Since: stamp(m.Since), Grace: m.Grace.Microseconds()}
			if u, ok := v.Unit(m.Name); ok && u.Unit != nil {
				row.State = u.State.String()
			}
			res.Members = append(res.Members, row)
		}
	})
	return &res, err
}

// bootMark takes the verdict of somebody who knows better.
func (c *call) bootMark(a *ipc.BootMarkArgs) (any, error) {
	if a.Verdict != "good" && a.Verdict != "bad" {
		return nil, ipc.Errorf("InvalidArgs", "a boot is marked good or bad, not %q", clip(a.Verdict))
	}
	c.log.Warn("the boot is marked", "verdict", a.Verdict, "uid", c.peer.UID, "pid", c.peer.PID)
	_, err := c.ask(func(id core.RequestID) core.Event {
		return core.BootMarked{Good: a.Verdict == "good", Request: id}
	})(context.Background()) // answered at once
	return nil, err
}
