// Package sdnotify is the sd_notify(3) protocol: the datagrams by which a service
// tells its manager that it is ready, reloading, stopping or alive, and hands it
// descriptors to keep.
//
// It has three parts. Parse and Message.String turn datagrams into a struct and
// back. Notify, NotifyWithFDs, Barrier, WatchdogEnabled and ListenFDs are for
// services; they need no manager of ours. Socket is the manager's end: it receives
// datagrams with the kernel's word for who sent them.
//
// It refuses to judge: whether a sender may send is the manager's decision.
//
// Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), unix(7).
package sdnotify
