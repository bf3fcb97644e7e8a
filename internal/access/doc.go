// Package access decides who may do what to which service. It owns the rules of
// /etc/dynamod/access.toml, their syntax, and the words of a refusal; the control
// socket and the D-Bus services ask the same rules. It refuses to know verbs (the
// caller names the right that one needs), to find out who somebody is, and to
// log: Decision has all that a log line needs.
//
// A decision is a pure function of rules, subject, right and service. Rules are
// replaced whole: a file with a mistake in it changes nothing.
package access
