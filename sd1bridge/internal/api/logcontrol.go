package api

import "dynamod/internal/bus"

// logControlPath is that of org.freedesktop.LogControl1(5), by which systemctl(1) reads and
// sets the manager's log-level and log-target.
const logControlPath = "/org/freedesktop/LogControl1"

// logControl is the interface; the two that can be set are the manager's own.
func (s *Server) logControl() *bus.Node {
	own := func(name string) bus.Property {
		return bus.Property{Name: name, Type: "s", Emits: bus.EmitsFalse, Get: s.getter(member{iface: "Manager", name: name}), Set: s.setter(name)}
	}
	i := &bus.Interface{Name: "org.freedesktop.LogControl1", Properties: []bus.Property{own("LogLevel"), own("LogTarget"),
		{Name: "SyslogIdentifier", Type: "s", Emits: bus.EmitsFalse, Get: func(any) (any, error) { return "dynamod-svmgr", nil }}}}
	return &bus.Node{Path: logControlPath, Find: func(*bus.Call, string) (any, []*bus.Interface, error) {
		return &managerObject{s: s}, []*bus.Interface{i}, nil
	}}
}
