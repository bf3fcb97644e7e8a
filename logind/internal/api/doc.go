// Package api is org.freedesktop.login1 as D-Bus clients see it, and the shell around
// package session: it asks who calls, hands events to the core, and carries out its
// actions with files in /run/systemd and units of the manager.
package api
