// Package host is what org.freedesktop.hostname1 decides: which names are valid, which of
// them is in force, what kind of machine this is, and how all of it is described. It takes
// the contents of files and returns those to be written; it opens none.
//
// Where manual pages leave a rule open (hostname(5), machine-info(5),
// org.freedesktop.hostname1(5)), it is what systemd-hostnamed 257 was seen to do.
package host
