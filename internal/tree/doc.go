// Package tree reads a whole system tree offline, as a manager would: it opens
// the root directory, answers the host's specifiers from files in it, loads
// all units and hangs them together. It knows the difference between a path in
// the tree and the path that the operator types; it judges and prints nothing.
package tree
