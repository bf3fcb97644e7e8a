// Package api answers as org.freedesktop.hostname1, timedate1 and locale1: D-Bus, polkit
// and files around what host, timedate and locale decide. What of the machine is in no
// file, such as the clock, is behind Kernel, and the service manager behind Units.
package api
