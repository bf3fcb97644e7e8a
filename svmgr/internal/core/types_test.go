package core

import (
	"fmt"
	"testing"
	"time"
)

// When each service type counts as started (systemd.service(5), Type=).
func TestTypeSimpleAndExec(t *testing.T) {
	for _, typ := range []string{"simple", "exec"} {
		h := load(t, "a.service || Type="+typ, "b.service | Requires=a.service; After=a.service |")
		h.noExec["a.service"] = true
		j := h.start("b.service")
		h.is("a.service", "starting/start", "b.service", "inactive")
		h.exec("a.service")
		h.is("a.service", "active/running", "b.service", "active/running")
		h.wantResult(j, "done")
	}
}

func TestTypeOneshotRunsAllCommands(t *testing.T) {
	h := load(t, "a.service || Type=oneshot; ExecStart=/bin/1; ExecStart=-/bin/2; ExecStart=/bin/3; ExecStopPost=/bin/post", "b.service | Requires=a.service; After=a.service |")
	j := h.start("b.service")
	h.exit("a.service", 0)
	h.exit("a.service", 7) // '-': does not matter
	h.is("a.service", "starting/start", "b.service", "inactive")
	h.exit("a.service", 0)
	h.is("a.service", "stopping/stop-post", "b.service", "inactive")
	h.command("a.service", 0)
	h.is("a.service", "completed/dead", "b.service", "active")
	h.wantResult(j, "done")
	var paths []string
	for _, s := range find[Spawn](h, 0) {
		if s.Unit.Name == "a.service" {
			paths = append(paths, s.Exec.Path)
		}
	}
	want(h, "commands", fmt.Sprint(paths), "[/bin/1 /bin/2 /bin/3 /bin/post]")

	h = load(t, "a.service || Type=oneshot; ExecStart=/bin/1; ExecStart=/bin/2")
	j = h.start("a.service")
	h.exit("a.service", 1)
	h.is("a.service", "failed")
	h.wantResult(j, "failed")
	want(h, "commands run", h.spawns("a.service"), 1)
}

// A oneshot has no start timeout unless it asks for one.
func TestTypeOneshotTakesItsTime(t *testing.T) {
	h := load(t, "a.service || Type=oneshot", "b.service || Type=oneshot; TimeoutStartSec=5")
	h.start("a.service")
	h.start("b.service")
	h.advance(5 * time.Second)
	h.is("b.service", "stopping")
	h.exit("b.service", 0)
	h.advance(24 * time.Hour)
	h.is("a.service", "starting", "b.service", "failed")
	h.exit("a.service", 0)
	h.is("a.service", "completed")
}

// TERM is no clean end of a oneshot, as it is of a daemon.
func TestTypeOneshotKilledIsFailure(t *testing.T) {
	h := load(t, "a.service || Type=oneshot", "b.service ||")
	h.start("a.service")
	h.start("b.service")
	h.killed("a.service", sigTERM)
	h.killed("b.service", sigTERM)
	h.is("a.service", "failed", "b.service", "inactive")
}

func TestTypeNotify(t *testing.T) {
	h := load(t, "a.service || Type=notify; ExecStartPost=/bin/post", "b.service | After=a.service |")
	h.start("a.service")
	j := h.start("b.service")
	h.ready("a.service")
	h.is("a.service", "starting/start-post", "b.service", "inactive")
	h.command("a.service", 0)
	h.is("a.service", "active/running", "b.service", "active")
	h.wantResult(j, "done")

	h = load(t, "a.service || Type=notify") // a clean end before readiness is a failure
	j = h.start("a.service")
	h.exit("a.service", 0)
	h.wantResult(j, "failed")
	h.because("a.service", ProtocolError)
}

// A service that got READY=1 in before its exec report arrived is ready too.
func TestTypeNotifyReportsOutOfOrder(t *testing.T) {
	h := load(t, "a.service || Type=notify")
	h.noExec["a.service"] = true
	h.start("a.service")
	h.ready("a.service")
	h.is("a.service", "active/running")
	h.exec("a.service")
	h.is("a.service", "active/running")
}

// RELOADING=1 that is older than the reload's signal is no answer to it.
func TestTypeNotifyReloadIgnoresOldStamps(t *testing.T) {
	h := load(t, "a.service || Type=notify-reload; ReloadSignal=SIGUSR1")
	h.start("a.service")
	h.ready("a.service")
	m := h.mark()
	j := h.reload("a.service")
	h.did(m, "a.service", "USR1:main")
	h.notify("a.service", Notification{Reloading: true, ReloadStamp: h.now.Mono - 1})
	h.is("a.service", "reloading/reload-signal")
	h.ready("a.service") // belongs to the old one
	h.is("a.service", "reloading/reload-signal")
	h.notify("a.service", Notification{Reloading: true, ReloadStamp: h.now.Mono + 1})
	h.ready("a.service")
	h.is("a.service", "active/running")
	h.wantResult(j, "done")
}

// A reload that the service begins by itself shows, and a reload request
// meanwhile waits for its end.
func TestTypeNotifyReloadsByItself(t *testing.T) {
	h := load(t, "a.service || Type=notify; ExecReload=/bin/r; NotifyAccess=main")
	h.start("a.service")
	h.ready("a.service")
	h.notify("a.service", Notification{Reloading: true})
	h.is("a.service", "reloading")
	j := h.reload("a.service")
	h.wantResult(j, "")
	h.ready("a.service")
	h.is("a.service", "reloading/reload")
	h.command("a.service", 0)
	h.wantResult(j, "done")
}

func TestTypeDBus(t *testing.T) {
	h := load(t, "a.service || Type=dbus; BusName=org.a", "b.service | After=a.service |", "dbus.socket || ListenStream=/run/dbus", "dbus.service ||")
	h.start("a.service")
	h.start("b.service")
	h.is("a.service", "starting/start", "b.service", "inactive")
	h.tell(BusNameAcquired{Name: "org.a", Unit: "a.service"})
	h.is("a.service", "active/running", "b.service", "active")
	m := h.mark()
	h.tell(BusNameLost{Name: "org.a", Unit: "a.service"})
	h.is("a.service", "stopping")
	h.did(m, "a.service", "TERM CONT")
	h.exit("a.service", 0)

	j := h.start("a.service") // ends before it has the name
	h.exit("a.service", 0)
	h.wantResult(j, "failed")
}

// Idle waits until the job queue is empty, at most 5 s.
func TestTypeIdle(t *testing.T) {
	h := load(t, "a.service || Type=idle", "b.service || Type=notify", "x.target | Wants=a.service b.service |")
	h.start("x.target")
	want(h, "spawns", h.spawns("a.service"), 0)
	h.advance(time.Second)
	h.ready("b.service")
	want(h, "spawns", h.spawns("a.service"), 1)
	h.is("a.service", "active")
}

func TestTypeIdleWaitsFiveSeconds(t *testing.T) {
	h := load(t, "z.service || Type=idle", "b.service || Type=notify", "x.target | Wants=z.service b.service |")
	h.start("x.target")
	h.advance(5*time.Second - 1)
	want(h, "spawns", h.spawns("z.service"), 0)
	h.advance(1)
	want(h, "spawns", h.spawns("z.service"), 1)
}

func adopt(h *harness) Adopt {
	h.Helper()
	as := find[Adopt](h, 0)
	if len(as) == 0 {
		h.Fatalf("nothing was asked about a main process")
	}
	return as[len(as)-1]
}

func TestTypeForkingWithPIDFile(t *testing.T) {
	h := load(t, "a.service || Type=forking; PIDFile=/run/a.pid; Restart=on-failure; RestartSec=1")
	j := h.start("a.service")
	h.holds["a.service"] = true
	h.command("a.service", 0)
	h.is("a.service", "starting/start")
	a := adopt(h)
	h.tell(MainPID{Unit: "a.service", Incarnation: a.Incarnation, Run: a.Run, Found: true})
	h.is("a.service", "active/running")
	h.wantResult(j, "done")
	h.holds["a.service"] = false
	h.tell(Exited{Run: a.Run, Signal: 11}) // its death is noticed
	h.tell(CgroupEmpty{Unit: "a.service", Incarnation: a.Incarnation})
	h.is("a.service", "restart-pending")

	h = load(t, "a.service || Type=forking; PIDFile=/run/a.pid")
	j = h.start("a.service")
	h.holds["a.service"] = true
	h.command("a.service", 0)
	a = adopt(h)
	h.tell(MainPID{Unit: "a.service", Incarnation: a.Incarnation, Run: a.Run})
	h.is("a.service", "stopping")
	h.empties("a.service")
	h.wantResult(j, "failed")
	h.because("a.service", ProtocolError)

	h = load(t, "a.service || Type=forking; PIDFile=/run/a.pid") // its start command fails
	j = h.start("a.service")
	h.command("a.service", 1)
	h.wantResult(j, "failed")
	want(h, "adoptions", len(find[Adopt](h, 0)), 0)
}

// Without a PID file and without a guess the cgroup is the service.
func TestTypeForkingWithoutMain(t *testing.T) {
	h := load(t, "a.service || Type=forking")
	h.start("a.service")
	h.holds["a.service"] = true
	h.command("a.service", 0)
	a := adopt(h)
	h.tell(MainPID{Unit: "a.service", Incarnation: a.Incarnation, Run: a.Run})
	h.is("a.service", "active/running")
	h.empties("a.service")
	h.is("a.service", "inactive")
}

// MAINPID= hands the service over: the old process may end, the new one counts.
func TestMainPIDHandOver(t *testing.T) {
	h := load(t, "a.service || Type=notify; Restart=on-failure; RestartSec=1")
	h.start("a.service")
	h.ready("a.service")
	h.holds["a.service"] = true
	h.notify("a.service", Notification{MainPID: 4711})
	a := adopt(h)
	want(h, "pid", a.PID, int32(4711))
	h.exit("a.service", 0) // the old one ends before the answer
	h.is("a.service", "active/running")
	h.tell(MainPID{Unit: "a.service", Incarnation: a.Incarnation, Run: a.Run, Found: true})
	want(h, "main", h.view("a.service").Main, a.Run)
	h.is("a.service", "active/running")
	h.tell(Exited{Run: a.Run, Code: 1})
	h.empties("a.service")
	h.is("a.service", "restart-pending")

	h = load(t, "a.service || Type=notify") // a refused successor
	h.start("a.service")
	h.ready("a.service")
	old := h.main("a.service")
	h.notify("a.service", Notification{MainPID: 4711})
	a = adopt(h)
	h.tell(MainPID{Unit: "a.service", Incarnation: a.Incarnation, Run: a.Run})
	want(h, "main", h.view("a.service").Main, old)
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
}

// ExitType=cgroup: the service runs as long as anybody of it does.
func TestExitTypeCgroup(t *testing.T) {
	h := load(t, "a.service || ExitType=cgroup")
	h.start("a.service")
	h.holds["a.service"] = true
	h.exit("a.service", 0)
	h.is("a.service", "active/running")
	h.empties("a.service")
	h.is("a.service", "inactive")
}

func TestRemainAfterExit(t *testing.T) {
	h := load(t, "a.service || RemainAfterExit=yes; ExecStop=/bin/stop")
	h.start("a.service")
	h.exit("a.service", 0)
	h.is("a.service", "completed/exited")
	want(h, "systemd shows", h.view("a.service").Active.String(), "active")
	h.stop("a.service")
	h.command("a.service", 0)
	h.is("a.service", "inactive")
	h.start("a.service")
	h.exit("a.service", 1)
	h.command("a.service", 0)
	h.is("a.service", "failed")
}
