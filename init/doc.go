// dynamod-init is PID 1. It brings up what every program expects of a kernel that
// has just started, starts dynamod-svmgr, which does everything else, and stays to
// reap, to keep the manager's descriptors, to replace the manager when it dies or
// hangs, and to take the machine down. What it decides while it runs is the table
// of init/internal/pid1 (docs/pid1.md); this package carries it out.
//
// It never exits, never panics and, once the boot is over, allocates nothing per
// event. It has no configuration file.
//
// # As PID 1 of a machine
//
// The kernel starts it (init=/sbin/dynamod-init, or /sbin/init). Settings come from
// the kernel command line (dynamod.*, docs/pid1.md). Arguments that it does not know
// are ignored with a line in the log, because the kernel passes on every word that it
// does not know itself.
//
// # As PID 1 of a container, or of a test
//
// In any pid namespace but the first it mounts nothing and calls no reboot(2): it
// reaps, runs the manager, stops in order on SIGTERM, SIGINT or SIGRTMIN+3, and
// exits with the code that docs/pid1.md gives. Root is not needed:
//
//	unshare -p -f -m -U -r build/dynamod-init --run /tmp/x --svmgr build/dynamod-svmgr -- ARGS-OF-SVMGR
//
// It then logs to standard error. The manager gets DYNAMOD_INIT_FD=3, PATH, HOME,
// TERM and GODEBUG=disablethp=1, and in a container DYNAMOD_CONTAINER=1 and, if set, container.
//
// # Flags
//
//	--svmgr PATH          the manager (/usr/lib/dynamod/dynamod-svmgr)
//	-- ARGS               its arguments
//	--container           be a container's, even in the first pid namespace
//	--run DIR             where the boot's state is published (/run/dynamod)
//	--emergency           the emergency shell before the first manager
//	--heartbeat D         between two heartbeats; three missed are a hang (5s)
//	--start-grace D       until the first heartbeat (60s)
//	--abort-wait D        from SIGABRT to SIGKILL (5s)
//	--restart-delay D     the first delay before a new manager (500ms)
//	--steady D            a manager that lived for so long has not died too soon (30s)
//	--stop-wait D         for the ordered stop (30m)
//	--term-wait D         from SIGTERM to SIGKILL for what is left (5s)
//	--kill-wait D         from SIGKILL to the end (2s)
//	--boot-deadline D     until a boot that is not complete has failed (5m, 0 never)
//	--boot-action A       what follows: none, reboot or emergency (none)
//
// D is a number with a unit, as in 1m30s or 200ms. A flag that takes a value takes
// it as the next word or after "=".
package main
