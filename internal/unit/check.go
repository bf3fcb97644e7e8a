package unit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"dynamod/internal/calendar"
	"dynamod/internal/diag"
	"dynamod/internal/unitname"
)

// derive stores what follows from other settings, as the manual pages say.
func (b *builder) derive() {
	u := b.u
	if _, on := DelegatedControllers(u); on && !OOMPolicy.IsSet(u) && (u.Type == unitname.Service || u.Type == unitname.Scope) {
		b.imply(OOMPolicy.s, "continue") // systemd.service(5), systemd.scope(5), OOMPolicy=
	}
	switch u.Type {
	case unitname.Service:
		b.deriveService()
	case unitname.Socket:
		if Accept.Of(u) {
			if !TriggerLimitBurst.IsSet(u) {
				b.imply(TriggerLimitBurst.s, int64(200))
			}
			if !PollLimitBurst.IsSet(u) {
				b.imply(PollLimitBurst.s, int64(150))
			}
		}
	case unitname.Mount, unitname.Automount:
		if Where.Of(u) == "" {
			if p, err := unitname.ToPath(u.Name); err == nil {
				b.imply(Where.s, p)
			}
		}
	case unitname.Swap:
		if What.Of(u) == "" {
			if p, err := unitname.ToPath(u.Name); err == nil {
				b.imply(What.s, p)
			}
		}
	}
}

func (b *builder) deriveService() {
	u := b.u
	if !ServiceType.IsSet(u) {
		switch { // systemd.service(5), Type=
		case BusName.Of(u) != "":
			b.imply(ServiceType.s, "dbus")
		case len(ExecStart.Of(u)) == 0 && u.Format == UnitFile:
			b.imply(ServiceType.s, "oneshot")
		}
	}
	kind := ServiceType.Of(u)
	if kind == "oneshot" {
		if !TimeoutStartSec.IsSet(u) {
			b.imply(TimeoutStartSec.s, Forever)
		}
		if u.Format == Native {
			if !RemainAfterExit.IsSet(u) {
				b.imply(RemainAfterExit.s, true)
			}
			if !Restart.IsSet(u) {
				b.imply(Restart.s, "no")
			}
		}
	}
	notify := kind == "notify" || kind == "notify-reload"
	if u.Format == Native && !ReadinessType.IsSet(u) {
		switch {
		case notify:
			b.imply(ReadinessType.s, "notify")
		case kind == "dbus":
			b.imply(ReadinessType.s, "dbus")
		}
	}
	if notify || WatchdogSec.Of(u) > 0 || ReadinessType.Of(u) == "notify" {
		if NotifyAccess.Of(u) == "none" {
			b.imply(NotifyAccess.s, "main")
		}
	}
}

// refuse reports why the unit cannot be run as written.
func (b *builder) refuse(s *Setting, hint, format string, args ...any) {
	b.fatal = true
	pos := diag.Pos{File: b.u.Path}
	key := ""
	if s != nil {
		key = s.Name
		if b.u.Format == Native || key == "" {
			key = s.Native
		}
		if o := b.u.Origin(s); len(o) > 0 {
			pos = o[len(o)-1]
		}
	}
	b.add(diag.Diag{Pos: pos, Severity: diag.Error, Code: "bad-setting", Key: key,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// warn reports a setting that is used but does nothing useful.
func (b *builder) warn(s *Setting, hint, format string, args ...any) {
	pos := diag.Pos{File: b.u.Path}
	if o := b.u.Origin(s); len(o) > 0 {
		pos = o[len(o)-1]
	}
	b.add(diag.Diag{Pos: pos, Severity: diag.Warning, Code: "no-effect", Key: s.Name,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// check refuses what systemd refuses (recorded from systemd-analyze verify
// 252) and what the original dynamod reported.
func (b *builder) check() {
	u := b.u
	switch u.Type {
	case unitname.Service:
		b.checkService()
	case unitname.Socket:
		b.checkSocket()
	case unitname.Timer:
		if len(OnCalendar.Of(u)) == 0 && len(Monotonics.Of(u)) == 0 && !OnClockChange.Of(u) && !OnTimezoneChange.Of(u) {
			b.refuse(OnCalendar.s, "set OnCalendar= or one of OnActiveSec=, OnBootSec=, …", "the timer never elapses")
		}
		b.checkTriggers(TimerUnit)
	case unitname.Path:
		if len(Watches.Of(u)) == 0 {
			b.refuse(Watches.s, "set PathExists=, PathChanged= or another watch", "the path unit watches nothing")
		}
		b.checkTriggers(PathUnit)
	case unitname.Mount:
		b.checkName(Where, Where.Of(u))
		if What.Of(u) == "" && !u.Perpetual {
			b.refuse(What.s, "name the device or other source in What=", "the mount has nothing to mount")
		}
	case unitname.Automount:
		b.checkName(Where, Where.Of(u))
		if Where.Of(u) == "/" {
			b.refuse(Where.s, "", "the root directory cannot be an automount point")
		}
	case unitname.Swap:
		if w := What.Of(u); strings.HasPrefix(w, "/") {
			b.checkName(What, w)
		}
	case unitname.Slice:
		if !unitname.ValidSlice(u.Name) {
			b.refuse(nil, "a slice is named after its parents: a-b.slice is below a.slice", "%s is no place in the tree of slices", u.Name)
		}
	}
	b.checkSlice()
}

func (b *builder) checkSlice() {
	u := b.u
	s, set := u.lookup(Slice.s.ID)
	if !set {
		return
	}
	n := s.(string)
	switch {
	case strings.IndexByte(n, '%') >= 0:
	case !unitname.ValidSlice(n):
		b.dropValue(Slice.s, "name a slice, such as system.slice", "%s is no slice", n)
	case u.Type == unitname.Slice:
		if p, _ := unitname.SliceParent(u.Name); n != p {
			b.dropValue(Slice.s, "a slice lies where its name says", "the parent of %s is %s", u.Name, p)
		}
	}
}

// dropValue takes a value back that only the whole unit shows to be wrong.
func (b *builder) dropValue(s *Setting, hint, format string, args ...any) {
	pos := b.u.Origin(s)
	i, _ := b.u.find(s.ID)
	b.u.vals = slices.Delete(b.u.vals, i, i+1)
	d := diag.Diag{Severity: diag.Error, Code: "bad-value", Key: s.Name, Message: s.Name + "= is ignored: " + fmt.Sprintf(format, args...), Hint: hint}
	if len(pos) > 0 {
		d.Pos = pos[0]
	}
	b.add(d)
}

func (b *builder) checkTriggers(k Key[string]) {
	if k.Of(b.u) == b.u.Name {
		b.dropValue(k.s, "name another unit", "a unit cannot trigger itself")
	}
}

func (b *builder) checkName(k Key[string], p string) {
	u := b.u
	if p == "" || strings.IndexByte(p, '%') >= 0 {
		if p == "" {
			b.refuse(k.s, "set "+k.s.Name+"=", "%s= is missing", k.s.Name)
		}
		return
	}
	want, err := unitname.FromPath(p, u.Type)
	if err != nil {
		b.refuse(k.s, "", "%s=%s: %v", k.s.Name, diag.Clip(p), err)
	} else if want != u.Name {
		b.refuse(k.s, "name the unit "+want, "%s=%s does not match the unit's name", k.s.Name, diag.Clip(p))
	}
}

func (b *builder) checkService() {
	u := b.u
	kind := ServiceType.Of(u)
	starts, stops := len(ExecStart.Of(u)), len(ExecStop.Of(u))
	acts := SuccessAction.Of(u) != "none"
	if u.Format == Native {
		b.checkNative(kind, starts)
	} else if starts == 0 {
		switch {
		case stops == 0 && !acts:
			b.refuse(ExecStart.s, "say in ExecStart= what to run", "the service has no ExecStart=, ExecStop= or SuccessAction=")
		case !acts && !RemainAfterExit.Of(u):
			b.refuse(ExecStart.s, "set RemainAfterExit=yes", "the service has no ExecStart= and would end at once")
		case kind != "oneshot":
			b.refuse(ServiceType.s, "set Type=oneshot", "a service of type %s needs ExecStart=", kind)
		}
	}
	if starts > 1 && kind != "oneshot" {
		b.refuse(ExecStart.s, "clear the former with an empty ExecStart= first, or set Type=oneshot",
			"a service of type %s has exactly one ExecStart=, not %d", kind, starts)
	}
	switch kind {
	case "oneshot":
		if r := Restart.Of(u); (r == "always" || r == "on-success") && u.Format == UnitFile {
			b.refuse(Restart.s, "set Restart=on-failure", "a oneshot that ended well is never restarted, so Restart=%s is not allowed", r)
		}
		if ExitType.Of(u) == "cgroup" {
			b.refuse(ExitType.s, "", "ExitType=cgroup is not allowed for oneshots")
		}
		if RuntimeMaxSec.Of(u) != Forever && RuntimeMaxSec.Of(u) > 0 {
			b.warn(RuntimeMaxSec.s, "set TimeoutStartSec= instead", "RuntimeMaxSec= has no effect on oneshots")
		}
	case "dbus":
		if BusName.Of(u) == "" {
			b.refuse(BusName.s, "set BusName=", "a service of type dbus needs the bus name it takes")
		}
	case "target":
		if u.Format == UnitFile {
			b.refuse(ServiceType.s, "make it a .target unit", "unit files have no services of type target")
		}
	}
	b.checkHealth()
}

// checkNative makes the checks of the original dynamod, as errors.
func (b *builder) checkNative(kind string, starts int) {
	u := b.u
	if starts == 0 && kind != "target" {
		b.refuse(ExecStart.s, `write exec = ["/path/to/program", "argument"] in [service]`, "the service has no command")
	}
	need := func(ok bool, key string) {
		if !ok {
			b.refuse(ReadinessType.s, "set "+key, "readiness.type = %q needs %s", ReadinessType.Of(u), key)
		}
	}
	switch ReadinessType.Of(u) {
	case "tcp-port":
		need(ReadinessPort.Of(u) != 0, "readiness.port")
	case "exec":
		need(len(ReadinessExec.Of(u)) > 0, "readiness.check-exec")
	case "http":
		need(ReadinessURL.Of(u) != "", "readiness.url")
	case "path":
		need(ReadinessPath.Of(u) != "", "readiness.path")
	case "pidfile":
		need(PIDFile.Of(u) != "", "readiness.pid-file")
	case "dbus":
		need(BusName.Of(u) != "", "readiness.bus-name")
	}
}

func (b *builder) checkHealth() {
	u := b.u
	kind := HealthType.Of(u)
	if kind == "none" {
		return
	}
	need := func(ok bool, key string) {
		if !ok {
			b.refuse(HealthType.s, "set "+key, "health.type = %q needs %s", kind, key)
		}
	}
	switch kind {
	case "tcp", "http":
		need(HealthEndpoint.Of(u) != "", "health.endpoint")
	case "exec":
		need(len(HealthExec.Of(u)) > 0, "health.exec")
	case "path":
		need(HealthPath.Of(u) != "", "health.path")
	}
	// A flapping service must use its restarts up: if it takes longer to be
	// found unhealthy than the window lasts, it would flap for ever.
	flap := time.Duration(HealthRetries.Of(u)) * HealthInterval.Of(u)
	if HealthInterval.Of(u) > Forever/1000 {
		flap = Forever
	}
	if OnUnhealthy.Of(u) == "restart" && MaxRestarts.Of(u) > 0 && flap >= MaxRestartWindow.Of(u) {
		b.refuse(HealthInterval.s, "make retries × interval shorter than restart.max-restart-window",
			"health.retries × health.interval is %s, not less than the restart window %s", calendar.FormatSpan(flap), calendar.FormatSpan(MaxRestartWindow.Of(u)))
	}
}

func (b *builder) checkSocket() {
	u := b.u
	list := Listens.Of(u)
	if len(list) == 0 {
		b.refuse(Listens.s, "set ListenStream=, ListenDatagram= or another address", "the socket listens on nothing")
		return
	}
	if s, ok := u.lookup(SocketService.s.ID); ok {
		if n := s.(string); !strings.HasSuffix(n, ".service") {
			b.dropValue(SocketService.s, "name a service", "%s is no service", n)
		}
	}
	if !Accept.Of(u) {
		return
	}
	for _, l := range list {
		if l.Kind != "Stream" && l.Kind != "SequentialPacket" {
			b.refuse(Accept.s, "remove Accept=yes, or listen on streams only", "Listen%s= has no connections to accept", l.Kind)
			break
		}
	}
	if SocketService.Of(u) != "" {
		b.refuse(SocketService.s, "remove Service=; each connection starts an instance of the template of the socket's own name",
			"Accept=yes and Service= cannot be set together")
	}
	if MaxConnections.Of(u) == 0 {
		b.refuse(MaxConnections.s, "allow at least one", "MaxConnections=0 lets no connection in")
	}
}
