package unit

import "slices"

// Live says that a change of s takes effect while the unit runs (set-property;
// systemctl(1) names resource control and a few others): limits are files of the
// unit's cgroup. Everything else counts from the next start on.
func (s *Setting) Live() bool {
	switch s.In {
	case InCgroup:
		return s.Effect == ByWorld && !slices.Contains(onceMade, s)
	case InUnit:
		return s.Effect == Shown
	}
	return false
}

// onceMade decide where the group is and how it is made: programs of the kernel are
// attached to it before anything runs in it, controllers are switched on above it.
var onceMade = []*Setting{Slice.Setting(), Delegate.Setting(), DelegateSubgroup.Setting(),
	IPAccounting.Setting(), IPAddressAllow.Setting(), IPAddressDeny.Setting(), SocketBindAllow.Setting(), SocketBindDeny.Setting(),
	RestrictNetworkInterfaces.Setting(), DeviceAllow.Setting(), DevicePolicy.Setting(), IOAccounting.Setting(),
	DefaultMemoryMin.Setting(), DefaultMemoryLow.Setting(), DefaultStartupMemoryLow.Setting(), DisableControllers.Setting(),
	BPFProgram.Setting(), IPIngressFilterPath.Setting(), IPEgressFilterPath.Setting(),
	MemoryPressureWatch.Setting(), MemoryPressureThresholdSec.Setting(), MemoryAccounting.Setting(), TasksAccounting.Setting()}

// OnlyLive says that all of these settings may change while the unit runs.
func OnlyLive(changed []*Setting) bool {
	return !slices.ContainsFunc(changed, func(s *Setting) bool { return !s.Live() })
}

// LimitsDiffer says that a reload has something to do on the group of a unit that runs:
// resource control that is live has other values in b than in a.
func LimitsDiffer(a, b *Unit) bool {
	differs := func(x, y *Unit) bool {
		for _, v := range x.vals {
			s := table[v.id]
			if s.In == InCgroup && s.Live() && !slices.Equal(Texts(s, v.val), Texts(s, y.Value(s))) {
				return true
			}
		}
		return false
	}
	return differs(a, b) || differs(b, a)
}

// Changed lists the settings whose values differ between two units, in table order.
func Changed(a, b *Unit) []*Setting {
	var out []*Setting
	for _, s := range table {
		ta, tb := Texts(s, a.Value(s)), Texts(s, b.Value(s))
		if !slices.Equal(ta, tb) {
			out = append(out, s)
		}
	}
	return out
}
