// Package seccomp compiles what a unit says about system calls into programs for
// seccomp(2). It owns the numbers and groups of system calls and the form of the
// programs. It refuses to load anything: that is done by the process that is
// filtered, right before its exec.
//
// Every setting becomes a program of its own; the kernel runs all of them and takes
// the strictest answer. A program looks at the machine first: rules hold for the
// native calls and, where the kernel may run them, for those of the machine's 32-bit
// and x32 twins.
package seccomp
