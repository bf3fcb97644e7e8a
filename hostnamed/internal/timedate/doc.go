// Package timedate is what org.freedesktop.timedate1 decides: which time zones there are,
// how /etc/localtime and /etc/adjtime are read and written, what the hardware clock shows,
// and which services keep the time. It reads no clock and opens no files.
//
// Sources: localtime(5), adjtime(5) of util-linux, tzfile(5), org.freedesktop.timedate1(5),
// systemd-timedated.service(8), and what systemd-timedated 257 was seen to do.
package timedate
