// Package session decides about sessions, users, seats and inhibitors: events come in
// with their time, actions come out. It has no files, no bus and no clock, so that what
// logind does can be simulated.
//
// Its rules are those of org.freedesktop.login1(5), sd-login(3), pam_systemd(8) and
// logind.conf(5), and what was measured of systemd 257.
package session
