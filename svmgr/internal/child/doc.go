// Package child is what runs between fork and exec. The manager starts it as a
// program of its own, straight in the unit's cgroup; it reads one Spec from an
// inherited descriptor, applies it stage by stage, and executes the program. For a
// Spec that needs system calls only, the manager has a Maker make a smaller
// program, which does the same in a fraction of the time.
//
// It owns the order of the stages and the form of the Spec. It refuses to decide:
// what a unit's settings mean was worked out before, names are resolved to numbers
// and variables are expanded. A stage that fails ends the process with status 126
// (127 for the exec itself) and a report of its name and errno; nothing is applied
// by halves.
//
// The package stays small on purpose: it is started for every process of every
// unit, and what a Go program costs at its start is the initialisation of what it
// imports.
package child

import "strconv"

// The descriptors that Main expects: standard input, output and error as they
// shall be (as far as the Spec does not replace them), then these.
const (
	SpecFD   = 3
	StatusFD = 4
	// FirstFD is the first of the descriptors to be passed on.
	FirstFD = 5
)

// Exit statuses of a process that never ran its program.
const (
	ExitSetup = 126
	ExitExec  = 127
	// ExitUnheld: the manager died before it gave its go-ahead.
	ExitUnheld = 125
)

// StageError is a stage that failed. Path is what it was about, if anything.
type StageError struct {
	Stage string
	Errno int32
	Path  string
}

func (e *StageError) Error() string {
	s := "stage " + e.Stage + ": errno " + strconv.Itoa(int(e.Errno))
	if e.Path != "" {
		s += " (" + e.Path + ")"
	}
	return s
}
