// Package unitname owns the names of units: which strings are names, how a
// name splits into prefix, instance and type, how arbitrary strings and paths
// are escaped into names, which drop-in directories a name reads, and how
// "%" specifiers are expanded.
//
// It refuses everything that needs a machine: it does not look at files,
// environments, users or the host, and it does not know what a unit is.
// Values of host specifiers come in through a SpecifierSource.
//
// The sources are systemd.unit(5), systemd.slice(5), systemd-escape(1) and
// black-box runs of systemd-escape and systemd-analyze 252; the tables in
// testdata/ were recorded from the latter.
package unitname
