package unit

// DelegatedControllers says whether a part of the cgroup tree is the unit's own, and
// which controllers it may hand on there: those that it names, or all of them
// (systemd.resource-control(5), Delegate=).
func DelegatedControllers(u *Unit) (controllers []string, delegated bool) {
	list := Delegate.Of(u)
	if len(list) == 1 {
		if all, ok := readBool(list[0]); ok && all {
			return []string{"cpu", "cpuset", "io", "memory", "pids"}, true
		} else if ok {
			return nil, false
		}
	}
	return list, Delegate.IsSet(u)
}
