// Package deps is the architecture as a test: which package may import which,
// and which packages must stay pure. The table in law.go is policy, not a
// description. When the test fails, change the code; when the table itself is
// wrong, change table and code in one commit that says why, and tell of it in
// docs/design-changes.md.
//
// It reads source files with go/parser and runs nothing, so it also judges
// files behind build tags and packages that do not compile yet. Test files are
// free to import what they like.
package deps
