package graph

import (
	"strings"

	"dynamod/internal/unit"
	"dynamod/internal/unitname"
)

// exec: systemd.exec(5), "Implicit Dependencies".
func (e *emitter) exec() {
	u := e.u
	switch u.Type {
	case unitname.Service, unitname.Mount, unitname.Swap:
	case unitname.Socket:
		if !runsPrograms(u) {
			return
		}
	default:
		return
	}
	if u.Perpetual {
		return
	}
	for _, d := range directories {
		s := d.setting()
		if s == nil {
			continue
		}
		e.key = refTo(s)
		switch v := u.Value(s).(type) {
		case []string:
			for k, p := range v {
				e.item = int32(k)
				p, _, _ = strings.Cut(p, ":")
				if e.g.mode == System {
					e.below(d.base+"/"+p, Requires, ruleDirectories)
				}
			}
		case string:
			e.item = 0
			rel := Requires
			if strings.HasPrefix(v, "-") || d.optional {
				rel = Wants
			}
			e.below(v, rel, ruleDirectories)
		}
	}
	e.key, e.item = 0, 0
	if e.g.mode == User {
		// The home directory of the user is the working directory.
		e.below("/", Requires, ruleUserRoot)
	}
	if e.g.mode == System && persistent(u) {
		// Recorded, in no manual: the root must be writable by then.
		e.known("systemd-remount-fs.service", After, ruleDirectories)
	}
	if truth(u, privateTmp.setting()) {
		e.below("/tmp", Wants, rulePrivateTmp)
		e.below("/var/tmp", Wants, rulePrivateTmp)
		if e.g.mode == System {
			e.known("systemd-tmpfiles-setup.service", After, rulePrivateTmp)
		}
	}
	if e.g.mode != System || u.Format != unit.UnitFile || !logsToJournal(u) {
		return
	}
	if ns := text(u, logNamespace.setting()); ns != "" {
		e.known("systemd-journald@"+ns+".socket", Requires|After, ruleLogs)
		e.known("systemd-journald-varlink@"+ns+".socket", Requires|After, ruleLogs)
		e.known("systemd-journald-sync@"+ns+".service", Requires|After, ruleLogs)
	} else {
		e.known("systemd-journald.socket", After, ruleLogs)
	}
}

// ref finds a row of the settings table by its directive.
type ref struct {
	name string
	base string
	// optional: the unit wants the mounts and does not require them
	// (recorded; the manual says "Requires=").
	optional bool
}

func (r ref) setting() *unit.Setting {
	s, _ := unit.LookupDirective("Service", r.name)
	return s
}

var (
	directories = []ref{
		{name: "WorkingDirectory"}, {name: "RootDirectory", optional: true},
		{name: "RootImage", optional: true},
		{name: "RuntimeDirectory", base: "/run"}, {name: "StateDirectory", base: "/var/lib"},
		{name: "CacheDirectory", base: "/var/cache"}, {name: "LogsDirectory", base: "/var/log"},
		{name: "ConfigurationDirectory", base: "/etc"},
	}
	privateTmp     = ref{name: "PrivateTmp"}
	logNamespace   = ref{name: "LogNamespace"}
	standardInput  = ref{name: "StandardInput"}
	standardOutput = ref{name: "StandardOutput"}
	standardError  = ref{name: "StandardError"}
)

// persistent says whether the unit has directories below /var.
func persistent(u *unit.Unit) bool {
	for _, d := range directories {
		if s := d.setting(); s != nil && strings.HasPrefix(d.base, "/var/") {
			if v, _ := u.Value(s).([]string); len(v) > 0 {
				return true
			}
		}
	}
	return false
}

func text(u *unit.Unit, s *unit.Setting) string {
	if s == nil {
		return ""
	}
	v, _ := u.Value(s).(string)
	return v
}

func truth(u *unit.Unit, s *unit.Setting) bool {
	if s == nil {
		return false
	}
	switch v := u.Value(s).(type) {
	case bool:
		return v
	case string:
		return v == "yes" || v == "true" || v == "1" || v == "on"
	}
	return false
}

// runsPrograms says whether a socket unit has commands.
func runsPrograms(u *unit.Unit) bool {
	return len(unit.ExecStartPre.Of(u))+len(unit.ExecStartPost.Of(u))+
		len(unit.ExecStopPre.Of(u))+len(unit.ExecStopPost.Of(u)) > 0
}

func logsToJournal(u *unit.Unit) bool {
	logs := func(v string) bool { return strings.HasPrefix(v, "journal") || strings.HasPrefix(v, "kmsg") }
	out := text(u, standardOutput.setting())
	if s := standardOutput.setting(); out == "" || s != nil && u.Origin(s) == nil {
		out = "journal"
		if in := text(u, standardInput.setting()); in != "" && in != "null" && in != "data" {
			out = "inherit" // a terminal or socket takes the output too
		}
	}
	return logs(out) || logs(text(u, standardError.setting()))
}
