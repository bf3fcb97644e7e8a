// Package unit is the one model of what dynamod manages, whatever syntax it was
// written in: loaders turn files into Fragments, Build turns Fragments into an
// immutable Unit, and everything else asks a Unit through typed keys.
//
// The settings table is made of the Key variables in settings_*.go: declaring a
// key is declaring its row. A setting is added in that one place; loaders,
// `dynamodctl check`, `dynamodctl explain`, docs/settings.md and the D-Bus
// properties all read the row.
//
// Three rules that are easy to miss:
//
//   - Key.Of is the value that holds (written, derived or default); the zero
//     value of an unset limit or size without default means nothing, so ask
//     IsSet first.
//   - Native files have no "%" specifiers, because the original's had none;
//     only instances of native templates do. Their command arrays are argument
//     vectors: no prefixes, no quoting, no "$" (Exec.NoEnvExpand).
//   - In native files whatever a unit requires, wants or binds to is also in
//     its After, unless the file orders the two the other way round.
//
// It owns value grammars, merge rules and defaults. It refuses to know about
// file systems, search paths, other units (see internal/graph) and processes.
package unit
