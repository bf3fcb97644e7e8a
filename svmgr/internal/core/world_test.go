package core

import (
	"testing"
	"time"
)

// What the operator sees: jobs, what they wait for, status texts, time stamps.
func TestViewTellsTheTruth(t *testing.T) {
	h := load(t, "a.service || Type=notify", "b.service | After=a.service |")
	h.start("a.service")
	h.start("b.service")
	jobs := h.c.View().Jobs()
	want(h, "jobs", len(jobs), 2)
	want(h, "a runs", jobs[0].Running, true)
	want(h, "b runs", jobs[1].Running, false)
	h.advance(3 * time.Second)
	h.notify("a.service", Notification{Ready: true, Status: "serving"})
	u := h.view("a.service")
	want(h, "status", u.Status, "serving")
	want(h, "since", u.Since, h.now)
	want(h, "active enter", u.ActiveEnter, h.now)
	want(h, "inactive exit", h.now.Mono-u.InactiveExit.Mono, 3*time.Second)
	h.advance(time.Minute)
	h.exit("a.service", 1)
	u = h.view("a.service")
	want(h, "active exit", u.ActiveExit, h.now)
	want(h, "inactive enter", u.InactiveEnter, h.now)
	want(h, "result", u.Result, "exit-code")
	want(h, "systemd's word", u.Active.String(), "failed")
	want(h, "shutting down", h.c.View().ShuttingDown(), false)
	h.shutdown(Halt)
	want(h, "shutting down", h.c.View().ShuttingDown(), true)
}

// NRestarts counts automatic restarts and begins anew with an explicit start.
func TestRestartsAreCounted(t *testing.T) {
	h := load(t, "a.service | StartLimitIntervalSec=0 | Restart=always; RestartSec=1")
	h.start("a.service")
	h.crash("a.service", 3, time.Second)
	want(h, "restarts", h.view("a.service").Restarts, uint32(3))
	h.stop("a.service")
	h.exit("a.service", 0)
	h.start("a.service")
	want(h, "restarts", h.view("a.service").Restarts, uint32(0))
}

// What else follows from a unit that appeared by itself: what it requires and
// wants is started, what conflicts stops.
func TestUnexpectedArrivals(t *testing.T) {
	h := load(t, "usb.mount | Requires=a.service; Wants=b.service; Conflicts=c.service |", "a.service ||", "b.service ||", "c.service ||")
	h.start("c.service")
	h.tell(MountChanged{Unit: "usb.mount", Mounted: true})
	h.is("usb.mount", "active", "a.service", "active", "b.service", "active", "c.service", "stopping")
}

// Units that were there before the manager need no start.
func TestPresentAtStart(t *testing.T) {
	h := loadWith(t, Config{Plugged: []string{"dev-a.device"}, Mounted: []string{"data.mount"}},
		"dev-a.device ||", "data.mount ||", "a.service | Requires=data.mount dev-a.device; After=data.mount dev-a.device |")
	h.is("dev-a.device", "active/plugged", "data.mount", "active/mounted")
	h.wantResult(h.start("a.service"), "done")
	h.ran(0, "data.mount", "")
}

// A perpetual unit cannot be stopped.
func TestPerpetualUnit(t *testing.T) {
	h := load(t, "-.slice ||", "-.mount || What=tmpfs; Where=/")
	for _, u := range []string{"-.slice", "-.mount"} {
		if !h.view(u).Unit.Perpetual {
			continue
		}
		h.is(u, "active")
		reply, _ := h.ask(Request{Verb: VerbStop, Unit: u})
		if reply.Err == nil && h.result(reply.Job) == "done" {
			t.Errorf("%s was stopped", u)
		}
		h.is(u, "active")
	}
	h.shutdown(Reboot)
	want(h, "hand-overs", len(find[HandOver](h, 0)), 1)
}

// Soft reboot leaves what asked to survive alone.
func TestSoftRebootSurvivors(t *testing.T) {
	h := load(t, "a.service | SurviveFinalKillSignal=yes |", "b.service ||")
	h.start("a.service")
	h.start("b.service")
	h.shutdown(SoftReboot)
	h.is("a.service", "active", "b.service", "stopping")
	h.exit("b.service", 0)
	want(h, "hand-overs", len(find[HandOver](h, 0)), 1)
}

// The clock standing still or going back does no harm, and a late Tick fires
// everything that is due, in its order.
func TestLateTick(t *testing.T) {
	h := load(t, "a.timer || OnActiveSec=1; AccuracySec=1us", "a.service ||", "b.timer || OnActiveSec=2; AccuracySec=1us", "b.service ||", "c.service || Type=notify; TimeoutStartSec=3")
	h.start("c.service")
	h.start("b.timer")
	h.start("a.timer")
	h.moveTo(h.now.Mono + time.Hour)
	m := h.mark()
	h.tell(Tick{})
	want(h, "order", h.order(m, StageStart), "a b")
	h.is("c.service", "stopping")
	h.now.Mono -= time.Minute
	h.tell(Tick{})
	h.is("a.service", "active")
}

// Notifications that a service sends while it stops or reloads are taken for
// what they are.
func TestNotifyWhileStopping(t *testing.T) {
	h := load(t, "a.service || Type=notify; TimeoutStopSec=5")
	h.start("a.service")
	h.ready("a.service")
	j := h.stop("a.service")
	h.ready("a.service")
	h.is("a.service", "stopping")
	h.notify("a.service", Notification{Reloading: true})
	h.is("a.service", "stopping")
	h.advance(4 * time.Second)
	h.notify("a.service", Notification{ExtendTimeout: 3 * time.Second})
	h.advance(2 * time.Second)
	h.is("a.service", "stopping/stop-sigterm")
	h.exit("a.service", 0)
	h.is("a.service", "inactive")
	h.wantResult(j, "done")
}

// FDSTORE=1 needs no NotifyAccess=, and works while the service stops.
func TestStoreWithoutNotifyAccess(t *testing.T) {
	h := load(t, "a.service || FileDescriptorStoreMax=2; Restart=always; RestartSec=1", "b.service || Restart=always")
	h.start("a.service")
	h.start("b.service")
	h.notify("a.service", Notification{FDStore: 1, FDName: "x"})
	h.notify("b.service", Notification{FDStore: 1, FDName: "x"})
	want(h, "a", h.view("a.service").Stored, 1)
	want(h, "b", h.view("b.service").Stored, 0)
	h.restart("a.service")
	h.notify("a.service", Notification{FDStore: 1, FDName: "y"})
	h.exit("a.service", 0)
	want(h, "after the restart", h.view("a.service").Stored, 2)
}

// A reset of everything that is not busy leaves it at inactive, with its
// descriptors and counters gone.
func TestResetForgets(t *testing.T) {
	h := load(t, "a.service | StartLimitBurst=1; StartLimitIntervalSec=infinity |")
	h.start("a.service")
	h.exit("a.service", 1)
	h.wantResult(h.start("a.service"), "failed")
	h.reset("a.service")
	h.is("a.service", "inactive/dead")
	h.wantResult(h.start("a.service"), "done")
}

// 22 again: stored descriptors are closed whenever the service is down for good
// (FileDescriptorStorePreserve=restart), and when the unit goes.
func TestStatement22DescriptorsAreClosedInTheEnd(t *testing.T) {
	withdrawn := func(h *harness, m int) bool {
		for _, w := range find[Withdraw](h, m) {
			if w.Unit == "a.service" && w.Name == "" {
				return true
			}
		}
		return false
	}
	for name, end := range map[string]func(h *harness){
		"stop in the restart delay":  func(h *harness) { h.exit("a.service", 1); h.stop("a.service") },
		"budget exhausted":           func(h *harness) { h.crash("a.service", 1, time.Second); h.exit("a.service", 1) },
		"clean end":                  func(h *harness) { h.exit("a.service", 0) },
		"reset in the restart delay": func(h *harness) { h.exit("a.service", 1); h.reset("a.service") },
	} {
		h := load(t, `a.toml | service.fd-store-max=5; service.notify-access="main"; restart.policy="on-failure"; restart.max-restarts=1; restart.delay="1s"`)
		h.start("a.service")
		h.notify("a.service", Notification{FDStore: 1, FDName: "x"})
		m := h.mark()
		end(h)
		want(h, name+": closed", withdrawn(h, m), true)
		if h.state("a.service") != "active" {
			h.start("a.service")
			want(h, name+": stored afterwards", h.view("a.service").Stored, 0)
		}
	}
}

// With FileDescriptorStorePreserve=yes they outlive a stop and a reset, and are
// closed when the unit's file is gone.
func TestStatement22PreservedDescriptors(t *testing.T) {
	const a = "a.service || Type=notify; FileDescriptorStoreMax=5; FileDescriptorStorePreserve=yes"
	h := load(t, a, "b.service ||")
	h.start("a.service")
	h.ready("a.service")
	h.notify("a.service", Notification{FDStore: 1, FDName: "x"})
	h.stop("a.service")
	h.exit("a.service", 0)
	h.reset("a.service")
	h.start("a.service")
	want(h, "after stop and reset", h.view("a.service").Stored, 1)
	h.ready("a.service")
	h.stop("a.service")
	h.exit("a.service", 0)
	m := h.mark()
	h.reloadUnits(false, "b.service ||")
	want(h, "closed with the unit", len(find[Withdraw](h, m)), 1)
}
