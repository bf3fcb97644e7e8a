package cli

import (
	"dynamod/dynamodctl/internal/render"
	"dynamod/internal/ipc"
)

// listTriggers is list --timers and --sockets: each unit with what only its status has.
func (s *session) listTriggers(a ipc.ListArgs, typ string) error {
	a.Types = []string{typ}
	units, err := s.client.List(s.ctx, a)
	if err != nil {
		return err
	}
	all := []ipc.Status{}
	for _, u := range units {
		var st ipc.Status
		if err := s.call(ipc.VerbStatus, &ipc.UnitArgs{Unit: u.Name}, &st); err != nil {
			return err
		}
		all = append(all, st)
	}
	switch {
	case s.json:
		return s.printJSON(struct {
			Units []ipc.Status `json:"units"`
		}{all})
	case typ == "timer":
		render.Timers(s.out, all, s.o)
	default:
		render.Sockets(s.out, all, s.o)
	}
	return nil
}
