package main

import (
	osuser "os/user"
	"strconv"

	"dynamod/internal/access"
)

// accounts looks names of access rules up in the user database.
func accounts() access.Accounts {
	number := func(id string) (uint32, bool) {
		n, err := strconv.ParseUint(id, 10, 32)
		return uint32(n), err == nil
	}
	return access.Accounts{
		User: func(name string) (uint32, bool) {
			u, err := osuser.Lookup(name)
			if err != nil {
				return 0, false
			}
			return number(u.Uid)
		},
		Group: func(name string) (uint32, bool) {
			g, err := osuser.LookupGroup(name)
			if err != nil {
				return 0, false
			}
			return number(g.Gid)
		},
	}
}
