// Package translate puts units into the words and types of the systemd1 D-Bus
// interface: object paths, values of settings, states. It decides nothing and asks
// nobody; what it is not given it does not invent.
package translate
