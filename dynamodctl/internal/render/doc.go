// Package render turns the manager's answers into text for people. It is pure:
// the clock, the width of the terminal and the colours come in as Options.
//
// Whatever a unit file, a service or a log says passes through Safe before it is
// printed, so that it cannot write to the operator's terminal. The package asks
// nobody anything; package live does.
package render
