// Package locale is what org.freedesktop.locale1 decides: which locales and keyboards may
// be set, what /etc/locale.conf, /etc/vconsole.conf and the X server's file say then, and
// which keyboard of the X server is that of the console. It opens no files.
//
// Sources: locale.conf(5), org.freedesktop.locale1(5), xorg.conf(5), glibc's and kbd's file
// formats, and what systemd-localed 257 was seen to do.
package locale
